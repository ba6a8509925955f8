// The one connection of a page. It is made with the first channel, again and again while any is
// open, and closed behind the last.

import { PROTOCOL, readMessage } from "../frames.js";

/** Pauses before it is tried again, in ms, each up to half longer: so that pages do not come at once. */
const FIRST_PAUSE = 250;
const LONGEST_PAUSE = 10_000;
/** How long a service may take to say hello. */
const PATIENCE = 10_000;
/** A service says at least every 10 s that it is there. */
const SILENT = 25_000;
/** Longest message before a service has said its limit. */
const MAX_MESSAGE = 1 << 20;

class Connection extends EventTarget {
  #urls = null;
  #next = 0;
  #socket = null;
  #timer = null;
  #pause = FIRST_PAUSE;
  #rooms = new Map();
  #number = 0;
  #heard = 0;
  #service = null;

  /** "closed" while no channel is open, "connecting" or "open". */
  get state() {
    if (this.#service !== null) return "open";
    return this.#rooms.size > 0 ? "connecting" : "closed";
  }

  /** The instance of the service: `{ peerId, name, region }`; null while there is none. */
  get service() {
    if (this.#service === null) return null;
    const { peerId, name, region } = this.#service;
    return { peerId, name, region };
  }

  maxMessageBytes = MAX_MESSAGE;

  /** Uses these addresses from now on. */
  use(urls) {
    if (urls.length === 0) throw new TypeError("connect(url) says where the service is");
    this.#urls = urls.map(checked);
    this.#next = 0;
    this.reconnect();
  }

  /** Connects anew at once, such as when it is known that the network is back. */
  reconnect() {
    this.#pause = FIRST_PAUSE;
    this.#lose();
    clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#rooms.size > 0) this.#connect();
  }

  /** A number for a room. */
  number() {
    return this.#number++;
  }

  enter(number, room) {
    this.#urls ??= [defaultUrl()];
    this.#rooms.set(number, room);
    if (this.#service !== null) room.connected();
    else if (this.#socket === null && this.#timer === null) this.#connect();
  }

  leave(number) {
    if (!this.#rooms.delete(number)) return;
    this.say({ type: "close", channel: number });
    if (this.#rooms.size > 0) return;
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#lose();
  }

  /** Says something, if there is anybody. */
  say(said) {
    if (this.#service !== null) this.#socket.send(JSON.stringify(said));
  }

  send(frame) {
    this.#socket.send(frame);
  }

  #connect() {
    this.#timer = null;
    const urls = this.#urls;
    const url = urls[this.#next++ % urls.length];
    let socket;
    try {
      socket = new WebSocket(url, PROTOCOL);
    } catch (error) {
      // Such as a service without TLS in a page with it; another may do.
      console.warn(`meshcast: ${url}: ${error.message}`);
      return this.#again();
    }
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => {
      if (socket === this.#socket) this.#hear(data);
    };
    socket.onclose = () => {
      if (socket === this.#socket) this.#again();
    };
    // Its end says all; the package `ws` throws what nobody listens to.
    socket.onerror = () => {};
    this.#heard = Date.now();
    this.#watch(socket);
  }

  /** Looks whether the service is there at all: a network that is cut says nothing. */
  #watch(socket) {
    const patience = this.#service === null ? PATIENCE : SILENT;
    const left = this.#heard + patience - Date.now();
    const timer = setTimeout(
      () => {
        if (socket !== this.#socket) return;
        if (this.#heard + patience <= Date.now()) this.#again();
        else this.#watch(socket);
      },
      Math.max(left, 1000),
    );
    timer.unref?.();
  }

  #again() {
    this.#lose();
    const pause = this.#pause * (1 + Math.random() / 2);
    this.#pause = Math.min(2 * this.#pause, LONGEST_PAUSE);
    this.#timer = setTimeout(() => this.#connect(), pause);
  }

  #lose() {
    const socket = this.#socket;
    const had = this.#service !== null;
    this.#socket = null;
    this.#service = null;
    if (socket !== null) {
      socket.onmessage = socket.onclose = null;
      socket.close();
    }
    if (!had) return;
    for (const room of this.#rooms.values()) room.disconnected();
    this.dispatchEvent(new Event("change"));
  }

  #hear(data) {
    this.#heard = Date.now();
    if (typeof data !== "string") {
      const message = readMessage(data);
      if (message !== null) this.#rooms.get(message.channel)?.message(message);
      return;
    }
    const told = JSON.parse(data);
    switch (told.type) {
      case "hello":
        this.#service = told;
        this.maxMessageBytes = told.maxMessageBytes;
        for (const room of [...this.#rooms.values()]) room.connected();
        this.dispatchEvent(new Event("change"));
        break;
      case "alive":
        // One that says hello and is gone again is not there: this one has lasted a while.
        this.#pause = FIRST_PAUSE;
        this.say({ type: "alive" });
        break;
      default:
        this.#rooms.get(told.channel)?.told(told);
    }
  }
}

/** An address as text. */
function checked(url) {
  const text = `${url}`;
  // A page may say a path.
  const base = globalThis.location?.href;
  const isAddress = URL.canParse(text, base) && /^(ws|http)s?:$/.test(new URL(text, base).protocol);
  if (isAddress) return text;
  throw new TypeError(`"${text}" is no address of a service, such as wss://example.com/meshcast`);
}

/** Beside the page. */
function defaultUrl() {
  const { location } = globalThis;
  if (location === undefined) throw new TypeError("connect(url) says where the service is");
  return `${location.protocol === "https:" ? "wss:" : "ws:"}//${location.host}/meshcast`;
}

export const connection = new Connection();
