// The payload format of meshcast: every value the structured clone copies, as bytes that describe
// themselves. The same bytes as the Rust crate `meshcast-value` writes and reads.

import { decode as decodeBytes } from "./value/decode.js";
import { encodeParts, fill } from "./value/encode.js";
import { DecodeError, dataCloneError } from "./value/errors.js";
import { parseJson, toJson } from "./value/json.js";
import { MAX_DEPTH } from "./value/tags.js";

export { DecodeError, MAX_DEPTH, parseJson, toJson };

export function encode(value, options) {
  const parts = encodeParts(value, options);
  if (parts.blobs !== null) {
    throw dataCloneError("The bytes of a Blob cannot be read at once: use encodeAsync.");
  }
  return parts.bytes;
}

export async function encodeAsync(value, options) {
  return fill(encodeParts(value, options));
}

export function decode(bytes) {
  if (bytes instanceof ArrayBuffer) return decodeBytes(new Uint8Array(bytes));
  if (!ArrayBuffer.isView(bytes))
    throw new TypeError("bytes must be an ArrayBuffer or a view on one");
  return decodeBytes(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength));
}
