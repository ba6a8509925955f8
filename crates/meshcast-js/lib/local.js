// All that this thread has open of one name: the objects in the order they were made, and what
// carries messages to those elsewhere.

import { deliverLater } from "./delivery.js";
import { quotaExceededError } from "./value/errors.js";

/** Longest name, in bytes of UTF-8. */
const MAX_NAME = 255;

/** What is kept of a message that waits costs so many bytes besides its own. */
const ENTRY = 256;

const noop = () => {};

/**
 * The objects of a name. What extends it has `room`: how many bytes may wait for objects of this
 * thread; `send` and `sendWait`, which carry bytes elsewhere or throw; `keepAlive` and `end`.
 */
export class Local {
  constructor(name) {
    this.name = name;
    this.objects = [];
    this.refs = 0;
    // Bytes that wait for objects of this thread, with what each entry costs.
    this.backlog = 0;
    this.waiting = [];
    // What is posted later than `close` keeps it.
    this.busy = 0;
  }

  /** Adds an object; `handle` is called with what arrives for it. */
  add(handle) {
    const object = { handle, hub: this, open: true, refed: true, held: 0, chain: null };
    this.objects.push(object);
    this.retain();
    return object;
  }

  retain() {
    if (this.refs++ === 0) this.keepAlive(true);
  }

  release() {
    if (--this.refs === 0) this.keepAlive(false);
  }

  /** Takes an object out, and ends behind the last. */
  remove(object) {
    this.objects = this.objects.filter((other) => other !== object);
    if (object.refed) this.release();
    this.retire();
  }

  retire() {
    if (this.objects.length === 0 && this.busy === 0) this.end();
  }

  /** Posts bytes, which are only lent, for an object, or says in an error why not. */
  post(object, bytes) {
    const others = this.others(object);
    if (!this.hasRoom(others, bytes)) throw full();
    this.send(bytes);
    if (others > 0) this.share(object, bytes.slice());
  }

  /** Posts bytes for an object when there is room. */
  async postWait(object, bytes) {
    while (!this.hasRoom(this.others(object), bytes)) {
      await new Promise((resolve) => this.waiting.push(resolve));
    }
    await this.sendWait(bytes);
    this.share(object, bytes);
  }

  /** How many would hear what the object posts. */
  others(object) {
    // One that is closed may still have something to post.
    return this.objects.length - (object.open ? 1 : 0);
  }

  hasRoom(others, bytes) {
    if (others === 0 || this.backlog === 0) return true;
    return this.backlog + others * cost(bytes.length) <= this.room;
  }

  /** Delivers to the other objects of this thread. */
  share(object, bytes) {
    for (const other of this.objects) {
      if (other === object) continue;
      this.backlog += cost(bytes.length);
      deliverLater(() => {
        this.backlog -= cost(bytes.length);
        if (this.waiting.length > 0) this.waiting.splice(0).forEach((resolve) => resolve());
        if (other.open) other.handle.message(bytes, null);
      });
    }
  }

  /** Delivers what came from elsewhere to all objects; `taken` is called as each has its turn. */
  deliver(hand, taken = noop) {
    for (const object of this.objects) {
      deliverLater(() => {
        taken();
        if (object.open) hand(object.handle);
      });
    }
  }
}

/** Posts later: behind what the object has posted before, and when the bytes are there. */
export function postLater(object, size, bytes) {
  const { hub } = object;
  const held = cost(size);
  if (object.held > 0 && object.held + held > hub.room) throw full();
  object.held += held;
  hub.busy++;
  // It may fail before its turn comes.
  bytes.catch(noop);
  const before = object.chain ?? Promise.resolve();
  const posted = before.then(async () => {
    try {
      await hub.postWait(object, await bytes);
    } finally {
      object.held -= held;
      hub.busy--;
      if (object.chain === after) object.chain = null;
      hub.retire();
    }
  });
  const after = posted.catch(noop);
  object.chain = after;
  // Until it is on its way the process lives.
  hub.retain();
  after.then(() => hub.release());
  return posted;
}

function cost(size) {
  return size + ENTRY;
}

export function full() {
  return quotaExceededError(
    "Messages are posted faster than they leave. Try again later, or use postMessageWait.",
  );
}

export function checkName(name) {
  if (!name.isWellFormed()) {
    throw new TypeError("The name of a channel that leaves the process is well-formed text.");
  }
  if (name.length > MAX_NAME || new TextEncoder().encode(name).length > MAX_NAME) {
    throw new TypeError(`The name of a channel takes at most ${MAX_NAME} bytes of UTF-8.`);
  }
}
