// What keeps a process alive, in all runtimes.

import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { JsonProgram, Process, kinds, needs } from "./process.js";

for (const runtime of kinds) {
  const run = (t, what) => new Process(t, runtime, "lifetime.js", {}, [what]);

  test(`${runtime}: an open channel keeps the process alive`, needs(runtime), async (t) => {
    const process = run(t, "open");
    await process.next("started");
    // What ends by itself ends at once: `unref` below.
    assert.equal(await Promise.race([process.exit, sleep(1500, "alive")]), "alive", process.state);
  });

  test(`${runtime}: a process ends when its channels are closed`, needs(runtime), async (t) => {
    const process = run(t, "close");
    await process.next("closed");
    await process.endsWell();
  });

  test(`${runtime}: unref lets it end before, ref does not`, needs(runtime), async (t) => {
    await run(t, "unref").endsWell();
    const process = run(t, "ref");
    assert.equal(await process.next("timer"), true);
    await process.endsWell();
  });

  test(`${runtime}: what is under way is delivered before a process ends`, needs(runtime), async (t) => {
    const process = run(t, "deliver");
    assert.equal(await process.next("heard"), "last");
    await process.endsWell();
  });

  test(`${runtime}: a process that is alone on purpose says nothing of it`, needs(runtime), async (t) => {
    const process = run(t, "alone");
    await process.endsWell();
    assert.equal(process.errors, "");
  });

  test(`${runtime}: a listener that throws does not stop the others`, needs(runtime), async (t) => {
    const process = run(t, "throw");
    assert.equal(await process.next("heard"), "goes on");
    assert.equal(await process.next("thrown"), "of a listener");
    await process.endsWell();
  });
}

const permissions = "deno: the package needs to load its addon and to read its own folder, no more";
test(permissions, needs("deno"), async (t) => {
  const folder = fileURLToPath(new URL("..", import.meta.url));
  const script = fileURLToPath(new URL("./lifetime.js", import.meta.url));
  const run = (...allowed) =>
    new JsonProgram(t, ["deno", "run", "--no-config", "--no-prompt", ...allowed, script, "close"]);
  const process = run(`--allow-ffi=${folder}`, `--allow-read=${folder}`);
  assert.equal(await process.next("closed"), true);
  await process.endsWell();
  for (const allowed of [`--allow-ffi=${folder}`, `--allow-read=${folder}`]) {
    const refused = run(allowed);
    assert.equal((await refused.exit).code, 1, refused.state);
    assert.match(refused.errors, /Deno needs --allow-ffi and --allow-read/);
  }
});
