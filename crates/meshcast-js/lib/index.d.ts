/**
 * One object on a channel: what it posts, every other object of that name hears, in this thread, in
 * other threads and in every other process of the mesh. It never hears itself.
 *
 * As the HTML standard has it; what differs is in the documentation. An open channel keeps the
 * process alive, see {@link BroadcastChannel.unref}.
 */
export class BroadcastChannel extends EventTarget {
  /**
   * Opens the channel; it receives from now on. The first one starts the node of this process.
   *
   * @param name a string of at most 255 bytes of UTF-8; anything else is made one
   * @param options what the web's class does not have: from where on the object hears
   * @throws {TypeError} for a name that is too long, not well-formed, or a Symbol
   * @throws {Error} if the node does not start, such as for a port that is taken; for a cursor that
   * is none, or is of another channel
   */
  constructor(name: string, options?: ChannelOptions);

  readonly name: string;

  /**
   * Posts a copy of a value. Never blocks, and does not wait for anybody to hear it.
   *
   * @throws {DOMException} and nothing was posted. `InvalidStateError`: the channel is closed, or
   * the node has stopped. `DataCloneError`: the value cannot leave the process, or is nested deeper
   * than 1,000 levels. `QuotaExceededError`: it is over the limit of a message, or messages are
   * posted faster than they leave
   */
  postMessage(message: unknown): void;

  /**
   * Posts a copy of a value, which is made at once, as soon as there is room. What the object posts
   * afterwards waits behind it. With a `Blob` it is resolved once that was read, too.
   *
   * @throws {DOMException} as {@link postMessage}; `QuotaExceededError` also if more waits already
   * than the outbox takes
   */
  postMessageWait(message: unknown): Promise<void>;

  /** Drops what is on its way to the object, and sends what it has posted. */
  close(): void;

  /** Keeps the process alive as long as the channel is open. It does so from its making on. */
  ref(): this;
  /** Lets the process end although the channel is open. */
  unref(): this;

  /** What passed between this thread and others on the name. */
  stats(): ChannelStats;

  onmessage: ((this: any, event: MessageEvent) => any) | null;
  onmessageerror: ((this: any, event: MessageEvent) => any) | null;

  addEventListener<K extends keyof BroadcastChannelEvents>(
    type: K,
    listener:
      | ((this: this, event: BroadcastChannelEvents[K]) => unknown)
      | { handleEvent(event: BroadcastChannelEvents[K]): unknown }
      | null,
    options?: boolean | ListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: Listener | null,
    options?: boolean | ListenerOptions,
  ): void;
}

/**
 * From where on a channel hears. An object with options hears other objects of its thread as it
 * hears other processes: in the order of each, and {@link originOf} says so.
 */
export interface ChannelOptions {
  /**
   * Also what was posted before: so many messages of each process, or what was posted within so many
   * milliseconds, as far as anybody keeps it. A "caughtup" event comes when it is over.
   */
  history?: number | { ago: number };
  /**
   * What follows on where another object was, here or in any other process of the mesh: the `cursor`
   * of a message or gap. What nobody keeps any more is a gap.
   */
  after?: string;
  /** Whether messages and gaps have a `cursor`, which takes some microseconds each. */
  cursors?: boolean;
}

/** As the platform has them, whose own names are there only with the library `dom`. */
export type Listener = ((event: Event) => unknown) | { handleEvent(event: Event): unknown };

export interface ListenerOptions {
  capture?: boolean;
  once?: boolean;
  passive?: boolean;
  signal?: AbortSignal;
}

export interface BroadcastChannelEvents {
  /** A message: `event.data`. */
  message: MessageEvent;
  /** Bytes came that are no value. */
  messageerror: MessageEvent;
  /** Messages are missing, told before the next one of their sender. */
  gap: GapEvent;
  /** All that was posted before has come: see {@link ChannelOptions.history}. */
  caughtup: Event;
}

export interface ChannelStats {
  /** Messages posted by this thread. */
  posted: number;
  /** Messages received from other threads and processes. */
  received: number;
  /** In how many batches they came. */
  batches: number;
  /** Gaps among them. */
  gaps: number;
  /** Bytes posted by this thread that other objects of it have not heard yet, and 256 for each. */
  backlogBytes: number;
}

export interface Sender {
  /** Which process: a new one at every start. */
  peerId: string;
  name: string;
  region: string;
}

/** Messages of one sender that the object does not get. */
export class GapEvent extends Event {
  private constructor();
  readonly sender: Sender;
  readonly first: number;
  readonly last: number;
  readonly count: number;
  /** `"unread"`: this thread did not take them in time. More reasons may come. */
  readonly reason:
    "lost" | "too_large" | "incomplete" | "unread" | "unfetched" | "expired" | (string & {});
  /** Where another object goes on behind it; see {@link ChannelOptions.cursors}. */
  readonly cursor: string | null;
}

export interface MessageOrigin extends Sender {
  /** The number of the message: each sender counts 1, 2, 3 … on each channel. */
  seq: number;
  /** When it was posted, by the sender's clock, as `Date.now()` counts. */
  postedAt: number;
  /** Whether it is of the past that the object began with. */
  history: boolean;
  /** Where another object goes on behind it; see {@link ChannelOptions.cursors}. */
  cursor: string | null;
}

/** Where a message comes from; `null` if it was posted in this thread. */
export function originOf(event: MessageEvent): MessageOrigin | null;

export interface Present extends Sender {
  /** Since when it has the channel open, by its own clock, as `Date.now()` counts. */
  since: number;
  /** Nothing was heard of it for 3 s or longer. */
  silent: boolean;
  /** What it says of itself. */
  state?: unknown;
}

/**
 * Who is present on a channel: every process that has it open, with what it says of itself. To watch
 * does not keep the process alive. Without a mesh it is this process alone.
 */
export class Presence extends EventTarget {
  /**
   * Opens the channel, and watches from now on.
   *
   * @throws as {@link BroadcastChannel}, and as {@link set}
   */
  constructor(name: string, options?: { state?: unknown });

  /**
   * Says something of this process, in place of what it said before; `undefined` for nothing. It is
   * that of the process: all watches on the channel set the same.
   *
   * @throws {DOMException} `QuotaExceededError`: it takes more than 1 KiB; `DataCloneError`;
   * `InvalidStateError`: it is closed
   */
  set(state: unknown): void;

  /** Who is present now, by name, this process included. It takes a moment until it is complete. */
  members(): Present[];

  /** Watches no more. */
  close(): void;

  addEventListener(
    type: "change",
    listener: ((this: this, event: PresenceEvent) => unknown) | null,
    options?: boolean | ListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: Listener | null,
    options?: boolean | ListenerOptions,
  ): void;
}

/** Somebody who is present on a channel came, went, or says something else of itself. */
export class PresenceEvent extends Event {
  private constructor();
  /**
   * `"snapshot"` comes first, and whenever changes were not taken in time. `"silent"`: nothing was
   * heard for 3 s; `"lost"`: for about 10 s.
   */
  readonly change: "snapshot" | "joined" | "updated" | "silent" | "heard" | "left" | "lost";
  /** Whom it is about; `null` for a snapshot. */
  readonly member: Present | null;
  /** Whom it is about; all who are present, for a snapshot. */
  readonly members: Present[];
}

export interface Limits {
  /** The longest message in bytes, encoded. Default: 1 MiB. */
  maxMessageBytes?: number;
  /** What may wait to leave, for each channel. Default: 8 MiB. */
  outboxBytes?: number;
  /** What may wait to be read, for each channel. Default: 8 MiB. */
  unreadBytes?: number;
  maxChannels?: number;
  /** What is kept for others. Default: 64 MiB. */
  historyBytes?: number;
  memoryBytes?: number;
  /** For how long, in milliseconds. Default: 10 minutes. */
  historyAge?: number;
  maxPeers?: number;
}

export interface Settings {
  /** The secret of the mesh. Default: `MESHCAST_KEY`. */
  key?: string;
  /** A file that holds it. Default: `MESHCAST_KEY_FILE`. */
  keyFile?: string;
  /** What people call this node. Default: `MESHCAST_NAME`, else made from the region. */
  name?: string;
  /** Default: `MESHCAST_REGION`, `DENO_REGION`, `FLY_REGION` or `AWS_REGION`. */
  region?: string;
  /** Addresses to listen on, `host:port`. Default: `MESHCAST_LISTEN`, else any port. */
  listen?: string[];
  /**
   * Addresses that other machines reach this node by where those it listens on are none, such as
   * behind NAT: `ip:port`. Default: `MESHCAST_ADVERTISE`.
   */
  advertise?: string[];
  /** Addresses of members, `host:port`. Default: `MESHCAST_SEEDS`. */
  seeds?: string[];
  /** Whether members that others tell of are dialled too. Default: `true`. */
  dialMembers?: boolean;
  /**
   * Find the other processes of this user on this machine that have it set, with no key and no
   * address, as `NodeBuilder::local` does. Default: `MESHCAST_LOCAL`, which `false` does not undo.
   */
  local?: boolean;
  /** Stay in this process, whatever the environment says, and without a word. */
  alone?: boolean;
  /** A socket for the `meshcast` command: `true` for the usual place, or a path. */
  admin?: boolean | string;
  limits?: Limits;
  /** Whether stack traces of errors go along, from this thread. Default: `false`. */
  stacks?: boolean;
}

/**
 * Says how the node of this process is to be, before the first channel is made. What is not set
 * here, the environment says.
 *
 * What only the start of the node can tell is thrown by the first channel: a limit, region or name
 * that cannot be used, a file that is not there, a port that is taken.
 *
 * @throws {TypeError} for what is no setting, or not of its kind
 * @throws {Error} for a key or an address that is none, and if the node runs already
 */
export function configure(settings?: Settings): void;

/** A new secret for a mesh, for `MESHCAST_KEY`. */
export function generateKey(): string;

/**
 * Starts the node if it does not run, and waits until it is part of the mesh: about 15 s at most.
 * `members` is how many others are connected; 0 means that it is alone.
 */
export function ready(): Promise<{ members: number }>;

/**
 * Waits until so many others are connected, for as long as it takes; returns how many are. Starts
 * the node if it does not run.
 *
 * @throws {RangeError} for what is no number of members
 */
export function waitForMembers(members: number): Promise<number>;

/**
 * Waits until what was posted is with some member; says what nobody is there for. Starts the node
 * if it does not run, also after {@link shutdown}.
 */
export function flush(): Promise<Left>;

/**
 * Hands over what was posted, for up to 5 s, and stops the node. Channels that are open post no more.
 * A process that ends does the same for up to 2 s, unless a signal ends it.
 */
export function shutdown(): Promise<Left>;

export interface Left {
  /** What was posted and no member is known to have. */
  undelivered: { channel: string; messages: number; bytes: number }[];
  /** Members connected at the end. */
  members: number;
}

/** What the node looks like now. Starts it if it does not run, also after {@link shutdown}. */
export function inspect(): Promise<Snapshot>;

export interface Snapshot {
  node: Sender & { pid: number; listenAddresses: string[]; startedAt: number; version: string };
  peers: (Sender & {
    addresses: string[];
    /** The last measured round trip in milliseconds. */
    rtt: number | null;
    direction: "inbound" | "outbound";
    connectedSince: number;
    sharedChannels: number;
  })[];
  seeds: { address: string; state: string; reason: string | null }[];
  channels: {
    name: string;
    objects: number;
    /** The peer ids of members that have it open. */
    subscribers: string[];
    senders: (Sender & { highestSeq: number; deliveredSeq: number | null })[];
    outboxBytes: number;
    unreadBytes: number;
  }[];
  /** What happened since the start, by name. */
  counters: Record<string, number>;
}

/** A member came or went, or somebody was not let in. */
export class PeerEvent extends Event {
  private constructor();
  readonly change: "connected" | "disconnected" | "refused";
  readonly peerId: string | null;
  readonly name: string | null;
  readonly region: string | null;
  /** Of who was refused. */
  readonly address: string | null;
  readonly reason: string | null;
  /** Events before this one that were not told, since this thread had too much to do. */
  readonly missed: number;
}

/** Tells of members that come and go. */
export const mesh: EventTarget & {
  addEventListener(type: "peer", listener: (event: PeerEvent) => unknown): void;
};
