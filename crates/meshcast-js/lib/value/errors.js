// One error per direction. What cannot be encoded is a DataCloneError, as everywhere on the web.

/** Why bytes could not be read as a value. */
export class DecodeError extends Error {
  /** @param code what is wrong, as one word  @param offset where it was noticed, in bytes */
  constructor(code, message, offset) {
    super(offset === undefined ? message : `${message} at offset ${offset}`);
    this.code = code;
    this.offset = offset;
  }
}
Object.defineProperty(DecodeError.prototype, "name", {
  value: "DecodeError",
  writable: true,
  configurable: true,
});

export function dataCloneError(message) {
  return new DOMException(message, "DataCloneError");
}

export function quotaExceededError(message) {
  return new DOMException(message, "QuotaExceededError");
}
