// The class, as the HTML standard has it, over whatever carries the messages: the node of a
// process, or the service that a page is connected with.

import { GapEvent, mark, wasRead } from "./events.js";
import { postLater } from "./local.js";
import { decode } from "./value/decode.js";
import { encodeParts, fill } from "./value/encode.js";

/**
 * Makes the class.
 *
 * @param carrier what carries the messages: `open(name, handle, options)` gives an object on a hub,
 * to which `handle` is told what arrives; `settings` and `warn` as in `channel.js`
 */
export function defineChannel(carrier) {
  /**
   * One object on a channel: what it posts, every other object of that name hears, in this thread, in
   * other threads and in every other process of the mesh. It never hears itself.
   */
  class BroadcastChannel extends EventTarget {
    #name;
    #object;
    #handlers = { message: null, messageerror: null };

    constructor(name, options = undefined) {
      if (arguments.length === 0) throw new TypeError(needsOne("construct 'BroadcastChannel'"));
      // A Symbol throws.
      const text = `${name}`;
      super();
      this.#name = text;
      const handle = {
        message: (bytes, origin) => this.#message(bytes, origin),
        gap: (gap) => this.#gap(gap),
        event: (type, fields) => this.dispatchEvent(Object.assign(new Event(type), fields)),
      };
      this.#object = carrier.open(text, handle, options ?? {});
    }

    get name() {
      return this.#name;
    }

    postMessage(message) {
      const object = this.#object;
      if (arguments.length === 0) throw new TypeError(needsOne("execute 'postMessage'"));
      this.#encode(message, (parts) => {
        if (parts.blobs === null && object.chain === null) {
          object.hub.post(object, parts.bytes);
        } else {
          // That a blob cannot be read comes to light when nobody waits for it any more.
          this.#later(parts).catch((error) => {
            queueMicrotask(() => {
              throw error;
            });
          });
        }
      });
    }

    async postMessageWait(message) {
      if (arguments.length === 0) throw new TypeError(needsOne("execute 'postMessageWait'"));
      await this.#encode(message, (parts) => this.#later(parts));
    }

    #later({ bytes, blobs }) {
      return postLater(this.#object, bytes.length, fill({ bytes: bytes.slice(), blobs }));
    }

    /** Encodes a value and posts it: bytes that are lent until the next message. */
    #encode(message, post) {
      const { open, hub } = this.#object;
      if (!open) {
        throw new DOMException("The BroadcastChannel is closed.", "InvalidStateError");
      }
      const { maxBytes, stacks } = carrier.settings();
      // A getter may close the object: what it posts goes out nevertheless.
      hub.busy++;
      try {
        return post(encodeParts(message, { maxBytes, stacks, lend: true }));
      } finally {
        hub.busy--;
        hub.retire();
      }
    }

    close() {
      const object = this.#object;
      if (!object.open) return;
      object.open = false;
      object.hub.remove(object);
    }

    ref() {
      const object = this.#object;
      if (object.open && !object.refed) {
        object.refed = true;
        object.hub.retain();
      }
      return this;
    }

    unref() {
      const object = this.#object;
      if (object.open && object.refed) {
        object.refed = false;
        object.hub.release();
      }
      return this;
    }

    /** What passed between this thread and others on the name. */
    stats() {
      return this.#object.hub.stats();
    }

    get onmessage() {
      return this.#handlers.message?.handler ?? null;
    }

    set onmessage(handler) {
      this.#handle("message", handler);
    }

    get onmessageerror() {
      return this.#handlers.messageerror?.handler ?? null;
    }

    set onmessageerror(handler) {
      this.#handle("messageerror", handler);
    }

    /** A handler keeps the place among listeners that it got when it was first set. */
    #handle(type, handler) {
      const slot = this.#handlers[type];
      const isHandler =
        typeof handler === "function" || (typeof handler === "object" && handler !== null);
      if (!isHandler) {
        if (slot !== null) this.removeEventListener(type, slot.listener);
        this.#handlers[type] = null;
      } else if (slot !== null) {
        slot.handler = handler;
      } else {
        const added = {
          handler,
          listener: (event) => {
            if (typeof added.handler === "function") return added.handler.call(this, event);
          },
        };
        this.#handlers[type] = added;
        this.addEventListener(type, added.listener);
      }
    }

    #message(bytes, origin) {
      let event;
      try {
        event = messageEvent("message", decode(bytes));
      } catch {
        event = messageEvent("messageerror", null);
      }
      if (origin !== null) mark(event, origin);
      this.dispatchEvent(event);
    }

    #gap(gap) {
      const event = new GapEvent("gap", gap);
      this.dispatchEvent(event);
      if (!wasRead(event)) warnOfGap(carrier.warn, gap);
    }
  }

  Object.defineProperties(BroadcastChannel.prototype, {
    name: enumerable,
    postMessage: enumerable,
    close: enumerable,
    onmessage: enumerable,
    onmessageerror: enumerable,
    [Symbol.toStringTag]: { value: "BroadcastChannel", configurable: true },
  });
  return BroadcastChannel;
}

function messageEvent(type, data) {
  const event = new MessageEvent(type, { data });
  // Some have null for what is undefined.
  if (data === undefined && event.data !== undefined) {
    Object.defineProperty(event, "data", { value: undefined, enumerable: true });
  }
  return event;
}

function needsOne(what) {
  return `Failed to ${what}: 1 argument required, but only 0 present.`;
}

let warned = false;

/** Loss is never silent: said once, and counted. */
function warnOfGap(warn, { channel, sender, first, last, reason }) {
  if (warned) return;
  warned = true;
  warn(
    `messages ${first}-${last} of ${sender.name} on "${channel}" are missing (${reason}), and ` +
      'nothing listens for "gap" events',
  );
}

const enumerable = { enumerable: true };
