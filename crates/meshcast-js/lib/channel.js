// The class over the node of this process.

import process from "node:process";
import { defineChannel } from "./class.js";
import { maxMessageBytes, open } from "./hub.js";
import { settings } from "./settings.js";

export const BroadcastChannel = defineChannel({
  open,
  settings: () => ({ maxBytes: maxMessageBytes(), stacks: settings.stacks }),
  warn: (text) => process.emitWarning(text, "MeshcastWarning"),
});
