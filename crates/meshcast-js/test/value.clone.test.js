// What the structured clone copies, what it drops and what it refuses.

import assert from "node:assert/strict";
import * as crypto from "node:crypto";
import { test } from "node:test";
import vm from "node:vm";
import { MAX_DEPTH, DecodeError, decode, encode, encodeAsync } from "../lib/value.js";
import { slots } from "../lib/value/slots.js";
import { assertSame } from "./same.js";

const clone = (value, options) => decode(encode(value, options));
const refused = (value, what) =>
  assert.throws(
    () => encode(value),
    (error) =>
      error instanceof DOMException && error.name === "DataCloneError" && error.code === 25,
    what,
  );

test("undefined, signed zeros, NaN and lone surrogates arrive as they are", () => {
  for (const value of [undefined, null, 0, -0, NaN, Infinity, "\ud800", 2n ** 70n, -1n, true]) {
    assert.ok(Object.is(clone(value), value), String(value));
  }
});

test("boxed primitives, dates and regular expressions keep their kind", () => {
  const regexp = /a/g;
  regexp.lastIndex = 3;
  assert.equal(clone(regexp).lastIndex, 0);
  for (const value of [
    Object(true),
    Object(1),
    Object("s"),
    Object(1n),
    new Date(5),
    new Date(NaN),
  ]) {
    assertSame(value, clone(value), "kind");
  }
  const changed = new Number(1);
  changed.valueOf = () => 2;
  assert.equal(Number.prototype.valueOf.call(clone(changed)), 1);
});

test("arrays keep holes, named properties and length", () => {
  const array = [1, , undefined, ,];
  array.name = "x";
  array["01"] = "no index";
  const copy = clone(array);
  assertSame(array, copy, "array");
  assert.ok(!(1 in copy) && 2 in copy && copy.length === 4);
  const long = [];
  long[4294967294] = "last";
  assert.equal(clone(long)[4294967294], "last");
});

test("cycles and shared references stay what they are", () => {
  const value = { list: [], map: new Map(), set: new Set() };
  value.self = value;
  value.list.push(value.list, value.map);
  value.map.set(value.map, value.set);
  value.set.add(value);
  value.error = new Error("outer", { cause: value });
  assertSame(value, clone(value), "graph");
});

test("getters are called once, in order, and what they throw passes through", () => {
  const calls = [];
  const value = {
    get a() {
      calls.push("a");
      delete this.c;
      return 1;
    },
    get b() {
      calls.push("b");
      return 2;
    },
    c: 3,
  };
  assert.deepEqual(clone(value), { a: 1, b: 2 });
  assert.deepEqual(calls, ["a", "b"]);
  const thrown = new RangeError("mine");
  assert.throws(
    () =>
      encode({
        get a() {
          throw thrown;
        },
      }),
    (error) => error === thrown,
  );
  assert.equal(encode(1).length, 2, "nothing is left of what was thrown away");
});

test("a getter may encode too", () => {
  assert.deepEqual(
    clone({
      a: "before",
      get b() {
        return [...encode("inside")];
      },
      c: "after",
    }),
    {
      a: "before",
      b: [...encode("inside")],
      c: "after",
    },
  );
});

test("symbol keys, hidden properties, prototypes and classes are dropped", () => {
  class Point {
    #secret = 1;
    x = 1;
    get y() {
      return this.#secret;
    }
  }
  const value = Object.create({ inherited: 1 }, { hidden: { value: 1 } });
  value.own = 1;
  value[Symbol("s")] = 1;
  assert.deepEqual(clone(value), { own: 1 });
  const point = clone(new Point());
  assert.equal(Object.getPrototypeOf(point), Object.prototype);
  assert.deepEqual(Object.keys(point), ["x"]);
  const bare = Object.create(null);
  bare.a = 1;
  assert.equal(Object.getPrototypeOf(clone(bare)), Object.prototype);
  assert.equal(Object.getPrototypeOf(clone(new (class extends Array {})())), Array.prototype);
  assert.equal(Object.getPrototypeOf(clone(new (class extends Map {})())), Map.prototype);
});

test("`__proto__` is a key like any other", () => {
  const copy = clone(JSON.parse('{"__proto__": {"polluted": true}, "constructor": 1}'));
  assert.equal(Object.getPrototypeOf(copy), Object.prototype);
  assert.deepEqual(Object.keys(copy), ["__proto__", "constructor"]);
  assert.equal({}.polluted, undefined);
});

test("what says to be of another kind is what it is", () => {
  assert.deepEqual(clone({ [Symbol.toStringTag]: "Map", a: 1 }), { a: 1 });
  const map = Object.setPrototypeOf(new Map([[1, 2]]), Object.prototype);
  assert.ok(clone(map) instanceof Map);
  assert.ok(clone(Object.setPrototypeOf(new Date(0), null)) instanceof Date);
});

test("objects of another realm are known by their slots", () => {
  const foreign = vm.runInNewContext(
    "({ map: new Map([[1, 2]]), set: new Set([1]), date: new Date(1), list: [1], bytes: new Uint8Array([1]), error: new TypeError('t'), plain: { a: 1 } })",
  );
  const copy = clone(foreign);
  assert.ok(copy.map instanceof Map && copy.set instanceof Set && copy.date instanceof Date);
  assert.ok(Array.isArray(copy.list) && copy.bytes instanceof Uint8Array);
  assert.ok(copy.error instanceof TypeError);
  assert.deepEqual(copy.plain, { a: 1 });
});

test("buffers keep what views share, and resizable ones their limit", () => {
  const buffer = new ArrayBuffer(16);
  const views = [
    new Uint8Array(buffer),
    new DataView(buffer, 4, 8),
    new Float32Array(buffer, 8, 1),
  ];
  assertSame(views, clone(views), "views");
  const resizable = new ArrayBuffer(4, { maxByteLength: 16 });
  const copy = clone({
    tracking: new Uint8Array(resizable),
    fixed: new Uint8Array(resizable, 0, 4),
  });
  copy.tracking.buffer.resize(8);
  assert.equal(copy.tracking.length, 8);
  assert.equal(copy.fixed.length, 4);
  const full = new ArrayBuffer(4, { maxByteLength: 4 });
  const both = clone([new Int16Array(full, 2), new Int16Array(full, 2, 1), new DataView(full)]);
  both[0].buffer.resize(2);
  assert.deepEqual([both[0].byteOffset, both[1].byteOffset, both[2].byteLength], [2, 0, 2]);
  assert.deepEqual(new Uint8Array(full), new Uint8Array(4), "the value is not touched");
});

test("a Node Buffer arrives as a Uint8Array of exactly its window", () => {
  const pool = Buffer.from("a secret, hi, and others").buffer;
  const buffer = Buffer.from(pool, pool.byteLength - 20, 2);
  const bytes = encode([buffer, buffer]);
  assert.ok(bytes.length < 12, "and nothing else goes");
  const [copy, same] = decode(bytes);
  assert.equal(Object.getPrototypeOf(copy), Uint8Array.prototype);
  assert.deepEqual([...copy], [...buffer]);
  assert.equal(copy.buffer.byteLength, 2);
  assert.equal(copy, same);
});

test("decoded bytes do not show the message they came in", () => {
  const message = Buffer.concat([
    Buffer.from("around"),
    encode(new Uint8Array([1])),
    Buffer.from("it"),
  ]);
  const value = decode(message.subarray(6, message.length - 2));
  assert.equal(value.buffer.byteLength, 1);
});

test("errors keep name, message and cause; others become Error; stacks go by option", () => {
  class Custom extends Error {}
  for (const type of [
    Error,
    EvalError,
    RangeError,
    ReferenceError,
    SyntaxError,
    TypeError,
    URIError,
  ]) {
    const copy = clone(new type("text", { cause: [1] }));
    assert.equal(Object.getPrototypeOf(copy), type.prototype);
    assert.deepEqual([copy.message, copy.cause], ["text", [1]]);
    assert.ok(!Object.keys(copy).includes("cause"));
  }
  assert.equal(Object.getPrototypeOf(clone(new Custom("c"))), Error.prototype);
  assert.equal(Object.getPrototypeOf(clone(new AggregateError([], "a"))), Error.prototype);
  const error = new Error("where");
  assert.equal(clone(error).stack, "Error: where");
  assert.equal(clone(error, { stacks: true }).stack, error.stack);
  const exception = clone(new DOMException("stopped", "AbortError"));
  assert.ok(exception instanceof DOMException && exception.code === 20);
});

test("blobs and files take their bytes along", async () => {
  const value = {
    blob: new Blob(["hällo"], { type: "a/b" }),
    file: new File(["x"], "n", { lastModified: 7 }),
  };
  refused(value, "not at once");
  const copy = decode(await encodeAsync(value));
  assert.equal(await copy.blob.text(), "hällo");
  assert.equal(copy.blob.type, "a/b");
  assert.ok(copy.file instanceof File && copy.file.lastModified === 7 && copy.file.name === "n");
});

test("views and buffers are what they are, whatever they say of themselves", () => {
  const says = (object, said) => {
    for (const [name, value] of Object.entries(said)) Object.defineProperty(object, name, { value });
    return object;
  };
  const bytes = Uint8Array.of(1, 2, 3, 4);
  const lies = { length: 1, byteLength: 1, byteOffset: 2, buffer: new ArrayBuffer(9) };
  const part = () => new Uint8Array(bytes.buffer, 1, 2);
  assertSame([part()], clone([says(part(), lies)]), "part of a buffer");
  assertSame(new Uint16Array(2), clone(says(new Uint16Array(2), lies)), "words");
  const wide = new DataView(new ArrayBuffer(4), 1, 2);
  assertSame(new DataView(new ArrayBuffer(4), 1, 2), clone(says(wide, lies)), "DataView");
  assertSame(bytes.slice(), clone(says(bytes, lies)), "whole");
  assert.deepEqual([...clone(says(Buffer.from("pooled"), lies))], [...Buffer.from("pooled")]);
  const buffer = { byteLength: 1, detached: true, resizable: true, maxByteLength: 2 ** 30 };
  assertSame(new ArrayBuffer(4), clone(says(new ArrayBuffer(4), buffer)), "ArrayBuffer");
  const resizable = () => new ArrayBuffer(4, { maxByteLength: 8 });
  const fixed = says(resizable(), { resizable: false, maxByteLength: 4 });
  assertSame(resizable(), clone(fixed), "resizable ArrayBuffer");
  assert.equal(clone(new Uint8Array(fixed)).buffer.maxByteLength, 8);
});

test("classes that extend those of the platform do not say what is copied", async () => {
  class Pattern extends RegExp {
    get source() {
      return "other";
    }
    get flags() {
      return "gy";
    }
    get global() {
      return true;
    }
  }
  assertSame(/a+/i, clone(new Pattern("a+", "i")), "RegExp");
  assertSame(/a/dgimsuy, clone(/a/dgimsuy), "all flags");
  assertSame(/a/v, clone(/a/v), "sets");
  class Text extends File {
    get type() {
      return "x/y";
    }
    get name() {
      return "other";
    }
    get lastModified() {
      return 1;
    }
    async arrayBuffer() {
      return new ArrayBuffer(1000);
    }
  }
  if (globalThis.Deno === undefined) {
    // Deno reads a blob by what it says of its size: such a one is refused there.
    Object.defineProperty(Text.prototype, "size", { get: () => 1000 });
  }
  const text = new Text(["of it"], "name", { type: "a/b", lastModified: 7 });
  const file = decode(await encodeAsync(text));
  assert.deepEqual([file.size, file.type, file.name, file.lastModified], [5, "a/b", "name", 7]);
  assert.equal(await file.text(), "of it");
  class Stopped extends DOMException {
    get name() {
      return "Other";
    }
  }
  assert.equal(clone(new Stopped("stopped", "AbortError")).name, "AbortError");
});

/** A blob without content, of a type that the runtime may have its own idea of. */
function encodedBlob(type) {
  return Uint8Array.from([0x1e, 0x09, type.length, ...Buffer.from(type), 0]);
}

test("what is decoded encodes to the same bytes", async () => {
  for (const type of ["text/plain", "text/html", "application/json", ""]) {
    const bytes = encodedBlob(type);
    assert.deepEqual(await encodeAsync(decode(bytes)), bytes, type);
  }
});

test("no code of a value runs but its getters", () => {
  const calls = [];
  const called = (what) => () => void calls.push(what);
  const get = (what) => ({ get: called(what), enumerable: false });
  const trap = new Proxy({}, { get: (_, name) => called(`trap ${name}`) });
  const watched = new Proxy(Object.prototype, trap);
  class Named {
    a = 1;
    static get name() {
      calls.push("static name");
      return "Headers";
    }
  }
  const type = new Proxy(class {}, trap);
  const values = [
    Object.defineProperty({ a: 1 }, Symbol.toStringTag, get("tag")),
    Object.defineProperty(Object.create({}), Symbol.toStringTag, get("tag of its own")),
    Object.setPrototypeOf({ a: 1 }, watched),
    Object.setPrototypeOf({ a: 1 }, Object.setPrototypeOf({}, watched)),
    Object.setPrototypeOf(new Date(5), watched),
    Object.setPrototypeOf([1], watched),
    Object.setPrototypeOf(Uint8Array.of(1), watched),
    Object.create({ constructor: type }),
    new Named(),
  ];
  for (const value of values) encode(value);
  assert.deepEqual(calls, []);
  const refusals = [
    Object.setPrototypeOf(new WeakMap(), { constructor: type }),
    Object.setPrototypeOf(() => {}, watched),
    Object.defineProperty(() => {}, "name", get("name")),
  ];
  for (const value of refusals) refused(value, "refused");
  assert.deepEqual(calls, []);
});

test("a page knows objects by their slots as well, and runs no getter", async () => {
  const kinds = {
    isMap: new Map(),
    isDate: new Date(0),
    isRegExp: /a/,
    isNativeError: new TypeError("t"),
    isPromise: Promise.resolve(),
    isGeneratorObject: (function* () {})(),
    isMapIterator: new Map().keys(),
    isSetIterator: new Set().keys(),
    isArgumentsObject: (function () {
      return arguments;
    })(),
    isModuleNamespaceObject: await import("../lib/value.js"),
  };
  let calls = 0;
  const getter = Object.defineProperty({ a: 1 }, Symbol.toStringTag, { get: () => calls++ });
  for (const [test, value] of Object.entries(kinds)) {
    assert.ok(slots[test](value), test);
    assert.ok(!slots[test]({ a: 1 }), test);
    assert.ok(!slots[test](getter), test);
  }
  assert.equal(calls, 0);
});

test("what cannot leave the process is refused, wherever it stands", async () => {
  const { subtle } = globalThis.crypto;
  const refusals = {
    symbol: Symbol("s"),
    "symbol object": Object(Symbol("s")),
    function: () => {},
    class: class {},
    proxy: new Proxy({ a: 1 }, {}),
    "proxy of an array": new Proxy([], {}),
    arguments: (function () {
      return arguments;
    })(1),
    "sloppy arguments": new Function("return arguments")(1),
    "module namespace": await import("../lib/value.js"),
    "global object": globalThis,
    WeakMap: new WeakMap(),
    WeakSet: new WeakSet(),
    WeakRef: new WeakRef({}),
    promise: Promise.resolve(),
    generator: (function* () {})(),
    "async generator": (async function* () {})(),
    "array iterator": [].values(),
    "map iterator": new Map().keys(),
    "set iterator": new Set().keys(),
    "string iterator": ""[Symbol.iterator](),
    Intl: new Intl.NumberFormat("en"),
    SharedArrayBuffer: new SharedArrayBuffer(1),
    "view on a SharedArrayBuffer": new Uint8Array(new SharedArrayBuffer(1)),
    WebAssembly: new WebAssembly.Module(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0])),
    URL: new URL("http://a"),
    URLSearchParams: new URLSearchParams("a=1"),
    Headers: new Headers(),
    Request: new Request("http://a"),
    Response: new Response(),
    FormData: new FormData(),
    AbortSignal: new AbortController().signal,
    AbortController: new AbortController(),
    Event: new Event("e"),
    EventTarget: new EventTarget(),
    "subclass of EventTarget": new (class extends EventTarget {
      x = 1;
    })(),
    TextEncoder: new TextEncoder(),
    ReadableStream: new ReadableStream(),
    MessagePort: new MessageChannel().port1,
    CryptoKey: await subtle.generateKey({ name: "HMAC", hash: "SHA-256" }, true, ["sign"]),
    KeyObject: crypto.createSecretKey(Buffer.alloc(16)),
    ...(globalThis.Temporal && { Temporal: Temporal.Now.instant() }),
  };
  refusals["MessagePort"].close();
  for (const [what, value] of Object.entries(refusals)) {
    refused(value, what);
    refused({ nested: [value] }, `${what}, nested`);
    refused(new Map([[value, 1]]), `${what}, as a key`);
  }
});

test("a detached buffer and views on it are refused", () => {
  const buffer = new ArrayBuffer(4);
  const view = new Uint8Array(buffer, 0, 2);
  structuredClone(buffer, { transfer: [buffer] });
  refused(buffer, "buffer");
  refused(view, "view");
  const shrunk = new ArrayBuffer(8, { maxByteLength: 8 });
  const outside = [
    new Uint8Array(shrunk, 4, 4),
    new DataView(shrunk, 4, 4),
    new Uint8Array(shrunk, 4),
  ];
  shrunk.resize(2);
  for (const view of outside) refused(view, "view that leaves its buffer");
});

test("nesting ends at the same depth on both sides", () => {
  const nest = (depth) => {
    let value = [];
    for (let i = 1; i < depth; i++) value = i % 2 ? { value } : new Set([value]);
    return value;
  };
  assertSame(nest(MAX_DEPTH), clone(nest(MAX_DEPTH)), "deepest");
  refused(nest(MAX_DEPTH + 1), "deeper");
  const bomb = new Uint8Array(100_000).fill(0x11);
  assert.throws(() => decode(bomb), { name: "DecodeError", code: "TooDeep" });
});

test("the size of a message is limited as soon as it is known", () => {
  assert.equal(encode("x".repeat(10), { maxBytes: 12 }).length, 12);
  for (const value of [
    "x".repeat(11),
    ["x".repeat(5_000_000)],
    new Uint8Array(5_000_000),
    "ü".repeat(20),
  ]) {
    assert.throws(() => encode(value, { maxBytes: 12 }), { name: "QuotaExceededError" });
  }
});

test("errors and blobs are charged what they cost, and many of them are taken", async () => {
  const many = (one, count) => {
    const list = new Uint8Array(2 + count * one.length);
    list[0] = 0x11;
    for (let i = 0; i < count; i++) list.set(one, 1 + i * one.length);
    return list;
  };
  const blob = await encodeAsync(new Blob([]));
  for (const one of [encode(new Error("")), encode(new DOMException("", "")), blob]) {
    assert.equal(decode(many(one, 10_000)).length, 10_000);
    assert.throws(() => decode(many(one, 40_000)), { code: "OverBudget" });
  }
});

test("hostile bytes cost neither memory nor patience", () => {
  const holes = decode(Uint8Array.from([0x11, 0x0b, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x00]));
  assert.equal(holes.length, 4294967295);
  // Gaps just below what engines keep as a map, again and again.
  const gaps = new Uint8Array(3_000_000);
  for (let at = 0; at < gaps.length; at += 6) gaps.set([0x11, 0x0b, 0xff, 0x7f, 0x02, 0x00], at);
  const list = new Uint8Array(gaps.length + 2);
  list[0] = 0x11;
  list.set(gaps, 1);
  assert.throws(() => decode(list), { code: "OverBudget" });
  assert.throws(() => decode(new Uint8Array([0x14, 0xff, 0xff, 0xff, 0xff, 0x0f])), {
    code: "Truncated",
  });
  // A resizable buffer of 2^52 bytes.
  const huge = Uint8Array.from([0x16, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x08, 0x00]);
  assert.throws(() => decode(huge), DecodeError);
  // Of `length` and indices an array has its own idea.
  assert.throws(
    () => decode(Uint8Array.from([0x11, 0x0c, 0x09, 6, ...Buffer.from("length"), 5, 2, 0])),
    { code: "Malformed" },
  );
});

test("what is no bytes is refused by name", () => {
  assert.throws(() => decode("text"), TypeError);
  assert.equal(decode(encode(1).buffer), 1);
});
