import assert from "node:assert/strict";

/**
 * Asserts that two values are copies of each other: the same kinds, the same entries in the same
 * order, and the same objects in the same places. `node:assert` does not follow cycles through keys.
 */
export function assertSame(one, other, context) {
  const partners = new Map();
  const pending = [[one, other]];
  while (pending.length > 0) {
    const [a, b] = pending.pop();
    if (typeof a !== "object" || a === null) {
      assert.ok(Object.is(a, b), `${context}: ${String(a)} became ${String(b)}`);
      continue;
    }
    if (partners.has(a)) {
      assert.equal(partners.get(a), b, `${context}: identity of an object`);
      continue;
    }
    assert.notEqual(a, b, `${context}: not a copy`);
    partners.set(a, b);
    assert.equal(Object.getPrototypeOf(a), Object.getPrototypeOf(b), context);
    const [mine, theirs] = [parts(a), parts(b)];
    assert.equal(mine.length, theirs.length, context);
    mine.forEach((part, i) => pending.push([part, theirs[i]]));
  }
}

/** What an object consists of, in order. */
function parts(value) {
  if (value instanceof Map) return [...value].flat();
  if (value instanceof Set) return [...value];
  if (value instanceof Date) return [value.getTime()];
  if (value instanceof RegExp) return [value.source, value.flags, value.lastIndex];
  if (value instanceof Error || value instanceof DOMException) {
    return [value.name, value.message, value.cause];
  }
  if (ArrayBuffer.isView(value)) return [value.buffer, value.byteOffset, value.byteLength];
  if (value instanceof ArrayBuffer) {
    return [value.maxByteLength, value.resizable, ...new Uint8Array(value)];
  }
  if (value instanceof File) return [value.name, value.lastModified, value.type, value.size];
  if (value instanceof Blob) return [value.type, value.size];
  if ([Boolean, Number, String, BigInt].some((type) => value instanceof type)) {
    return [value.valueOf()];
  }
  const entries = Object.keys(value).flatMap((key) => [key, value[key]]);
  return Array.isArray(value) ? [value.length, ...entries] : entries;
}
