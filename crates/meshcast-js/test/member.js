// A process of a mesh, for tests: does what lines of stdin say, and writes what happens to stdout,
// each a JSON text on a line.

import { existsSync } from "node:fs";
import process from "node:process";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import * as meshcast from "../lib/index.js";
import { toJson } from "../lib/value.js";
import { deliverBytes } from "./raw.js";
import { samples } from "./samples.js";

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const channels = new Map();

const commands = {
  open({ name, as = name, options }) {
    const channel = new meshcast.BroadcastChannel(name, options);
    channels.set(as, channel);
    channel.onmessage = (event) => {
      const { region, seq, cursor } = meshcast.originOf(event) ?? {};
      say({ heard: toJson(event.data), region, seq });
      if (event.data instanceof Blob) event.data.text().then((text) => say({ text }));
      if (options?.cursors) say({ cursor });
    };
    channel.addEventListener("caughtup", () => say({ caughtup: as }));
    channel.onmessageerror = () => say({ messageerror: true });
    say({ opened: as });
    channel.addEventListener("gap", ({ first, last, count, reason, sender }) =>
      say({ gap: { first, last, count, reason, region: sender.region } }),
    );
  },
  configure({ settings }) {
    meshcast.configure(settings);
  },
  wrong({ name, options, settings }) {
    try {
      if (settings !== undefined) meshcast.configure(settings);
      commands.open({ name, options });
    } catch (error) {
      say({ wrong: error.message });
    }
  },
  presence({ name, state }) {
    const presence = new meshcast.Presence(name, { state });
    const tell = () => say({ present: presence.members() });
    presence.addEventListener("change", tell);
    tell();
    commands.state = (command) => presence.set(command.state);
    commands.states = () => {
      const names = ["x".repeat(2000), () => {}].map((wrong) => {
        try {
          presence.set(wrong);
        } catch ({ name }) {
          return name;
        }
      });
      say({ states: names });
    };
  },
  async connected() {
    say({ connected: (await meshcast.inspect()).peers.length });
  },
  peers() {
    meshcast.mesh.addEventListener("peer", ({ change, name, region, reason }) =>
      say({ peer: { change, name, region, reason } }),
    );
  },
  async ready({ members }) {
    await meshcast.waitForMembers(members);
    await meshcast.ready();
    const { node } = await meshcast.inspect();
    say({ ready: node.listenAddresses.find((address) => address.includes("127.0.0.1")) });
  },
  async subscribers({ name, count }) {
    for (;;) {
      const { channels } = await meshcast.inspect();
      if (channels.find((channel) => channel.name === name)?.subscribers.length >= count) break;
      await sleep(20);
    }
    say({ subscribed: count });
  },
  post({ name, data, bytes }) {
    channels.get(name).postMessage(bytes === undefined ? data : Uint8Array.from(bytes));
  },
  /** Bytes that are no value, as a hostile member sends them. */
  raw({ name, bytes }) {
    deliverBytes(channels.get(name), Uint8Array.from(bytes));
  },
  async samples({ name }) {
    for (const sample of samples()) await channels.get(name).postMessageWait(sample);
  },
  async flood({ name, count, size = 0 }) {
    const channel = channels.get(name);
    for (let i = 0; i < count; i++) {
      const data = { i, fill: "x".repeat(size) };
      try {
        channel.postMessage(data);
      } catch {
        await channel.postMessageWait(data);
      }
    }
    say({ flooded: count });
  },
  count({ name }) {
    const channel = channels.get(name);
    let heard = 0;
    let missed = 0;
    // Numbers in the order in which they came: runs of messages, and gaps.
    const ranges = [];
    channel.onmessage = (event) => {
      heard++;
      const { seq, region } = meshcast.originOf(event);
      const latest = ranges.at(-1);
      if (latest?.reason === null && latest.last === seq - 1) latest.last = seq;
      else ranges.push({ first: seq, last: seq, reason: null, region });
    };
    channel.addEventListener("gap", ({ first, last, count, reason, sender }) => {
      missed += count;
      ranges.push({ first, last, reason, region: sender.region });
    });
    commands.counted = () => say({ counted: { heard, missed, ranges, ...channel.stats() } });
  },
  block({ until }) {
    say({ blocking: until });
    // Without work: the others need the processor.
    const nobody = new Int32Array(new SharedArrayBuffer(4));
    while (!existsSync(until)) Atomics.wait(nobody, 0, 0, 10);
  },
  close({ name }) {
    channels.get(name).close();
  },
  async shutdown() {
    say({ left: await meshcast.shutdown() });
  },
  exit() {
    process.exit();
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  await commands[command.do](command);
}
