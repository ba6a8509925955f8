// JSON, with every digit of its integers: those beyond ±(2^53 - 1) are bigints. What JSON lacks is
// an object with one `$` key, in the form of the `meshcast` command and of `Value::to_json`.

import {
  kindOf,
  ARRAY,
  BLOB,
  BOXED,
  BUFFER,
  DATE,
  DOM_EXCEPTION,
  ERROR,
  FileType,
  MAP,
  PLAIN,
  REGEXP,
  SET,
  VIEW,
} from "./kinds.js";
import { decode } from "./decode.js";
import { arrayIndex, encodeParts } from "./encode.js";
import { MAX_DEPTH, TRACKING_VIEW } from "./tags.js";

/**
 * Reads a JSON text, as `JSON.parse` does, but integers beyond ±(2^53 - 1) become bigints.
 *
 * @throws {SyntaxError}
 */
export function parseJson(source) {
  const plain = JSON.parse(source);
  // What has no run of 16 digits has no integer that a Number does not hold.
  return /\d{16}/.test(source) ? new Reader(source).value() : plain;
}

/** Reads what `JSON.parse` has found to be JSON. */
class Reader {
  constructor(source) {
    this.source = source;
    this.depth = 0;
    // Of a string its beginning: for one that is long, engines do not take a pattern.
    this.token = /[\t\n\r ]*([{}[\]:,"]|[^{}[\]:,\t\n\r "]+)/y;
  }

  next() {
    const { source, token } = this;
    const [, found] = token.exec(source);
    if (found !== '"') return found;
    const start = token.lastIndex - 1;
    let end = start;
    do end = source.indexOf('"', end + 1);
    while (isEscaped(source, end));
    token.lastIndex = end + 1;
    return source.slice(start, end + 1);
  }

  value(token = this.next()) {
    switch (token[0]) {
      case "{":
        return this.nested(() => this.object());
      case "[":
        return this.nested(() => this.array());
      case '"':
        return JSON.parse(token);
      default:
        return /^-?\d{16,}$/.test(token) ? integer(token) : JSON.parse(token);
    }
  }

  nested(read) {
    if (++this.depth > MAX_DEPTH)
      throw new SyntaxError(`JSON nests deeper than ${MAX_DEPTH} levels`);
    const value = read();
    this.depth--;
    return value;
  }

  array() {
    const array = [];
    for (let token = this.next(); token !== "]"; token = this.next()) {
      if (token === ",") continue;
      array.push(this.value(token));
    }
    return array;
  }

  object() {
    const object = {};
    for (let token = this.next(); token !== "}"; token = this.next()) {
      if (token === ",") continue;
      this.next();
      Object.defineProperty(object, JSON.parse(token), {
        value: this.value(),
        writable: true,
        enumerable: true,
        configurable: true,
      });
    }
    return object;
  }
}

/** Whether a character stands behind a backslash that is none by itself. */
function isEscaped(source, at) {
  let start = at;
  while (source[start - 1] === "\\") start--;
  return (at - start) % 2 === 1;
}

function integer(digits) {
  const number = Number(digits);
  return Number.isSafeInteger(number) ? number : BigInt(digits);
}

/** Deepest nesting of what `toJson` returns, so that any JSON parser takes it. */
const MAX_JSON_DEPTH = 120;

/**
 * A value as what `JSON.stringify` takes: plain where JSON can express it, an object with one `$`
 * key where not. Of a blob, whose bytes cannot be read at once, only size and type are there.
 *
 * @throws {DOMException} DataCloneError for what cannot be posted either
 * @throws {DecodeError} OverBudget for what takes more than 64 MiB
 */
export function toJson(value) {
  // A copy, as whoever is posted to would have it: no getters, and none of the bytes of blobs.
  const { bytes } = encodeParts(value);
  return new Writer().whole(decode(bytes), MAX_JSON_DEPTH);
}

class Writer {
  constructor() {
    this.ids = new Map();
    this.next = 0;
    this.shared = null;
  }

  whole(value, room) {
    switch (typeof value) {
      case "undefined":
        return { $undefined: true };
      case "bigint":
        return { $bigint: bigintText(value) };
      case "number":
        return number(value);
      case "string":
        return string(value);
      case "boolean":
        return value;
      default:
        return value === null ? null : this.object(value, room);
    }
  }

  object(value, room) {
    this.shared ??= sharedObjects(value);
    const id = this.ids.get(value);
    if (id !== undefined) return { $ref: id };
    const shared = this.shared.has(value);
    const left = room - levels(value) - (shared ? 1 : 0);
    if (left < 0) return { $deep: true };
    if (!shared) return this.form(value, left);
    const given = this.next++;
    this.ids.set(value, given);
    return { $id: given, $value: this.form(value, left) };
  }

  form(value, room) {
    const at = (part) => this.whole(part, room);
    switch (kindOf(value)) {
      case PLAIN: {
        const keys = Object.keys(value);
        if (isPlainObject(keys)) {
          return Object.fromEntries(keys.map((key) => [key, at(value[key])]));
        }
        return { $object: keys.map((key) => [string(key), at(value[key])]) };
      }
      case ARRAY: {
        const keys = Object.keys(value);
        if (isPlainArray(value, keys)) return value.map(at);
        const isIndex = (key) => arrayIndex(key) !== -1;
        const items = keys.filter(isIndex).map((key) => [Number(key), at(value[key])]);
        const named = keys.filter((key) => !isIndex(key));
        const props = named.map((key) => [string(key), at(value[key])]);
        return { $array: { items, length: value.length, props } };
      }
      case MAP:
        return { $map: [...value].map(([key, content]) => [at(key), at(content)]) };
      case SET:
        return { $set: [...value].map(at) };
      case DATE:
        return { $date: number(value.getTime()) };
      case REGEXP:
        return { $regexp: { flags: value.flags, source: string(value.source) } };
      case BOXED:
        return { $boxed: at(value.valueOf()) };
      case BUFFER: {
        const bytes = base64(new Uint8Array(value));
        return { $arraybuffer: value.resizable ? { bytes, max: value.maxByteLength } : { bytes } };
      }
      case VIEW:
        return this.view(value, at);
      case ERROR: {
        const error = {};
        if (Object.hasOwn(value, "cause")) error.cause = at(value.cause);
        error.message = string(value.message);
        error.name = string(String(value.name));
        return { $error: error };
      }
      case DOM_EXCEPTION:
        return { $domexception: { message: string(value.message), name: string(value.name) } };
      case BLOB:
        return value instanceof FileType
          ? {
              $file: {
                lastModified: value.lastModified,
                name: value.name,
                size: value.size,
                type: value.type,
              },
            }
          : { $blob: { size: value.size, type: value.type } };
      default:
        return { $undefined: true };
    }
  }

  view(value, at) {
    const { buffer, byteLength } = value;
    const kind = value[Symbol.toStringTag];
    const whole =
      kind === "Uint8Array" && buffer.resizable !== true && byteLength === buffer.byteLength;
    if (whole && !this.shared.has(buffer)) return { $bytes: base64(value) };
    const length = isTracking(value) ? null : (value.length ?? byteLength);
    return { $view: { buffer: at(buffer), kind, length, offset: value.byteOffset } };
  }
}

/** Whether a view of our own copy follows its buffer. */
function isTracking(value) {
  const { buffer } = value;
  if (buffer.resizable !== true) return false;
  const { bytes } = encodeParts(value);
  return bytes[0] === TRACKING_VIEW;
}

/** Objects with more than one reference to them. */
function sharedObjects(root) {
  const seen = new Set();
  const shared = new Set();
  const pending = [root];
  while (pending.length > 0) {
    const value = pending.pop();
    if (typeof value !== "object" || value === null) continue;
    if (seen.has(value)) {
      shared.add(value);
      continue;
    }
    seen.add(value);
    for (const child of children(value)) pending.push(child);
  }
  return shared;
}

function children(value) {
  switch (kindOf(value)) {
    case PLAIN:
    case ARRAY:
      return Object.values(value);
    case MAP:
      return [...value].flat();
    case SET:
      return [...value];
    case VIEW:
      return [value.buffer];
    case ERROR:
      return Object.hasOwn(value, "cause") ? [value.cause] : [];
    default:
      return [];
  }
}

/** How many levels of JSON an object opens around its children or, without any, by itself. */
function levels(value) {
  switch (kindOf(value)) {
    case PLAIN:
      return isPlainObject(Object.keys(value)) ? 1 : 3;
    case ARRAY:
      return isPlainArray(value, Object.keys(value)) ? 1 : 4;
    case MAP:
      return 3;
    default:
      return 2;
  }
}

function isPlainObject(keys) {
  return keys.every((key) => !key.startsWith("$") && key.isWellFormed());
}

function isPlainArray(value, keys) {
  const { length } = value;
  return keys.length === length && (length === 0 || keys[length - 1] === `${length - 1}`);
}

function string(value) {
  if (value.isWellFormed()) return value;
  return { $utf16: Array.from({ length: value.length }, (_, at) => value.charCodeAt(at)) };
}

function number(value) {
  if (Number.isNaN(value)) return { $number: "NaN" };
  if (Object.is(value, -0)) return { $number: "-0" };
  if (!Number.isFinite(value)) return { $number: value > 0 ? "Infinity" : "-Infinity" };
  return value;
}

/** Decimal up to 1 KiB, hexadecimal beyond, since that takes time linear in the size. */
function bigintText(value) {
  const digits = value.toString(16);
  const hex = digits.replace("-", "");
  return hex.length <= 2048 ? value.toString() : `${value < 0n ? "-" : ""}0x${hex}`;
}

function base64(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; at += 4096) {
    text += String.fromCharCode(...bytes.subarray(at, at + 4096));
  }
  return btoa(text);
}
