// The format of meshcast-value: tags, kinds of views, limits. Its specification is at the top of
// `crates/meshcast-value/src/lib.rs`.

export const END = 0x00;
export const UNDEFINED = 0x01;
export const NULL = 0x02;
export const FALSE = 0x03;
export const TRUE = 0x04;
export const INT = 0x05;
export const F64 = 0x06;
export const BIGINT = 0x07;
export const BIGINT_NEGATIVE = 0x08;
export const STR = 0x09;
export const STR16 = 0x0a;
export const HOLES = 0x0b;
export const PROPS = 0x0c;
export const REF = 0x0d;
export const OBJECT = 0x10;
export const ARRAY = 0x11;
export const MAP = 0x12;
export const SET = 0x13;
export const BYTES = 0x14;
export const ARRAY_BUFFER = 0x15;
export const RESIZABLE_BUFFER = 0x16;
export const VIEW = 0x17;
export const TRACKING_VIEW = 0x18;
export const DATE = 0x19;
export const REGEXP = 0x1a;
export const BOXED = 0x1b;
export const ERROR = 0x1c;
export const DOM_EXCEPTION = 0x1d;
export const BLOB = 0x1e;
export const FILE = 0x1f;

/** Bits of the flags of an ERROR. */
export const HAS_STACK = 1;
export const HAS_CAUSE = 2;

/** Deepest nesting of containers that either side of the wire accepts. */
export const MAX_DEPTH = 1000;

/** Names of the constructors of views, at the position of their number. */
export const VIEW_NAMES = [
  "Int8Array",
  "Uint8Array",
  "Uint8ClampedArray",
  "Int16Array",
  "Uint16Array",
  "Int32Array",
  "Uint32Array",
  "Float16Array",
  "Float32Array",
  "Float64Array",
  "BigInt64Array",
  "BigUint64Array",
  "DataView",
];

/** Bytes of an element, by number. */
export const VIEW_SIZES = [1, 1, 1, 2, 2, 4, 4, 2, 4, 8, 8, 8, 1];

/** Constructors by number. A runtime may lack Float16Array. */
export const VIEWS = VIEW_NAMES.map((name) => globalThis[name]);

export const NATIVE_ERRORS = new Map(
  [Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError].map((type) => [
    type.name,
    type,
  ]),
);
