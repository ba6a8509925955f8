import type { IncomingMessage, Server } from "node:http";
import type { Duplex } from "node:stream";

/** What a client may do on a channel. */
export interface Access {
  /** It hears what is posted, also what was posted before. */
  read?: boolean;
  /** It may post. */
  post?: boolean;
}

export interface GatewayOptions<R = IncomingMessage> {
  /**
   * Says for each request, and each channel that it opens, what it may do; nothing means nothing. The
   * request is the one that the WebSocket began with, or a copy of it: what it may do holds as long
   * as that is open. If it throws, the channel is refused as `"failed"`, and stderr says why.
   */
  permit(
    request: R,
    channel: string,
  ): Access | null | undefined | Promise<Access | null | undefined>;
  /**
   * Other origins whose pages are let in, such as `https://app.example.com`. Those of the host that
   * the request is for are, and clients that are no pages and name none.
   */
  origins?: Iterable<string>;
  /**
   * The hosts that are served, such as `app.example.com`, or with a port, for that alone; requests for
   * others are answered by 403. Default: any. Whoever has a domain may let it resolve to where this
   * service is, and its pages are then of the same host: where it is reached within a network, or has
   * no proxy before it that knows its hosts, name them.
   */
  hosts?: Iterable<string>;
  /** How many clients may be connected; beyond, 503. Default: 1,024. */
  maxClients?: number;
  /** How many channels each may have open. Default: 64. */
  maxChannels?: number;
}

/** Lets pages in a browser onto channels of the mesh, by way of this process. */
export class Gateway<R = IncomingMessage> {
  /** @throws {TypeError} for options that are none, such as an origin with a slash behind it */
  constructor(options: GatewayOptions<R>);

  /** How many clients are connected. */
  readonly clients: number;

  /**
   * Serves a path of an HTTP server of Node. It takes the package `ws`. Upgrades of other paths are
   * answered by 404, unless somebody else listens to "upgrade" as well.
   */
  attach(server: Server, path?: string): this;

  /** Takes an "upgrade" event of an HTTP server of Node. It takes the package `ws`. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void>;

  /** Why a request is not let in; `null` if it is. */
  refuses(request: R): { status: number; text: string } | null;

  /**
   * Serves a client over a WebSocket that is there, such as one of `Deno.upgradeWebSocket`. Ask
   * {@link refuses} before.
   */
  accept(webSocket: WebSocket, request: R): void;

  /** Closes the connections of all clients, which connect elsewhere. */
  close(): void;
}
