/** Deepest nesting of containers that either side of the wire accepts. */
export const MAX_DEPTH: 1000;

export interface EncodeOptions {
  /** Bytes the encoding may take; beyond, `QuotaExceededError`. Default: no limit. */
  maxBytes?: number;
  /** Whether stack traces of errors go along. Default: `false`. */
  stacks?: boolean;
}

/**
 * Encodes a value that holds no `Blob`.
 *
 * @throws {DOMException} `DataCloneError` for what cannot be cloned, is nested deeper than
 * {@link MAX_DEPTH}, or holds a `Blob`; `QuotaExceededError` beyond `maxBytes`
 */
export function encode(value: unknown, options?: EncodeOptions): Uint8Array;

/** Encodes a value, with the bytes of what it holds of `Blob` and `File`. */
export function encodeAsync(value: unknown, options?: EncodeOptions): Promise<Uint8Array>;

/**
 * Decodes a value that takes up all of `bytes`, which may come from anybody.
 *
 * @throws {DecodeError}
 */
export function decode(bytes: Uint8Array | ArrayBuffer | ArrayBufferView): unknown;

/** Why bytes could not be read as a value. */
export class DecodeError extends Error {
  readonly name: "DecodeError";
  readonly code:
    | "InvalidReference"
    | "InvalidUtf8"
    | "InvalidVarint"
    | "Malformed"
    | "MisplacedTag"
    | "OverBudget"
    | "TooDeep"
    | "TrailingBytes"
    | "Truncated"
    | "UnknownTag"
    | "Unsupported";
  /** Where it was noticed, in bytes; `undefined` for limits. */
  readonly offset: number | undefined;
}

/**
 * Reads a JSON text as `JSON.parse` does, but integers beyond ±(2^53 - 1) become bigints with all
 * their digits.
 *
 * @throws {SyntaxError}
 */
export function parseJson(source: string): unknown;

/**
 * A value as what `JSON.stringify` takes: plain where JSON can express it, and an object with one
 * `$` key where not, such as `{ $bigint: "12" }`, in the form of the `meshcast` command. Of a `Blob`
 * only size and type are shown.
 *
 * @throws {DOMException} `DataCloneError` for what cannot be posted
 * @throws {DecodeError} `OverBudget` for what takes more than 64 MiB
 */
export function toJson(value: unknown): unknown;
