// How presence reaches a thread that has too much to do.

import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { BroadcastChannel, Presence, configure } from "../lib/index.js";
import { native } from "../lib/native.js";

configure({ alone: true });

test("a thread is told of no more changes than it takes", async (t) => {
  // To watch alone keeps no process alive.
  const channel = new BroadcastChannel("busy");
  t.after(() => channel.close());
  const watcher = new Presence("busy");
  t.after(() => watcher.close());
  let told = 0;
  const number = native().presenceOpen("busy", () => told++);
  t.after(() => native().presenceClose(number));
  // The other hears of each, and of the first it may be before this one does.
  let said = 0;
  const change = async () => {
    const i = said++;
    watcher.set({ i });
    for (;;) {
      await once(watcher, "change");
      if (watcher.members()[0]?.state?.i === i) break;
    }
  };
  const changed = async (times) => {
    while (told < times) await change();
    for (let i = 0; i < 6; i++) await change();
    assert.equal(told, times);
  };
  await changed(2);
  native().presenceTaken(number);
  await changed(3);
});

test("who closes it in a handler holds nothing up", async (t) => {
  const channel = new BroadcastChannel("changing");
  t.after(() => channel.close());
  const [one, other] = [new Presence("changing"), new Presence("changing")];
  t.after(() => other.close());
  one.addEventListener("change", () => one.close());
  let last;
  other.addEventListener("change", ({ members }) => (last = members[0]?.state));
  for (let i = 0; i < 5; i++) {
    other.set(i);
    while (last !== i) await once(other, "change");
  }
});
