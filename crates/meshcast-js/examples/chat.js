// A chat with rooms: a page posts by HTTP and hears by server-sent events. People in one room may
// be on any instance, in any region, and on instances in Rust: `examples/chat` of the repository
// has the same rooms. Who loses its instance goes on at another, and misses nothing.
//
//   MESHCAST_KEY=… MESHCAST_SEEDS=… node chat.js
//   curl -N 'localhost:8000/lobby' & curl -d hello 'localhost:8000/lobby?name=ada'

import { createServer } from "node:http";
import process from "node:process";
import { BroadcastChannel, originOf, ready } from "meshcast";

/** Lines from before, of each instance, that who comes in hears. */
const REMEMBERED = 20;
/** Longest line and name, in bytes: those of the chat in Rust. */
const LONGEST = 4000;
const LONGEST_NAME = 72;
/** Bytes that may wait for a guest. Who is slower than that comes back, and goes on where it was. */
const WAITING = 1 << 20;

/** What others post is nobody's to trust. */
function isLine(line) {
  return typeof line?.from === "string" && typeof line.text === "string";
}

async function post(request, response, channelName, name) {
  let text = "";
  for await (const part of request.setEncoding("utf8")) {
    text += part;
    if (Buffer.byteLength(text) > LONGEST) return response.writeHead(413).end();
  }
  if (text.trim() === "" || name.trim() === "" || Buffer.byteLength(name) > LONGEST_NAME) {
    return response.writeHead(400).end("a text and ?name= are missing, or too long");
  }
  // All objects of the channel but this one hear it, and each guest has one: here or elsewhere.
  const channel = new BroadcastChannel(channelName, { cursors: true });
  try {
    channel.postMessage({ from: name, text });
    response.writeHead(204).end();
  } catch (error) {
    // Posted faster than it leaves.
    response.writeHead(503).end(error.message);
  } finally {
    channel.close();
  }
}

function listen(request, response, channelName) {
  const after = request.headers["last-event-id"];
  const from = after === undefined ? { history: REMEMBERED } : { after };
  let channel;
  try {
    channel = new BroadcastChannel(channelName, { ...from, cursors: true });
  } catch (error) {
    return response.writeHead(400).end(error.message);
  }
  const tell = (event, id, data) => {
    response.write(`event: ${event}\nid: ${id}\ndata: ${JSON.stringify(data)}\n\n`);
    if (response.writableLength > WAITING) response.destroy();
  };
  channel.onmessage = (event) => {
    const { region, name, seq, postedAt, cursor } = originOf(event);
    if (!isLine(event.data)) return;
    const { from, text } = event.data;
    tell("line", cursor, { from, text, region, node: name, seq, at: postedAt });
  };
  channel.addEventListener("gap", ({ count, sender, cursor }) => {
    tell("gap", cursor, { count, node: sender.name });
  });
  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
  response.flushHeaders();
  response.on("close", () => channel.close());
}

async function serve(request, response) {
  const { pathname, searchParams } = new URL(request.url, "http://localhost");
  const channelName = `chat/${decodeURIComponent(pathname.slice(1))}`;
  if (request.method !== "POST") return listen(request, response, channelName);
  await post(request, response, channelName, searchParams.get("name") ?? "");
}

// A target may be no URL, and a body may break off: that ends the request, and nothing else.
const server = createServer((request, response) => {
  serve(request, response).catch(() => {
    if (response.headersSent) response.destroy();
    else response.writeHead(400).end();
  });
});

const { members } = await ready();
server.listen(Number(process.env.PORT ?? 8000), () => {
  console.log(`http://localhost:${server.address().port}, with ${members} other instances`);
});
