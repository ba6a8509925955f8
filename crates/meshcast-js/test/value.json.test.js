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

test("texts and lists of any length are taken", () => {
  for (const part of ["x", '\\"', "\\\\", "ü"]) {
    const text = `[1234567890123456789, "${part.repeat(10_000_000 / part.length)}", "\\\\", 2]`;
    const read = parseJson(text);
    assert.deepEqual([read[0], read[2], read[3]], [1234567890123456789n, "\\", 2]);
    assert.ok(read[1] === JSON.parse(text)[1], part);
  }
  const list = Array.from({ length: 200_000 }, (_, i) => i);
  assert.deepEqual(toJson(list), list);
});

test("getters run once, also beside a blob", () => {
  let calls = 0;
  const value = {
    file: new File(["of a file"], "name", { type: "a/b", lastModified: 7 }),
    get calls() {
      return ++calls;
    },
  };
  const file = { lastModified: 7, name: "name", size: 9, type: "a/b" };
  assert.deepEqual(toJson(value), { file: { $file: file }, calls: 1 });
  assert.equal(calls, 1);
});

test("a view that follows its buffer has no length", () => {
  const buffer = new ArrayBuffer(2, { maxByteLength: 4 });
  const views = toJson([new Uint8Array(buffer), new Uint8Array(buffer, 0, 2)]);
  assert.deepEqual(views.map(({ $view }) => $view.length), [null, 2]);
});

test("values nest in JSON no deeper than parsers take", () => {
  let value = 1;
  for (let i = 0; i < 500; i++) value = new Map([[i, value]]);
  assert.match(JSON.stringify(toJson(value)), /{"\$deep":true}/);
});

test("what cannot be posted cannot be shown", () => {
  assert.throws(() => toJson(() => {}), { name: "DataCloneError" });
});
