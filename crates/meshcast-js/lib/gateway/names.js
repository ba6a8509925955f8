// How many new names pages may bring into the node. It remembers the last number of 262,144 that
// were posted on (`max_closed_names`): a page that is let onto `room:*` would push out all others.

/** New names of a client at once, for each channel that it may have open; then one a second. */
const OF_CLIENT = 4;
/**
 * New names of all clients at once: as many as 1,024 clients have channels, which come at once when
 * their service is gone; then one a second, so that a million takes eleven days.
 */
const OF_GATEWAY = 65_536;
/** A new name for each so many ms. */
const EVERY = 1000;
/** Names that are not new. Beyond, the one that was opened least recently is new again. */
const KNOWN = 65_536;

/** Those of a gateway. */
export class Names {
  #known = new Set();
  #bucket;
  #now;

  /** `now` is a clock in ms, `atOnce` how many new names there may be at once. */
  constructor({ now = () => performance.now(), atOnce = OF_GATEWAY } = {}) {
    this.#now = now;
    this.#bucket = new Bucket(atOnce, now());
  }

  /** Those of a client that may have so many channels open. */
  ofClient(maxChannels) {
    const bucket = new Bucket(OF_CLIENT * maxChannels, this.#now());
    return (name) => this.#enter(name, bucket);
  }

  /** Whether a client may bring this name. */
  #enter(name, ofClient) {
    const known = this.#known;
    if (!known.delete(name)) {
      const now = this.#now();
      if (!ofClient.has(now) || !this.#bucket.has(now)) return false;
      ofClient.take();
      this.#bucket.take();
    }
    known.add(name);
    if (known.size > KNOWN) known.delete(known.values().next().value);
    return true;
  }
}

class Bucket {
  #most;
  #left;
  #at;

  constructor(most, now) {
    this.#most = most;
    this.#left = most;
    this.#at = now;
  }

  has(now) {
    this.#left = Math.min(this.#most, this.#left + (now - this.#at) / EVERY);
    this.#at = now;
    return this.#left >= 1;
  }

  take() {
    this.#left--;
  }
}
