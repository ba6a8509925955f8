// Replaces the global class.

import { BroadcastChannel } from "./channel.js";

Object.defineProperty(globalThis, "BroadcastChannel", {
  value: BroadcastChannel,
  writable: true,
  enumerable: false,
  configurable: true,
});
