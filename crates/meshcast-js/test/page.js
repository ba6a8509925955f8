// What a page does, as a process for tests: lines of stdin say what. `page.js <url>…`

import process from "node:process";
import { createInterface } from "node:readline";
import { BroadcastChannel, connect, connection, originOf } from "../lib/browser.js";
import { toJson } from "../lib/value.js";
import { samples } from "./samples.js";

globalThis.WebSocket ??= (await import("ws")).WebSocket;

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
connection.addEventListener("change", () => say({ at: connection.service?.region ?? "nowhere" }));
connect(...process.argv.slice(2));

const channels = new Map();
const commands = {
  open({ name, as = name, options }) {
    const channel = new BroadcastChannel(name, options);
    channels.set(as, channel);
    channel.onmessage = (event) => {
      const { region, seq } = originOf(event) ?? {};
      say({ heard: toJson(event.data), as, region, seq });
    };
    channel.addEventListener("open", ({ read, post }) => say({ opened: { read, post } }));
    channel.addEventListener("refused", ({ reason }) => say({ refused: reason }));
    channel.addEventListener("caughtup", () => say({ caughtup: as }));
    channel.addEventListener("gap", ({ first, last, reason }) =>
      say({ gap: { first, last, reason } }),
    );
  },
  async samples({ name }) {
    for (const sample of samples()) await channels.get(name).postMessageWait(sample);
  },
  post({ name, size, data = "x".repeat(size) }) {
    try {
      channels.get(name).postMessage(data);
    } catch (error) {
      say({ threw: error.name });
    }
  },
  async flood({ name, from, count, fill = "" }) {
    const channel = channels.get(name);
    for (let i = from; i < from + count; i++) await channel.postMessageWait({ i, fill });
    say({ flooded: count });
  },
  async safe({ name }) {
    while (channels.get(name).stats().unsafe > 0) await new Promise((done) => setTimeout(done, 20));
    say({ safe: true });
  },
  close({ name }) {
    channels.get(name).close();
  },
  reconnect() {
    connection.reconnect();
  },
};
for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  await commands[command.do](command);
}
