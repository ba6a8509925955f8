// What a page has open of a name: its objects, what it has heard, and what it posted and is not
// known to be safe.

import { writePost } from "../frames.js";
import { Local, checkName, full } from "../local.js";
import { linkOptions } from "../options.js";
import { quotaExceededError } from "../value/errors.js";
import { connection } from "./connection.js";

/** By name. */
const rooms = new Map();

/** What may wait to be safe: posts, and their bytes. */
const MAX_POSTS = 4096;
const MAX_BYTES = 4 << 20;
/** Senders of which it is remembered how far they were heard, and own posts that may come back. */
const MAX_SENDERS = 1024;
const MAX_OWN = 4096;
/** Those of which no number is known, whose values are kept. */
const MAX_UNNUMBERED = 256;

/** Opens the name for an object. `handle` is called with what arrives for it. */
export function open(name, handle, options) {
  checkName(name);
  const own = linkOptions(options);
  let room = own === null ? rooms.get(name) : new Room(name, own);
  if (room === undefined) {
    room = new Room(name, {});
    rooms.set(name, room);
  }
  return room.add(handle);
}

class Room extends Local {
  room = MAX_BYTES;
  #options;
  #number = connection.number();
  /** Where to go on after a break. */
  #cursor = null;
  /** The service that it is open at; null if it is not. */
  #service = null;
  #mayPost = null;
  /** It has not heard yet all of the past that it began with. */
  #past;
  #cursors;
  /** If cursors are wanted: what came last, until it is known whether one is behind it. */
  #held = null;
  /** By number that the service has given them. */
  #senders = [];
  /** The highest number heard of each sender. */
  #heard = new Map();
  /** Posts that are safe and may still come back after a break. */
  #own = new Set();
  /** The same without a number: what they are, via whom, and whether there was a break since. */
  #unnumbered = [];
  #unnumberedBytes = 0;
  /** Posts that are not known to be safe, in order. */
  #posts = [];
  #bytes = 0;
  #next = 0;
  /** Posts are held back: it is not clear yet which of them the mesh has. */
  #unclear = false;
  #counts = { posted: 0, received: 0, gaps: 0 };
  #over = false;

  constructor(name, { cursors, ...options }) {
    super(name);
    this.#options = options;
    this.#past = Object.keys(options).length > 0;
    this.#cursors = cursors !== undefined;
    connection.enter(this.#number, this);
  }

  keepAlive() {}

  end() {
    if (this.#over) return;
    // What was posted goes out before.
    this.#over = true;
    if (rooms.get(this.name) === this) rooms.delete(this.name);
    if (this.#posts.length === 0) connection.leave(this.#number);
  }

  send(bytes) {
    this.#check(bytes);
    if (!this.#hasPlace(bytes)) throw full();
    this.#post(bytes.slice());
  }

  async sendWait(bytes) {
    this.#check(bytes);
    while (!this.#hasPlace(bytes)) {
      await new Promise((resolve) => this.waiting.push(resolve));
    }
    this.#post(bytes);
  }

  stats() {
    return { ...this.#counts, unsafe: this.#posts.length, backlogBytes: this.backlog };
  }

  #check(bytes) {
    if (this.#mayPost === false) {
      throw new DOMException("The service does not let this page post there.", "NotAllowedError");
    }
    const most = connection.maxMessageBytes;
    if (bytes.length > most) {
      throw quotaExceededError(`The message takes more than ${most} bytes.`);
    }
  }

  #hasPlace(bytes) {
    const { length } = this.#posts;
    return length === 0 || (length < MAX_POSTS && this.#bytes + bytes.length <= MAX_BYTES);
  }

  #post(value) {
    const post = { number: this.#next, value, via: null };
    this.#next = (this.#next + 1) >>> 0;
    this.#posts.push(post);
    this.#bytes += value.length;
    this.#counts.posted++;
    if (this.#service !== null && !this.#unclear) this.#say(post);
  }

  #say(post) {
    post.via = this.#service.peerId;
    const { number, value } = post;
    connection.send(writePost({ channel: this.#number, number, value }));
  }

  /** A post is done with. */
  #settle(at) {
    const [post] = this.#posts.splice(at, 1);
    this.#bytes -= post.value.length;
    this.waiting.splice(0).forEach((resolve) => resolve());
    if (this.#over && this.#posts.length === 0) connection.leave(this.#number);
  }

  /** The connection is there. */
  connected() {
    const from = this.#cursor === null ? this.#options : { after: this.#cursor };
    connection.say({ type: "open", channel: this.#number, name: this.name, ...from });
  }

  disconnected() {
    this.#release();
    this.#service = null;
    this.#senders = [];
    for (const post of this.#unnumbered) post.isBefore = true;
  }

  /** What the service tells of the channel. */
  told(told) {
    switch (told.type) {
      case "opened":
        return this.#opened(told);
      case "refused":
        return this.#refused(told.reason);
      case "sender": {
        const { peerId, name, region } = told;
        this.#senders[told.number] = { peerId, name, region };
        return;
      }
      case "gap":
        return this.#gap(told);
      case "caughtup":
        this.#clear();
        if (this.#past) this.#behind((handle) => handle.event("caughtup"));
        this.#past = false;
        return;
      case "cursor":
        this.#cursor = told.cursor;
        this.#release(told.cursor);
        return;
      case "posted":
        return this.#posted(told);
      case "unposted":
        return this.#unposted(told);
    }
  }

  #opened({ read, post, cursor = this.#cursor }) {
    this.#service = connection.service;
    this.#mayPost = post;
    // What was sent before the break may have arrived: then it comes back, if anything is heard.
    this.#unclear = read && this.#cursor !== null && this.#posts.some(({ via }) => via !== null);
    this.#cursor = cursor;
    if (!this.#unclear) this.#sayAll();
    this.deliver((handle) => handle.event("open", { read, post }));
  }

  #clear() {
    if (!this.#unclear) return;
    this.#unclear = false;
    this.#sayAll();
  }

  #sayAll() {
    for (const post of this.#posts) this.#say(post);
  }

  #refused(reason) {
    this.#mayPost = reason === "forbidden" ? false : this.#mayPost;
    if (reason === "cursor" && this.#cursor !== null) {
      // Of another mesh than before: nothing says what is missing.
      this.#cursor = null;
      this.#heard.clear();
      this.connected();
    }
    while (reason === "forbidden" && this.#posts.length > 0) this.#settle(0);
    this.deliver((handle) => handle.event("refused", { reason }));
  }

  message({ sender: number, seq, postedAt, history, value }) {
    const sender = this.#senders[number];
    if (sender === undefined || seq <= (this.#heard.get(sender.peerId) ?? 0)) return;
    this.#hear(sender.peerId, seq);
    if (this.#isOwn(sender.peerId, seq, value)) return;
    this.#counts.received++;
    const origin = { sender, seq, postedAt, history, cursor: null };
    this.#hold(origin, (handle) => handle.message(value, origin));
  }

  #gap({ sender: number, first, last, reason }) {
    const sender = this.#senders[number];
    if (sender === undefined) return;
    const heard = this.#heard.get(sender.peerId) ?? 0;
    if (last <= heard) return;
    this.#hear(sender.peerId, last);
    this.#counts.gaps++;
    const gap = { sender, first: Math.max(first, heard + 1), last, reason, channel: this.name };
    this.#hold(gap, (handle) => handle.gap(gap));
  }

  /** Delivers something, if cursors are wanted with the one that comes next, if one does. */
  #hold(marked, hand) {
    this.#release();
    if (this.#cursors) this.#held = { marked, hands: [hand] };
    else this.deliver(hand);
  }

  /** Delivers something that has no cursor, behind what is held. */
  #behind(hand) {
    if (this.#held === null) this.deliver(hand);
    else this.#held.hands.push(hand);
  }

  #release(cursor = null) {
    const held = this.#held;
    if (held === null) return;
    this.#held = null;
    held.marked.cursor = cursor;
    held.hands.forEach((hand) => this.deliver(hand));
  }

  #hear(peerId, seq) {
    const heard = this.#heard;
    // The one that was heard last is behind all others.
    heard.delete(peerId);
    heard.set(peerId, seq);
    if (heard.size > MAX_SENDERS) heard.delete(heard.keys().next().value);
  }

  /** Whether it is what this page posted before a break. */
  #isOwn(peerId, seq, value) {
    if (this.#own.delete(`${peerId} ${seq}`)) return true;
    // What others post via the same member comes in the order it was posted, so that of two that are
    // the same one is heard, whichever it is.
    const unnumbered = this.#unnumbered.findIndex(
      (post) => post.isBefore && post.via === peerId && same(post.value, value),
    );
    if (unnumbered !== -1) {
      this.#forget(unnumbered);
      return true;
    }
    if (!this.#unclear) return false;
    const at = this.#posts.findIndex(({ via }) => via === peerId);
    if (at === -1 || !same(this.#posts[at].value, value)) return false;
    this.#settle(at);
    return true;
  }

  #posted({ number, seq }) {
    const at = this.#posts.findIndex((post) => post.number === number);
    if (at === -1) return;
    const { value, via } = this.#posts[at];
    this.#settle(at);
    if (this.#service === null) return;
    if (seq === null) return this.#remember({ value, via, isBefore: false });
    const own = this.#own;
    own.add(`${this.#service.peerId} ${seq}`);
    if (own.size > MAX_OWN) own.delete(own.values().next().value);
  }

  #remember(post) {
    this.#unnumbered.push(post);
    this.#unnumberedBytes += post.value.length;
    while (this.#unnumbered.length > MAX_UNNUMBERED || this.#unnumberedBytes > MAX_BYTES) {
      this.#forget(0);
    }
  }

  #forget(at) {
    const [post] = this.#unnumbered.splice(at, 1);
    this.#unnumberedBytes -= post.value.length;
  }

  #unposted({ number, reason }) {
    const at = this.#posts.findIndex((post) => post.number === number);
    // The node stops: it is tried again elsewhere.
    if (at === -1 || reason === "unavailable") return;
    this.#settle(at);
    this.deliver((handle) => handle.event("refused", { reason }));
  }
}

function same(a, b) {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}
