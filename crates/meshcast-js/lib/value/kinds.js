// What the structured clone sees in an object: decided by internal slots, not by what an object
// says of itself, so it holds for objects of other realms too.
//
// Node, Deno and Bun have tests for them; a page has those of `slots.js`. Nothing else of the codec
// asks where it runs. None runs code of the object's, but for a page's, which cannot tell a proxy.

import { slots } from "./slots.js";

/** As they were at first: a program may take them away from the global object. */
export const { Blob: BlobType, File: FileType, DOMException: DomExceptionType } = globalThis;

const builtIn = globalThis.process?.getBuiltinModule;
const types = builtIn?.("node:util")?.types ?? slots;
const bufferPrototype = builtIn?.("node:buffer")?.Buffer.prototype;

/** Types that blobs were decoded with, where they now have another: Bun adds a charset. */
export const declaredTypes = new WeakMap();

export const OTHER = 0; // cannot be cloned
export const PLAIN = 1;
export const ARRAY = 2;
export const MAP = 3;
export const SET = 4;
export const DATE = 5;
export const REGEXP = 6;
export const BOXED = 7;
export const BUFFER = 8;
export const VIEW = 9;
export const ERROR = 10;
export const DOM_EXCEPTION = 11;
export const BLOB = 12;

/** The kind of an object, one of the constants above. `value` is neither null nor a function. */
export function kindOf(value) {
  if (types.isProxy(value)) return OTHER;
  if (Array.isArray(value)) return ARRAY;
  const proto = Object.getPrototypeOf(value);
  // `toString` tells arguments, errors, dates and the like by their slots. An object that has a
  // tag of its own, or nothing of its own, is looked at closely.
  if (
    proto === Object.prototype &&
    !(Symbol.toStringTag in value) &&
    toString.call(value) === "[object Object]"
  ) {
    for (const key in value) {
      if (hasOwn(value, key)) return PLAIN;
    }
  }
  return slowKind(value, proto);
}

/** What people know a value by, for errors. Runs no code of the value's. */
export function describe(value) {
  if (typeof value === "symbol") return String(value);
  if (types.isProxy(value)) return "A Proxy";
  if (typeof value === "function") return `The function ${ownName(value) ?? "(anonymous)"}`;
  for (let at = value; at !== null && !types.isProxy(at); at = Object.getPrototypeOf(at)) {
    const type = Object.getOwnPropertyDescriptor(at, "constructor")?.value;
    if (typeof type === "function") return `#<${ownName(type) ?? "Object"}>`;
  }
  return "#<Object>";
}

function ownName(value) {
  if (types.isProxy(value)) return undefined;
  const name = Object.getOwnPropertyDescriptor(value, "name")?.value;
  return typeof name === "string" && name !== "" ? name : undefined;
}

function slowKind(value, proto) {
  if (types.isMap(value)) return MAP;
  if (types.isSet(value)) return SET;
  if (types.isDate(value)) return DATE;
  if (types.isRegExp(value)) return REGEXP;
  // A Symbol object is a boxed primitive that cannot be cloned.
  if (types.isBoxedPrimitive(value)) return types.isSymbolObject(value) ? OTHER : BOXED;
  if (types.isSharedArrayBuffer(value)) return OTHER;
  if (types.isArrayBuffer(value)) return BUFFER;
  if (ArrayBuffer.isView(value)) return VIEW;
  const known = kindOfPrototype(proto);
  if (known === BLOB || known === DOM_EXCEPTION) return known;
  if (types.isNativeError(value)) return ERROR;
  if (
    types.isArgumentsObject(value) ||
    types.isPromise(value) ||
    types.isWeakMap(value) ||
    types.isWeakSet(value) ||
    types.isGeneratorObject(value) ||
    types.isMapIterator(value) ||
    types.isSetIterator(value) ||
    types.isModuleNamespaceObject(value) ||
    value === globalThis
  ) {
    return OTHER;
  }
  return known === PLAIN && isKey(value) ? OTHER : (known ?? PLAIN);
}

/** A Node Buffer. */
export function isBuffer(view) {
  return bufferPrototype !== undefined && Object.getPrototypeOf(view) === bufferPrototype;
}

export function isShared(buffer) {
  return types.isSharedArrayBuffer(buffer);
}

/** A CryptoKey or a KeyObject. Bun has no test for them. */
function isKey(value) {
  return types.isCryptoKey?.(value) === true || types.isKeyObject?.(value) === true;
}

/**
 * What kind of object inherits from a prototype, by the classes of the platform: other than those
 * that are copied their state is not in properties, so that as a plain object nothing would be left
 * of them. Undefined behind a proxy, which would be asked.
 */
function kindOfPrototype(proto) {
  for (let at = proto; at !== null && at !== Object.prototype; at = Object.getPrototypeOf(at)) {
    if (types.isProxy(at)) return undefined;
    let known = verdicts.get(at);
    if (known === undefined) {
      known = verdict(at);
      verdicts.set(at, known);
    }
    if (known !== PLAIN) return known;
  }
  return PLAIN;
}

/** By prototype: the kind of those of its class. */
const verdicts = new WeakMap();

function verdict(proto) {
  if (proto === BlobType?.prototype) return BLOB;
  if (proto === DomExceptionType?.prototype) return DOM_EXCEPTION;
  if (iteratorPrototypes.has(proto)) return OTHER;
  const type = Object.getOwnPropertyDescriptor(proto, "constructor")?.value;
  if (typeof type !== "function") return PLAIN;
  const name = ownName(type);
  const isPlatform =
    (platformClasses.has(name) && globalThis[name] === type) ||
    namespaces.some((namespace) => globalThis[namespace]?.[name] === type);
  return isPlatform ? OTHER : PLAIN;
}

const namespaces = ["Intl", "Temporal", "WebAssembly"];

// The others, of maps, sets and generators, are known by their slots.
const iteratorPrototypes = new Set(
  [[].values(), ""[Symbol.iterator](), "".matchAll(/a/g)].map((iterator) =>
    Object.getPrototypeOf(iterator),
  ),
);
// Helpers such as `iterator.map(f)`, where there are any.
if (typeof [].values().map === "function") {
  iteratorPrototypes.add(Object.getPrototypeOf([].values().map((item) => item)));
}

// Base classes cover those that extend them: EventTarget is one of AbortSignal, WebSocket, Worker,
// MessagePort, BroadcastChannel, Performance and many more.
const platformClasses = new Set([
  "AbortController",
  "ByteLengthQueuingStrategy",
  "CompressionStream",
  "CountQueuingStrategy",
  "Crypto",
  "CryptoKey",
  "DecompressionStream",
  "Event",
  "EventTarget",
  "FinalizationRegistry",
  "FormData",
  "Headers",
  "Lock",
  "LockManager",
  "MessageChannel",
  "Navigator",
  "PerformanceEntry",
  "ReadableByteStreamController",
  "ReadableStream",
  "ReadableStreamBYOBReader",
  "ReadableStreamBYOBRequest",
  "ReadableStreamDefaultController",
  "ReadableStreamDefaultReader",
  "Request",
  "Response",
  "Storage",
  "SubtleCrypto",
  "TextDecoder",
  "TextDecoderStream",
  "TextEncoder",
  "TextEncoderStream",
  "TransformStream",
  "TransformStreamDefaultController",
  "URL",
  "URLPattern",
  "URLSearchParams",
  "WeakRef",
  "WritableStream",
  "WritableStreamDefaultController",
  "WritableStreamDefaultWriter",
  // Those of pages. The web clones some of them; here they are nobody's to read elsewhere.
  "AbstractRange",
  "AudioData",
  "CanvasGradient",
  "CanvasPattern",
  "CanvasRenderingContext2D",
  "CSSRule",
  "CSSStyleDeclaration",
  "DataTransfer",
  "DOMMatrixReadOnly",
  "DOMPointReadOnly",
  "DOMQuad",
  "DOMRectReadOnly",
  "DOMTokenList",
  "EncodedAudioChunk",
  "EncodedVideoChunk",
  "FileList",
  "FileSystemHandle",
  "History",
  "HTMLCollection",
  "ImageBitmap",
  "ImageData",
  "Location",
  "NamedNodeMap",
  "NodeList",
  "RTCCertificate",
  "Selection",
  "StyleSheet",
  "VideoFrame",
  "WebGL2RenderingContext",
  "WebGLRenderingContext",
]);

const { toString } = Object.prototype;
const { hasOwn } = Object;
