// A process that ends in the middle of a flood from its workers: `flood.js <workers>`.

import { once } from "node:events";
import process from "node:process";
import { Worker } from "node:worker_threads";
import { BroadcastChannel, configure } from "../lib/index.js";

configure({ alone: true });

const channel = new BroadcastChannel("flood");
const file = new URL("./worker.js", import.meta.url);
const workerData = { name: "flood", flood: true };
const workers = Array.from(
  { length: Number(process.argv[2]) },
  () => new Worker(file, { workerData }),
);
await Promise.all(workers.map((worker) => once(worker, "message")));

let heard = 0;
channel.onmessage = () => {
  // Some workers have been terminated by then, and some have not.
  if (++heard === 1000)
    workers.slice(0, workers.length / 2).forEach((worker) => worker.terminate());
  if (heard === 3000) process.exit(0);
};
