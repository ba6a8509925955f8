// Between processes, of all runtimes that are here.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { generateKey } from "../lib/index.js";
import { toJson } from "../lib/value.js";
import { Process, joins, kinds, mesh, needs, runtimes } from "./process.js";
import { samples } from "./samples.js";

const names = Object.keys(runtimes);
const key = generateKey();

test(`every process of the mesh hears every other (${names})`, async (t) => {
  const regions = Object.fromEntries([...names, "node"].map((name, i) => [`r${i}`, name]));
  const members = await mesh(t, key, regions, "earth");
  for (const [i, poster] of members.entries()) {
    poster.do("post", { name: "earth", data: { from: i } });
    for (const [j, member] of members.entries()) {
      if (i === j) continue;
      assert.deepEqual(await member.next("heard"), { from: i });
    }
  }
});

test(`with MESHCAST_LOCAL processes of one machine need nothing else (${names})`, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "meshcast-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const regions = Object.fromEntries([...names, "node"].map((name, i) => [`r${i}`, name]));
  // No key, no seeds, no port: none of them knows of the others but by that folder.
  const nothing = { MESHCAST_KEY: "", MESHCAST_SEEDS: "", MESHCAST_LISTEN: "" };
  const env = { ...nothing, MESHCAST_LOCAL: "true", XDG_RUNTIME_DIR: folder };
  const members = await mesh(t, "", regions, "earth", env);
  members.at(-1).do("post", { name: "earth", data: "hello" });
  for (const member of members.slice(0, -1)) {
    assert.equal(await member.next("heard"), "hello");
  }
});

test("what is neither true nor false for MESHCAST_LOCAL is told by name", async (t) => {
  const member = new Process(t, "node", "member.js", { MESHCAST_LOCAL: "perhaps" });
  member.do("wrong", { name: "earth" });
  assert.match(await member.next("wrong"), /MESHCAST_LOCAL/);
});

for (const from of kinds) {
  for (const to of kinds) {
    test(`values of all kinds go from ${from} to ${to}`, needs(from, to), async (t) => {
      const [a, b] = await mesh(t, key, { fra: from, iad: to }, "values");
      a.do("samples", { name: "values" });
      for (const sample of samples()) {
        assert.deepEqual(await b.next("heard"), toJson(sample));
      }
      for (const text of ["of a blob", "of a file"]) assert.equal(await b.next("text"), text);
    });
  }
}

for (const runtime of kinds) {
  const title = `${runtime}: bytes that are no value are a messageerror, and what follows is heard`;
  test(title, needs(runtime), async (t) => {
    const [a, b] = await mesh(t, key, { fra: "node", iad: runtime }, "hostile");
    const all = [[], [0xff], [1, 2, 3], [0x20, 0xff, 0xff, 0xff, 0xff]];
    for (const bytes of all) a.do("raw", { name: "hostile", bytes });
    a.do("post", { name: "hostile", data: "fine" });
    for (const _ of all) assert.equal(await b.next("messageerror"), true);
    assert.equal(await b.next("heard"), "fine");
  });
}

test("a message says where it comes from", async (t) => {
  const [a, b] = await mesh(t, key, { fra: "node", iad: "node" }, "origin");
  for (const seq of [1, 2]) {
    a.do("post", { name: "origin", data: seq });
    await b.next("heard");
  }
  a.do("post", { name: "origin", data: "last" });
  const line = await new Promise((resolve) => {
    const look = () => {
      const at = b.lines.findIndex(({ heard }) => heard === "last");
      if (at === -1) setImmediate(look);
      else resolve(b.lines[at]);
    };
    look();
  });
  assert.deepEqual(line, { heard: "last", region: "fra", seq: 3 });
});

test("a process that is killed takes nothing away from the others, and comes back", async (t) => {
  const regions = { fra: "node", iad: "node", nrt: "node" };
  const [a, b, c] = await mesh(t, key, regions, "earth");
  a.do("post", { name: "earth", data: "before" });
  for (const member of [b, c]) assert.equal(await member.next("heard"), "before");
  c.child.kill("SIGKILL");
  await c.exit;
  a.do("post", { name: "earth", data: "without" });
  assert.equal(await b.next("heard"), "without");
  b.do("post", { name: "earth", data: "answer" });
  assert.equal(await a.next("heard"), "answer");
  const again = await joins(t, key, "nrt", "node", "earth", [a, b]);
  a.do("post", { name: "earth", data: "welcome" });
  assert.equal(await b.next("heard"), "welcome");
  // Before that it may hear what was posted shortly before it was there.
  while ((await again.next("heard")) !== "welcome");
});

for (const runtime of kinds) {
  test(`${runtime}: what was posted is handed over as the process ends`, needs(runtime), async (t) => {
    const [a, b] = await mesh(t, key, { fra: "node", iad: runtime }, "last words");
    // Little enough for the two seconds that an exit has, on a machine that is busy too.
    b.do("flood", { name: "last words", count: 20, size: 1000 });
    await b.next("flooded");
    b.do("exit");
    await b.endsWell();
    for (let i = 0; i < 20; i++) assert.equal((await a.next("heard")).i, i);
  });

  // Deno and Bun end without a word to their workers where the main thread exits.
  for (const how of ["natural", "terminate", ...(runtime === "node" ? ["exit"] : [])]) {
    const title = `${runtime}: what only a worker posted is handed over as it ends (${how})`;
    test(title, needs(runtime), async (t) => {
      const [a] = await mesh(t, key, { fra: "node" }, "last words");
      const env = { MESHCAST_KEY: key, MESHCAST_LISTEN: "127.0.0.1:0", MESHCAST_SEEDS: a.address };
      const process = new Process(t, runtime, "lastwords.js", env, [how, "20"]);
      await process.next("posted");
      await process.endsWell();
      for (let i = 0; i < 20; i++) assert.equal((await a.next("heard")).i, i);
    });
  }

  test(`${runtime}: a blocked event loop gets everything, or one exact gap`, needs(runtime), async (t) => {
    const limits = { MESHCAST_UNREAD_BYTES: "256KiB", MESHCAST_HISTORY_BYTES: "1MiB" };
    const [a, b] = await mesh(t, key, { fra: "node", iad: runtime }, "busy", limits);
    const folder = mkdtempSync(join(tmpdir(), "meshcast-"));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const flooded = join(folder, "flooded");
    b.do("count", { name: "busy" });
    b.do("block", { until: flooded });
    await b.next("blocking");
    a.do("flood", { name: "busy", count: 20_000, size: 1000 });
    await a.next("flooded");
    // All but what the outbox of 8 MiB holds has left by now, and that is more than is kept.
    writeFileSync(flooded, "");
    for (;;) {
      b.do("counted");
      const { heard, missed, ranges } = await b.next("counted");
      if (heard + missed < 20_000) continue;
      // Each number once, in order: as a message, or in a gap that says whose it is and why.
      const context = `${heard} heard, ${missed} missed: ${JSON.stringify(ranges)}`;
      let next = 1;
      for (const { first, last, reason, region } of ranges) {
        assert.equal(first, next, context);
        assert.ok(last >= first, context);
        assert.ok(reason === null || reason === "unread", context);
        assert.equal(region, "fra", context);
        next = last + 1;
      }
      assert.equal(next, 20_001, context);
      assert.ok(missed > 0, context);
      break;
    }
  });

  test(`${runtime}: shutdown says what is left behind, and the process ends`, needs(runtime), async (t) => {
    const [a, b] = await mesh(t, key, { fra: "node", iad: runtime }, "bye");
    b.do("post", { name: "bye", data: 1 });
    b.do("shutdown");
    assert.deepEqual(await b.next("left"), { undelivered: [], members: 1 });
    assert.equal(await a.next("heard"), 1);
    b.do("close", { name: "bye" });
    b.child.stdin.end();
    await b.endsWell();
  });
}

test("without a key a process is told once how to join a mesh", async (t) => {
  const alone = new Process(t, "node", "member.js");
  for (const name of ["one", "two"]) alone.do("open", { name });
  alone.do("ready", { members: 0 });
  await alone.next("ready");
  alone.do("exit");
  // Its end, and that of stderr.
  await alone.exit;
  assert.match(alone.errors, /MESHCAST_KEY/);
  assert.equal(alone.errors.match(/meshcast: /g).length, 1, alone.state);
});

test("without a key a process in which only a worker has channels is told so, too", async (t) => {
  const alone = new Process(t, "node", "lastwords.js", {}, ["natural", "0"]);
  await alone.endsWell();
  assert.match(alone.errors, /MESHCAST_KEY/);
  assert.equal(alone.errors.match(/meshcast: /g).length, 1, alone.state);
});

test("a key that is none is refused where the first channel is made", async (t) => {
  const wrong = new Process(t, "node", "member.js", { MESHCAST_KEY: "guess" });
  wrong.do("open", { name: "one" });
  assert.equal((await wrong.exit).code, 1, wrong.state);
  assert.match(wrong.errors, /MESHCAST_KEY/);
});
