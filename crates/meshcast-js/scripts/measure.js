// What the package costs, beside the built-in class, in one run:
//
//   npm run build && node scripts/measure.js [rounds] [--check]
//
// The figures are medians of the rounds. A machine that does other things gives others. With
// `--check` it fails if one is not what is promised, and says which.

import { fork } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { BroadcastChannel, configure, generateKey, inspect, ready } from "../lib/index.js";

const BuiltIn = globalThis.BroadcastChannel;
const self = fileURLToPath(import.meta.url);
const rounds = Number(process.argv.slice(2).find((argument) => /^\d+$/.test(argument)) ?? 5);

/** What is promised; see `docs/javascript.md`. */
const PROMISED = {
  /** Times what the built-in class takes. */
  local: 2,
  /** Messages a second. */
  small: 300_000,
  large: 4000,
  /** MiB of an idle process. */
  idle: 20,
};
const small = (id) => ({ id, text: "the quick brown fox jumps over it", at: 1767225600000 + id });
const large = "x".repeat(64 * 1024);

const median = (list) => list.sort((a, b) => a - b)[Math.floor(list.length / 2)];

/** Posts `count` messages in bursts, and waits for each burst; microseconds a message. */
async function local(Class, count, burst) {
  const [a, b] = [new Class("measure"), new Class("measure")];
  let heard = 0;
  let wake = null;
  b.onmessage = () => {
    if (++heard % burst === 0) wake();
  };
  const start = performance.now();
  for (let i = 0; i < count; i += burst) {
    const all = new Promise((resolve) => (wake = resolve));
    for (let j = 0; j < burst; j++) a.postMessage(small(i + j));
    await all;
  }
  const time = performance.now() - start;
  a.close();
  b.close();
  return (time * 1000) / count;
}

/** Another process of a mesh, which does one thing. */
async function peer(t, what, env) {
  const child = fork(self, [what], { env: { ...process.env, ...env } });
  t.push(child);
  const [address] = await once(child, "message");
  return { child, address };
}

async function between(count, data) {
  const children = [];
  const env = { MESHCAST_KEY: generateKey(), MESHCAST_LISTEN: "127.0.0.1:0" };
  try {
    const receiver = await peer(children, "receive", { ...env, COUNT: count });
    const sender = await peer(children, "send", { ...env, MESHCAST_SEEDS: receiver.address });
    const done = once(receiver.child, "message");
    sender.child.send({ count, data });
    const [{ heard, missed, seconds }] = await done;
    if (heard !== count) throw new Error(`${heard} of ${count} heard, ${missed} missed`);
    return count / seconds;
  } finally {
    children.forEach((child) => child.kill());
  }
}

async function idle(what) {
  const children = [];
  const { child, address: rss } = await peer(children, what, { MESHCAST_KEY: generateKey() });
  child.kill();
  return rss / (1 << 20);
}

/** A receiver whose event loop is blocked for 5 s while a message comes each millisecond. */
async function blocked() {
  const children = [];
  const env = { MESHCAST_KEY: generateKey(), MESHCAST_LISTEN: "127.0.0.1:0" };
  try {
    const count = 7000;
    const receiver = await peer(children, "receive", { ...env, COUNT: count, BLOCK: 5000 });
    const sender = await peer(children, "send", { ...env, MESHCAST_SEEDS: receiver.address });
    const done = once(receiver.child, "message");
    sender.child.send({ count, data: null, each: 1 });
    return (await done)[0];
  } finally {
    children.forEach((child) => child.kill());
  }
}

const roles = {
  async receive() {
    const count = Number(process.env.COUNT);
    const channel = new BroadcastChannel("measure");
    let heard = 0;
    let missed = 0;
    let gaps = 0;
    let start;
    const look = () => {
      if (heard + missed < count) return;
      const seconds = (performance.now() - start) / 1000;
      process.send({ heard, missed, gaps, seconds });
    };
    channel.onmessage = () => {
      start ??= performance.now();
      heard++;
      if (heard === 1 && process.env.BLOCK) {
        const end = Date.now() + Number(process.env.BLOCK);
        while (Date.now() < end);
      }
      look();
    };
    channel.addEventListener("gap", ({ count }) => {
      missed += count;
      gaps++;
      look();
    });
    await ready();
    const { node } = await inspect();
    const address = node.listenAddresses.find((address) => address.includes("127.0.0.1"));
    process.send(address);
  },
  async send() {
    const channel = new BroadcastChannel("measure");
    await ready();
    const there = async () => {
      const { channels } = await inspect();
      return channels.find(({ name }) => name === "measure")?.subscribers.length > 0;
    };
    while (!(await there())) await sleep(20);
    process.send("there");
    const [{ count, data, each }] = await once(process, "message");
    for (let i = 0; i < count; i++) {
      const message = data ?? small(i);
      try {
        channel.postMessage(message);
      } catch {
        await channel.postMessageWait(message);
      }
      if (each) await sleep(each);
    }
  },
  async idle() {
    const channel = new BroadcastChannel("measure");
    await ready();
    await sleep(2000);
    globalThis.gc?.();
    process.send(process.memoryUsage.rss());
    channel.ref();
  },
  async plain() {
    const channel = new BuiltIn("measure");
    await sleep(2000);
    globalThis.gc?.();
    process.send(process.memoryUsage.rss());
    channel.ref?.();
  },
};

async function measure() {
  configure({ alone: true });
  const rows = [];
  for (const [title, count, burst] of [
    ["one at a time", 20_000, 1],
    ["in bursts of 100", 100_000, 100],
  ]) {
    const [ours, builtIn] = [[], []];
    for (let round = -1; round < rounds; round++) {
      const one = await local(BroadcastChannel, count, burst);
      const other = await local(BuiltIn, count, burst);
      // The first is for warming up.
      if (round >= 0) {
        ours.push(one);
        builtIn.push(other);
      }
    }
    const [a, b] = [median(ours), median(builtIn)];
    rows.push([
      `in one thread, ${title}`,
      `${a.toFixed(2)} µs, built-in ${b.toFixed(2)} µs: ${(a / b).toFixed(2)} ×`,
      a / b <= PROMISED.local,
    ]);
  }
  const series = async (run) => {
    const list = [];
    for (let round = 0; round < rounds; round++) list.push(await run());
    return median(list);
  };
  const rate = async (...args) => Math.round(await series(() => between(...args)));
  const [ofSmall, ofLarge] = [await rate(300_000, null), await rate(10_000, large)];
  rows.push(["two processes, {id, text, at}", `${ofSmall}/s`, ofSmall >= PROMISED.small]);
  rows.push(["two processes, 64 KiB of text", `${ofLarge}/s`, ofLarge >= PROMISED.large]);
  const [with_, without] = [await series(() => idle("idle")), await series(() => idle("plain"))];
  rows.push([
    "idle, resident memory",
    `${with_.toFixed(1)} MiB, without ${without.toFixed(1)} MiB: +${(with_ - without).toFixed(1)} MiB`,
    with_ - without <= PROMISED.idle,
  ]);
  const { heard, missed, gaps } = await blocked();
  const isTold = missed === 0 ? gaps === 0 : gaps === 1;
  rows.push(["blocked for 5 s", `${heard} heard, ${missed} missed in ${gaps} gaps`, isTold]);
  const isChecked = process.argv.includes("--check");
  for (const [title, figure, isKept] of rows) {
    const verdict = !isChecked ? "" : isKept ? "ok      " : "BROKEN  ";
    console.log(`${verdict}${title.padEnd(32)} ${figure}`);
  }
  process.exit(isChecked && rows.some(([, , isKept]) => !isKept) ? 1 : 0);
}

await (roles[process.argv[2]] ?? measure)();
