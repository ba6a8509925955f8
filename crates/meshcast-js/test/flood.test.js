import assert from "node:assert/strict";
import { test } from "node:test";
import { Process, kinds, needs } from "./process.js";

const runs = Number(process.env.RUNS ?? 2);
const workers = process.env.WORKERS ?? "4";

for (const runtime of kinds) {
  test(`${runtime}: a process ends in the middle of a flood from its workers`, needs(runtime), async (t) => {
    for (let run = 0; run < runs; run++) {
      const process = new Process(t, runtime, "flood.js", {}, [workers]);
      const ended = await process.exit;
      const context = `${runtime}, run ${run + 1} of ${runs}: ${JSON.stringify(ended)} ${process.errors}`;
      assert.deepEqual(ended, { code: 0, signal: null }, context);
    }
  });
}
