// One client of the gateway: what it says, and what becomes of it.

import { readBatch } from "../batch.js";
import { POST_HEAD, VERSION, readPost, readSaid, writeMessage } from "../frames.js";
import { checkName } from "../local.js";
import { FULL, Link, POSTED, TOO_LARGE } from "../native.js";

/**
 * How often a client is told that the service is there. It answers, and does not count time by
 * itself: a page in the background does so once a minute at most.
 */
const ALIVE = 10_000;
/** A client that says nothing for so long is gone. */
const SILENT = 60_000;
/**
 * Bytes that may wait to be sent to a client. Beyond, nothing more of it is looked at, and batches
 * wait: one of each channel. The rest waits in the node.
 */
const OUTGOING = 1 << 20;
/** How often it is looked whether they have gone, in ms: nothing tells. */
const LOOK = 20;
/** Posts of a client that nobody else is known to have: more are not looked at. */
const UNSAFE = 256;
/** Bytes that a client has said and that were not looked at yet; more are not read. */
const UNREAD = 1 << 20;
/**
 * As many, where reading cannot be put off, as in Deno; more, and it is too hasty. With `ws` they
 * are what came with those before: 64 KiB, of frames of 6 bytes at least.
 */
const MAX_UNREAD = 16 << 20;
/** Why a connection is closed whose node is gone. */
export const STOPPED = "the node has stopped";
/** What a frame costs besides its bytes. */
const FRAME = 1024;

export class Client {
  #socket;
  #service;
  #channels = new Map();
  /** What it says, one after another. */
  #said = Promise.resolve();
  #unread = 0;
  /** Posts that nobody else is known to have: `{ channel, number }`. */
  #unsafe = new Set();
  #paused = false;
  /** Goes on when a post is safe. */
  #wake = null;
  /** Batches that wait for room: one of each channel at most. */
  #batches = [];
  #sending = false;
  #heard = Date.now();
  /** Since when it has not taken what is there for it; null if it does. */
  #stuck = null;
  #over = false;
  #alive;

  constructor(socket, service) {
    this.#socket = socket;
    this.#service = service;
    socket.binaryType = "arraybuffer";
    const { name, region, peerId, maxMessageBytes } = service.node;
    const { maxChannels } = service;
    const hello = { version: VERSION, peerId, name, region, maxMessageBytes, maxChannels };
    const begin = () => this.#tell("hello", hello);
    if (socket.readyState === 1) begin();
    else socket.addEventListener("open", begin);
    socket.addEventListener("message", ({ data }) => this.#hear(data));
    socket.addEventListener("close", () => this.#ended());
    socket.addEventListener("error", () => this.#ended());
    this.#alive = setInterval(() => {
      const now = Date.now();
      // It is not heard while it is not read.
      if (!this.#paused && now - this.#heard > SILENT) this.end(1008, "silent");
      else if (!this.#hasRoom() && now - this.#stuck > SILENT) this.end(1008, "does not read");
      else this.#tell("alive");
    }, ALIVE);
    this.#alive.unref?.();
  }

  /** Closes the connection. */
  end(code, reason) {
    if (this.#over) return;
    this.#ended();
    this.#socket.close(code, reason);
  }

  /** Closes it since the node has stopped. What nobody has it posts again where it connects next. */
  stopped() {
    for (const { channel, number } of this.#unsafe) {
      this.#tell("unposted", { channel, number, reason: "unavailable" });
    }
    this.end(1001, STOPPED);
  }

  #ended() {
    if (this.#over) return;
    this.#over = true;
    clearInterval(this.#alive);
    for (const open of this.#channels.values()) open.link.close();
    this.#channels.clear();
    this.#batches = [];
    this.#wake?.();
    // So that it is read that it is closed.
    if (this.#paused) this.#socket.resume?.();
    this.#service.ended();
  }

  #tell(type, fields = {}) {
    if (!this.#over) this.#socket.send(JSON.stringify({ type, ...fields }));
  }

  /** Whether more may be sent to it. */
  #hasRoom() {
    const hasRoom = this.#socket.bufferedAmount <= OUTGOING;
    this.#stuck = hasRoom ? null : (this.#stuck ?? Date.now());
    return hasRoom;
  }

  #hear(data) {
    if (this.#over) return;
    this.#heard = Date.now();
    const size = typeof data === "string" ? data.length : data.byteLength;
    // Servers that let themselves be told do not let it through.
    if (size > this.#service.node.maxMessageBytes + POST_HEAD) return this.end(1009, "too large");
    const cost = size + FRAME;
    this.#unread += cost;
    const most = Math.max(MAX_UNREAD, 2 * this.#service.node.maxMessageBytes);
    if (this.#unread > most) return this.end(1008, "too much at once");
    this.#pause();
    this.#said = this.#said.then(async () => {
      try {
        await this.#turn();
        if (!this.#over) await this.#do(data);
      } catch {
        // Of an addon that has gone.
        this.end(1011, "it failed");
      } finally {
        this.#unread -= cost;
        this.#pause();
      }
    });
  }

  /** Reads nothing more of it while there is enough, where it can be told to wait. */
  #pause() {
    const paused = this.#unread > UNREAD || this.#unsafe.size >= UNSAFE;
    if (paused === this.#paused || this.#over) return;
    this.#paused = paused;
    if (paused) return this.#socket.pause?.();
    this.#heard = Date.now();
    this.#socket.resume?.();
  }

  /** Waits until what it says next may be looked at, since there may be an answer. */
  async #turn() {
    while (!this.#over) {
      if (!this.#hasRoom()) await pass();
      else if (this.#unsafe.size >= UNSAFE) await new Promise((resolve) => (this.#wake = resolve));
      else return;
    }
  }

  async #do(data) {
    if (typeof data !== "string") {
      const post = readPost(data);
      return post === null ? this.end(1002, "unreadable") : this.#post(post);
    }
    const said = readSaid(data);
    if (said === null) return this.end(1002, "unreadable");
    if (said.type === "open") return this.#open(said);
    if (said.type === "close") this.#close(said.channel);
  }

  async #open({ channel, name, last, ago, after }) {
    // The number belongs to the one it has open.
    this.#close(channel);
    const refuse = (reason) => this.#tell("refused", { channel, reason });
    if (this.#channels.size >= this.#service.maxChannels) return refuse("too_many");
    const access = await this.#service.permit(name);
    if (this.#over) return;
    if (access === null) return refuse("failed");
    const { read = false, post = false } = access;
    if (!read && !post) return refuse("forbidden");
    try {
      checkName(name);
    } catch {
      return refuse("name");
    }
    if (post && !this.#service.mayName(name)) return refuse("too_many");
    const options = { cursors: "batch", ahead: 1 };
    // Who only posts hears nothing, from whenever.
    if (read && after != null) options.after = after;
    else if (read && last != null) options.last = last;
    else if (read && ago != null) options.ago = ago;
    const open = { link: null, post: Boolean(post) };
    const senders = [];
    const deliver = read ? (batch) => this.#deliver(channel, open, senders, batch) : () => {};
    try {
      open.link = new Link(name, deliver, JSON.stringify(options));
    } catch (error) {
      return refuse(reasonOf(error.message));
    }
    this.#channels.set(channel, open);
    // One that is cut off right after this goes on here.
    const cursor = read ? open.link.began() : null;
    const opened = { channel, read: Boolean(read), post: Boolean(post) };
    this.#tell("opened", cursor === null ? opened : { ...opened, cursor });
  }

  #close(channel) {
    const open = this.#channels.get(channel);
    if (open === undefined) return;
    open.link.close();
    this.#channels.delete(channel);
    this.#batches = this.#batches.filter((batch) => batch.open !== open);
  }

  #deliver(channel, open, senders, batch) {
    this.#batches.push({ channel, open, senders, batch });
    if (!this.#sending) this.#send().catch(() => this.end(1011, "it failed"));
  }

  /** Sends batches while there is room, and asks for more. */
  async #send() {
    this.#sending = true;
    while (this.#batches.length > 0) {
      if (!this.#hasRoom()) {
        await pass();
        continue;
      }
      const { channel, open, senders, batch } = this.#batches.shift();
      if (this.#channels.get(channel) !== open) continue;
      this.#write(channel, senders, batch);
      // It takes something.
      this.#stuck = null;
      open.link.taken();
    }
    this.#sending = false;
  }

  #write(channel, senders, batch) {
    readBatch(batch, senders, {
      sender: (sender) => this.#tell("sender", { channel, ...sender }),
      message: (value, { sender, seq, postedAt, history }) => {
        const message = { history, channel, sender: sender.number, seq, postedAt, value };
        this.#socket.send(writeMessage(message));
      },
      gap: ({ sender, first, last, reason }) => {
        this.#tell("gap", { channel, sender: sender.number, first, last, reason });
      },
      caughtUp: () => this.#tell("caughtup", { channel }),
      cursor: (cursor) => this.#tell("cursor", { channel, cursor }),
    });
  }

  /** Posts for it; if there is no room, nothing else that it says is looked at meanwhile. */
  async #post({ channel, number, value }) {
    const unposted = (reason) => this.#tell("unposted", { channel, number, reason });
    const post = { channel, number };
    for (;;) {
      const open = this.#channels.get(channel);
      if (open === undefined) return unposted("closed");
      if (!open.post) return unposted("forbidden");
      this.#unsafe.add(post);
      const outcome = open.link.postAcked(value, this.#service.patience, (error, seq) => {
        if (error !== null) return this.stopped();
        this.#safe(post);
        this.#tell("posted", { channel, number, seq: seq ? Number(seq) : null });
      });
      if (outcome === POSTED) return this.#pause();
      if (outcome !== FULL && outcome !== TOO_LARGE) return this.stopped();
      this.#safe(post);
      if (outcome === TOO_LARGE) return unposted("too_large");
      await pass();
      if (this.#over) return;
    }
  }

  #safe(post) {
    this.#unsafe.delete(post);
    this.#wake?.();
    this.#wake = null;
    this.#pause();
  }
}

/** A moment, which does not keep the process alive. */
function pass() {
  return new Promise((resolve) => setTimeout(resolve, LOOK).unref?.());
}

/** Why the node does not open a channel, by what it says. */
function reasonOf(message) {
  if (/cursor/.test(message)) return "cursor";
  if (/channel name|name of a channel|bytes/.test(message)) return "name";
  return "unavailable";
}
