// Who is present on a channel.

import { PresenceEvent } from "./events.js";
import { start } from "./hub.js";
import { checkName } from "./local.js";
import { native } from "./native.js";
import { decode } from "./value/decode.js";
import { encode } from "./value.js";

/** What a state takes at most, encoded; the same as in Rust. */
const MAX_STATE = 1024;

const text = new TextDecoder();

/**
 * Watches who has a channel open: every process that has, with what it says of itself. It does not
 * keep the process alive.
 */
export class Presence extends EventTarget {
  #number;
  #open = true;

  constructor(name, options = {}) {
    if (arguments.length === 0) throw new TypeError("the name of a channel is missing");
    const channel = `${name}`;
    checkName(channel);
    super();
    start();
    this.#number = native().presenceOpen(channel, (change) => {
      if (!this.#open) return;
      try {
        this.dispatchEvent(new PresenceEvent("change", read(change)));
      } finally {
        native().presenceTaken(this.#number);
      }
    });
    if (options.state !== undefined) {
      try {
        this.set(options.state);
      } catch (error) {
        this.close();
        throw error;
      }
    }
  }

  /** Says something of this process, in place of what it said before; undefined for nothing. */
  set(state) {
    if (!this.#open) throw new DOMException("The Presence is closed.", "InvalidStateError");
    if (state === undefined) native().presenceClear(this.#number);
    else native().presenceSet(this.#number, encode(state, { maxBytes: MAX_STATE }));
  }

  /** Who is present now, by name, this process included. */
  members() {
    return this.#open ? read(native().presenceMembers(this.#number)).members : [];
  }

  close() {
    if (!this.#open) return;
    this.#open = false;
    native().presenceClose(this.#number);
  }
}

Object.defineProperty(Presence.prototype, Symbol.toStringTag, {
  value: "Presence",
  configurable: true,
});

/** See `src/presence.rs`. */
function read({ buffer, byteOffset, byteLength }) {
  const bytes = new Uint8Array(buffer, byteOffset, byteLength);
  let at = 4 + new DataView(buffer, byteOffset, byteLength).getUint32(0, true);
  const { change, members } = JSON.parse(text.decode(bytes.subarray(4, at)));
  for (const member of members) {
    const length = member.state;
    delete member.state;
    if (length === null) continue;
    try {
      member.state = decode(bytes.subarray(at, at + length));
    } catch {
      // What is no value is nothing.
    }
    at += length;
  }
  return { change, members };
}
