// What this thread has open, over the node of the process.

import process from "node:process";
import { isMainThread } from "node:worker_threads";
import { readBatch } from "./batch.js";
import { Local, checkName, full } from "./local.js";
import { CLOSED, FULL, Link, TOO_LARGE, answer, native } from "./native.js";
import { linkOptions } from "./options.js";
import { quotaExceededError } from "./value/errors.js";

/** By name. */
const hubs = new Map();

/** Who this node is and what its limits are, once it has run, and which of this process it is. */
let node = null;
let number = 0;
/** Called when this thread begins to use another node. */
const starts = [];

/** What an exit waits for what was posted, in ms, as in Rust the drop of a node does. */
const EXIT_PATIENCE = 2000;
const noop = () => {};

/** Opens the name for an object. `handle` is called with what arrives for it. */
export function open(name, handle, options) {
  checkName(name);
  const own = linkOptions(options);
  start();
  let hub = own === null ? hubs.get(name) : new Hub(name, own);
  if (hub === undefined) {
    hub = new Hub(name, null);
    hubs.set(name, hub);
  }
  return hub.add(handle);
}

/** Starts the node of this process, if it does not run. */
export function start() {
  if (node !== null && native().runningNumber() === number) return;
  // Links to one that was stopped lead nowhere.
  hubs.clear();
  const first = node === null;
  node = JSON.parse(native().start());
  number = native().runningNumber();
  // Of workers the last sees to it, in the addon: see `src/process/threads.rs`.
  if (isMainThread && first) process.once("exit", () => native().leave(EXIT_PATIENCE));
  if (node.first && node.alone && !node.asked) {
    console.error(
      "meshcast: there is no MESHCAST_KEY, so channels reach this process alone. To join a mesh " +
        "set MESHCAST_KEY (`meshcast key new` makes one) and MESHCAST_SEEDS (host:port of a " +
        "member), or call configure().",
    );
  }
  for (const told of starts) told();
}

/** Has `told` called whenever this thread begins to use another node than before. */
export function onStart(told) {
  starts.push(told);
}

/** What a message may take, in bytes. */
export function maxMessageBytes() {
  return node.maxMessageBytes;
}

/** For tests. */
export function openHubs() {
  return hubs;
}

/** All that this thread has open of a name, or one object with options, over a link of the addon. */
class Hub extends Local {
  /** One with options is that of a single object, which hears all others by way of the node. */
  constructor(name, options) {
    super(name);
    // By the number that batches have of them.
    this.senders = [];
    const json = options === null ? undefined : JSON.stringify(options);
    this.link = new Link(name, (batch) => this.receive(batch), json);
  }

  get room() {
    return node.outboxBytes;
  }

  keepAlive(alive) {
    if (alive) this.link.ref(noop);
    else this.link.unref();
  }

  end() {
    this.link.close();
    if (hubs.get(this.name) === this) hubs.delete(this.name);
  }

  /** Bytes are only lent. */
  send(bytes) {
    settle(this.link.post(bytes));
  }

  async sendWait(bytes) {
    settle(Number(await answer((callback) => this.link.postWait(bytes, callback))));
  }

  /** Delivers what came from elsewhere. */
  receive(batch) {
    // The last delivery asks for more.
    const rest = { left: 1 };
    const taken = () => {
      if (--rest.left === 0) this.link.taken();
    };
    const deliver = (hand) => {
      rest.left += this.objects.length;
      this.deliver(hand, taken);
    };
    readBatch(batch, this.senders, {
      message: (bytes, origin) => deliver((handle) => handle.message(bytes, origin)),
      gap: (gap) => {
        // Its cursor is behind it in the batch.
        deliver((handle) => handle.gap({ ...gap, channel: this.name }));
      },
      caughtUp: () => deliver((handle) => handle.event("caughtup")),
    });
    taken();
  }

  stats() {
    return { ...JSON.parse(this.link.stats()), backlogBytes: this.backlog };
  }
}

function settle(outcome) {
  switch (outcome) {
    case CLOSED:
      throw new DOMException("The node of this process has stopped.", "InvalidStateError");
    case FULL:
      throw full();
    case TOO_LARGE:
      throw quotaExceededError(`The message takes more than ${node.maxMessageBytes} bytes.`);
  }
}
