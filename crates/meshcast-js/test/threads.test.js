// Worker threads: each has channels of its own on the one node of the process.

import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { BroadcastChannel, configure, inspect } from "../lib/index.js";

configure({ alone: true });

const file = new URL("./worker.js", import.meta.url);

async function workers(t, count, name, options = {}) {
  const list = Array.from(
    { length: count },
    () => new Worker(file, { workerData: { name, ...options } }),
  );
  t.after(() => Promise.all(list.map((worker) => worker.terminate())));
  await Promise.all(list.map((worker) => next(worker, "open")));
  return list;
}

/** The next message of a worker that has the field. */
async function next(worker, field) {
  for (;;) {
    const [message] = await once(worker, "message");
    if (field in message) return message[field];
  }
}

test("threads of one process hear each other, over one node", async (t) => {
  const list = await workers(t, 3, "threads");
  const main = new BroadcastChannel("threads");
  t.after(() => main.close());
  const heard = list.map((worker) => next(worker, "heard"));
  main.postMessage({ to: "workers", value: new Map([[1, 2n]]) });
  for (const data of await Promise.all(heard)) assert.deepEqual(data.value, new Map([[1, 2n]]));
  const others = list.slice(1).map((worker) => next(worker, "heard"));
  const here = once(main, "message");
  list[0].postMessage({ post: { to: "workers", from: 0 } });
  for (const data of await Promise.all(others)) assert.equal(data.from, 0);
  assert.equal((await here)[0].data.from, 0);
  const { channels } = await inspect();
  assert.equal(channels.find(({ name }) => name === "threads").objects, 4);
});

test("a worker that has closed its channels ends by itself", async (t) => {
  const [worker] = await workers(t, 1, "ending");
  const ended = once(worker, "exit");
  worker.postMessage({ close: true });
  assert.deepEqual(await ended, [0]);
});

test("workers are terminated under flood, and the process goes on", async (t) => {
  const rounds = Number(process.env.ROUNDS ?? 2);
  const main = new BroadcastChannel("flood");
  t.after(() => main.close());
  for (let round = 0; round < rounds; round++) {
    let heard = 0;
    main.onmessage = () => heard++;
    const list = await workers(t, 5, "flood", { flood: true });
    while (heard < 1000) {
      const more = once(main, "message");
      try {
        main.postMessage({ round });
      } catch (error) {
        // The workers may have filled the outbox that they share with it.
        assert.equal(error.name, "QuotaExceededError");
      }
      await more;
    }
    await Promise.all(list.map((worker) => worker.terminate()));
  }
  const { node } = await inspect();
  assert.equal(node.pid, process.pid);
});
