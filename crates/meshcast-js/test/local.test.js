// Processes of one machine that MESHCAST_LOCAL alone brings together, or a setting of that name.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { generateKey } from "../lib/index.js";
import { Process, needs } from "./process.js";

/** A folder for admin sockets, of this test alone. */
function machine(t) {
  const folder = mkdtempSync(join(tmpdir(), "meshcast-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return { XDG_RUNTIME_DIR: folder, MESHCAST_LISTEN: "" };
}

for (const [one, other] of [
  ["node", "node"],
  ["deno", "bun"],
]) {
  const title = `${one} and ${other} find each other with MESHCAST_LOCAL and nothing else`;
  test(title, needs(one, other), async (t) => {
    const env = { ...machine(t), MESHCAST_LOCAL: "true" };
    const members = [one, other].map((runtime) => new Process(t, runtime, "member.js", env));
    for (const member of members) {
      member.do("open", { name: "earth" });
      member.do("ready", { members: 1 });
    }
    for (const member of members) {
      await member.next("ready");
      member.do("subscribers", { name: "earth", count: 1 });
      await member.next("subscribed");
    }
    members[0].do("post", { name: "earth", data: "hello" });
    assert.equal(await members[1].next("heard"), "hello");
    // Nobody is told how to join a mesh who is in one.
    for (const member of members) assert.doesNotMatch(member.errors, /MESHCAST_KEY/);
  });
}

test("with MESHCAST_LOCAL=false, or nothing, a process is alone and is told so", async (t) => {
  for (const local of ["false", ""]) {
    const alone = new Process(t, "node", "member.js", { ...machine(t), MESHCAST_LOCAL: local });
    alone.do("open", { name: "earth" });
    await alone.next("opened");
    await alone.said(/MESHCAST_KEY/);
  }
});

test("a MESHCAST_LOCAL that is neither is refused where the first channel is made", async (t) => {
  const wrong = new Process(t, "node", "member.js", { ...machine(t), MESHCAST_LOCAL: "perhaps" });
  wrong.do("open", { name: "earth" });
  assert.equal((await wrong.exit).code, 1);
  assert.match(wrong.errors, /MESHCAST_LOCAL/);
});

test("the settings local and alone are what they are called", async (t) => {
  const nothing = machine(t);
  const members = [nothing, nothing].map((env) => new Process(t, "node", "member.js", env));
  for (const member of members) {
    member.do("configure", { settings: { local: true } });
    member.do("open", { name: "earth" });
    member.do("ready", { members: 1 });
  }
  for (const member of members) await member.next("ready");
  // Whatever the environment says.
  const env = { ...nothing, MESHCAST_LOCAL: "true" };
  const alone = new Process(t, "node", "member.js", env);
  alone.do("configure", { settings: { alone: true } });
  alone.do("open", { name: "earth" });
  alone.do("ready", { members: 0 });
  await alone.next("ready");
  alone.do("connected");
  assert.equal(await alone.next("connected"), 0);
  for (const member of [...members, alone]) assert.doesNotMatch(member.errors, /MESHCAST_KEY/);
});

test("an address to advertise that is none is refused by name", async (t) => {
  for (const [advertise, says] of [
    ["203.0.113.7", /advertise: /],
    ["example.com:4001", /advertise|example\.com/],
  ]) {
    const wrong = new Process(t, "node", "member.js", machine(t));
    wrong.do("wrong", { name: "earth", settings: { local: true, advertise: [advertise] } });
    assert.match(await wrong.next("wrong"), says);
  }
  const right = new Process(t, "node", "member.js", machine(t));
  right.do("configure", { settings: { key: generateKey(), advertise: ["203.0.113.7:4001"] } });
  right.do("ready", { members: 0 });
  await right.next("ready");
});
