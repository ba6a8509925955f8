// A service whose pages are on the mesh themselves: a page that is open here hears what one that is
// open at another instance posts, in whatever region. Pages hold no key: this says what each may
// do.
//
//   npm install ws
//   MESHCAST_KEY=… MESHCAST_SEEDS=… node tabs.js

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { ready } from "meshcast";
import { Gateway } from "meshcast/gateway";

/** Rooms are for all who say who they are; news is for all to read. */
function permit(request, channel) {
  const user = new URL(request.url, "http://localhost").searchParams.get("user");
  if (channel.startsWith("room:")) return { read: user !== null, post: user !== null };
  return { read: channel === "news" };
}

// A bundler does this for you; a browser needs none.
const library = new URL(".", import.meta.resolve("meshcast/browser"));
const page = new URL("tabs.html", import.meta.url);

const server = createServer(async (request, response) => {
  let pathname;
  try {
    ({ pathname } = new URL(request.url, "http://localhost"));
  } catch {
    // Whoever asks may ask for anything.
    return response.writeHead(400).end();
  }
  const script = /^\/lib\/((?:[\w-]+\/)*[\w-]+\.js)$/.exec(pathname)?.[1];
  const file = script === undefined ? page : new URL(script, library);
  const type = script === undefined ? "text/html; charset=utf-8" : "text/javascript";
  try {
    const content = await readFile(fileURLToPath(file));
    response.writeHead(200, { "content-type": type }).end(content);
  } catch {
    response.writeHead(404).end();
  }
});

// Pages of other instances come here when theirs is gone: ORIGINS=https://fra.example.com,…
const origins = (process.env.ORIGINS ?? "").split(",").filter(Boolean);
const gateway = new Gateway({ permit, origins }).attach(server, "/meshcast");
const { members } = await ready();
server.listen(Number(process.env.PORT ?? 8000), () => {
  console.log(`http://localhost:${server.address().port}, with ${members} other instances`);
});
process.once("SIGTERM", () => {
  // Pages go to another instance.
  gateway.close();
  server.close(() => process.exit());
});
