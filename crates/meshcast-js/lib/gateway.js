// Lets pages in a browser onto channels of the mesh, by way of this process. See `docs/gateway.md`.

import { start } from "./hub.js";
import { native } from "./native.js";
import { Client, STOPPED } from "./gateway/client.js";
import { attach, guard, refuse } from "./gateway/http.js";
import { Names } from "./gateway/names.js";
import * as options from "./gateway/options.js";
import { POST_HEAD, PROTOCOL } from "./frames.js";

/** Clients connected: each costs buffers and what its channels hold. */
const MAX_CLIENTS = 1024;
/** Channels of a client: a page shows a few things. */
const MAX_CHANNELS = 64;
/** How long a post waits for another member to have it, in ms. */
const ALONE = 2000;
/** Pause between two errors that are said, in ms. */
const REPORTS = 10_000;

/** Clients of this thread. */
const all = new Set();
/** The number of the node that is watched. */
let watched = 0;

export class Gateway {
  #permit;
  #origins;
  #hosts;
  #maxClients;
  #maxChannels;
  #clients = new Set();
  #names;
  #sockets = null;
  #reported = { text: null, at: -Infinity };
  #patience;
  /** By request: a copy of it. In Deno nothing is to be read of one once it has been upgraded. */
  #copies = new WeakMap();

  /** What tests set: the clock of names, and how long a post waits for another member, in ms. */
  constructor(
    {
      permit,
      origins = [],
      hosts = null,
      maxClients = MAX_CLIENTS,
      maxChannels = MAX_CHANNELS,
    } = {},
    { now, patience = ALONE } = {},
  ) {
    if (typeof permit !== "function") {
      throw new TypeError("permit(request, channel) says what a client may do: { read, post }");
    }
    this.#permit = permit;
    this.#origins = options.origins(origins);
    this.#hosts = hosts === null ? null : options.hosts(hosts);
    this.#maxClients = options.count("maxClients", maxClients);
    this.#maxChannels = options.count("maxChannels", maxChannels);
    this.#names = new Names({ now });
    this.#patience = patience;
  }

  /** How many clients are connected. */
  get clients() {
    return this.#clients.size;
  }

  /**
   * Why a request is not let in, as a status and a text; null if it is. Browsers let any page connect
   * anywhere, with the cookies of where it connects to: so pages of other hosts are not, unless their
   * origin is among `origins`. A name that somebody else lets resolve to this machine makes its
   * pages pages of the same host, unless `hosts` says which there are.
   */
  refuses(request) {
    const host = header(request, "host");
    if (!this.#isServed(host)) return { status: 403, text: "this host is not served" };
    const origin = header(request, "origin");
    if (origin !== null && !this.#origins.has(origin)) {
      const own = /^[a-z]+:\/\/(.*)$/i.exec(origin)?.[1];
      if (own === undefined || own !== host) {
        return { status: 403, text: "pages of this origin are not let in" };
      }
    }
    if (this.#clients.size >= this.#maxClients) {
      return { status: 503, text: "too many are connected" };
    }
    // Who stopped it did not want that a page starts another.
    if (native().isStopped()) return { status: 503, text: "the node has stopped" };
    // A body would be kept twice, and one that was read cannot be.
    if (typeof request.clone === "function" && request.body === null) {
      this.#copies.set(request, request.clone());
    }
    return null;
  }

  /** With a port or without, which then may be any. */
  #isServed(host) {
    if (this.#hosts === null) return true;
    const name = host?.toLowerCase() ?? "";
    return this.#hosts.has(name) || this.#hosts.has(name.replace(/:\d*$/, ""));
  }

  /** Serves a path of an HTTP server of Node. It takes the package `ws`. */
  attach(server, path = "/meshcast") {
    attach(server, path, this);
    return this;
  }

  /** Takes an "upgrade" event of an HTTP server of Node. It takes the package `ws`. */
  async upgrade(request, socket, head) {
    guard(socket);
    const refusal = this.refuses(request);
    if (refusal !== null) return refuse(socket, refusal.status, refusal.text);
    let sockets;
    try {
      // Others come while the first waits.
      this.#sockets ??= this.#server();
      sockets = await this.#sockets;
    } catch (error) {
      this.#sockets = null;
      this.#report(error);
      return refuse(socket, 500, "it failed");
    }
    try {
      sockets.handleUpgrade(request, socket, head, (webSocket) => {
        this.accept(webSocket, request);
      });
    } catch (error) {
      this.#report(error);
      socket.destroy();
    }
  }

  /** Says why nobody gets in; once and now and then, since anybody may ask as often as it likes. */
  #report(error) {
    const text = `${error?.stack ?? error}`;
    const now = performance.now();
    if (text === this.#reported.text || now < this.#reported.at + REPORTS) return;
    this.#reported = { text, at: now };
    console.error(`meshcast: a page could not be let in: ${text}`);
  }

  async #server() {
    start();
    const { WebSocketServer } = await import("ws");
    const { maxMessageBytes } = JSON.parse(native().start());
    return new WebSocketServer({
      noServer: true,
      clientTracking: false,
      maxPayload: maxMessageBytes + POST_HEAD,
      handleProtocols: (offered) => (offered.has(PROTOCOL) ? PROTOCOL : false),
    });
  }

  /**
   * Serves a client over a WebSocket that is there, such as one of `Deno.upgradeWebSocket`. Ask
   * `refuses` before.
   */
  accept(webSocket, request) {
    // What it says is not looked at any more once it is closed, and may be wrong nevertheless.
    webSocket.addEventListener("error", () => {});
    if (native().isStopped()) {
      webSocket.close(1001, STOPPED);
      return;
    }
    start();
    watchNode();
    if (this.#clients.size >= this.#maxClients) {
      webSocket.close(1013, "too many are connected");
      return;
    }
    // Who comes back wants what was posted meanwhile.
    native().keepForLater();
    const client = new Client(webSocket, {
      node: JSON.parse(native().start()),
      maxChannels: this.#maxChannels,
      patience: this.#patience,
      mayName: this.#names.ofClient(this.#maxChannels),
      permit: (channel) => this.#access(request, channel),
      ended: () => {
        this.#clients.delete(client);
        all.delete(client);
      },
    });
    this.#clients.add(client);
    all.add(client);
  }

  /** What a client may do on a channel; null if that could not be found out. */
  async #access(request, channel) {
    try {
      return (await this.#permit(this.#copies.get(request) ?? request, channel)) ?? {};
    } catch (error) {
      this.#report(error);
      return null;
    }
  }

  /** Closes the connections of all clients, which connect elsewhere. */
  close() {
    for (const client of this.#clients) client.end(1001, "the service stops");
  }
}

/** Tells clients at once when the node stops: they connect elsewhere. */
function watchNode() {
  const number = native().runningNumber();
  if (number === watched) return;
  watched = number;
  native().watchEnd(() => {
    for (const client of [...all]) client.stopped();
  });
}

/** Of a request of Node, or of the web. */
function header(request, name) {
  const { headers } = request;
  return (typeof headers.get === "function" ? headers.get(name) : headers[name]) ?? null;
}
