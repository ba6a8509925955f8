// The addon: one for each platform, the same for Node, Deno and Bun.

import { createRequire } from "node:module";
import process from "node:process";

const require = createRequire(import.meta.url);

/** Outcomes of a post; the same as in `src/link.rs`. */
export const POSTED = 0;
export const CLOSED = 1;
export const FULL = 2;
export const TOO_LARGE = 3;

let addon;

/** The addon, which is loaded when it is first needed. */
export function native() {
  addon ??= load();
  return addon;
}

/** A name that this thread has open. */
export class Link {
  #number;

  /** `options` is JSON, see `src/link.rs`. */
  constructor(name, onBatch, options) {
    this.#number = native().linkOpen(name, onBatch, options);
  }

  post(bytes) {
    return addon.linkPost(this.#number, bytes);
  }

  postWait(bytes, callback) {
    addon.linkPostWait(this.#number, bytes, callback);
  }

  postAcked(bytes, patience, callback) {
    return addon.linkPostAcked(this.#number, bytes, patience, callback);
  }

  /** Where it began, as a cursor; null if it looks back, or no cursors of batches are wanted. */
  began() {
    return addon.linkBegan(this.#number) ?? null;
  }

  taken() {
    addon.linkTaken(this.#number);
  }

  ref(noop) {
    addon.linkRef(this.#number, noop);
  }

  unref() {
    addon.linkUnref(this.#number);
  }

  close() {
    addon.linkClose(this.#number);
  }

  stats() {
    return addon.linkStats(this.#number);
  }
}

/** A promise for what the addon answers by a callback. */
export function answer(ask) {
  return new Promise((resolve, reject) => {
    ask((error, text) => (error === null ? resolve(text) : reject(new Error(error))));
  });
}

function load() {
  const { platform, arch } = process;
  const abis = platform === "linux" ? ["-gnu", "-musl"] : platform === "win32" ? ["-msvc"] : [""];
  const reasons = [];
  for (const abi of abis) {
    const target = `${platform}-${arch}${abi}`;
    // Built here, or installed as a package of its own.
    for (const path of [`../native/meshcast.${target}.node`, `meshcast-${target}`]) {
      try {
        return require(path);
      } catch (error) {
        reasons.push(`${path}: ${`${error.message}`.split("\n")[0]}`);
      }
    }
  }
  throw new Error(
    `meshcast has no addon for ${platform}-${arch} that loads here. In a checkout, \`npm run build\` ` +
      `makes it, which takes Rust; Deno needs --allow-ffi and --allow-read. Tried ${reasons.join("; ")}`,
  );
}
