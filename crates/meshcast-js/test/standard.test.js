// What the HTML standard says of BroadcastChannel (9.5) and of the structured clone (2.7), sentence
// by sentence, as far as it makes sense where there is no page. A page's part, which is left out:
// windows and their unloading, workers that are suspended, partitioning by site, cross-origin
// isolation, transfer, ImageData and other objects of a page.

import assert from "node:assert/strict";
import { once } from "node:events";
import { after, test } from "node:test";
import vm from "node:vm";
import { BroadcastChannel, configure } from "../lib/index.js";
import { assertSame } from "./same.js";

configure({ alone: true });

const poster = new BroadcastChannel("standard");
const listener = new BroadcastChannel("standard");
after(() => {
  poster.close();
  listener.close();
});

/** What arrives of a value. */
async function clone(value) {
  const arrived = Promise.race([once(listener, "message"), once(listener, "messageerror")]);
  poster.postMessage(value);
  const [event] = await arrived;
  assert.equal(event.type, "message");
  return event.data;
}

const copies = (title, make, look = () => {}) =>
  test(`clones ${title}`, async () => {
    const value = make();
    const copy = await clone(value);
    assertSame(value, copy, title);
    look(copy, value);
  });
const becomes = (title, make, expected) =>
  test(`clones ${title}`, async () => assertSame(expected(), await clone(make()), title));
const refuses = (title, make) =>
  test(`refuses ${title}`, () => {
    for (const value of [make(), { inside: make() }, [make()], new Map([[1, make()]])]) {
      assert.throws(
        () => poster.postMessage(value),
        (error) =>
          error instanceof DOMException && error.name === "DataCloneError" && error.code === 25,
      );
    }
  });

// 2.7.3, step 4: primitives are what they are.
const strings = { empty: "", text: "text", NUL: "a\0b", "lone lead surrogate": "a\ud800" };
Object.assign(strings, {
  "lone trail surrogate": "\udc00b",
  astral: "\u{1f30d}",
  long: "ä".repeat(5000),
});
const numbers = [0.2, 0, -0, NaN, Infinity, -Infinity, 2 ** 53, -(2 ** 53), 2 ** 53 + 2, 5e-324];
const bigints = [0n, 1n, -1n, 2n ** 64n, -(2n ** 127n) - 3n];
const show = (number) => (Object.is(number, -0) ? "-0" : `${number}`);
for (const value of [undefined, null, true, false]) copies(`${value}`, () => value);
for (const [title, value] of Object.entries(strings)) copies(`a string: ${title}`, () => value);
for (const value of numbers) copies(`the number ${show(value)}`, () => value);
for (const value of bigints) copies(`the bigint ${value}`, () => value);
copies("an array of primitives", () => [undefined, null, true, ...numbers, ...bigints, "x"]);
copies("an object of primitives", () => ({
  ...strings,
  ...numbers,
  no: false,
  nothing: undefined,
}));

// Steps 7 to 10: objects with the data of a primitive.
for (const value of [true, false]) copies(`a Boolean object: ${value}`, () => new Boolean(value));
for (const [title, value] of Object.entries(strings)) {
  copies(`a String object: ${title}`, () => new String(value));
}
for (const value of numbers.slice(0, 6)) {
  copies(`a Number object: ${show(value)}`, () => new Number(value));
}
for (const value of [0n, -(2n ** 70n)]) copies(`a BigInt object: ${value}`, () => Object(value));
copies("an array of primitive objects", () => [new Number(1), new String("x"), Object(1n)]);

// Steps 11 and 12.
for (const time of [0, -1, 8.64e15, -8.64e15, NaN]) copies(`a date: ${time}`, () => new Date(time));
for (const [source, flags] of [
  ["(?:)", ""],
  ["a/b", "g"],
  ["\\n", "im"],
  ["x", "suy"],
  ["[ä]", "d"],
]) {
  copies(`a regular expression: /${source}/${flags}`, () => new RegExp(source, flags));
}
becomes(
  "a regular expression without its last index",
  () => Object.assign(/a/g, { lastIndex: 2 }),
  () => /a/g,
);

// Step 13: buffers. Steps 14: views.
copies("an ArrayBuffer", () => Uint8Array.of(1, 2, 3).buffer);
copies("an empty ArrayBuffer", () => new ArrayBuffer(0));
copies("a resizable ArrayBuffer", () => new ArrayBuffer(4, { maxByteLength: 16 }));
for (const type of [
  Int8Array,
  Uint8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  Float32Array,
  Float64Array,
  BigInt64Array,
  BigUint64Array,
  DataView,
]) {
  copies(`a ${type.name}, with its offset`, () => new type(new ArrayBuffer(32), 8, 2));
}
copies("a view that follows the length of its buffer", () => {
  return new Uint8Array(new ArrayBuffer(4, { maxByteLength: 16 }));
});
copies(
  "two views on one buffer",
  () => {
    const buffer = new ArrayBuffer(8);
    return [new Uint8Array(buffer), new Uint16Array(buffer, 2)];
  },
  ([one, other]) => assert.equal(one.buffer, other.buffer),
);
refuses("a detached ArrayBuffer", () => {
  const buffer = new ArrayBuffer(1);
  structuredClone(buffer, { transfer: [buffer] });
  return buffer;
});
refuses("a view on a detached ArrayBuffer", () => {
  const view = new Uint8Array(1);
  structuredClone(view, { transfer: [view.buffer] });
  return view;
});

// Steps 15 and 16, and 26.
copies(
  "a map, in order",
  () =>
    new Map([
      [2, "b"],
      [{}, new Map()],
      [1, "a"],
    ]),
);
copies("a set, in order", () => new Set([2, {}, "x", 1]));
copies("a map that contains itself", () => {
  const map = new Map();
  return map.set(map, map);
});
becomes(
  "a map as it is when it is posted, without properties",
  () => Object.assign(new Map([[1, 2]]), { extra: 1 }),
  () => new Map([[1, 2]]),
);

// Step 17: errors.
for (const type of [
  Error,
  EvalError,
  RangeError,
  ReferenceError,
  SyntaxError,
  TypeError,
  URIError,
]) {
  copies(`a ${type.name}`, () => new type("message"));
}
copies("an error without a message", () => new Error());
becomes(
  "an error of a class that is not native as Error",
  () =>
    new (class Special extends RangeError {
      name = "Special";
    })("message"),
  () => new Error("message"),
);
becomes(
  "an error by its name, whatever its prototype says",
  () => Object.assign(new Error("message"), { name: "TypeError" }),
  () => new TypeError("message"),
);
becomes(
  "an error without a message that is a getter, and without other properties",
  () =>
    Object.defineProperty(Object.assign(new Error(), { code: 7 }), "message", { get: () => "x" }),
  () => new Error(),
);
becomes(
  "the message of an error as a string",
  () => Object.assign(new Error(), { message: 7 }),
  () => new Error("7"),
);
copies("a DOMException", () => new DOMException("message", "AbortError"));

// Steps 18 to 25.
copies("an array with holes", () => [1, , 3, ,]);
copies("an array with other properties", () => Object.assign([1, 2], { name: "x", "-1": 3 }));
copies("a long array with few items", () => Object.assign([], { 4000000000: "far" }));
copies("an object with indices and a length", () => ({ 0: "a", length: 5 }));
copies("an object in the order of its properties", () => ({ z: 1, a: { y: 2, b: 3 }, 7: 4 }));
copies("an object that contains itself", () => {
  const object = { list: [] };
  object.self = object;
  object.list.push(object.list, object);
  return object;
});
copies(
  "an object that is twice there",
  () => {
    const twice = {};
    return { one: twice, other: [twice] };
  },
  ({ one, other }) => assert.equal(one, other[0]),
);
becomes(
  "own enumerable properties with string keys alone",
  () =>
    Object.defineProperty(Object.create({ inherited: 1 }, {}), "hidden", { value: 1 }) &&
    Object.assign(Object.create({ inherited: 1 }), { own: 1, [Symbol("s")]: 1 }),
  () => ({ own: 1 }),
);
becomes(
  "an instance of a class as a plain object",
  () =>
    new (class Point {
      #secret = 1;
      x = this.#secret;
      get y() {
        return 2;
      }
    })(),
  () => ({ x: 1 }),
);
becomes(
  "an object without a prototype",
  () => Object.assign(Object.create(null), { a: 1 }),
  () => ({ a: 1 }),
);
becomes(
  "a subclass of Array as an array",
  () => new (class List extends Array {})(1, 2),
  () => [1, 2],
);
becomes(
  "what a getter returns",
  () => ({
    get a() {
      return [1];
    },
  }),
  () => ({ a: [1] }),
);
becomes(
  "no property that a getter before has deleted",
  () => {
    const object = {
      get a() {
        delete object.b;
        return 1;
      },
      b: 2,
    };
    return object;
  },
  () => ({ a: 1 }),
);
test("clones a property __proto__ as one, and sets no prototype", async () => {
  const copy = await clone(JSON.parse('{"__proto__": {"evil": true}}'));
  assert.equal(Object.getPrototypeOf(copy), Object.prototype);
  assert.deepEqual(Object.keys(copy), ["__proto__"]);
  assert.equal(copy.evil, undefined);
});
test("defines properties, and calls no setter of the receiver", async () => {
  let called = false;
  Object.defineProperty(Object.prototype, "trap", {
    set: () => (called = true),
    configurable: true,
  });
  try {
    const value = Object.defineProperty({}, "trap", { value: 1, enumerable: true });
    assert.equal((await clone(value)).trap, 1);
    assert.equal(called, false);
  } finally {
    delete Object.prototype.trap;
  }
});
test("makes properties that are writable, enumerable and configurable", async () => {
  const copy = await clone(Object.freeze({ a: 1 }));
  assert.deepEqual(Object.getOwnPropertyDescriptor(copy, "a"), {
    value: 1,
    writable: true,
    enumerable: true,
    configurable: true,
  });
});
test("passes on what a getter throws, and posts nothing", async () => {
  const thrown = new Error("of a getter");
  const value = {
    get a() {
      throw thrown;
    },
  };
  assert.throws(
    () => poster.postMessage(value),
    (error) => error === thrown,
  );
  assert.equal(await clone("next"), "next");
});
for (const code of ["({ a: [1] })", "new Map([[1, 2]])", "new Date(5)", "new RangeError('x')"]) {
  test(`clones an object of another realm into this one: ${code}`, async () => {
    const copy = await clone(vm.runInNewContext(code));
    const here = [Object, Map, Date, RangeError].some((type) => {
      return Object.getPrototypeOf(copy) === type.prototype;
    });
    assert.ok(here, Object.prototype.toString.call(copy));
  });
}

// Serializable platform objects: step 19.
test("clones a Blob with its type and bytes", async () => {
  const blob = new Blob(["a\0ä"], { type: "text/plain" });
  const copy = await clone(blob);
  assert.deepEqual([copy.type, copy.size, await copy.text()], [blob.type, 4, "a\0ä"]);
});
test("clones a Blob whose class is taken from the global object", async () => {
  const { Blob } = globalThis;
  const blob = new Blob(["here"]);
  delete globalThis.Blob;
  try {
    const copy = await clone(blob);
    assert.ok(copy instanceof Blob);
    assert.equal(await copy.text(), "here");
  } finally {
    Object.defineProperty(globalThis, "Blob", {
      value: Blob,
      writable: true,
      configurable: true,
    });
  }
});

test("clones an empty Blob", async () => assert.equal((await clone(new Blob([]))).size, 0));
test("clones a File with its name and time", async () => {
  const copy = await clone(new File(["x"], "näme", { type: "a/b", lastModified: 42 }));
  assert.deepEqual([copy.name, copy.type, copy.lastModified], ["näme", "a/b", 42]);
  assert.equal(await copy.text(), "x");
});

// Steps 5, 6, 20 and 23: what cannot be cloned.
refuses("a symbol", () => Symbol("s"));
refuses("a Symbol object", () => Object(Symbol("s")));
refuses("a function", () => () => {});
refuses("a class", () => class {});
refuses("a promise", () => Promise.resolve());
refuses("a WeakMap", () => new WeakMap());
refuses("a WeakSet", () => new WeakSet());
refuses("a WeakRef", () => new WeakRef({}));
refuses("a generator", () => (function* () {})());
refuses("an iterator of a map", () => new Map().entries());
refuses("an arguments object", () =>
  (function () {
    return arguments;
  })(),
);
refuses("a proxy", () => new Proxy({}, {}));
refuses("the global object", () => globalThis);
refuses("a SharedArrayBuffer, which stays in its agent cluster", () => new SharedArrayBuffer(1));
refuses("an object of the platform that is not serializable", () => new URLSearchParams("a=1"));
refuses("an event target", () => new EventTarget());
refuses("a channel", () => poster);

// 9.5: the class.
let pairs = 0;
const pair = (t, ...names) => {
  const [name] = names.length > 0 ? names : [`standard ${pairs++}`];
  const made = [1, 2].map(() => new BroadcastChannel(name));
  t.after(() => made.forEach((channel) => channel.close()));
  return made;
};
test("needs `new`, and a name", () => {
  assert.throws(() => BroadcastChannel("x"), TypeError);
  assert.throws(() => new BroadcastChannel(), TypeError);
});
for (const [name, text] of [
  [null, "null"],
  [undefined, "undefined"],
  [123, "123"],
  ["", ""],
]) {
  test(`the name ${JSON.stringify(name) ?? name} is the string ${JSON.stringify(text)}`, async (t) => {
    const [a, b] = pair(t, name);
    assert.equal(a.name, text);
    const arrived = once(b, "message");
    a.postMessage(1);
    assert.equal((await arrived)[0].data, 1);
  });
}
test("a name that cannot be made a string is a TypeError", () => {
  assert.throws(() => new BroadcastChannel(Symbol("s")), TypeError);
});
test("posting needs a message, also undefined", () => {
  assert.throws(() => poster.postMessage(), TypeError);
});
test("posting on a closed channel is an InvalidStateError, before anything is cloned", (t) => {
  const [a] = pair(t);
  a.close();
  assert.throws(() => a.postMessage(() => {}), { name: "InvalidStateError", code: 11 });
});
test("closing again does nothing, and the name stays", (t) => {
  const [a] = pair(t);
  a.close();
  a.close();
  assert.match(a.name, /standard/);
});
test("handlers are null at first, and again for what is no object", (t) => {
  const [a] = pair(t);
  for (const type of ["onmessage", "onmessageerror"]) {
    assert.equal(a[type], null);
    a[type] = () => {};
    assert.equal(typeof a[type], "function");
    a[type] = 5;
    assert.equal(a[type], null);
  }
});
test("a message event is one, with the fields that it has without an origin", async (t) => {
  const [a, b] = pair(t);
  const arrived = once(b, "message");
  a.postMessage(1);
  const [event] = await arrived;
  assert.ok(event instanceof MessageEvent);
  const { type, target, origin, lastEventId, source, bubbles, cancelable } = event;
  assert.deepEqual(
    [type, target, origin, lastEventId, source, bubbles, cancelable],
    ["message", b, "", "", null, false, false],
  );
  assert.deepEqual([...event.ports], []);
});
test("each message is fired at all others in the order of their making, in a task each", async (t) => {
  const name = "standard order";
  const [a, b] = pair(t, name);
  const [c] = pair(t, name);
  const log = [];
  [a, b, c].forEach((channel, i) => (channel.onmessage = ({ data }) => log.push([i, data])));
  a.postMessage("a");
  c.postMessage("c");
  b.postMessage("b");
  assert.deepEqual(log, []);
  while (log.length < 6) await new Promise((resolve) => setTimeout(resolve));
  assert.deepEqual(log, [
    [1, "a"],
    [2, "a"],
    [0, "c"],
    [1, "c"],
    [0, "b"],
    [2, "b"],
  ]);
});
