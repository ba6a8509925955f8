// A service with pages, for tests: like examples/tabs.js, but that lines of stdin say what it does.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import process from "node:process";
import { createInterface } from "node:readline";
import * as meshcast from "../lib/index.js";
import { Gateway } from "../lib/gateway.js";

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
// Links that the test cuts are not to be gone around.
meshcast.configure({ dialMembers: false });

/** A file of the page: its type and content. */
async function file(pathname) {
  const isScript = pathname.startsWith("/lib/");
  const url = new URL(isScript ? `..${pathname}` : "../examples/tabs.html", import.meta.url);
  const type = isScript ? "text/javascript" : "text/html";
  return { type, content: await readFile(url).catch(() => null) };
}

const options = {
  async permit({ url, headers }, channel) {
    const cookie = (headers instanceof Headers ? headers.get("cookie") : headers.cookie) ?? "";
    const named = new URL(url, "http://localhost").searchParams.get("user");
    const user = named ?? /user=(\w+)/.exec(cookie)?.[1] ?? null;
    if (channel === "trouble") throw new Error("no answer from the database");
    if (channel.startsWith("room:")) return { read: user !== null, post: user !== null };
    if (channel === "box") return { post: true };
    return channel === "news" ? { read: true } : null;
  },
  origins: (process.env.ORIGINS ?? "").split(",").filter(Boolean),
  maxClients: Number(process.env.MAX_CLIENTS ?? 100),
  maxChannels: 4,
};
// However slow the machine is, no post is taken for one that nobody else wants.
const gateway = new Gateway(options, { patience: 60_000 });

await meshcast.ready();
const { node } = await meshcast.inspect();
const address = node.listenAddresses.find((address) => address.includes("127.0.0.1"));
const stop = globalThis.Deno === undefined ? serve() : serveByDeno();

function serve() {
  const server = createServer(async (request, response) => {
    const { type, content } = await file(request.url.split("?")[0]);
    response.writeHead(content === null ? 404 : 200, { "content-type": type }).end(content);
  });
  gateway.attach(server);
  server.listen(0, "127.0.0.1", () => say({ serving: server.address().port, address }));
  return () => server.close();
}

function serveByDeno() {
  const onListen = ({ port }) => say({ serving: port, address });
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen }, async (request) => {
    const { pathname } = new URL(request.url);
    if (pathname !== "/meshcast") {
      const { type, content } = await file(pathname);
      return new Response(content, { headers: { "content-type": type } });
    }
    const refusal = gateway.refuses(request);
    if (refusal !== null) return new Response(refusal.text, { status: refusal.status });
    const { socket, response } = Deno.upgradeWebSocket(request, { protocol: "meshcast.v1" });
    gateway.accept(socket, request);
    return response;
  });
  return () => server.shutdown();
}

const channels = new Map();
const commands = {
  listen({ name }) {
    const channel = new meshcast.BroadcastChannel(name);
    channels.set(name, channel);
    channel.onmessage = ({ data }) => say({ heard: data });
  },
  post({ name, data }) {
    channels.get(name).postMessage(data);
  },
  clients() {
    say({ clients: gateway.clients });
  },
  async shutdown() {
    await meshcast.shutdown();
  },
  stop() {
    gateway.close();
    stop();
  },
};
for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  await commands[command.do](command);
}
