// What strangers may do to a service with pages: requests and sockets as no page has them.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { connect } from "node:net";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { WebSocket } from "ws";
import { writePost } from "../lib/frames.js";
import { Gateway } from "../lib/gateway.js";
import { Names } from "../lib/gateway/names.js";
import { configure, generateKey } from "../lib/index.js";
import { encode } from "../lib/value.js";
import { Service } from "./pages.js";
import { needs } from "./process.js";

configure({ alone: true });

const UPGRADE =
  "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: meshcast.v1\r\n";

/** A request over a socket of its own. */
async function request(port, target, headers = UPGRADE) {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => {});
  // It may come as soon as something was written.
  socket.gone = new Promise((resolve) => socket.once("close", resolve));
  await once(socket, "connect");
  socket.write(`GET ${target} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n${headers}\r\n`);
  return socket;
}

/** All that it is answered, until the other side ends. */
async function answer(socket) {
  let text = "";
  for await (const part of socket.setEncoding("utf8")) text += part;
  return text;
}

/** A server in this process, with gateways by path. */
async function serve(t, gateways, also = () => {}) {
  const server = createServer((_, response) => response.end("a page"));
  for (const [path, gateway] of Object.entries(gateways)) gateway.attach(server, path);
  also(server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  return server.address().port;
}

const anybody = () => new Gateway({ permit: () => ({ read: true, post: true }) });

for (const kind of ["node", "bun"]) {
  const title = `${kind}: a service lives on whatever is asked to be upgraded, and resets it`;
  test(title, needs(kind), (t) => resetAll(t, kind));
}

async function resetAll(t, kind) {
  const service = await Service.start(t, kind, "fra", generateKey());
  const port = Number(service.host.split(":")[1]);
  const foreign = `${UPGRADE}Origin: https://evil.example.com\r\n`;
  // The first of them come while the service gets ready for pages.
  const targets = [
    ["/meshcast", UPGRADE],
    ["//", UPGRADE],
    ["/elsewhere", UPGRADE],
    ["/meshcast", foreign],
    ["/%", UPGRADE],
    ["http://[", UPGRADE],
  ];
  for (let round = 0; round < 5; round++) {
    for (const [target, headers] of targets) {
      const early = await request(port, target, headers);
      early.resetAndDestroy();
      const late = await request(port, target, headers);
      await once(late, "data");
      late.resetAndDestroy();
    }
  }
  const answered = async (target, headers) => answer(await request(port, target, headers));
  assert.match(await answered("//", UPGRADE), /^HTTP\/1.1 404 /);
  assert.match(await answered("/meshcast", foreign), /^HTTP\/1.1 403 /);
  assert.equal((await fetch(`http://${service.host}/`)).status, 200);
  assert.equal(service.ended, undefined, service.errors);
}

test("a client that says nonsense to a service that is full ends nothing but itself", async (t) => {
  const service = await Service.start(t, "node", "fra", generateKey(), "", { MAX_CLIENTS: "1" });
  const port = Number(service.host.split(":")[1]);
  // All are upgraded at once, before the first of them counts.
  const sockets = await Promise.all(
    Array.from({ length: 4 }, () => request(port, "/meshcast?user=ada")),
  );
  for (const socket of sockets) {
    socket.resume();
    // A frame with bits that mean nothing.
    socket.write(Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff]));
  }
  await Promise.all(sockets.map((socket) => socket.gone));
  await service.hasClients(0);
});

test("an upgrade of a path of nobody is answered by 404, and its socket ends", async (t) => {
  const port = await serve(t, { "/one": anybody(), "/two": anybody() });
  for (const target of ["/three", "//", "http://["]) {
    assert.match(await answer(await request(port, target)), /^HTTP\/1.1 404 /);
  }
  for (const target of ["/one", "/two?x"]) {
    const socket = await request(port, target);
    assert.match(`${(await once(socket, "data"))[0]}`, /^HTTP\/1.1 101 /);
    socket.destroy();
  }
});

test("an upgrade of another path is for who else listens", async (t) => {
  const port = await serve(t, { "/meshcast": anybody() }, (server) => {
    server.on("upgrade", ({ url }, socket) => {
      if (url === "/theirs") socket.end("HTTP/1.1 418 Theirs\r\n\r\n");
    });
  });
  assert.match(await answer(await request(port, "/theirs")), /^HTTP\/1.1 418 /);
});

test("options that would let in all, or nobody, are refused by name", () => {
  const permit = () => null;
  const wrong = {
    maxClients: [NaN, 0, 1.5, "9", Infinity, null],
    maxChannels: [NaN, -1, "all"],
    origins: [
      "https://app.example.com",
      ["https://app.example.com/"],
      ["https://App.example.com"],
      ["https://app.example.com:443"],
      ["app.example.com"],
      [5],
      5,
    ],
    hosts: ["localhost", ["https://example.com"], ["example.com/"], [""], [null], 5],
  };
  for (const [option, values] of Object.entries(wrong)) {
    for (const value of values) {
      const make = () => new Gateway({ permit, [option]: value });
      assert.throws(make, { name: "TypeError", message: new RegExp(option) }, `${option} ${value}`);
    }
  }
  const origins = ["https://app.example.com", "http://[::1]:8080", "null", "tauri://localhost"];
  const gateway = new Gateway({ permit, origins: new Set(origins) });
  const refuses = (origin) => gateway.refuses({ headers: { host: "example.com", origin } });
  for (const origin of origins) assert.equal(refuses(origin), null, origin);
  assert.equal(refuses("https://evil.example.com").status, 403);
});

test("a request whose body was read is looked at, too", async () => {
  const gateway = new Gateway({ permit: () => null });
  const request = new Request("http://example.com/", { method: "POST", body: "a body" });
  await request.text();
  assert.equal(gateway.refuses(request), null);
});

test("hosts that are not named are not served if any are", async (t) => {
  const rebound = { host: "evil.example.com:8000", origin: "http://evil.example.com:8000" };
  const permit = () => null;
  // Its page is one of the same host.
  assert.equal(new Gateway({ permit }).refuses({ headers: rebound }), null);
  const hosts = ["Example.com", "localhost:8000", "[::1]"];
  const gateway = new Gateway({ permit, hosts });
  assert.equal(gateway.refuses({ headers: rebound }).status, 403);
  const refuses = (host) => gateway.refuses({ headers: new Headers({ host }) });
  for (const host of ["example.com", "EXAMPLE.com:8000", "localhost:8000", "[::1]", "[::1]:80"]) {
    assert.equal(refuses(host), null, host);
  }
  for (const host of ["localhost", "localhost:80", "example.com.evil.org", "evil.org:", "::1"]) {
    assert.equal(refuses(host).status, 403, host);
  }
  assert.equal(gateway.refuses({ headers: {} }).status, 403);

  const port = await serve(t, { "/meshcast": new Gateway({ permit, hosts: ["localhost"] }) });
  assert.match(await answer(await request(port, "/meshcast")), /^HTTP\/1.1 403 /);
});

test("clients bring some new names at once and then one a second, together and each", () => {
  let now = 0;
  const names = new Names({ now: () => now, atOnce: 20 });
  const [one, other] = [names.ofClient(2), names.ofClient(4)];
  const brought = (may, from, to) => {
    let count = 0;
    for (let name = from; name < to; name++) count += may(`room:${name}`);
    return count;
  };
  assert.equal(brought(one, 0, 10), 8);
  assert.equal(brought(one, 100, 110), 0);
  // Those that are known cost nothing.
  assert.equal(brought(one, 0, 8), 8);
  assert.equal(brought(other, 0, 8), 8);
  now += 1000;
  assert.equal(brought(one, 100, 110), 1);
  // Of the 20 of all 9 are gone, and one came back.
  assert.equal(brought(other, 200, 300), 12);
  now += 2000;
  assert.equal(brought(one, 400, 500), 2);
  assert.equal(brought(other, 500, 600), 0);
});

test("a client does not use up the names of the service", async (t) => {
  const permit = (_, name) => ({ read: true, post: name !== "news" });
  // No second goes by.
  const gateway = new Gateway({ permit, maxChannels: 2 }, { now: () => 0 });
  const port = await serve(t, { "/meshcast": gateway });
  const socket = await client(t, port);
  const open = (name) => socket.say({ type: "open", channel: 1, name });
  for (let i = 0; i < 8; i++) {
    open(`room:${i}`);
    await socket.next("opened");
  }
  open("room:8");
  assert.equal((await socket.next("refused")).reason, "too_many");
  for (const name of ["room:3", "news"]) {
    open(name);
    await socket.next("opened");
  }
  // It is no name, and brings none.
  open("x".repeat(256));
  assert.equal((await socket.next("refused")).reason, "name");
});

/** A client that has said hello. */
async function client(t, port) {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/meshcast`, "meshcast.v1");
  const told = [];
  let wake = () => {};
  socket.on("message", (data, isBinary) => {
    if (!isBinary) told.push(JSON.parse(data));
    wake();
  });
  socket.say = (said) => socket.send(JSON.stringify(said));
  socket.next = async (type) => {
    for (;;) {
      const at = told.findIndex((each) => each.type === type);
      if (at !== -1) return told.splice(at, 1)[0];
      await new Promise((resolve) => (wake = resolve));
    }
  };
  t.after(() => socket.terminate());
  await once(socket, "open");
  await socket.next("hello");
  return socket;
}

/** A WebSocket of a server, without a network: what it sends stays until it is taken. */
class Peer extends EventTarget {
  readyState = 1;
  bufferedAmount = 0;
  paused = false;
  most = 0;
  sent = [];
  closed = null;

  send(data) {
    this.sent.push(data);
    this.bufferedAmount += data.length ?? data.byteLength;
    this.most = Math.max(this.most, this.bufferedAmount);
  }

  close(code, reason) {
    this.closed ??= { code, reason };
    this.dispatchEvent(new Event("close"));
  }

  pause() {
    this.paused = true;
  }

  resume() {
    this.paused = false;
  }

  says(data) {
    this.dispatchEvent(new MessageEvent("message", { data }));
  }

  /** All that it was told, which makes room. */
  takes() {
    this.bufferedAmount = 0;
    return this.sent.splice(0);
  }
}

const ROOM = 1 << 20;

test("frames with nothing in them are put off too, where reading can be", async (t) => {
  let decide;
  const gateway = new Gateway({ permit: () => new Promise((resolve) => (decide = resolve)) });
  const peer = new Peer();
  gateway.accept(peer, { headers: {} });
  t.after(() => gateway.close());
  peer.says(JSON.stringify({ type: "open", channel: 1, name: "room" }));
  let frames = 0;
  for (; !peer.paused && frames < 100_000; frames++) peer.says('{"type":"alive"}');
  assert.ok(frames <= 1024, `${frames} frames wait`);
  await sleep(0);
  decide({ read: true });
  while (peer.paused) await sleep(1);
  assert.equal(peer.closed, null);
  assert.match(peer.sent[1], /"opened"/);

  // Where it cannot be, it ends.
  peer.pause = peer.resume = undefined;
  peer.says(JSON.stringify({ type: "open", channel: 1, name: "room" }));
  for (frames = 0; peer.closed === null && frames < 100_000; frames++) {
    peer.says('{"type":"alive"}');
  }
  assert.deepEqual([peer.closed?.code, peer.closed?.reason], [1008, "too much at once"]);
});

test("a client that does not read is told no more than there is room for", async (t) => {
  const gateway = new Gateway({ permit: () => null });
  const peer = new Peer();
  gateway.accept(peer, { headers: {} });
  t.after(() => gateway.close());
  const open = JSON.stringify({ type: "open", channel: 0, name: "" });
  // Each is told to be refused.
  let said = 0;
  for (; !peer.paused && said < 200_000; said++) {
    peer.says(open);
    if (said % 64 === 0) await sleep(0);
  }
  assert.ok(peer.paused, `${peer.most} bytes wait after ${said} frames`);
  assert.ok(peer.most < ROOM + 1024, `${peer.most} bytes wait`);
  // It reads again, and is told the rest.
  let told = 0;
  while (told < said + 1) {
    told += peer.takes().length;
    await sleep(1);
  }
  assert.equal(peer.paused, false);
  assert.equal(peer.closed, null);
});

test("who reads nothing for a minute is closed, whatever it says, and who reads is not", (t) => {
  const gateway = new Gateway({ permit: () => null });
  t.mock.timers.enable({ apis: ["Date", "setInterval", "setTimeout"] });
  const [deaf, mute, slow] = [new Peer(), new Peer(), new Peer()];
  for (const peer of [deaf, mute, slow]) gateway.accept(peer, { headers: {} });
  t.after(() => gateway.close());
  for (const peer of [deaf, slow]) peer.bufferedAmount = 2 * ROOM;
  for (let i = 0; i < 15; i++) {
    for (const peer of [deaf, slow]) peer.says('{"type":"alive"}');
    t.mock.timers.tick(10_000);
    // It takes what there is now and then, and has as much again.
    slow.bufferedAmount = i % 4 === 3 ? 0 : 2 * ROOM;
  }
  assert.deepEqual(deaf.closed, { code: 1008, reason: "does not read" });
  assert.deepEqual(mute.closed, { code: 1008, reason: "silent" });
  assert.equal(slow.closed, null);
});

test("batches wait for room, one of each channel", async (t) => {
  const gateway = new Gateway({ permit: () => ({ read: true, post: true }) });
  const [reader, poster] = [new Peer(), new Peer()];
  for (const peer of [reader, poster]) gateway.accept(peer, { headers: {} });
  t.after(() => gateway.close());
  for (let channel = 0; channel < 8; channel++) {
    const open = JSON.stringify({ type: "open", channel, name: `room:${channel}` });
    for (const peer of [reader, poster]) peer.says(open);
  }
  const value = encode("x".repeat(100_000));
  let number = 0;
  for (let round = 0; round < 10; round++) {
    for (let channel = 0; channel < 8; channel++) {
      poster.says(writePost({ channel, number: number++, value }).buffer);
    }
  }
  const safe = () => poster.sent.filter((told) => told.includes?.('"posted"')).length;
  while (safe() < number || reader.bufferedAmount <= ROOM) await sleep(10);
  // It reads again, and gets them all.
  let heard = 0;
  while (heard < number) {
    heard += reader.takes().filter((told) => typeof told !== "string").length;
    await sleep(5);
  }
  // What was there, and the batch that went beyond.
  assert.ok(reader.most < ROOM + 256 * 1024 + 2 * value.length, `${reader.most} bytes waited`);
  assert.equal(reader.closed, null);
});

test("a post that nobody has when the node stops is not posted, and the page goes on", async (t) => {
  const service = await Service.start(t, "node", "fra", generateKey());
  const socket = new WebSocket(service.url("ada"), "meshcast.v1");
  const told = [];
  socket.on("message", (data, isBinary) => isBinary || told.push(JSON.parse(data)));
  t.after(() => socket.terminate());
  await once(socket, "open");
  socket.send(JSON.stringify({ type: "open", channel: 1, name: "room:x" }));
  while (!told.some(({ type }) => type === "opened")) await once(socket, "message");
  const post = Buffer.from([1, 0, 0, 0, 7, 0, 0, 0, 0]);
  socket.send(post);
  // It is looked at before: what is said behind it is answered.
  socket.send(JSON.stringify({ type: "open", channel: 2, name: "secret" }));
  while (!told.some(({ type }) => type === "refused")) await once(socket, "message");
  service.do("shutdown");
  const closed = once(socket, "close");
  const isAnswer = ({ type }) => type === "posted" || type === "unposted";
  while (!told.some(isAnswer)) await Promise.race([once(socket, "message"), closed]);
  assert.deepEqual(told.find(isAnswer), {
    type: "unposted",
    channel: 1,
    number: 7,
    reason: "unavailable",
  });
  assert.equal((await closed)[0], 1001);
});
