import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { decode, encodeAsync, toJson } from "../lib/value.js";

const file = new URL("../../meshcast-value/testdata/vectors.json", import.meta.url);

for (const { name, hex, json } of JSON.parse(readFileSync(file, "utf8"))) {
  test(`golden vector: ${name}`, async () => {
    const bytes = Buffer.from(hex, "hex");
    const value = decode(bytes);
    const stacks = name.includes("stack");
    const again = await encodeAsync(value, { stacks });
    assert.equal(Buffer.from(again).toString("hex"), hex);
    // As JSON a stack and the bytes of a blob are left out.
    if (!stacks && !/^(blob|file)$/.test(name)) assert.deepEqual(toJson(value), json);
  });
}
