// Events of the product's own, and what is known of a message besides its data.

/** Messages of one sender that a channel object does not get. */
export class GapEvent extends Event {
  #gap;
  #read = false;

  constructor(type, gap) {
    super(type);
    this.#gap = gap;
  }

  static wasRead(event) {
    return event.#read;
  }

  /** Who posted them: `{ peerId, name, region }`. */
  get sender() {
    this.#read = true;
    const { peerId, name, region } = this.#gap.sender;
    return { peerId, name, region };
  }

  /** The first number that is missing. */
  get first() {
    this.#read = true;
    return this.#gap.first;
  }

  /** The last number that is missing. */
  get last() {
    this.#read = true;
    return this.#gap.last;
  }

  /** How many are missing. */
  get count() {
    return this.last - this.first + 1;
  }

  /** Why: "lost", "too_large", "incomplete", "unread", "unfetched" or "expired"; more may come. */
  get reason() {
    this.#read = true;
    return this.#gap.reason;
  }

  /** Where to go on behind it, if the object was opened with `cursors`. */
  get cursor() {
    return this.#gap.cursor ?? null;
  }
}

/** Somebody who is present on a channel came, went, or says something else of itself. */
export class PresenceEvent extends Event {
  #change;
  #members;

  constructor(type, { change, members }) {
    super(type);
    this.#change = change;
    this.#members = members;
  }

  /** "snapshot", "joined", "updated", "silent", "heard", "left" or "lost". */
  get change() {
    return this.#change;
  }

  /** Whom it is about; null for a snapshot. */
  get member() {
    return this.#change === "snapshot" ? null : this.#members[0];
  }

  /** All who are present, if it is a snapshot. */
  get members() {
    return this.#members;
  }
}

/** Whether a listener has taken note of a gap. */
export const { wasRead } = GapEvent;
delete GapEvent.wasRead;

/** A member came or went, or somebody was not let in. */
export class PeerEvent extends Event {
  #peer;

  constructor(type, peer) {
    super(type);
    this.#peer = peer;
  }

  /** "connected", "disconnected" or "refused". */
  get change() {
    return this.#peer.change;
  }

  get peerId() {
    return this.#peer.peerId ?? null;
  }

  get name() {
    return this.#peer.name ?? null;
  }

  get region() {
    return this.#peer.region ?? null;
  }

  get address() {
    return this.#peer.address ?? null;
  }

  get reason() {
    return this.#peer.reason ?? null;
  }

  /** Events before this one that were not told, since this thread had too much to do. */
  get missed() {
    return this.#peer.missed;
  }
}

/** Gives an object another private field. */
class Marked extends function (object) {
  return object;
} {
  #origin;

  constructor(object, origin) {
    super(object);
    this.#origin = origin;
  }

  static of(object) {
    return #origin in object ? object.#origin : null;
  }
}

/** Notes where an event comes from, invisibly to those who do not ask. */
export function mark(event, origin) {
  new Marked(event, origin);
}

/**
 * Where a message comes from: `{ peerId, name, region, seq, postedAt, history, cursor }`; null if it
 * was posted in this thread.
 */
export function originOf(event) {
  const origin = Marked.of(event);
  if (origin === null) return null;
  const { sender, seq, postedAt, history, cursor } = origin;
  const { peerId, name, region } = sender;
  return { peerId, name, region, seq, postedAt, history, cursor };
}
