// Serves a module that exports `{ fetch }`, in Node and Deno; Bun does that by itself. (So does
// `deno serve`, but it takes no notice of `--preload`.)
//
//   node --import meshcast/register serve.js earth.js

import { createServer } from "node:http";
import { resolve } from "node:path";
import process from "node:process";
import { Readable } from "node:stream";
import { pathToFileURL } from "node:url";

const { default: service } = await import(pathToFileURL(resolve(process.argv[2])));

async function serve(request, response) {
  const { method, headers, url } = request;
  const body = method === "GET" || method === "HEAD" ? null : Readable.toWeb(request);
  const options = { method, headers, body, duplex: "half" };
  let asked;
  try {
    asked = new Request(`http://${headers.host}${url}`, options);
  } catch {
    // The target or the host is none.
    return response.writeHead(400).end();
  }
  const answer = await service.fetch(asked);
  response.writeHead(answer.status, Object.fromEntries(answer.headers));
  response.end(new Uint8Array(await answer.arrayBuffer()));
}

const server = createServer((request, response) => {
  serve(request, response).catch((error) => {
    // A body that breaks off is nobody's fault here.
    if (!request.destroyed) console.error(error);
    if (response.headersSent) response.destroy();
    else response.writeHead(request.destroyed ? 400 : 500).end();
  });
});

server.listen(service.port, () => console.log(`http://localhost:${server.address().port}`));
