// A page and a service, without a browser: the client of pages over the WebSocket of the package
// `ws`.

import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { WebSocket } from "ws";
import { readMessage, readPost, readSaid, writeMessage, writePost } from "../lib/frames.js";
import { generateKey } from "../lib/index.js";
import { toJson } from "../lib/value.js";
import { BreaksOnceOpened, Cable, Service, lacks, pairs, twoRegions } from "./pages.js";
import { Process, needs } from "./process.js";
import { samples } from "./samples.js";

/** A page, as a process. */
function page(t, ...urls) {
  return new Process(t, "node", "page.js", {}, urls);
}

const vectors = JSON.parse(
  readFileSync(new URL("../../meshcast-gateway/testdata/frames.json", import.meta.url), "utf8"),
);
const bytes = (hex) => new Uint8Array(Buffer.from(hex, "hex"));
const defined = (object) => JSON.parse(JSON.stringify(object));

test("what clients say is read as the vectors have it", () => {
  for (const said of vectors.said) assert.deepEqual(defined(readSaid(JSON.stringify(said))), said);
  for (const text of vectors.unreadable) assert.equal(readSaid(text), null, text);
});

test("posts and messages are read and written as the vectors have them", () => {
  for (const vector of vectors.posts) {
    const post = { ...vector, value: bytes(vector.value.bytes), bytes: undefined };
    const frame = bytes(vector.bytes);
    assert.deepEqual(writePost(post), frame);
    assert.deepEqual(defined(readPost(frame.buffer)), defined(post));
  }
  assert.equal(readPost(new ArrayBuffer(7)), null);
  for (const vector of vectors.messages) {
    const message = { ...vector, value: bytes(vector.value.bytes), bytes: undefined };
    const frame = bytes(vector.bytes);
    assert.deepEqual(writeMessage(message), frame);
    assert.deepEqual(defined(readMessage(frame.buffer)), defined(message));
  }
  assert.equal(readMessage(new ArrayBuffer(24)), null);
});

/** Takes messages of a page until this many have come. */
async function heard(page, count) {
  const list = [];
  while (list.length < count) list.push(await page.next("heard"));
  return list;
}

/** As many of 16 kB are much more than is kept. */
const POSTS = 100;

/** What comes twice at most: as much as may be under way. */
const AGAIN = 20;

/** Takes messages of a page until so many different numbers have come; these, in order. */
async function distinct(page, count, counts = () => true) {
  const seen = new Set();
  for (let taken = 0; seen.size < count; taken++) {
    const gaps = page.lines.filter(({ gap }) => gap !== undefined);
    const context = `${[...seen]} after ${taken}; ${JSON.stringify(gaps)}`;
    assert.ok(taken < count + AGAIN, context);
    const { i } = await page.next("heard");
    if (counts(i)) seen.add(i);
  }
  return [...seen].sort((a, b) => a - b);
}

const numbers = (from, count) => Array.from({ length: count }, (_, i) => from + i);

for (const [one, other] of pairs) {
  const skip = lacks(one, other);
  const where = `${one} and ${other}`;

  test(`${where}: pages and processes hear each other, and nobody hears itself`, { skip }, async (t) => {
    const { fra, nrt } = await twoRegions(t, [one, other]);
    const [a, b] = [page(t, fra.url("ada")), page(t, nrt.url("bob"))];
    nrt.do("listen", { name: "room:x" });
    a.do("open", { name: "room:x" });
    a.do("open", { name: "room:x", as: "second" });
    b.do("open", { name: "room:x" });
    for (const each of [a, b]) {
      assert.deepEqual(await each.next("opened"), { read: true, post: true });
    }
    a.do("post", { name: "room:x", data: "from a" });
    assert.equal(await b.next("heard"), "from a");
    assert.equal(await nrt.next("heard"), "from a");
    const line = await a.nextOf("heard");
    assert.deepEqual([line.heard, line.as], ["from a", "second"]);
    nrt.do("post", { name: "room:x", data: "from the service" });
    assert.equal(await b.next("heard"), "from the service");
    assert.deepEqual(await heard(a, 2), ["from the service", "from the service"]);
    // Who comes late hears what was before.
    const late = page(t, fra.url("eve"));
    late.do("open", { name: "room:x", options: { history: 5 } });
    await late.next("caughtup");
    assert.deepEqual((await heard(late, 2)).sort(), ["from a", "from the service"]);
  });

  test(`${where}: values of all kinds go from page to page`, { skip }, async (t) => {
    const { fra, nrt } = await twoRegions(t, [one, other]);
    const [a, b] = [page(t, fra.url("ada")), page(t, nrt.url("bob"))];
    for (const each of [a, b]) each.do("open", { name: "room:x" });
    for (const each of [a, b]) await each.next("opened");
    a.do("samples", { name: "room:x" });
    for (const sample of samples()) assert.deepEqual(await b.next("heard"), toJson(sample));
  });

  test(`${where}: a page does what the service lets it do, and no more`, { skip }, async (t) => {
    const { fra, nrt } = await twoRegions(t, [one, other]);
    nrt.do("listen", { name: "secret" });
    nrt.do("listen", { name: "news" });
    nrt.do("listen", { name: "box" });
    const anybody = page(t, fra.url());
    for (const name of ["room:x", "secret"]) {
      anybody.do("open", { name });
      assert.equal(await anybody.next("refused"), "forbidden");
      anybody.do("post", { name, data: "let me in" });
      assert.equal(await anybody.next("threw"), "NotAllowedError");
    }
    anybody.do("open", { name: "news", options: { history: 10 } });
    assert.deepEqual(await anybody.next("opened"), { read: true, post: false });
    anybody.do("post", { name: "news", data: "fake" });
    assert.equal(await anybody.next("threw"), "NotAllowedError");
    anybody.do("open", { name: "box", options: { history: 10 } });
    assert.deepEqual(await anybody.next("opened"), { read: false, post: true });
    nrt.do("post", { name: "secret", data: "not for pages" });
    nrt.do("post", { name: "box", data: "not for pages" });
    nrt.do("post", { name: "news", data: "for all" });
    assert.equal(await anybody.next("heard"), "for all");
    anybody.do("post", { name: "box", data: "a wish" });
    assert.equal(await nrt.next("heard"), "a wish");
    assert.deepEqual(
      anybody.lines.filter(({ heard }) => heard !== undefined),
      [],
    );
  });

  test(`${where}: a partition and a service that is killed lose nothing`, { skip }, async (t) => {
    const { key, fra, nrt, cable } = await twoRegions(t, [one, other]);
    const third = await Service.start(t, one, "iad", key, `127.0.0.1:${nrt.meshPort}`);
    const [a, b] = [page(t, fra.url("ada"), third.url("ada")), page(t, nrt.url("bob"))];
    for (const each of [a, b]) each.do("open", { name: "room:x" });
    for (const each of [a, b]) await each.next("opened");
    const flood = (page, from, count) => page.do("flood", { name: "room:x", from, count });
    flood(a, 0, 50);
    flood(b, 1000, 50);
    // Nothing passes between the regions, and both go on.
    await a.next("flooded");
    cable.cut = true;
    flood(a, 50, 50);
    flood(b, 1050, 50);
    for (const each of [a, b]) await each.next("flooded");
    cable.mend();
    await heard(b, 100);
    assert.equal((await heard(a, 100)).length, 100);
    // The service of one page is killed while that posts; it goes on at another. What was under way
    // then may come twice, also to who posted it.
    flood(a, 100, 20);
    fra.child.kill("SIGKILL");
    flood(b, 1100, 20);
    flood(a, 120, 30);
    assert.deepEqual(await distinct(a, 20, (i) => i >= 1000), numbers(1100, 20));
    assert.deepEqual(await distinct(b, 50), numbers(100, 50));
    a.do("safe", { name: "room:x" });
    await a.next("safe");
    for (const each of [a, b]) {
      const gaps = each.lines.filter(({ gap }) => gap !== undefined);
      assert.deepEqual(gaps, [], JSON.stringify(gaps));
    }
  });

  test(`${where}: pages and regions that are cut off for 6 s lose nothing`, { skip }, async (t) => {
    const { fra, nrt, cable } = await twoRegions(t, [one, other]);
    const cables = [cable];
    const pages = [];
    for (const [service, user] of [
      [fra, "ada"],
      [nrt, "bob"],
    ]) {
      const own = await Cable.to(t, Number(service.host.split(":")[1]));
      pages.push(page(t, `ws://${own.address}/meshcast?user=${user}`));
      cables.push(own);
    }
    for (const each of pages) each.do("open", { name: "room:x" });
    for (const each of pages) await each.next("opened");
    const flood = (from, count) =>
      pages.map((each, i) => each.do("flood", { name: "room:x", from: from + 1000 * i, count }));
    flood(0, 10);
    for (const each of pages) await each.next("flooded");
    for (const each of cables) each.cut = true;
    flood(10, 10);
    await sleep(6000);
    for (const each of cables) each.mend();
    flood(20, 10);
    const [a, b] = pages;
    assert.deepEqual(await distinct(a, 30, (i) => i >= 1000), numbers(1000, 30));
    assert.deepEqual(await distinct(b, 30, (i) => i < 1000), numbers(0, 30));
    for (const each of pages) {
      assert.equal(each.lines.find(({ gap }) => gap !== undefined), undefined);
    }
  });

  test(`${where}: a page that is cut off as soon as its channel is open loses nothing`, { skip }, async (t) => {
    const { fra, nrt } = await twoRegions(t, [one, other]);
    const way = await BreaksOnceOpened.to(t, fra.url("ada"));
    for (const service of [fra, nrt]) service.do("listen", { name: "room:x" });
    const a = page(t, way.address);
    a.do("open", { name: "room:x" });
    await a.next("opened");
    nrt.do("post", { name: "room:x", data: "meanwhile" });
    assert.equal(await fra.next("heard"), "meanwhile");
    way.broken = false;
    assert.equal(await a.next("heard"), "meanwhile");
  });

  test(`${where}: a page that was away for more than is kept is told what it missed`, { skip }, async (t) => {
    const { fra, nrt } = await twoRegions(t, [one, other], { MESHCAST_HISTORY_BYTES: "256KiB" });
    const toPage = await Cable.to(t, Number(fra.host.split(":")[1]));
    const a = page(t, `ws://${toPage.address}/meshcast?user=ada`);
    a.do("open", { name: "room:x" });
    await a.next("opened");
    for (const service of [fra, nrt]) service.do("listen", { name: "room:x" });
    nrt.do("post", { name: "room:x", data: 1 });
    assert.equal(await a.next("heard"), 1);
    assert.equal(await fra.next("heard"), 1);
    toPage.cut = true;
    const fill = "x".repeat(16_000);
    for (let i = 2; i <= POSTS; i++) nrt.do("post", { name: "room:x", data: { i, fill } });
    while ((await fra.next("heard")).i !== POSTS);
    toPage.mend();
    // One gap from what it heard last on, and then all the rest.
    const { gap } = await a.nextOf("gap");
    assert.equal(gap.first, 2, JSON.stringify(gap));
    assert.ok(gap.last > 2 && gap.last < POSTS, JSON.stringify(gap));
    assert.equal(gap.reason, "expired");
    for (let seq = gap.last + 1; seq <= POSTS; seq++) {
      const line = await a.nextOf("heard");
      assert.deepEqual([line.seq, line.heard.i, line.region], [seq, seq, "nrt"]);
    }
    assert.equal(a.lines.find((line) => line.gap !== undefined), undefined);
  });

  test(`${where}: what is too much is refused`, { skip }, async (t) => {
    const { fra } = await twoRegions(t, [one, other]);
    const a = page(t, fra.url("ada"));
    for (const name of ["room:1", "room:2", "room:3", "room:4"]) {
      a.do("open", { name });
      await a.next("opened");
    }
    a.do("open", { name: "room:5" });
    assert.equal(await a.next("refused"), "too_many");
    a.do("post", { name: "room:1", size: 2 << 20 });
    assert.equal(await a.next("threw"), "QuotaExceededError");

    const said = async (...frames) => {
      const socket = new WebSocket(fra.url("ada"), "meshcast.v1");
      const closed = new Promise((resolve) => socket.on("error", () => {}).once("close", resolve));
      await once(socket, "open");
      frames.forEach((frame) => socket.send(frame));
      return closed;
    };
    assert.equal(await said("{}"), 1002);
    assert.equal(await said(Buffer.alloc(7)), 1002);
    // Servers differ in how they end it: with a word, without one, or at once.
    const code = await said(Buffer.alloc(3 << 20));
    assert.ok([1009, 1005, 1006].includes(code), `${code}`);
  });

  test(`${where}: pages of other hosts are not let in`, { skip }, async (t) => {
    const { fra } = await twoRegions(t, [one, other]);
    const open = async (origin) => {
      const socket = new WebSocket(fra.url("ada"), "meshcast.v1", { origin });
      const [answer] = await Promise.race([
        once(socket, "open").then(() => ["open"]),
        once(socket, "unexpected-response").then(([, { statusCode }]) => [statusCode]),
      ]);
      socket.on("error", () => {}).terminate();
      return answer;
    };
    assert.equal(await open("https://evil.example.com"), 403);
    assert.equal(await open("null"), 403);
    assert.equal(await open(`http://${fra.host}`), "open");
  });
}

for (const kind of ["node", "deno", "bun"]) {
  test(`${kind}: who may use a channel is decided by a cookie`, needs(kind), async (t) => {
    const service = await Service.start(t, kind, "fra", generateKey());
    const told = async (cookie) => {
      const headers = cookie === undefined ? {} : { cookie };
      const socket = new WebSocket(service.url(), "meshcast.v1", { headers });
      t.after(() => socket.terminate());
      // What it is told: of the service, and of the channel.
      const frames = [];
      socket.on("message", (data) => frames.push(JSON.parse(data).type));
      await once(socket, "open");
      socket.send(JSON.stringify({ type: "open", channel: 1, name: "room:x" }));
      const closed = once(socket, "close").then(([code]) => code);
      while (frames.length < 2) {
        const code = await Promise.race([once(socket, "message").then(() => null), closed]);
        if (code !== null) return code;
      }
      return frames[1];
    };
    assert.equal(await told("theme=dark; user=ada"), "opened");
    assert.equal(await told(), "refused");
  });

  test(`${kind}: an error of the callback refuses that channel, and is said`, needs(kind), async (t) => {
    const service = await Service.start(t, kind, "fra", generateKey());
    const a = page(t, service.url("ada"));
    a.do("open", { name: "room:x" });
    await a.next("opened");
    for (const as of ["one", "other"]) {
      a.do("open", { name: "trouble", as, options: { history: 1 } });
      assert.equal(await a.next("refused"), "failed");
    }
    await service.said(/no answer from the database/);
    assert.equal(service.errors.match(/no answer/g).length, 1, service.errors);
    // The other channel of the page goes on, on the same connection.
    service.do("listen", { name: "room:x" });
    service.do("post", { name: "room:x", data: "still here" });
    assert.equal(await a.next("heard"), "still here");
    assert.equal(a.lines.filter(({ at }) => at !== undefined).length, 1, JSON.stringify(a.lines));
  });

  const title = `${kind}: pages are told at once that the node stops, and start no other`;
  test(title, needs(kind), async (t) => {
    const service = await Service.start(t, kind, "fra", generateKey());
    const open = () => new WebSocket(service.url("ada"), "meshcast.v1").on("error", () => {});
    const sockets = [open(), open()];
    await Promise.all(sockets.map((socket) => once(socket, "message")));
    const codes = sockets.map(async (socket) => (await once(socket, "close"))[0]);
    service.do("shutdown");
    assert.deepEqual(await Promise.all(codes), [1001, 1001]);
    const [, { statusCode }] = await once(open(), "unexpected-response");
    assert.equal(statusCode, 503);
    // The service itself may start another, and then pages are let in.
    service.do("listen", { name: "room:x" });
    let socket;
    do socket = open();
    while (!(await Promise.race([
      once(socket, "message").then(() => true),
      once(socket, "unexpected-response").then(() => false),
    ])));
    socket.terminate();
    service.do("stop");
  });
}

test("a service that stops in peace sends its pages elsewhere", async (t) => {
  const key = generateKey();
  const fra = await Service.start(t, "node", "fra", key);
  const nrt = await Service.start(t, "node", "nrt", key, `127.0.0.1:${fra.meshPort}`);
  const a = page(t, fra.url("ada"), nrt.url("ada"));
  a.do("open", { name: "room:x" });
  assert.equal(await a.next("at"), "fra");
  fra.do("stop");
  assert.equal(await a.next("at"), "nowhere");
  assert.equal(await a.next("at"), "nrt");
  await fra.hasClients(0);
});
