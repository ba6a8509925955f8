// From a value to bytes, as the structured clone walks it: what it may read (own enumerable
// properties, in order), when it calls getters, and what it refuses.

import { dataCloneError, quotaExceededError } from "./errors.js";
import * as kind from "./kinds.js";
import * as tag from "./tags.js";

/**
 * Encodes a value.
 *
 * The bytes of blobs cannot be read at once. Their place is left free: `blobs` says where, and the
 * bytes are whole once `fill` has resolved.
 *
 * @param value any value
 * @param maxBytes what the encoding may take; beyond, a QuotaExceededError is thrown
 * @param stacks whether stack traces of errors go along
 * @param lend whether the bytes may be those of a buffer that the next call uses again
 * @returns {{ bytes: Uint8Array, blobs: {blob: Blob, offset: number, size: number}[] | null }}
 */
export function encodeParts(value, { maxBytes = Infinity, stacks = false, lend = false } = {}) {
  const encoder = new Encoder(maxBytes, stacks);
  try {
    encoder.value(value);
    if (encoder.pos > maxBytes) encoder.tooLarge();
    const bytes = encoder.bytes.subarray(0, encoder.pos);
    return { bytes: lend ? bytes : bytes.slice(), blobs: encoder.blobs };
  } finally {
    encoder.release();
  }
}

/** Reads the blobs into the places that were left for them. */
export async function fill({ bytes, blobs }) {
  if (blobs === null) return bytes;
  for (const { blob, offset, size } of blobs) {
    const content = new Uint8Array(await blobContent.call(blob));
    if (content.length !== size) {
      throw dataCloneError("a blob changed while it was read");
    }
    bytes.set(content, offset);
  }
  return bytes;
}

/** What is kept of the buffer between calls. */
const SCRATCH_KEPT = 1 << 20;
const SCRATCH_FIRST = 1 << 12;

/** Up to this many code units a loop is faster than a TextEncoder. */
const SHORT = 24;

/** So many objects are looked up one by one; for more there is a map. */
const FEW = 8;

let scratch = new Uint8Array(SCRATCH_FIRST);
const text = new TextEncoder();
const float = new DataView(new ArrayBuffer(8));
const floatBytes = new Uint8Array(float.buffer);
const NAN = [0, 0, 0, 0, 0, 0, 0xf8, 0x7f];

class Encoder {
  constructor(maxBytes, stacks) {
    // A getter may post too, and finds no buffer.
    this.bytes = scratch ?? new Uint8Array(SCRATCH_FIRST);
    scratch = null;
    this.pos = 0;
    this.depth = 0;
    this.maxBytes = maxBytes;
    this.stacks = stacks;
    this.blobs = null;
    // Objects that have appeared, in order, and the number of each.
    this.seen = [];
    this.numbers = [];
    this.index = null;
    this.next = 0;
  }

  release() {
    scratch = this.bytes.length <= SCRATCH_KEPT ? this.bytes : new Uint8Array(SCRATCH_FIRST);
  }

  value(value) {
    switch (typeof value) {
      case "string":
        return this.string(value);
      case "number":
        return this.number(value);
      case "boolean":
        return this.byte(value ? tag.TRUE : tag.FALSE);
      case "undefined":
        return this.byte(tag.UNDEFINED);
      case "bigint":
        return this.bigint(value);
      case "object":
        return value === null ? this.byte(tag.NULL) : this.object(value);
      default:
        throw dataCloneError(`${kind.describe(value)} could not be cloned.`);
    }
  }

  object(value) {
    const number = this.numberOf(value);
    if (number !== undefined) {
      this.byte(tag.REF);
      return this.varint(number);
    }
    switch (kind.kindOf(value)) {
      case kind.PLAIN:
        return this.plain(value);
      case kind.ARRAY:
        return this.array(value);
      case kind.MAP:
        return this.map(value);
      case kind.SET:
        return this.set(value);
      case kind.DATE:
        this.appear(value);
        this.byte(tag.DATE);
        return this.f64(getTime.call(value));
      case kind.REGEXP:
        this.appear(value);
        this.byte(tag.REGEXP);
        this.string(regexpSource.call(value));
        return this.string(flagsOf(value));
      case kind.BOXED:
        return this.boxed(value);
      case kind.BUFFER:
        return this.buffer(value);
      case kind.VIEW:
        return this.view(value);
      case kind.ERROR:
        return this.error(value);
      case kind.DOM_EXCEPTION:
        this.appear(value);
        this.byte(tag.DOM_EXCEPTION);
        this.string(exceptionName.call(value));
        return this.string(exceptionMessage.call(value));
      case kind.BLOB:
        return this.blob(value);
      default:
        throw dataCloneError(`${kind.describe(value)} could not be cloned.`);
    }
  }

  plain(value) {
    this.open(value, tag.OBJECT);
    for (const key of Object.keys(value)) {
      // A getter before may have deleted it.
      if (!hasOwn(value, key)) continue;
      const content = value[key];
      this.string(key);
      this.value(content);
    }
    this.close();
  }

  array(value) {
    const { length } = value;
    this.open(value, tag.ARRAY);
    // Indices come first, in order.
    const keys = Object.keys(value);
    const dense = keys.length === length && (length === 0 || keys[length - 1] === `${length - 1}`);
    let named = null;
    let next = 0;
    const count = dense ? length : keys.length;
    for (let at = 0; at < count; at++) {
      let index = at;
      if (!dense) {
        const key = keys[at];
        index = arrayIndex(key);
        if (index === -1) {
          named = keys.slice(at);
          break;
        }
      }
      const item = value[index];
      if (item === undefined && !hasOwn(value, index)) continue;
      if (index > next) this.holes(index - next);
      next = index + 1;
      this.value(item);
    }
    if (length > next) this.holes(length - next);
    if (named !== null) this.properties(value, named);
    this.close();
  }

  properties(value, keys) {
    let any = false;
    for (const key of keys) {
      if (!hasOwn(value, key)) continue;
      const content = value[key];
      if (!any) this.byte(tag.PROPS);
      any = true;
      this.string(key);
      this.value(content);
    }
  }

  holes(count) {
    this.byte(tag.HOLES);
    this.varint(count);
  }

  map(value) {
    this.open(value, tag.MAP);
    // A copy first: what is inside may have getters that change the map.
    const entries = [];
    mapForEach.call(value, (content, key) => entries.push(key, content));
    for (const part of entries) this.value(part);
    this.close();
  }

  set(value) {
    this.open(value, tag.SET);
    const members = [];
    setForEach.call(value, (member) => members.push(member));
    for (const member of members) this.value(member);
    this.close();
  }

  boxed(value) {
    this.appear(value);
    this.byte(tag.BOXED);
    this.value(primitiveOf(value));
  }

  buffer(value) {
    if (isDetached(value)) {
      throw dataCloneError("An ArrayBuffer is detached and could not be cloned.");
    }
    this.appear(value);
    if (isResizable.call(value)) {
      this.byte(tag.RESIZABLE_BUFFER);
      this.varint(maxByteLength.call(value));
    } else {
      this.byte(tag.ARRAY_BUFFER);
    }
    this.raw(new Uint8Array(value));
  }

  view(value) {
    const name = typedArrayName.call(value) ?? "DataView";
    const of = name === "DataView" ? dataView : typedArray;
    const buffer = of.buffer.call(value);
    const number = tag.VIEW_NAMES.indexOf(name);
    if (number === -1 || kind.isShared(buffer)) {
      throw dataCloneError(`${kind.describe(value)} could not be cloned.`);
    }
    const resizable = isResizable.call(buffer);
    if (isDetached(buffer) || (resizable && isOutOfBounds(value, of))) {
      throw dataCloneError("A view on a detached ArrayBuffer could not be cloned.");
    }
    const byteOffset = of.byteOffset.call(value);
    const byteLength = of.byteLength.call(value);
    const isWhole = byteLength === bufferLength.call(buffer);
    if (!isWhole && kind.isBuffer(value)) {
      // Of a Node Buffer only what it shows: the rest of the pool is other people's memory.
      this.appear(value);
      this.next++;
      this.byte(tag.BYTES);
      return this.raw(new Uint8Array(buffer, byteOffset, byteLength));
    }
    const isPlain = name === "Uint8Array" && !resizable && isWhole;
    if (isPlain && this.numberOf(buffer) === undefined) {
      this.appear(value);
      this.appear(buffer);
      this.byte(tag.BYTES);
      return this.raw(value, byteLength);
    }
    this.appear(value);
    const size = tag.VIEW_SIZES[number];
    const tracking = resizable && isTracking(value, of, size);
    this.byte(tracking ? tag.TRACKING_VIEW : tag.VIEW);
    this.byte(number);
    this.varint(byteOffset);
    if (!tracking) this.varint(byteLength / size);
    this.object(buffer);
  }

  error(value) {
    const name = String(value.name);
    const message = Object.getOwnPropertyDescriptor(value, "message");
    const messageText = message !== undefined && "value" in message ? `${message.value}` : "";
    const stack = this.stacks ? value.stack : undefined;
    const cause = hasOwn(value, "cause");
    const flags = (typeof stack === "string" ? tag.HAS_STACK : 0) | (cause ? tag.HAS_CAUSE : 0);
    if (cause) {
      this.open(value, tag.ERROR);
    } else {
      this.appear(value);
      this.byte(tag.ERROR);
    }
    this.byte(flags);
    this.string(tag.NATIVE_ERRORS.has(name) ? name : "Error");
    this.string(messageText);
    if (typeof stack === "string") this.string(stack);
    if (cause) {
      this.value(value.cause);
      this.depth--;
    }
  }

  blob(value) {
    this.appear(value);
    const file = kind.FileType !== undefined && value instanceof kind.FileType;
    this.byte(file ? tag.FILE : tag.BLOB);
    this.string(kind.declaredTypes.get(value) ?? blobType.call(value));
    if (file) {
      this.string(fileName.call(value));
      this.f64(lastModified.call(value));
    }
    const size = blobSize.call(value);
    this.varint(size);
    this.room(size);
    (this.blobs ??= []).push({ blob: value, offset: this.pos, size });
    // What was there before is not for others, should the blob fail to fill it.
    this.bytes.fill(0, this.pos, this.pos + size);
    this.pos += size;
  }

  /** Begins a container, which takes a level. */
  open(value, begin) {
    if (this.depth >= tag.MAX_DEPTH) {
      throw dataCloneError(
        `A value nested deeper than ${tag.MAX_DEPTH} levels could not be cloned.`,
      );
    }
    this.depth++;
    this.appear(value);
    this.byte(begin);
  }

  close() {
    this.depth--;
    this.byte(tag.END);
  }

  appear(value) {
    const { seen } = this;
    if (this.index !== null) {
      this.index.set(value, this.next++);
      return;
    }
    seen.push(value);
    this.numbers.push(this.next++);
    if (seen.length > FEW) {
      this.index = new Map();
      seen.forEach((object, at) => this.index.set(object, this.numbers[at]));
    }
  }

  numberOf(value) {
    if (this.index !== null) return this.index.get(value);
    const at = this.seen.indexOf(value);
    return at === -1 ? undefined : this.numbers[at];
  }

  number(value) {
    if (!Number.isSafeInteger(value) || (value === 0 && 1 / value < 0)) {
      this.byte(tag.F64);
      return this.f64(value);
    }
    this.room(9);
    const { bytes } = this;
    bytes[this.pos++] = tag.INT;
    // Zig-zag without leaving the integers that a Number holds: the sign and six bits, the rest.
    const negative = value < 0;
    const magnitude = negative ? -value - 1 : value;
    const rest = Math.floor(magnitude / 64);
    const low = (magnitude % 64) * 2 + (negative ? 1 : 0);
    if (rest === 0) {
      bytes[this.pos++] = low;
    } else {
      bytes[this.pos++] = low | 0x80;
      this.varint(rest);
    }
  }

  f64(value) {
    this.room(8);
    if (Number.isNaN(value)) {
      // Every NaN is the same.
      floatBytes.set(NAN);
    } else {
      float.setFloat64(0, value, true);
    }
    this.bytes.set(floatBytes, this.pos);
    this.pos += 8;
  }

  bigint(value) {
    const negative = value < 0n;
    this.byte(negative ? tag.BIGINT_NEGATIVE : tag.BIGINT);
    let magnitude = negative ? -value : value;
    if (magnitude === 0n) return this.varint(0);
    // By hexadecimal digits, in time linear in the size.
    let digits = magnitude.toString(16);
    if (digits.length % 2 === 1) digits = `0${digits}`;
    const length = digits.length / 2;
    this.varint(length);
    this.room(length);
    for (let at = digits.length; at > 0; at -= 2) {
      this.bytes[this.pos++] = parseInt(digits.slice(at - 2, at), 16);
    }
  }

  string(value) {
    const { length } = value;
    if (length <= SHORT) {
      this.room(length + 2);
      const { bytes } = this;
      let at = this.pos + 2;
      let unit = 0;
      for (let i = 0; i < length; i++) {
        unit = value.charCodeAt(i);
        if (unit > 0x7f) break;
        bytes[at++] = unit;
      }
      if (unit <= 0x7f) {
        bytes[this.pos] = tag.STR;
        bytes[this.pos + 1] = length;
        this.pos = at;
        return;
      }
    }
    if (!value.isWellFormed()) return this.utf16(value);
    // The length comes first and is not known: as if it were ASCII, and moved if it was not.
    const guess = varintLength(length);
    this.room(1 + 8 + 3 * length, 1 + length);
    const start = this.pos + 1 + guess;
    const { written } = text.encodeInto(value, this.bytes.subarray(start));
    const actual = varintLength(written);
    if (actual !== guess) {
      this.bytes.copyWithin(start + actual - guess, start, start + written);
    }
    this.bytes[this.pos++] = tag.STR;
    this.varint(written);
    this.pos += written;
  }

  utf16(value) {
    this.byte(tag.STR16);
    this.varint(2 * value.length);
    this.room(2 * value.length);
    for (let i = 0; i < value.length; i++) {
      const unit = value.charCodeAt(i);
      this.bytes[this.pos++] = unit & 0xff;
      this.bytes[this.pos++] = unit >> 8;
    }
  }

  /** A length and bytes. */
  raw(content, length = content.length) {
    this.varint(length);
    this.room(length);
    this.bytes.set(content, this.pos);
    this.pos += length;
  }

  varint(value) {
    this.room(8);
    const { bytes } = this;
    let rest = value;
    while (rest > 0x7fffffff) {
      bytes[this.pos++] = (rest % 128) | 0x80;
      rest = Math.floor(rest / 128);
    }
    while (rest > 0x7f) {
      bytes[this.pos++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    bytes[this.pos++] = rest;
  }

  byte(value) {
    this.room(1);
    this.bytes[this.pos++] = value;
  }

  /** Makes room for so many bytes, of which at least `needed` will be used. */
  room(count, needed = count) {
    const end = this.pos + count;
    if (end <= this.bytes.length) return;
    if (this.pos + needed > this.maxBytes) this.tooLarge();
    const bytes = new Uint8Array(Math.max(2 * this.bytes.length, end));
    bytes.set(this.bytes.subarray(0, this.pos));
    this.bytes = bytes;
  }

  tooLarge() {
    throw quotaExceededError(`The message takes more than ${this.maxBytes} bytes.`);
  }
}

function varintLength(value) {
  let length = 1;
  for (let rest = value; rest > 0x7f; rest = Math.floor(rest / 128)) length++;
  return length;
}

/** The index that a key is, or -1. */
export function arrayIndex(key) {
  const index = Number(key);
  // 2^32 - 1 is a name like any other.
  return index >= 0 && index < 0xffffffff && Number.isInteger(index) && `${index}` === key
    ? index
    : -1;
}

function isDetached(buffer) {
  if (detached !== undefined) return detached.call(buffer);
  if (bufferLength.call(buffer) > 0) return false;
  // It refuses a view.
  try {
    new Uint8Array(buffer);
    return false;
  } catch {
    return true;
  }
}

/** Whether a view leaves a buffer that became shorter. */
function isOutOfBounds(value, of) {
  try {
    // Of a DataView this is refused; of others it is 0.
    if (of.byteLength.call(value) > 0 || of.byteOffset.call(value) > 0) return false;
    // Methods refuse what is out of bounds.
    if (of === typedArray) typedArrayAt.call(value, 0);
    return false;
  } catch {
    return true;
  }
}

/**
 * Whether a view follows the length of its buffer. Nothing says so: it has to be tried, with a copy
 * of it.
 */
function isTracking(value, of, size) {
  const copy = structuredClone(value);
  const { buffer, byteOffset, byteLength } = copy;
  const room = buffer.byteLength - byteOffset;
  // One that ends before the buffer does has a length of its own.
  if (byteLength !== room - (room % size)) return false;
  if (buffer.byteLength + size <= buffer.maxByteLength) {
    buffer.resize(buffer.byteLength + size);
    return copy.byteLength !== byteLength;
  }
  if (byteLength === 0) return false;
  buffer.resize(buffer.byteLength - size);
  return !isOutOfBounds(copy, of);
}

function primitiveOf(value) {
  for (const valueOf of valueOfs) {
    try {
      return valueOf.call(value);
    } catch {
      // Of another kind.
    }
  }
  return undefined;
}

function flagsOf(regexp) {
  let flags = "";
  for (const [flag, isSet] of regexpFlags) if (isSet.call(regexp)) flags += flag;
  return flags;
}

/** A getter that a prototype has or inherits: it tells what an object is, not what that says. */
function getter(proto, name) {
  for (let at = proto; at != null; at = Object.getPrototypeOf(at)) {
    const found = Object.getOwnPropertyDescriptor(at, name);
    if (found !== undefined) return found.get;
  }
  return undefined;
}

function getters(proto) {
  const [buffer, byteLength, byteOffset] = ["buffer", "byteLength", "byteOffset"].map((name) =>
    getter(proto, name),
  );
  return { buffer, byteLength, byteOffset };
}

const { hasOwn } = Object;
const { getTime } = Date.prototype;
const mapForEach = Map.prototype.forEach;
const setForEach = Set.prototype.forEach;
const valueOfs = [Boolean, Number, String, BigInt].map((type) => type.prototype.valueOf);

const typedArrayPrototype = Object.getPrototypeOf(Uint8Array.prototype);
const typedArrayAt = typedArrayPrototype.at;
const typedArrayName = getter(typedArrayPrototype, Symbol.toStringTag);
const typedArray = getters(typedArrayPrototype);
const dataView = getters(DataView.prototype);
const bufferLength = getter(ArrayBuffer.prototype, "byteLength");
const isResizable = getter(ArrayBuffer.prototype, "resizable") ?? (() => false);
const maxByteLength = getter(ArrayBuffer.prototype, "maxByteLength");
/** Not everywhere. */
const detached = getter(ArrayBuffer.prototype, "detached");

const regexpSource = getter(RegExp.prototype, "source");
const regexpFlags = Object.entries({
  d: "hasIndices",
  g: "global",
  i: "ignoreCase",
  m: "multiline",
  s: "dotAll",
  u: "unicode",
  v: "unicodeSets",
  y: "sticky",
})
  .map(([flag, name]) => [flag, getter(RegExp.prototype, name)])
  .filter(([, isSet]) => isSet !== undefined);

const exceptionName = getter(kind.DomExceptionType?.prototype, "name");
const exceptionMessage = getter(kind.DomExceptionType?.prototype, "message");
const blobSize = getter(kind.BlobType?.prototype, "size");
const blobType = getter(kind.BlobType?.prototype, "type");
const blobContent = kind.BlobType?.prototype.arrayBuffer;
const fileName = getter(kind.FileType?.prototype, "name");
const lastModified = getter(kind.FileType?.prototype, "lastModified");
