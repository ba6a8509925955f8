// What a page makes of what a service tells it, which here says what the test wants.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { test } from "node:test";
import { WebSocket, WebSocketServer } from "ws";
import { BroadcastChannel, connect, connection, originOf } from "../lib/browser.js";
import { readPost, writeMessage } from "../lib/frames.js";
import { Gateway } from "../lib/gateway.js";
import * as member from "../lib/index.js";
import { encode } from "../lib/value.js";

globalThis.WebSocket ??= WebSocket;
member.configure({ alone: true });

const ME = { peerId: "p", name: "fra-1", region: "fra" };

/** A connection of the page with a service, which the test says all for. */
class Line {
  #waiting = [];
  #said = [];

  static async of(server) {
    const [socket] = await once(server, "connection");
    const line = new Line();
    line.socket = socket;
    socket.on("message", (data, isBinary) => {
      const { buffer, byteOffset, length } = data;
      const frame = buffer.slice(byteOffset, byteOffset + length);
      line.#said.push(isBinary ? readPost(frame) : JSON.parse(data));
      line.#waiting.splice(0).forEach((resolve) => resolve());
    });
    line.tell({ type: "hello", version: 1, ...ME, maxMessageBytes: 1 << 20, maxChannels: 4 });
    return line;
  }

  tell(told) {
    this.socket.send(JSON.stringify(told));
  }

  /** What the page says next that the function takes. */
  async next(is) {
    for (;;) {
      const at = this.#said.findIndex(is);
      if (at !== -1) return this.#said.splice(at, 1)[0];
      await new Promise((resolve) => this.#waiting.push(resolve));
    }
  }

  /** Opens the channel that the page asks for. */
  async opens() {
    const { channel } = await this.next(({ type }) => type === "open");
    this.tell({ type: "opened", channel, read: true, post: true });
    this.tell({ type: "sender", channel, number: 0, ...ME });
    this.told = (type, fields) => this.tell({ type, channel, ...fields });
    this.unmarked = (seq, value) => {
      const message = { history: false, channel, sender: 0, seq, postedAt: 0, value };
      this.socket.send(writeMessage(message));
    };
    this.message = (seq, value) => {
      this.unmarked(seq, value);
      this.told("cursor", { cursor: `c${seq}` });
    };
  }
}

test("where nobody has said where the service is, a channel is not opened", () => {
  assert.throws(() => new BroadcastChannel("room"), { name: "TypeError", message: /connect\(url\)/ });
  assert.equal(connection.state, "closed");
});

test("what is no address is refused, and one that the runtime refuses is passed over", async (t) => {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  await once(server, "listening");
  t.after(() => server.close());
  const url = `ws://127.0.0.1:${server.address().port}`;
  for (const urls of [[], ["not an address", url], [url, "file:///x"], [undefined]]) {
    assert.throws(() => connect(...urls), TypeError, `${urls}`);
  }
  t.mock.method(console, "warn", () => {});
  const next = Line.of(server);
  connect("ws://127.0.0.1:1/#part", url);
  const page = new BroadcastChannel("room");
  t.after(() => page.close());
  await (await next).opens();
});

test("a post without a number that comes back after a break is not somebody else's", async (t) => {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  await once(server, "listening");
  t.after(() => server.close());
  const before = Line.of(server);
  connect(`ws://127.0.0.1:${server.address().port}`);
  const page = new BroadcastChannel("room");
  t.after(() => page.close());
  const heard = [];
  page.onmessage = ({ data }) => heard.push(data);

  const line = await before;
  await line.opens();
  const next = once(page, "message");
  line.message(1, encode("of another page"));
  await next;
  page.postMessage("same");
  const post = await line.next((said) => said.value !== undefined);
  line.tell({ type: "posted", channel: post.channel, number: post.number, seq: null });
  while (page.stats().unsafe > 0) await new Promise((resolve) => setTimeout(resolve, 5));
  // Another page says the same: while there is no break it does not come back itself.
  const again = once(page, "message");
  line.message(2, encode("same"));
  await again;

  const after = Line.of(server);
  line.socket.terminate();
  const second = await after;
  await second.opens();
  second.message(3, encode("same"));
  second.message(4, encode("last"));
  while (heard.at(-1) !== "last") await once(page, "message");
  assert.deepEqual(heard, ["of another page", "same", "last"]);
});

test("a service that says hello and goes is asked less and less often", async (t) => {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  await once(server, "listening");
  t.after(() => server.close());
  const times = [];
  const fourth = new Promise((resolve) => {
    server.on("connection", (socket) => {
      const hello = { type: "hello", version: 1, ...ME, maxMessageBytes: 1 << 20, maxChannels: 4 };
      socket.send(JSON.stringify(hello));
      socket.close();
      if (times.push(performance.now()) === 4) resolve();
    });
  });
  connect(`ws://127.0.0.1:${server.address().port}`);
  const page = new BroadcastChannel("room");
  t.after(() => page.close());
  await fourth;
  // 250 ms, 500 ms, a second.
  assert.ok(times[3] - times[2] > 900, `${times}`);
});

test("a message has the cursor behind it and not one from before, and so has a gap", async (t) => {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  await once(server, "listening");
  t.after(() => server.close());
  const before = Line.of(server);
  connect(`ws://127.0.0.1:${server.address().port}`);
  const page = new BroadcastChannel("room", { history: 9, cursors: true });
  t.after(() => page.close());
  const heard = [];
  page.onmessage = (event) => heard.push([event.data, originOf(event).cursor]);
  page.addEventListener("gap", ({ first, cursor }) => heard.push([first, cursor]));
  page.addEventListener("caughtup", () => heard.push("caughtup"));

  const line = await before;
  await line.opens();
  line.unmarked(1, encode("one"));
  line.message(2, encode("two"));
  line.told("gap", { sender: 0, first: 3, last: 4, reason: "lost" });
  line.told("cursor", { cursor: "c4" });
  line.told("gap", { sender: 0, first: 5, last: 6, reason: "lost" });
  line.unmarked(7, encode("seven"));
  line.told("caughtup");
  line.told("cursor", { cursor: "c7" });
  line.unmarked(8, encode("eight"));
  // Before its cursor has come.
  line.socket.close();
  while (heard.length < 7) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.deepEqual(heard, [
    ["one", null],
    ["two", "c2"],
    [3, "c4"],
    [5, null],
    ["seven", "c7"],
    "caughtup",
    ["eight", null],
  ]);
});

test("where a cursor of a message is, another page goes on without a seam", async (t) => {
  const server = createServer();
  const gateway = new Gateway({ permit: () => ({ read: true }) });
  gateway.attach(server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  connect(`ws://127.0.0.1:${server.address().port}/meshcast`);
  const poster = new member.BroadcastChannel("room");
  t.after(() => poster.close());
  const hears = async (options, count) => {
    const page = new BroadcastChannel("room", { ...options, cursors: true });
    t.after(() => page.close());
    const heard = [];
    page.onmessage = (event) => heard.push({ data: event.data, ...originOf(event) });
    await once(page, "open");
    return async () => {
      while (heard.length < count) await new Promise((resolve) => setTimeout(resolve, 5));
      return heard;
    };
  };
  const count = 700;
  const first = await hears({}, count);
  for (let i = 0; i < count; i++) poster.postMessage(i);
  const marked = (await first()).filter(({ cursor }) => cursor !== null);
  assert.ok(marked.length > 1, "of more than one batch");
  assert.equal(marked.at(-1).data, count - 1);
  poster.postMessage("last");
  for (const { data, cursor } of marked) {
    const rest = await hears({ after: cursor }, count - data);
    const [next] = await rest();
    assert.equal(next.data, data === count - 1 ? "last" : data + 1);
  }
});
