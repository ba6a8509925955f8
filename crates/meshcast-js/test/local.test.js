// Processes of one machine that MESHCAST_LOCAL alone brings together.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
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
