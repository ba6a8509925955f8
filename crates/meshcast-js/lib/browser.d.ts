import type {
  ChannelOptions,
  GapEvent,
  Listener,
  ListenerOptions,
  MessageOrigin,
} from "./index.js";

export { ChannelOptions, GapEvent, MessageOrigin, originOf } from "./index.js";

/**
 * The web's class over a service of the fleet: it hears what other pages and the processes of the mesh
 * post on the channel, and never itself.
 */
export class BroadcastChannel extends EventTarget {
  /**
   * Opens the channel. Messages are heard from when the service has opened it, or from before with
   * options; breaks of the connection lose nothing that the mesh keeps.
   *
   * With `cursors`, the last message or gap of each batch that came has a `cursor`, which is the
   * one behind it; that of the others is `null`. Keep the last that is not.
   *
   * @throws {TypeError} for a name that is too long, not well-formed, or a Symbol; outside a page
   * if {@link connect} has not said where the service is
   */
  constructor(name: string, options?: ChannelOptions);

  readonly name: string;

  /**
   * Posts a copy of a value: at once, or when the service is there.
   *
   * @throws {DOMException} and nothing was posted. `InvalidStateError`: the channel is closed.
   * `DataCloneError`. `NotAllowedError`: the service has said that this page may not post there.
   * `QuotaExceededError`: it is over the limit of a message, or 4 MiB or 4,096 posts wait already
   */
  postMessage(message: unknown): void;

  /** Posts a copy of a value, which is made at once, as soon as there is room. */
  postMessageWait(message: unknown): Promise<void>;

  /** Drops what is on its way to the object, and sends what it has posted. */
  close(): void;

  ref(): this;
  unref(): this;

  stats(): {
    posted: number;
    received: number;
    gaps: number;
    /** Posts that are not known to be with a second member of the mesh. */
    unsafe: number;
    /** Bytes that other objects of the page have not heard yet, and 256 for each message. */
    backlogBytes: number;
  };

  onmessage: ((this: any, event: MessageEvent) => any) | null;
  onmessageerror: ((this: any, event: MessageEvent) => any) | null;

  addEventListener<K extends keyof BroadcastChannelEvents>(
    type: K,
    listener: ((this: this, event: BroadcastChannelEvents[K]) => unknown) | null,
    options?: boolean | ListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: Listener | null,
    options?: boolean | ListenerOptions,
  ): void;
}

export interface BroadcastChannelEvents {
  message: MessageEvent;
  messageerror: MessageEvent;
  /** Messages are missing, told before the next one of their sender. */
  gap: GapEvent;
  /** All that was posted before has come. */
  caughtup: Event;
  /** The service has opened it, at first and after each break: what the page may do. */
  open: Event & { readonly read: boolean; readonly post: boolean };
  /**
   * The service does not open it, or does not take a post: why. `"forbidden"`, `"failed"` (its
   * callback threw), `"name"`, `"too_many"`, `"cursor"`, `"unavailable"`; of a post `"closed"` or
   * `"too_large"`, too.
   */
  refused: Event & { readonly reason: string };
}

/** The one connection of the page. */
export interface Connection extends EventTarget {
  readonly state: "closed" | "connecting" | "open";
  /** The instance of the service; `null` while there is none. */
  readonly service: Pick<MessageOrigin, "peerId" | "name" | "region"> | null;
  readonly maxMessageBytes: number;
  /** Connects anew at once. */
  reconnect(): void;
  /** It was made, or lost. */
  addEventListener(type: "change", listener: (event: Event) => unknown): void;
}

export const connection: Connection;

/**
 * Says where the service is: an address, or several that are tried in turn, `wss://…`. Without it, it is
 * `/meshcast` of the host that the page is of.
 *
 * @throws {TypeError} for what is no address
 */
export function connect(...urls: (string | URL)[]): Connection;
