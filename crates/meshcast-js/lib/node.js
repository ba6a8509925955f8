// The node of this process, which all its threads share.

import { PeerEvent } from "./events.js";
import { onStart, start } from "./hub.js";
import { answer, native } from "./native.js";

/** Starts the node if need be, and waits until it is part of the mesh. */
export async function ready() {
  start();
  return { members: Number(await answer((callback) => native().ready(callback))) };
}

/** Waits until so many other members are connected, for as long as it takes. */
export async function waitForMembers(members) {
  if (!Number.isInteger(members) || members < 0 || members > 0xffffffff) {
    throw new RangeError(`members is a whole number that fits 32 bits, and not ${members}`);
  }
  start();
  return Number(await answer((callback) => native().waitForMembers(members, callback)));
}

/** What the node looks like now. */
export async function inspect() {
  start();
  return JSON.parse(await answer((callback) => native().inspect(callback)));
}

/** Waits until what was posted is with some member; says what nobody wants. */
export async function flush() {
  start();
  return JSON.parse(await answer((callback) => native().flush(callback)));
}

/** Hands over what was posted and stops the node; says what is left behind. */
export async function shutdown() {
  return JSON.parse(await answer((callback) => native().shutdown(callback)));
}

class Mesh extends EventTarget {
  #isWanted = false;
  /** The number of the node that is watched. */
  #watched = 0;

  constructor() {
    super();
    onStart(() => this.#watch());
  }

  addEventListener(type, ...rest) {
    super.addEventListener(type, ...rest);
    if (type !== "peer") return;
    this.#isWanted = true;
    start();
    this.#watch();
  }

  /** Each node is watched until it stops. */
  #watch() {
    const number = native().runningNumber();
    if (!this.#isWanted || number === this.#watched) return;
    this.#watched = number;
    native().watch((event) => this.dispatchEvent(new PeerEvent("peer", JSON.parse(event))));
  }
}

/** Tells of members that come and go, by "peer" events. */
export const mesh = new Mesh();
