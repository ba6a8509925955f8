// The two codecs against each other, on random values and on damaged bytes.

import assert from "node:assert/strict";
import { test } from "node:test";
import { DecodeError, decode, encodeAsync } from "../lib/value.js";
import { anyValue, random } from "./generate.js";
import { assertSame } from "./same.js";
import { generate, missing, transcode } from "./transcoder.js";

/** Two that are always the same, and one that nobody has tried. */
const seeds = process.env.SEED
  ? [Number(process.env.SEED)]
  : [1, 0xc0ffee, Date.now() % 2 ** 32];
const count = Number(process.env.COUNT ?? 700);
/** Seen on a small machine: what one runtime can get, another cannot. */
const NO_MEMORY = "no memory";
const hex = (bytes) => Buffer.from(bytes).toString("hex");

for (const seed of seeds) {
  test(
    `random values go from JavaScript to Rust and back (SEED=${seed})`,
    { skip: missing },
    async () => {
      const r = random(seed);
      const values = Array.from({ length: count }, () => anyValue(r));
      const encoded = await Promise.all(values.map((value) => encodeAsync(value)));
      const answers = await transcode(encoded);
      assert.equal(answers.length, count);
      for (const [i, { bytes, refused }] of answers.entries()) {
        assert.equal(refused, undefined, `value ${i}: ${hex(encoded[i])}`);
        assert.equal(hex(bytes), hex(encoded[i]), `value ${i}`);
        const back = decode(bytes);
        assertSame(values[i], back, `value ${i}`);
        assert.equal(hex(await encodeAsync(back)), hex(encoded[i]), `value ${i}`);
      }
    },
  );

  test(
    `random values go from Rust to JavaScript and back (SEED=${seed})`,
    { skip: missing },
    async () => {
      const values = await generate(count, seed);
      assert.equal(values.length, count);
      const back = await Promise.all(values.map((bytes) => encodeAsync(decode(bytes))));
      for (const [i, bytes] of values.entries()) assert.equal(hex(back[i]), hex(bytes), `value ${i}`);
      const answers = await transcode(back);
      for (const [i, bytes] of values.entries())
        assert.equal(hex(answers[i].bytes), hex(bytes), `value ${i}`);
    },
  );

  test(
    `damaged bytes are read by both or refused by both (SEED=${seed})`,
    { skip: missing },
    async () => {
      const r = random(seed);
      const damaged = [];
      for (const value of await generate(count, seed)) {
        const bytes = Uint8Array.from(value);
        for (let flips = 1 + r.below(3); flips > 0; flips--) {
          bytes[r.below(bytes.length)] = r.below(2) === 0 ? r.below(0x21) : r.below(256);
        }
        damaged.push(r.below(4) === 0 ? bytes.subarray(0, r.below(bytes.length)) : bytes);
      }
      let [read, refused] = [0, 0];
      for (const [i, answer] of (await transcode(damaged)).entries()) {
        const verdict = await verdictOf(damaged[i]);
        if (runtimeMayDiffer(verdict)) continue;
        const context = `bytes ${i}: ${hex(damaged[i])}: ${answer.refused} / ${verdict}`;
        assert.equal(verdict === undefined, answer.refused === undefined, context);
        if (verdict === undefined) read++;
        else refused++;
      }
      assert.ok(read > count / 20 && refused > count / 5, `${read} read, ${refused} refused`);
    },
  );

  test(`arbitrary bytes do no harm (SEED=${seed})`, async () => {
    const r = random(seed);
    for (let i = 0; i < 20 * count; i++) {
      const bytes = Uint8Array.from({ length: r.below(60) }, () => r.below(0x21));
      await verdictOf(bytes);
    }
  });
}

/** Why JavaScript refuses bytes; undefined if it does not, and then it writes what it read. */
async function verdictOf(bytes) {
  let value;
  try {
    value = decode(bytes);
  } catch (error) {
    // A buffer that claims to grow to more than this machine has.
    if (error instanceof RangeError && /alloc|memory/i.test(error.message)) return NO_MEMORY;
    assert.ok(error instanceof DecodeError, `${hex(bytes)}: ${error.stack}`);
    return error;
  }
  const again = await encodeAsync(value);
  assert.equal(hex(await encodeAsync(decode(again))), hex(again));
  return undefined;
}

/** A regular expression that is none, a view that this version of the runtime lacks. */
function runtimeMayDiffer(verdict) {
  return (
    verdict === NO_MEMORY ||
    verdict?.code === "Unsupported" ||
    verdict?.code === "OverBudget" ||
    /every array has/.test(verdict?.message)
  );
}
