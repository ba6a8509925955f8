// What a program may set, for this process. What it does not set, the environment says.

import { native } from "./native.js";

/** What concerns JavaScript alone, in this thread. */
export const settings = { stacks: false };

/** Says how the node of this process is to be, before the first channel is made. */
export function configure(options = {}) {
  const { stacks, ...rest } = options;
  native().configure(JSON.stringify(rest));
  if (stacks !== undefined) settings.stacks = Boolean(stacks);
}

/** A new secret for a mesh, for MESHCAST_KEY. */
export function generateKey() {
  return native().generateKey();
}
