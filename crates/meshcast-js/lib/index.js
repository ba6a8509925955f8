export { BroadcastChannel } from "./channel.js";
export { GapEvent, PeerEvent, PresenceEvent, originOf } from "./events.js";
export { flush, inspect, mesh, ready, shutdown, waitForMembers } from "./node.js";
export { Presence } from "./presence.js";
export { configure, generateKey } from "./settings.js";
