// Random values of every kind, with shared references and cycles wherever chance puts them. The
// same seed gives the same values.

export function random(seed) {
  // mulberry32
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (count) => Math.floor(next() * count);
  return { next, below, pick: (list) => list[below(list.length)] };
}

const NUMBERS = [
  0,
  -0,
  1,
  -1,
  63,
  64,
  -64,
  -65,
  8191,
  2 ** 31,
  2 ** 32 + 1,
  -(2 ** 53) + 1,
  2 ** 53 - 1,
  2 ** 53,
  1.5,
  -2e-308,
  NaN,
  Infinity,
  -Infinity,
  1.7e12,
];
const BIGINTS = [0n, 1n, -1n, 255n, 256n, -(2n ** 64n), 2n ** 128n + 7n, -(3n ** 500n)];
const STRINGS = [
  "",
  "a",
  "häß 😀",
  "\0\x7f",
  "x".repeat(24),
  "x".repeat(25),
  "ß".repeat(100),
  "z".repeat(127),
  "z".repeat(128),
  "é".repeat(64),
  "日本".repeat(7000),
  "\ud800",
  "a\udc00b".repeat(20),
  "\ufeffbom",
  "__proto__",
  "constructor",
  "toString",
];
const KEYS = [
  "a",
  "b",
  "length2",
  "__proto__",
  "constructor",
  "$date",
  "häß",
  "\udfff",
  "10",
  "k".repeat(40),
];

export function anyValue(r) {
  const objects = [];
  const primitive = () =>
    r.pick([
      () => r.pick(NUMBERS),
      () => r.below(2 ** 31) * (r.below(2) ? 1 : -1) * (r.below(2) ? 1 : 4096),
      () => (r.next() - 0.5) * 2 ** r.below(1000),
      () => r.pick(BIGINTS),
      () => r.pick(STRINGS),
      () => r.pick([undefined, null, true, false]),
    ])();
  const piece = (depth) =>
    depth > 0 && r.below(3) === 0
      ? object(depth - 1)
      : r.below(4) === 0 && objects.length > 0
        ? r.pick(objects)
        : primitive();
  const known = (value) => (objects.push(value), value);
  const set = (target, key, value) =>
    Object.defineProperty(target, key, {
      value,
      writable: true,
      enumerable: true,
      configurable: true,
    });
  const bytes = (count) => Uint8Array.from({ length: count }, () => r.below(256));

  function object(depth) {
    const size = r.below(6);
    switch (r.below(17)) {
      case 0:
      case 1: {
        const array = known([]);
        for (let i = 0; i < size; i++) {
          array.push(piece(depth));
          if (r.below(5) === 0) array.length += 1 + r.below(3);
        }
        if (r.below(4) === 0) set(array, r.pick(["name", "-1", "01", "4294967295"]), piece(depth));
        if (r.below(20) === 0) array.length = 4294967295;
        return array;
      }
      case 2:
      case 3:
      case 4: {
        const plain = known({});
        for (let i = 0; i < size; i++) set(plain, r.pick(KEYS), piece(depth));
        return plain;
      }
      case 5: {
        const map = known(new Map());
        for (let i = 0; i < size; i++) map.set(piece(depth), piece(depth));
        return map;
      }
      case 6: {
        const members = known(new Set());
        for (let i = 0; i < size; i++) members.add(piece(depth));
        return members;
      }
      case 7:
        return known(bytes(size * 30));
      case 8: {
        const buffer = known(bytes(64).buffer);
        known(new Float64Array(buffer, 8, r.below(8)));
        known(new BigInt64Array(buffer));
        known(new Uint8Array(buffer));
        return known(new DataView(buffer, r.below(60)));
      }
      case 9: {
        const buffer = known(new ArrayBuffer(r.below(5), { maxByteLength: 8 }));
        known(new Uint8Array(buffer));
        known(new DataView(buffer));
        return known(new Int8Array(buffer, 0, buffer.byteLength));
      }
      case 10:
        return known(new Date(r.pick([0, 1.7e12, -1, NaN])));
      case 11:
        return known(r.pick([/a+/gi, /^\/[\]/]$/u, new RegExp("", "dgvy")]));
      case 12:
        return known(Object(r.pick([true, 1.5, -0, 7n, "s", "\ud800"])));
      case 13: {
        const error = known(new (r.pick([Error, TypeError, RangeError]))(r.pick(STRINGS)));
        if (r.below(2) === 0) {
          Object.defineProperty(error, "cause", {
            value: piece(depth),
            enumerable: false,
            writable: true,
            configurable: true,
          });
        }
        return error;
      }
      case 14:
        return known(new DOMException(r.pick(["stopped", ""]), r.pick(["AbortError", "X"])));
      case 15:
        return known(new Blob([bytes(size)], { type: r.pick(["", "text/plain"]) }));
      default:
        return known(
          new File([bytes(size)], r.pick(STRINGS.slice(0, 3)), { lastModified: r.below(1e9) }),
        );
    }
  }
  return r.below(5) === 0 ? primitive() : object(4);
}
