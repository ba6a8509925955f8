// A process in which only a worker knows of channels: `lastwords.js <natural | exit | terminate>`
// says how it ends. `count` messages are the last it posts.

import process from "node:process";
import { Worker } from "node:worker_threads";

const [, , how, count] = process.argv;
const file = new URL("./lastwords.worker.js", import.meta.url);
const worker = new Worker(file, { workerData: { count: Number(count) } });
worker.on("message", async ({ posted }) => {
  console.log(JSON.stringify({ posted }));
  if (how === "exit") process.exit();
  if (how === "terminate") await worker.terminate();
  if (how === "natural") worker.postMessage("close");
});
