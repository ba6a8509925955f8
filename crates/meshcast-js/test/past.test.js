// What was posted before, who is present, and what comes and goes: between processes.

import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { generateKey } from "../lib/index.js";
import { Process, kinds, mesh, needs } from "./process.js";

/** Takes the next messages of a member, so many. */
async function heard(member, count) {
  const list = [];
  while (list.length < count) list.push(await member.next("heard"));
  return list;
}

for (const runtime of kinds) {
  test(`${runtime}: who comes late gets the last messages of each sender, and then the mark`, needs(runtime), async (t) => {
    const key = generateKey();
    const [a, b] = await mesh(t, key, { fra: "node", iad: runtime }, "news");
    for (let i = 0; i < 5; i++) a.do("post", { name: "news", data: i });
    assert.deepEqual(await heard(b, 5), [0, 1, 2, 3, 4]);
    // Another object of the same process, and one of a process that was not there.
    b.do("open", { name: "news", as: "late", options: { history: 3 } });
    await b.next("caughtup");
    assert.deepEqual(await heard(b, 3), [2, 3, 4]);
    const c = new Process(t, runtime, "member.js", {
      MESHCAST_KEY: key,
      MESHCAST_LISTEN: "127.0.0.1:0",
      MESHCAST_SEEDS: a.address,
    });
    c.do("ready", { members: 1 });
    await c.next("ready");
    // It may not have heard yet who has the channel, and then nobody is asked.
    for (let as = 0; as < 20; as++) {
      c.do("open", { name: "news", as, options: { history: 2 } });
      await c.next("caughtup");
      if (c.lines.some((line) => "heard" in line)) break;
      c.do("close", { name: as });
      await sleep(200);
    }
    a.do("post", { name: "news", data: 5 });
    // A moment more than was asked for may come of who was not heard before, and in order.
    const list = [];
    while (list.at(-1) !== 5) list.push(await c.next("heard"));
    assert.ok(list.length >= 3, `${list}`);
    assert.deepEqual(list, [0, 1, 2, 3, 4, 5].slice(-list.length));
  });

  test(`${runtime}: an object goes on at a cursor, in another process`, needs(runtime), async (t) => {
    const key = generateKey();
    const [a, b] = await mesh(t, key, { fra: "node", iad: runtime }, "log");
    b.do("open", { name: "log", as: "marked", options: { cursors: true } });
    b.do("close", { name: "log" });
    for (const as of ["log", "marked"]) assert.equal(await b.next("opened"), as);
    for (let i = 0; i < 4; i++) a.do("post", { name: "log", data: i });
    const cursors = [];
    while (cursors.length < 4) cursors.push(await b.next("cursor"));
    b.child.kill("SIGKILL");
    await b.exit;
    const c = new Process(t, runtime, "member.js", {
      MESHCAST_KEY: key,
      MESHCAST_LISTEN: "127.0.0.1:0",
      MESHCAST_SEEDS: a.address,
    });
    c.do("open", { name: "log", options: { after: cursors[1] } });
    assert.deepEqual(await heard(c, 2), [2, 3]);
    c.do("wrong", { name: "log", options: { after: "no cursor" } });
    assert.match(await c.next("wrong"), /cursor/);
  });

  test(`${runtime}: processes on a channel see who is there and what each says of itself`, needs(runtime), async (t) => {
    const key = generateKey();
    const [a, b] = await mesh(t, key, { fra: "node", iad: runtime }, "room");
    const sees = async (member, wanted) => {
      for (;;) {
        const list = (await member.next("present")).map(({ region, state }) => [region, state]);
        if (JSON.stringify(list.sort()) === JSON.stringify(wanted)) return;
      }
    };
    a.do("presence", { name: "room", state: { typing: true } });
    b.do("presence", { name: "room" });
    await sees(a, [
      ["fra", { typing: true }],
      ["iad", null],
    ]);
    await sees(b, [
      ["fra", { typing: true }],
      ["iad", null],
    ]);
    b.do("state", { name: "room", state: "here" });
    await sees(a, [
      ["fra", { typing: true }],
      ["iad", "here"],
    ]);
    b.do("shutdown");
    await b.next("left");
    await sees(a, [["fra", { typing: true }]]);
    a.do("states", { name: "room" });
    assert.deepEqual(await a.next("states"), ["QuotaExceededError", "DataCloneError"]);
  });
}

test("a process hears who is connected, who goes, and why", async (t) => {
  const key = generateKey();
  const a = new Process(t, "node", "member.js", {
    MESHCAST_KEY: key,
    MESHCAST_LISTEN: "127.0.0.1:0",
  });
  a.do("peers");
  a.do("ready", { members: 0 });
  const address = await a.next("ready");
  const b = new Process(t, "node", "member.js", {
    MESHCAST_KEY: key,
    MESHCAST_REGION: "iad",
    MESHCAST_SEEDS: address,
  });
  b.do("ready", { members: 1 });
  await b.next("ready");
  const came = await a.next("peer");
  assert.deepEqual([came.change, came.region], ["connected", "iad"]);
  b.do("shutdown");
  const went = await a.next("peer");
  assert.deepEqual([went.change, went.name], ["disconnected", came.name]);
  assert.match(went.reason, /\w/);
  // Who has another key is not let in.
  const stranger = new Process(t, "node", "member.js", {
    MESHCAST_KEY: generateKey(),
    MESHCAST_SEEDS: address,
  });
  stranger.do("open", { name: "x" });
  let refused;
  do refused = await a.next("peer");
  while (refused.change !== "refused");
  assert.match(refused.reason, /\w/);
});

test("who listens for peers hears of those of the next node as well", async (t) => {
  const env = { MESHCAST_KEY: generateKey(), MESHCAST_LISTEN: "127.0.0.1:0" };
  const a = new Process(t, "node", "member.js", env);
  a.do("peers");
  a.do("ready", { members: 0 });
  await a.next("ready");
  a.do("shutdown");
  await a.next("left");
  a.do("open", { name: "x" });
  a.do("ready", { members: 0 });
  const b = new Process(t, "node", "member.js", {
    ...env,
    MESHCAST_REGION: "iad",
    MESHCAST_SEEDS: await a.next("ready"),
  });
  b.do("ready", { members: 1 });
  const { change, region } = await a.next("peer");
  assert.deepEqual([change, region], ["connected", "iad"]);
});

test("what the node has to say is on stderr, once, and MESHCAST_LOG says how much", async (t) => {
  const run = async (env) => {
    const member = new Process(t, "node", "member.js", {
      MESHCAST_KEY: generateKey(),
      MESHCAST_LISTEN: "127.0.0.1:0",
      ...env,
    });
    member.do("open", { name: "x" });
    member.do("ready", { members: 0 });
    await member.next("ready");
    member.do("exit");
    await member.exit;
    return member.errors;
  };
  assert.doesNotMatch(await run({}), /meshcast|WARN|ERROR/);
  const lines = (await run({ MESHCAST_LOG: "meshcast=debug" })).split("\n");
  assert.equal(lines.filter((line) => /object opened/.test(line)).length, 1, lines.join("\n"));
});
