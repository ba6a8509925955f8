// With Rust: the `meshcast` command watches and posts on a mesh of both.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { generateKey } from "../lib/index.js";
import { toJson } from "../lib/value.js";
import { JsonProgram, Process, Program, kinds, needs } from "./process.js";
import { built, missing } from "./rust.js";
import { samples } from "./samples.js";

const meshcast = built("meshcast");
const noRust = missing(meshcast, "cargo build");
const orders = built("orders");
const noOrders = missing(orders, "cargo build -p meshcast-tests --bin orders");

/** A value as the command shows it: like `toJson`, which cannot wait for the bytes of a blob. */
async function inRust(value) {
  if (!(value instanceof Blob)) return toJson(value);
  const bytes = Buffer.from(await value.arrayBuffer()).toString("base64");
  const { type } = value;
  if (!(value instanceof File)) return { $blob: { bytes, type } };
  return { $file: { bytes, lastModified: value.lastModified, name: value.name, type } };
}

for (const runtime of kinds) {
  const skip = noRust || needs(runtime).skip;
  test(`values go from ${runtime} to Rust and back`, { skip }, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), "meshcast-"));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const env = { XDG_RUNTIME_DIR: folder, MESHCAST_KEY: generateKey() };

    const options = ["--name", "rust", "--region", "fra", "--listen", "127.0.0.1:0"];
    const node = new JsonProgram(
      t,
      [meshcast, "node", ...options, "--channel", "earth", "--json"],
      env,
    );
    await node.next("peer_id");
    const address = await node.next("address");
    const watch = new JsonProgram(t, [meshcast, "watch", "earth", "--json"], env);
    await watch.said(/listening/);

    const member = new Process(t, runtime, "member.js", {
      MESHCAST_KEY: env.MESHCAST_KEY,
      MESHCAST_REGION: "js",
      MESHCAST_LISTEN: "127.0.0.1:0",
      MESHCAST_SEEDS: address,
    });
    member.do("open", { name: "earth" });
    member.do("ready", { members: 1 });
    await member.next("ready");
    member.do("subscribers", { name: "earth", count: 1 });
    await member.next("subscribed");

    member.do("samples", { name: "earth" });
    for (const sample of samples()) {
      assert.deepEqual(await watch.next("data"), await inRust(sample));
    }

    const json = '{"id": 123456789012345678901234567890, "list": [1, null, "häß"]}';
    execFileSync(meshcast, ["post", "earth", "--json", json], { env, stdio: "pipe" });
    assert.deepEqual(await member.next("heard"), {
      id: { $bigint: "123456789012345678901234567890" },
      list: [1, null, "häß"],
    });
    // What Rust calls bytes is a Uint8Array.
    execFileSync(meshcast, ["post", "earth", "--raw", "hi"], { env, stdio: "pipe" });
    assert.deepEqual(await member.next("heard"), { $bytes: "aGk=" });
  });
}

class Orders extends JsonProgram {
  say(line) {
    this.child.stdin.write(`${JSON.stringify(line)}\n`);
  }
}

const typed = "a type of Rust and values of all runtimes are the same on one mesh";
test(typed, { skip: noOrders || needs(...kinds).skip }, async (t) => {
  const key = generateKey();
  const env = { MESHCAST_KEY: key, MESHCAST_LISTEN: "127.0.0.1:0" };
  const rust = new Orders(t, [orders], { ...env, MESHCAST_REGION: "rust" });
  const seed = { ...env, MESHCAST_SEEDS: await rust.next("address") };
  const members = kinds.map((runtime) => new Process(t, runtime, "member.js", seed));
  for (const member of members) {
    for (const name of ["orders", "bytes"]) member.do("open", { name });
    member.do("ready", { members: kinds.length });
  }
  for (const member of members) {
    await member.next("ready");
    for (const name of ["orders", "bytes"]) {
      member.do("subscribers", { name, count: kinds.length });
      await member.next("subscribed");
    }
  }
  const placed = { id: 1, note: null, state: { Placed: { items: ["tea", "häß"] } } };
  const shipped = { id: 2 ** 53 + 2, note: "soon", state: { Shipped: "bicycle" } };
  const closed = { id: 3, note: null, state: "Closed" };
  for (const order of [placed, shipped, closed]) rust.say({ order });
  for (const member of members) {
    assert.deepEqual(await member.next("heard"), placed);
    // Beyond what a number has exactly.
    assert.deepEqual(await member.next("heard"), { ...shipped, id: { $bigint: `${shipped.id}` } });
    assert.deepEqual(await member.next("heard"), closed);
  }
  rust.say({ bytes: [0, 255, 7] });
  for (const member of members) assert.deepEqual(await member.next("heard"), { $bytes: "AP8H" });
  for (const [i, member] of members.entries()) {
    const order = { id: i, state: { Placed: { items: [kinds[i]] } } };
    member.do("post", { name: "orders", data: order });
    member.do("post", { name: "orders", data: { id: "no order" } });
    member.do("post", { name: "bytes", bytes: [i, 200] });
    assert.deepEqual(await rust.next("order"), { ...order, note: null });
    assert.match(await rust.next("wrong"), /\w/);
    assert.deepEqual(await rust.next("bytes"), [i, 200]);
    for (const other of members.filter((each) => each !== member)) {
      assert.deepEqual(await other.next("heard"), order);
      assert.deepEqual(await other.next("heard"), { id: "no order" });
      assert.deepEqual(await other.next("heard"), { $bytes: Buffer.of(i, 200).toString("base64") });
    }
  }
});

/** A program whose lines are for people. */
class Reader extends Program {
  #lines = [];
  #wake = () => {};

  heard(line) {
    this.#lines.push(line);
    this.#wake();
  }

  /** Waits for a line that fits. */
  async shows(what) {
    for (;;) {
      const line = this.#lines.shift();
      if (line === null) throw new Error(`it ended before ${what}: ${this.state}`);
      if (line === undefined) await new Promise((resolve) => (this.#wake = resolve));
      else if (what.test(line)) return line;
    }
  }
}

test("`meshcast watch` shows people values of JavaScript", { skip: noRust }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "meshcast-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const env = { XDG_RUNTIME_DIR: folder, MESHCAST_KEY: generateKey() };
  const options = ["--name", "rust", "--region", "fra", "--listen", "127.0.0.1:0"];
  const node = new JsonProgram(t, [meshcast, "node", ...options, "--channel", "earth", "--json"], env);
  const address = await node.next("address");
  const watch = new Reader(t, [meshcast, "watch", "earth"], env);
  await watch.said(/listening/);
  const member = new Process(t, "node", "member.js", {
    MESHCAST_KEY: env.MESHCAST_KEY,
    MESHCAST_REGION: "js",
    MESHCAST_LISTEN: "127.0.0.1:0",
    MESHCAST_SEEDS: address,
  });
  member.do("open", { name: "earth" });
  member.do("subscribers", { name: "earth", count: 1 });
  await member.next("subscribed");
  member.do("post", { name: "earth", data: { hello: ["häß", 1] } });
  assert.match(await watch.shows(/hello/), /^[\d:.]+ \S+ \(js\) +\{"hello":\["häß",1\]\}$/);
  // What JSON has not is shown by a name, each value on a line.
  member.do("samples", { name: "earth" });
  for (const sample of samples()) {
    const text = (await watch.shows(/./)).replace(/^.*?\(js\) +/, "");
    const wanted = await inRust(sample);
    // Text is shown as it is.
    if (typeof wanted === "string") assert.equal(text, wanted);
    else assert.deepEqual(JSON.parse(text), wanted, text.slice(0, 300));
  }
});
