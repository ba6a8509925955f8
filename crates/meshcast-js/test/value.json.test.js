import assert from "node:assert/strict";
import { test } from "node:test";
import { parseJson, toJson } from "../lib/value.js";

test("integers of any size keep their digits", () => {
  const text =
    '{"id": 123456789012345678901234567890, "n": [-18446744073709551616, 9007199254740993, 9007199254740991], "f": 12345678901234567890.5, "e": 1e30}';
  assert.deepEqual(parseJson(text), {
    id: 123456789012345678901234567890n,
    n: [-18446744073709551616n, 9007199254740993n, 9007199254740991],
    f: 12345678901234567890.5,
    e: 1e30,
  });
  assert.deepEqual(toJson(parseJson(text)).id, { $bigint: "123456789012345678901234567890" });
});

test("all else is read as JSON.parse reads it", () => {
  const strings = [
    "1234567890123456",
    '{"a": [1, "]}", "\\"", "\\u1234567890123456"], "": {}, "__proto__": [] }',
    '"1234567890123456"',
    "[[], [[1234567890123456]], -0, 1E5, true, null]",
    ' {"k":{"1234567890123456":"x,y"}}\n',
  ];
  for (const text of strings) assert.deepEqual(parseJson(text), JSON.parse(text), text);
  for (const text of ["", "[1,]", "{a:1}", "12345678901234567x", '["1234567890123456]']) {
    assert.throws(() => parseJson(text), SyntaxError, text);
  }
});

test("values nest in JSON no deeper than parsers take", () => {
  let value = 1;
  for (let i = 0; i < 500; i++) value = new Map([[i, value]]);
  assert.match(JSON.stringify(toJson(value)), /{"\$deep":true}/);
});

test("what cannot be posted cannot be shown", () => {
  assert.throws(() => toJson(() => {}), { name: "DataCloneError" });
});
