// The examples as people start them.

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { generateKey } from "../lib/index.js";
import { Process, Program, freePort, needs, runtimes } from "./process.js";
import { built, missing } from "./rust.js";

const path = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url));
const register = path("lib/register.js");
const earth = path("examples/earth.js");

/** How people run the service, by runtime. */
const commands = {
  node: ["node", "--import", register, path("examples/serve.js"), earth],
  deno: [
    "deno",
    "run",
    "-A",
    "--no-config",
    "--preload",
    register,
    path("examples/serve.js"),
    earth,
  ],
  bun: ["bun", "--preload", register, earth],
};

/**
 * Over a connection of its own: one that is kept is closed by the other side at some moment, and what
 * is asked in that moment fails.
 */
const ask = (url, { headers = {}, ...options } = {}) =>
  fetch(url, { ...options, headers: { connection: "close", ...headers } });

/** The same with a server of its own, as the documentation of the platform had it. */
const original = [...runtimes.deno ?? [], "--preload", register, path("examples/earth.deno.js")];

/** Asks again until it answers, and so that it does. */
async function until(request, is) {
  const end = Date.now() + 60_000;
  for (;;) {
    const answer = await request().catch((error) => error);
    if (is(answer)) return answer;
    if (Date.now() > end) throw new Error(`still ${answer?.stack ?? JSON.stringify(answer)}`);
    await sleep(50);
  }
}

/** Starts a program at a port that is free; at another if somebody took it meanwhile. */
async function serves(t, command, env, isThere) {
  for (let tries = 1; ; tries++) {
    const port = await freePort();
    const address = { PORT: `${port}`, DENO_SERVE_ADDRESS: `tcp:127.0.0.1:${port}` };
    const program = new Program(t, command, { ...address, ...env });
    await isThere(program, port);
    if (program.ended === undefined) return { program, port };
    const isTaken = /EADDRINUSE|address already in use|in use/i.test(program.errors);
    if (!isTaken || tries === 3) throw new Error(`it ended: ${program.state}`);
  }
}

class Instance {
  static async start(t, runtime, region, key, ports, at) {
    const instance = new Instance();
    const seeds = ports.filter((port) => port !== at).map((port) => `127.0.0.1:${port}`);
    const env = {
      MESHCAST_KEY: key,
      MESHCAST_REGION: region,
      MESHCAST_LISTEN: `127.0.0.1:${at}`,
      MESHCAST_SEEDS: seeds.join(),
    };
    const command = runtime === "deno, its own server" ? original : commands[runtime];
    await serves(t, command, env, (program, port) => {
      Object.assign(instance, { program, port });
      return until(
        () => instance.get("/messages"),
        (answer) => program.ended !== undefined || Array.isArray(answer),
      );
    });
    return instance;
  }

  async get(url) {
    const response = await ask(`http://127.0.0.1:${this.port}${url}`);
    return url.startsWith("/send") ? response.text() : response.json();
  }

  send(message) {
    return this.get(`/send?message=${encodeURIComponent(message)}`);
  }

  /** Waits until these messages are listed, in whatever order. */
  lists(messages) {
    const wanted = JSON.stringify([...messages].sort());
    return until(
      () => this.get("/messages"),
      (list) => JSON.stringify([...list].sort()) === wanted,
    );
  }
}

const everywhere = "what is sent to one instance of the service, in whatever runtime, all list";
test(everywhere, needs("deno", "bun"), async (t) => {
  const key = generateKey();
  const kinds = ["deno", "node", "bun", "deno, its own server"];
  const ports = await Promise.all(kinds.map(() => freePort()));
  const start = (i) => Instance.start(t, kinds[i], `r${i}`, key, ports, ports[i]);
  const instances = await Promise.all(kinds.map((_, i) => start(i)));
  const sent = [];
  for (const [i, instance] of instances.entries()) {
    sent.push(`from ${kinds[i]} ${i}`);
    assert.equal(await instance.send(sent.at(-1)), "message sent");
  }
  for (const instance of instances) await instance.lists(sent);

  // One is killed and started again: nothing is lost for the others.
  const last = instances.length - 1;
  instances[last].program.child.kill("SIGKILL");
  await instances[last].program.exit;
  sent.push("while it is away");
  await instances[0].send(sent.at(-1));
  instances[last] = await start(last);
  sent.push("when it is back");
  await instances[last].send(sent.at(-1));
  for (const instance of instances.slice(0, -1)) await instance.lists(sent);
  // It has what it was sent itself, and may have of what was posted shortly before it was there:
  // nothing twice.
  const list = await instances[last].get("/messages");
  assert.ok(list.includes(sent.at(-1)), `${list}`);
  assert.equal(new Set(list).size, list.length, `${list}`);
  assert.ok(
    list.every((message) => sent.includes(message)),
    `${list}`,
  );
});

test("prices of the Hono example are known everywhere", needs("bun"), async (t) => {
  const key = generateKey();
  const at = await freePort();
  const urls = [];
  // Deno does not know a package by its name from inside of it.
  const kinds = ["node", "bun"];
  for (const [i, runtime] of kinds.entries()) {
    const command = runtime === "bun" ? ["bun"] : ["node", path("examples/serve.js")];
    const env = {
      MESHCAST_KEY: key,
      MESHCAST_LISTEN: i === 0 ? `127.0.0.1:${at}` : "127.0.0.1:0",
      MESHCAST_SEEDS: i === 0 ? "" : `127.0.0.1:${at}`,
    };
    const url = (port) => `http://127.0.0.1:${port}/prices`;
    const { port } = await serves(t, [...command, path("examples/hono.js")], env, (program, port) =>
      until(
        () => ask(url(port)),
        ({ status }) => program.ended !== undefined || status === 200,
      ),
    );
    urls.push(url(port));
  }
  for (const [i, url] of urls.entries()) {
    const answer = await ask(`${url}/S${i}`, { method: "PUT", body: `${100 + i}` });
    assert.equal(answer.status, 204);
  }
  const all = Object.fromEntries(urls.map((_, i) => [`S${i}`, 100 + i]));
  for (const url of urls) {
    const list = async () => (await ask(url)).json();
    await until(list, (prices) => Object.keys(prices).length === urls.length);
    assert.deepEqual(await list(), all);
  }
});

/** A guest of the chat: takes events as they come. */
class Guest {
  #text = "";

  static async enter(t, url, headers = {}) {
    const guest = new Guest();
    const leave = new AbortController();
    t.after(() => leave.abort());
    const { body } = await ask(url, { headers, signal: leave.signal });
    guest.reader = body.pipeThrough(new TextDecoderStream()).getReader();
    return guest;
  }

  /** The next event: `{ event, id, data }`. */
  async next() {
    while (!this.#text.includes("\n\n")) {
      const { value, done } = await this.reader.read();
      if (done) throw new Error(`it ended after ${this.#text}`);
      this.#text += value;
    }
    const [event] = this.#text.split("\n\n", 1);
    this.#text = this.#text.slice(event.length + 2);
    const fields = event.split("\n").map((line) => /^(\w+): (.*)$/.exec(line).slice(1));
    const { data, ...rest } = Object.fromEntries(fields);
    return { ...rest, data: JSON.parse(data) };
  }
}

test("the chat tells who is in a room what others say there, also where a guest goes on", async (t) => {
  const key = generateKey();
  const at = await freePort();
  const urls = [];
  for (const [i, region] of ["fra", "nrt"].entries()) {
    const env = {
      MESHCAST_KEY: key,
      MESHCAST_REGION: region,
      MESHCAST_LISTEN: i === 0 ? `127.0.0.1:${at}` : "127.0.0.1:0",
      MESHCAST_SEEDS: i === 0 ? "" : `127.0.0.1:${at}`,
    };
    const url = (port) => `http://127.0.0.1:${port}/room`;
    const { port } = await serves(t, ["node", path("examples/chat.js")], env, (program, port) =>
      until(
        () => ask(url(port), { method: "POST" }),
        ({ status }) => program.ended !== undefined || status === 400,
      ),
    );
    urls.push(url(port));
  }
  const say = async (i, text) => {
    const answer = await ask(`${urls[i]}?name=ada`, { method: "POST", body: text });
    assert.equal(answer.status, 204, await answer.text());
  };
  const guests = await Promise.all(urls.map((url) => Guest.enter(t, url)));
  const ids = [];
  for (const text of ["one", "two", "three"]) {
    await say(0, text);
    for (const guest of guests) {
      const { event, id, data } = await guest.next();
      assert.deepEqual([event, data.from, data.text, data.region], ["line", "ada", text, "fra"]);
      if (guest === guests[1]) ids.push(id);
    }
  }
  // It was at one instance, and goes on at the other; one that comes late hears what was.
  const again = await Guest.enter(t, urls[0], { "last-event-id": ids[0] });
  for (const text of ["two", "three"]) assert.equal((await again.next()).data.text, text);
  const late = await Guest.enter(t, urls[1]);
  for (const text of ["one", "two", "three"]) assert.equal((await late.next()).data.text, text);
  const wrong = await ask(urls[0], { headers: { "last-event-id": "guess" } });
  assert.equal(wrong.status, 400);

  // A member in whatever language has the same rooms.
  const member = new Process(t, "node", "member.js", {
    MESHCAST_KEY: key,
    MESHCAST_SEEDS: `127.0.0.1:${at}`,
  });
  member.do("open", { name: "chat/room" });
  member.do("ready", { members: 1 });
  await member.next("ready");
  member.do("post", { name: "chat/room", data: { from: "bob", text: "from elsewhere" } });
  member.do("post", { name: "chat/room", data: "no line" });
  member.do("post", { name: "chat/room", data: { from: "bob", text: "again" } });
  for (const text of ["from elsewhere", "again"]) {
    assert.deepEqual((({ from, text }) => ({ from, text }))((await guests[0].next()).data), {
      from: "bob",
      text,
    });
  }
});

for (const [name, command, path_] of [
  ["chat", ["node", path("examples/chat.js")], "/room?name=ada"],
  ["earth", commands.node, "/messages"],
  ["hono", ["node", path("examples/serve.js"), path("examples/hono.js")], "/prices"],
  ["tabs", ["node", path("examples/tabs.js")], "/"],
]) {
  test(`${name} lives on after requests that are none`, async (t) => {
    const request = (port) => ask(`http://127.0.0.1:${port}/meshcast-is-there`, { method: "PUT" });
    const env = { MESHCAST_KEY: generateKey() };
    const { program, port } = await serves(t, command, env, (program, port) =>
      until(
        () => request(port),
        ({ status }) => program.ended !== undefined || status !== undefined,
      ),
    );
    const isThere = () => request(port);
    const send = async (text) => {
      const socket = connect(port, "127.0.0.1").on("error", () => {});
      await once(socket, "connect");
      socket.write(text);
      return socket;
    };
    const host = `Host: 127.0.0.1:${port}\r\n`;
    for (const [target, hosts] of [
      ["/%", host],
      ["//", host],
      ["http://[", host],
      ["/", "Host: [\r\n"],
      [`/prices/%`, host],
    ]) {
      const socket = await send(`PUT ${target} HTTP/1.1\r\n${hosts}Content-Length: 0\r\n\r\n`);
      socket.destroySoon();
      const get = await send(`GET ${target} HTTP/1.1\r\n${hosts}\r\n`);
      const [answer] = await once(get, "data");
      assert.match(`${answer}`, /^HTTP\/1.1 [24]/, target);
      get.destroy();
    }
    // A body that breaks off.
    for (const [method, target] of [
      ["POST", path_],
      ["PUT", "/prices/S"],
    ]) {
      const head = `${method} ${target} HTTP/1.1\r\n${host}Content-Length: 100\r\n\r\n`;
      const socket = await send(`${head}half`);
      // The request is on its way before it is reset: another on the same server is answered.
      await isThere();
      socket.resetAndDestroy();
    }
    for (let i = 0; i < 3; i++) assert.ok((await isThere()).status > 0);
    assert.equal(program.ended, undefined, program.errors);
  });
}

const rustChat = built("examples", "chat");
test(
  "the chat has the rooms of the one in Rust",
  { skip: missing(rustChat, "cargo build --examples") },
  async (t) => {
    const key = generateKey();
    const folder = mkdtempSync(join(tmpdir(), "meshcast-"));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const [at, port, rustPort] = [await freePort(), await freePort(), await freePort()];
    new Program(t, [rustChat, "--http", `127.0.0.1:${rustPort}`], {
      XDG_RUNTIME_DIR: folder,
      MESHCAST_KEY: key,
      MESHCAST_REGION: "fra",
      MESHCAST_LISTEN: `127.0.0.1:${at}`,
    });
    new Program(t, ["node", path("examples/chat.js")], {
      PORT: `${port}`,
      MESHCAST_KEY: key,
      MESHCAST_REGION: "nrt",
      MESHCAST_SEEDS: `127.0.0.1:${at}`,
    });
    const url = `http://127.0.0.1:${port}/lobby`;
    const rustUrl = `http://127.0.0.1:${rustPort}/rooms/lobby`;
    await until(
      () => ask(url, { method: "POST" }),
      ({ status }) => status === 400,
    );
    const [ours, theirs] = [await Guest.enter(t, url), await Guest.enter(t, `${rustUrl}?name=ada`)];
    const headers = { "content-type": "application/json" };
    const body = JSON.stringify({ from: "ada", text: "from Rust" });
    const posted = await ask(rustUrl, { method: "POST", headers, body });
    assert.equal(posted.status, 202, await posted.text());
    const { data } = await ours.next();
    assert.deepEqual([data.from, data.text, data.region], ["ada", "from Rust", "fra"]);
    assert.equal((await ask(`${url}?name=bob`, { method: "POST", body: "from JS" })).status, 204);
    let heard;
    do heard = JSON.stringify((await theirs.next()).data);
    while (!heard.includes('"from JS"'));
    assert.match(heard, /"bob"/);
  },
);
