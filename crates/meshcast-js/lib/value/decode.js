// From bytes nobody vouches for to a value. A length is a claim: it is compared with what is left
// before anything is done with it. Keys are defined, never assigned.

import { DecodeError } from "./errors.js";
import { BlobType, FileType, declaredTypes } from "./kinds.js";
import * as tag from "./tags.js";

/** What a value may take in memory: far above any message, far below what hurts a process. */
const MAX_MEMORY = 64 << 20;
/** What the resizable buffers of a value may reserve, which is addresses and not memory. */
const MAX_RESERVED = 1 << 30;
/** About what an object, an entry or element costs before its content. */
const OBJECT_COST = 64;
const SLOT_COST = 16;
/** What errors and blobs cost more: some KiB in engines, and 50 times the time of other objects. */
const HEAVY_COST = 2048;
/** Holes in a row from which on engines keep an array as a map. */
const SHORT_GAP = 1024;
/** Up to this many bytes a loop is faster than a TextDecoder. */
const SHORT = 24;

/**
 * The value that takes up all of `bytes`.
 *
 * @throws {DecodeError}
 */
export function decode(bytes) {
  const decoder = new Decoder(bytes);
  const value = decoder.value();
  if (decoder.pos < bytes.length) {
    throw new DecodeError("TrailingBytes", "unexpected bytes after the value", decoder.pos);
  }
  return value;
}

const text = new TextDecoder("utf-8", { ignoreBOM: true });
/** Several times slower. */
const strict = new TextDecoder("utf-8", { fatal: true });

const float = new DataView(new ArrayBuffer(8));
const floatBytes = new Uint8Array(float.buffer);

class Decoder {
  constructor(bytes) {
    this.bytes = bytes;
    this.pos = 0;
    this.depth = 0;
    this.memory = MAX_MEMORY;
    this.reserved = MAX_RESERVED;
    // In the order of first appearance, so that the number in a reference is an index.
    this.objects = [];
  }

  value() {
    const at = this.pos;
    const kind = this.byte();
    switch (kind) {
      case tag.UNDEFINED:
        return undefined;
      case tag.NULL:
        return null;
      case tag.FALSE:
        return false;
      case tag.TRUE:
        return true;
      case tag.INT:
        return this.int();
      case tag.F64:
        return this.f64();
      case tag.STR:
        return this.utf8();
      case tag.STR16:
        return this.utf16();
      case tag.BIGINT:
        return this.bigint();
      case tag.BIGINT_NEGATIVE:
        return -this.bigint();
      case tag.REF:
        return this.reference(at);
      case tag.OBJECT:
        return this.object();
      case tag.ARRAY:
        return this.array();
      case tag.MAP:
        return this.map();
      case tag.SET:
        return this.set();
      case tag.BYTES: {
        const view = this.content();
        this.add(view);
        this.add(view.buffer);
        return view;
      }
      case tag.ARRAY_BUFFER:
      case tag.RESIZABLE_BUFFER:
        return this.buffer(kind);
      case tag.VIEW:
      case tag.TRACKING_VIEW:
        return this.view(kind);
      case tag.DATE:
        return this.add(new Date(this.f64()));
      case tag.REGEXP:
        return this.regexp(at);
      case tag.BOXED:
        return this.boxed();
      case tag.ERROR:
        return this.error();
      case tag.DOM_EXCEPTION: {
        this.charge(HEAVY_COST);
        const name = this.string();
        return this.add(new DOMException(this.string(), name));
      }
      case tag.BLOB:
      case tag.FILE:
        return this.blob(kind);
      default:
        throw unexpected(kind, at);
    }
  }

  object() {
    this.enter();
    const object = this.add({});
    while (!this.ends()) {
      this.charge(SLOT_COST);
      const key = this.string();
      define(object, key, this.value());
    }
    return object;
  }

  array() {
    this.enter();
    const array = this.add([]);
    let length = 0;
    for (;;) {
      const at = this.pos;
      const next = this.peek();
      if (next === tag.HOLES) {
        this.pos++;
        const count = this.varint();
        if (count === 0 || length + count > 0xffffffff) {
          throw malformed("impossible number of holes", at);
        }
        // An engine may make room for a short gap; across a long one it goes over to a map.
        this.charge(Math.min(count, SHORT_GAP) * SLOT_COST);
        length += count;
      } else if (next === tag.PROPS) {
        this.pos++;
        stretch(array, length);
        while (!this.ends()) this.named(array);
        return array;
      } else if (this.ends()) {
        stretch(array, length);
        return array;
      } else {
        this.charge(SLOT_COST);
        const item = this.value();
        if (length === 0xffffffff) throw malformed("array longer than 2^32 - 1", at);
        array[length++] = item;
      }
    }
  }

  named(array) {
    const at = this.pos;
    this.charge(SLOT_COST);
    const key = this.string();
    // Assigning it would change the elements.
    if (key === "length") throw malformed("a named property that every array has", at);
    define(array, key, this.value());
  }

  map() {
    this.enter();
    const map = this.add(new Map());
    while (!this.ends()) {
      this.charge(2 * SLOT_COST);
      const key = this.value();
      if (this.peek() === tag.END) throw unexpected(tag.END, this.pos);
      map.set(key, this.value());
    }
    return map;
  }

  set() {
    this.enter();
    const set = this.add(new Set());
    while (!this.ends()) {
      this.charge(SLOT_COST);
      set.add(this.value());
    }
    return set;
  }

  buffer(kind) {
    const at = this.pos;
    const max = kind === tag.RESIZABLE_BUFFER ? this.varint() : undefined;
    const place = this.objects.length;
    const bytes = this.content();
    if (max === undefined) return this.add(bytes.buffer);
    if (max < bytes.length || max > Number.MAX_SAFE_INTEGER) {
      throw malformed("impossible largest length of a buffer", at);
    }
    this.reserved -= max;
    if (this.reserved < 0) throw overBudget(MAX_RESERVED);
    const buffer = made("resizable ArrayBuffer", at, () => {
      return new ArrayBuffer(bytes.length, { maxByteLength: max });
    });
    if (buffer.resizable !== true) throw unsupported("resizable ArrayBuffer", at);
    new Uint8Array(buffer).set(bytes);
    this.objects[place] = buffer;
    this.charge(OBJECT_COST);
    return buffer;
  }

  view(kind) {
    const at = this.pos;
    const number = this.byte();
    if (number >= tag.VIEW_NAMES.length) throw malformed("unknown kind of view", at);
    const offset = this.varint();
    const length = kind === tag.VIEW ? this.varint() : undefined;
    // Its number comes before that of its buffer.
    const place = this.objects.length;
    this.add(undefined);
    const bufferAt = this.pos;
    const buffer = this.bufferOfView();
    if (!(buffer instanceof ArrayBuffer)) throw invalidReference(bufferAt);
    if (length === undefined && buffer.resizable !== true) {
      throw malformed("length-tracking view of a fixed buffer", at);
    }
    const size = tag.VIEW_SIZES[number];
    const room = buffer.byteLength - offset;
    if (offset % size !== 0 || room < 0 || (length ?? 0) > room / size) {
      throw malformed("view that is misaligned or leaves its buffer", at);
    }
    const type = tag.VIEWS[number];
    if (type === undefined) throw unsupported(tag.VIEW_NAMES[number], at);
    const view =
      length === undefined
        ? tracking(type, buffer, offset, size)
        : new type(buffer, offset, length);
    this.objects[place] = view;
    return view;
  }

  bufferOfView() {
    const at = this.pos;
    const kind = this.byte();
    if (kind === tag.ARRAY_BUFFER || kind === tag.RESIZABLE_BUFFER) return this.buffer(kind);
    if (kind === tag.REF) return this.reference(at);
    throw unexpected(kind, at);
  }

  regexp(at) {
    const place = this.objects.length;
    this.add(undefined);
    const source = this.string();
    const flags = this.string();
    const regexp = made("regular expression", at, () => new RegExp(source, flags));
    this.objects[place] = regexp;
    return regexp;
  }

  boxed() {
    const at = this.pos;
    const kind = this.peek();
    switch (kind) {
      case tag.FALSE:
      case tag.TRUE:
      case tag.INT:
      case tag.F64:
      case tag.BIGINT:
      case tag.BIGINT_NEGATIVE:
      case tag.STR:
      case tag.STR16:
        return this.add(Object(this.value()));
      default:
        throw unexpected(kind, at);
    }
  }

  error() {
    this.charge(HEAVY_COST);
    const at = this.pos;
    const flags = this.byte();
    if ((flags & ~(tag.HAS_STACK | tag.HAS_CAUSE)) !== 0) {
      throw malformed("unknown flags of an error", at);
    }
    const withCause = (flags & tag.HAS_CAUSE) !== 0;
    const name = this.string();
    const message = this.string();
    const type = tag.NATIVE_ERRORS.get(name) ?? Error;
    const error = this.add(message === "" ? new type() : new type(message));
    if (type.name !== name) hide(error, "name", name);
    const stack = (flags & tag.HAS_STACK) !== 0 ? this.string() : undefined;
    // The frames of this decoder say nothing about the error.
    hide(error, "stack", stack ?? (message === "" ? name : `${name}: ${message}`));
    if (withCause) {
      this.enter();
      hide(error, "cause", this.value());
      this.depth--;
    }
    return error;
  }

  blob(kind) {
    this.charge(HEAVY_COST);
    const place = this.objects.length;
    this.add(undefined);
    const type = this.string();
    const name = kind === tag.FILE ? this.string() : undefined;
    const lastModified = kind === tag.FILE ? this.f64() : undefined;
    const content = this.content();
    const blob =
      name === undefined
        ? new BlobType([content], { type })
        : new FileType([content], name, { type, lastModified });
    // Bun adds a charset to types that it knows.
    if (type !== "" && blob.type !== type && blob.type.startsWith(type)) {
      hide(blob, "type", type);
      declaredTypes.set(blob, type);
    }
    this.objects[place] = blob;
    return blob;
  }

  reference(at) {
    const index = this.varint();
    if (index >= this.objects.length) throw invalidReference(at);
    return this.objects[index];
  }

  /** A copy of so many bytes as they say themselves, as a view over exactly its buffer. */
  content() {
    const at = this.pos;
    const length = this.varint();
    const { bytes } = this;
    if (length > bytes.length - this.pos) throw truncated(at);
    this.charge(length);
    // Not `slice`, which makes of a Buffer another view on the same memory.
    const content = new Uint8Array(length);
    content.set(bytes.subarray(this.pos, this.pos + length));
    this.pos += length;
    return content;
  }

  string() {
    const at = this.pos;
    const kind = this.byte();
    if (kind === tag.STR) return this.utf8();
    if (kind === tag.STR16) return this.utf16();
    throw unexpected(kind, at);
  }

  utf8() {
    const at = this.pos;
    const length = this.varint();
    const { bytes } = this;
    const start = this.pos;
    const end = start + length;
    if (end > bytes.length) throw truncated(at);
    this.charge(length);
    this.pos = end;
    if (length <= SHORT) {
      const short = shortText(bytes, start, length);
      if (short !== null) return short;
    }
    const part = bytes.subarray(start, end);
    const decoded = text.decode(part);
    // It stands for what is invalid, and for itself.
    if (decoded.includes("\ufffd") && !isUtf8(part)) {
      throw new DecodeError("InvalidUtf8", "invalid utf-8 in the string", start);
    }
    return decoded;
  }

  utf16() {
    const at = this.pos;
    const length = this.varint();
    if (length > this.bytes.length - this.pos) throw truncated(at);
    if (length % 2 === 1) throw malformed("half a utf-16 code unit", at);
    this.charge(length);
    const units = new Uint16Array(length / 2);
    for (let i = 0; i < units.length; i++) {
      units[i] = this.bytes[this.pos] | (this.bytes[this.pos + 1] << 8);
      this.pos += 2;
    }
    let string = "";
    // As many as a call takes as arguments everywhere.
    for (let i = 0; i < units.length; i += 4096) {
      string += String.fromCharCode(...units.subarray(i, i + 4096));
    }
    return string;
  }

  int() {
    const at = this.pos;
    const first = this.byte();
    // The sign and six bits; what follows is accumulated halved, so that it stays exact.
    let magnitude = (first >> 1) & 0x3f;
    if (first > 0x7f) magnitude += 64 * this.more(at, 6);
    const value = (first & 1) === 1 ? -magnitude - 1 : magnitude;
    if (!Number.isSafeInteger(value)) throw malformed("integer beyond ±(2^53 - 1)", at);
    return value;
  }

  bigint() {
    const at = this.pos;
    const length = this.varint();
    const { bytes } = this;
    const start = this.pos;
    if (length > bytes.length - start) throw truncated(at);
    this.charge(length);
    this.pos = start + length;
    if (length === 0) return 0n;
    const digits = new Array(length);
    for (let i = 0; i < length; i++) {
      digits[length - 1 - i] = HEX[bytes[start + i]];
    }
    return made("bigint", at, () => BigInt(`0x${digits.join("")}`));
  }

  f64() {
    const at = this.pos;
    if (this.bytes.length - at < 8) throw truncated(at);
    this.pos = at + 8;
    for (let i = 0; i < 8; i++) floatBytes[i] = this.bytes[at + i];
    return float.getFloat64(0, true);
  }

  varint() {
    const first = this.byte();
    return first < 0x80 ? first : (first & 0x7f) + 128 * this.more(this.pos - 1, 6);
  }

  /** The bytes of a varint behind the first, of which there are at most so many and one. */
  more(at, most) {
    let value = 0;
    let scale = 1;
    for (let i = 0; i <= most; i++) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      scale *= 128;
      if (byte < 0x80) {
        if (byte === 0) break;
        return value;
      }
    }
    throw new DecodeError("InvalidVarint", "malformed varint", at);
  }

  /** Whether a container ends here; then its END is read. */
  ends() {
    if (this.peek() !== tag.END) return false;
    this.pos++;
    this.depth--;
    return true;
  }

  enter() {
    if (this.depth >= tag.MAX_DEPTH) {
      throw new DecodeError("TooDeep", `value is nested deeper than ${tag.MAX_DEPTH} levels`);
    }
    this.depth++;
  }

  add(object) {
    this.charge(OBJECT_COST);
    this.objects.push(object);
    return object;
  }

  peek() {
    if (this.pos >= this.bytes.length) throw truncated(this.pos);
    return this.bytes[this.pos];
  }

  byte() {
    if (this.pos >= this.bytes.length) throw truncated(this.pos);
    return this.bytes[this.pos++];
  }

  charge(cost) {
    this.memory -= cost;
    if (this.memory < 0) throw overBudget(MAX_MEMORY);
  }
}

function isUtf8(bytes) {
  try {
    strict.decode(bytes);
    return true;
  } catch {
    return false;
  }
}

/** Texts that came before, mostly keys, by a hash of their length and some bytes. */
const known = new Array(512).fill("");
/** Code units, by their number, for `fromCharCode`. */
const units = Array.from({ length: SHORT + 1 }, (_, length) => new Array(length).fill(0));

/** A short text, or null if it is not ASCII. */
function shortText(bytes, start, length) {
  if (length === 0) return "";
  const end = start + length;
  const hash =
    (bytes[start] * 31 + bytes[end - 1] * 7 + bytes[start + (length >> 1)] + length * 61) & 511;
  const before = known[hash];
  if (before.length === length) {
    let i = 0;
    while (i < length && before.charCodeAt(i) === bytes[start + i]) i++;
    if (i === length) return before;
  }
  const list = units[length];
  for (let i = 0; i < length; i++) {
    const unit = bytes[start + i];
    if (unit > 0x7f) return null;
    list[i] = unit;
  }
  return (known[hash] = fromCharCode.apply(null, list));
}

const { fromCharCode } = String;

/** A view that follows the length of its buffer. */
function tracking(type, buffer, offset, size) {
  const { byteLength } = buffer;
  const rest = byteLength % size;
  if (rest === 0) return new type(buffer, offset);
  // Some engines refuse it as long as the buffer does not end with an element.
  const end = new Uint8Array(buffer).slice(byteLength - rest);
  buffer.resize(byteLength - rest);
  const view = new type(buffer, offset);
  buffer.resize(byteLength);
  new Uint8Array(buffer).set(end, byteLength - rest);
  return view;
}

function define(object, key, value) {
  // What is inherited may be an accessor, as `__proto__` is, or read-only. The object is asked, and
  // not its prototype: for an array's, engines have no fast way.
  if (key in object) {
    Object.defineProperty(object, key, {
      value,
      writable: true,
      enumerable: true,
      configurable: true,
    });
  } else {
    object[key] = value;
  }
}

/** Gives an array the holes at its end. */
function stretch(array, length) {
  if (array.length === length) return;
  // Longer than engines keep as a list, so that no memory is taken for what is not there.
  if (length - array.length > SHORT_GAP) array.length = 0xffffffff;
  array.length = length;
}

function hide(error, key, value) {
  Object.defineProperty(error, key, {
    value,
    writable: true,
    enumerable: false,
    configurable: true,
  });
}

function made(what, at, make) {
  try {
    return make();
  } catch (cause) {
    const error = unsupported(what, at);
    error.cause = cause;
    throw error;
  }
}

function truncated(at) {
  return new DecodeError("Truncated", "input ends inside the value", at);
}

function malformed(what, at) {
  return new DecodeError("Malformed", what, at);
}

function unsupported(what, at) {
  return new DecodeError("Unsupported", `this runtime does not take the ${what}`, at);
}

function invalidReference(at) {
  return new DecodeError("InvalidReference", "back-reference to no such object", at);
}

function overBudget(limit) {
  return new DecodeError("OverBudget", `value needs more than the budget of ${limit} bytes`);
}

function unexpected(kind, at) {
  const known = kind <= tag.REF || (kind >= tag.OBJECT && kind <= tag.FILE);
  const hex = `0x${kind.toString(16).padStart(2, "0")}`;
  return known
    ? new DecodeError("MisplacedTag", `misplaced tag ${hex}`, at)
    : new DecodeError("UnknownTag", `unknown tag ${hex}`, at);
}

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));
