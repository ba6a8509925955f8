// The worker of `lastwords.js`.

import { parentPort, workerData } from "node:worker_threads";
import { BroadcastChannel, inspect, ready } from "../lib/index.js";

const channel = new BroadcastChannel("last words");
parentPort.on("message", () => {
  channel.close();
  // Deno has another way to say it.
  if (parentPort.close) parentPort.close();
  else globalThis.close();
});
await ready();
if (workerData.count > 0) {
  for (;;) {
    const { channels } = await inspect();
    if (channels.find(({ name }) => name === channel.name)?.subscribers.length > 0) break;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
for (let i = 0; i < workerData.count; i++) channel.postMessage({ i, fill: "x".repeat(1000) });
parentPort.postMessage({ posted: workerData.count });
