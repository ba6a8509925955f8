// What the types allow and what they do not, with the library `dom` and without. It is checked, not
// run.

import {
  BroadcastChannel,
  Presence,
  configure,
  generateKey,
  inspect,
  mesh,
  originOf,
  ready,
  shutdown,
  type GapEvent,
  type Present,
  type Snapshot,
} from "meshcast";
import { BroadcastChannel as PageChannel, connect, connection } from "meshcast/browser";
import { Gateway } from "meshcast/gateway";
import "meshcast/register";
import { DecodeError, decode, encode, toJson } from "meshcast/value";

configure({ key: generateKey(), seeds: ["fra.example.com:4001"], limits: { historyAge: 60_000 } });
configure({ local: true, advertise: ["203.0.113.7:4001"] });
configure({ alone: true });
// @ts-expect-error: no such setting
configure({ seed: "fra.example.com:4001" });

const channel = new BroadcastChannel("earth");
channel.onmessage = (event) => {
  const region: string | undefined = originOf(event)?.region;
  console.log(event.data, region);
};
channel.addEventListener("gap", (event) => {
  const gap: GapEvent = event;
  console.log(gap.first, gap.last, gap.sender.name);
});
channel.addEventListener("message", ({ data }) => console.log(data));
channel.addEventListener("message", { handleEvent: ({ data }) => console.log(data) });
channel.addEventListener("other", (event: Event) => console.log(event.type));
channel.addEventListener("gap", () => {}, { once: true, signal: AbortSignal.timeout(1) });
// @ts-expect-error: no such option
channel.addEventListener("gap", () => {}, { twice: true });
channel.ref().unref().close();
const posted: Promise<void> = channel.postMessageWait(new Map([[1n, new Blob([])]]));
// @ts-expect-error: it has none
channel.postMessage();
// @ts-expect-error: it is read-only
channel.name = "mars";

const late = new BroadcastChannel("earth", { history: { ago: 60_000 }, cursors: true });
late.addEventListener("caughtup", () => late.close());
late.onmessage = (event) => {
  const cursor: string | null | undefined = originOf(event)?.cursor;
  if (cursor) new BroadcastChannel("earth", { after: cursor });
};
// @ts-expect-error: it is a number, or says how long ago
new BroadcastChannel("earth", { history: "all" });

const room = new Presence("room", { state: { user: "ada" } });
room.addEventListener("change", ({ change, member }) => {
  const who: Present | null = member;
  console.log(change, who?.region, who?.state);
});
room.set(undefined);
console.log(room.members()[0]?.silent);
room.close();

mesh.addEventListener("peer", ({ change, region }) => console.log(change, region));
const { members }: { members: number } = await ready();
const snapshot: Snapshot = await inspect();
console.log(members, snapshot.peers[0]?.rtt, (await shutdown()).undelivered, posted);

const bytes: Uint8Array = encode({ a: 1n }, { stacks: true });
try {
  console.log(JSON.stringify(toJson(decode(bytes))));
} catch (error) {
  if (error instanceof DecodeError) console.log(error.code, error.offset);
}

import { createServer } from "node:http";

const gateway = new Gateway({
  permit: (request, name) => ({ read: name === "news", post: request.url === "/" }),
  origins: ["https://app.example.com"],
  hosts: ["chat.example.com"],
});
gateway.attach(createServer(), "/meshcast").close();
// @ts-expect-error: somebody has to decide
new Gateway({});
const ofDeno = new Gateway<Request>({ permit: async (request) => ({ read: request.url === "" }) });
ofDeno.accept(new WebSocket("wss://example.com"), new Request("https://example.com"));

connect("wss://example.com/meshcast", new URL("wss://example.org")).reconnect();
connection.addEventListener("change", () => console.log(connection.service?.region));
const tab = new PageChannel("room:lobby", { history: 20, cursors: true });
tab.addEventListener("open", ({ read, post }) => console.log(read && post));
tab.addEventListener("refused", ({ reason }) => console.log(reason));
tab.addEventListener("gap", ({ count }) => console.log(count, tab.stats().unsafe));
