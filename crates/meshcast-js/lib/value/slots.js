// Tests for internal slots, as `node:util` has them, where there is none: in a page. Each tries
// what only an object with the slot lets itself be used for, and runs no code of the object.

const slotOf = (type, name) => Object.getOwnPropertyDescriptor(type.prototype, name);

/** Whether a method or getter of the platform takes the object. */
const takes =
  (method, ...args) =>
  (value) => {
    try {
      method.call(value, ...args);
      return true;
    } catch {
      return false;
    }
  };

const tagged = (tag) => (value) => tagOf(value) === tag;
/** By `toString`, which knows them by their slots unless they have a tag. */
const untagged = (tag) => (value) =>
  !(Symbol.toStringTag in value) && toString.call(value) === `[object ${tag}]`;
const never = () => false;

const valueOfs = [Boolean, Number, String, BigInt, Symbol].map(({ prototype }) =>
  takes(prototype.valueOf),
);
const isSymbolObject = takes(Symbol.prototype.valueOf);
const shared = globalThis.SharedArrayBuffer;

export const slots = {
  isMap: takes(slotOf(Map, "size").get),
  isSet: takes(slotOf(Set, "size").get),
  isDate: takes(Date.prototype.getTime),
  // The flags and the source are for any object; this is for those with a pattern, and `prototype`.
  isRegExp: (value) => takes(slotOf(RegExp, "source").get)(value) && value !== RegExp.prototype,
  isBoxedPrimitive: (value) => valueOfs.some((is) => is(value)),
  isSymbolObject,
  isArrayBuffer: takes(slotOf(ArrayBuffer, "byteLength").get),
  isSharedArrayBuffer: shared ? takes(slotOf(shared, "byteLength").get) : never,
  isNativeError: untagged("Error"),
  isArgumentsObject: untagged("Arguments"),
  isPromise: tagged("Promise"),
  isWeakMap: takes(WeakMap.prototype.has, {}),
  isWeakSet: takes(WeakSet.prototype.has, {}),
  isGeneratorObject: tagged("Generator"),
  isMapIterator: tagged("Map Iterator"),
  isSetIterator: tagged("Set Iterator"),
  isModuleNamespaceObject: (value) => tagged("Module")(value) && Object.isSealed(value),
  isCryptoKey: (value) => typeof CryptoKey === "function" && value instanceof CryptoKey,
  // Nothing tells a proxy from what it stands for.
  isProxy: never,
};

/** The tag that an object has or inherits, if that is no getter. */
function tagOf(value) {
  for (let at = value; at !== null; at = Object.getPrototypeOf(at)) {
    const found = Object.getOwnPropertyDescriptor(at, Symbol.toStringTag);
    if (found !== undefined) return found.value;
  }
  return undefined;
}

const { toString } = Object.prototype;
