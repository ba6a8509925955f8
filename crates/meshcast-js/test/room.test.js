// What a page makes of what a service tells it, which here says what the test wants.

import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { WebSocket, WebSocketServer } from "ws";
import { BroadcastChannel, connect } from "../lib/browser.js";
import { readPost, writeMessage } from "../lib/frames.js";
import { encode } from "../lib/value.js";

globalThis.WebSocket ??= WebSocket;

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
    this.message = (seq, value) => {
      const message = { history: false, channel, sender: 0, seq, postedAt: 0, value };
      this.socket.send(writeMessage(message));
      this.tell({ type: "cursor", channel, cursor: `c${seq}` });
    };
  }
}

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
