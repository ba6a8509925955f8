// The class in a page, over one WebSocket to a service that embeds a node: `meshcast/gateway` or
// the Rust crate `meshcast-gateway`. Runs in browsers without a build, and wherever there is
// WebSocket.

import { connection } from "./browser/connection.js";
import { open } from "./browser/room.js";
import { defineChannel } from "./class.js";

export { GapEvent, originOf } from "./events.js";
export { connection } from "./browser/connection.js";

export const BroadcastChannel = defineChannel({
  open,
  settings: () => ({ maxBytes: connection.maxMessageBytes, stacks: false }),
  warn: (text) => console.warn(`meshcast: ${text}`),
});

/** Says where the service is: an address, or several that are tried in turn. */
export function connect(...urls) {
  connection.use(urls);
  return connection;
}
