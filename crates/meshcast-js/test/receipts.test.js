// What a service with pages is told of posts.

import assert from "node:assert/strict";
import { test } from "node:test";
import { configure, generateKey, shutdown } from "../lib/index.js";
import { start } from "../lib/hub.js";
import { Link, POSTED } from "../lib/native.js";

configure({ key: generateKey(), listen: ["127.0.0.1:0"], seeds: [] });

/** As many wait for receipts of a name as may, and some more. */
const POSTS = 4096 + 100;
const PATIENCE = 1000;

test("of a post nobody is told that it is safe before there was time for it", async (t) => {
  start();
  t.after(shutdown);
  const link = new Link("busy", () => {});
  t.after(() => link.close());
  const value = new Uint8Array([0]);
  const answers = Array.from({ length: POSTS }, () => {
    const began = performance.now();
    return new Promise((resolve) => {
      const outcome = link.postAcked(value, PATIENCE, (error) => {
        resolve({ error, after: performance.now() - began });
      });
      assert.equal(outcome, POSTED);
    });
  });
  const early = (await Promise.all(answers)).filter(({ after }) => after < PATIENCE - 1);
  assert.equal(early.length, 0, JSON.stringify(early[0]));
});

test("of a post that nobody has when the node stops it is told that it is not", async () => {
  start();
  const link = new Link("stopping", () => {});
  const told = new Promise((resolve) => link.postAcked(new Uint8Array([0]), 60_000, resolve));
  await shutdown();
  assert.match(await told, /stopped/);
});

test("who stops the node once more is told the same, when it has stopped", async () => {
  start();
  const link = new Link("twice", () => {});
  assert.equal(link.post(new Uint8Array([0])), POSTED);
  const [first, second] = await Promise.all([shutdown(), shutdown()]);
  assert.deepEqual(first.undelivered.map(({ channel, messages }) => [channel, messages]), [["twice", 1]]);
  assert.deepEqual(second, first);
});
