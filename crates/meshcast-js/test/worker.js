// A worker thread with channels, for tests.

import { parentPort, workerData } from "node:worker_threads";
import { BroadcastChannel } from "../lib/index.js";

const { name, flood } = workerData;
const channel = new BroadcastChannel(name);
channel.onmessage = ({ data }) => {
  if (data.to === "workers") parentPort.postMessage({ heard: data });
};
parentPort.on("message", ({ post, close }) => {
  if (post !== undefined) channel.postMessage(post);
  if (close) {
    channel.close();
    // Deno has another way to say it.
    if (parentPort.close) parentPort.close();
    else globalThis.close();
  }
});
parentPort.postMessage({ open: true });

if (flood) {
  const more = () => {
    try {
      for (let i = 0; i < 500; i++) channel.postMessage({ i });
    } catch {
      // Full: later.
    }
    setImmediate(more);
  };
  more();
}
