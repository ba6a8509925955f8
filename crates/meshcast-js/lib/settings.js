// What a program may set, for this process. What it does not set, the environment says.

import { native } from "./native.js";

/** What concerns JavaScript alone, in this thread. */
export const settings = { stacks: false };

const text = { what: "a text", is: (value) => typeof value === "string" };
const flag = { what: "true or false", is: (value) => typeof value === "boolean" };
const texts = {
  what: "a list of texts",
  is: (value) => Array.isArray(value) && value.every(text.is),
};
const object = {
  what: "an object",
  is: (value) => typeof value === "object" && value !== null && !Array.isArray(value),
};
const upTo = (most) => ({
  what: `a whole number up to ${most}`,
  is: (value) => Number.isInteger(value) && value >= 0 && value <= most,
});
const count = upTo(Number.MAX_SAFE_INTEGER);
const count32 = upTo(0xffffffff);

/** What a setting may be; the same as in `src/process.rs`. */
const SETTINGS = {
  key: text,
  keyFile: text,
  name: text,
  region: text,
  listen: texts,
  advertise: texts,
  seeds: texts,
  dialMembers: flag,
  local: flag,
  alone: flag,
  admin: { what: "true, false or a path", is: (value) => flag.is(value) || text.is(value) },
  limits: object,
  stacks: flag,
};

const LIMITS = {
  maxMessageBytes: count,
  outboxBytes: count,
  unreadBytes: count,
  maxChannels: count,
  historyBytes: count,
  memoryBytes: count,
  historyAge: count32,
  maxPeers: count32,
};

/** Says how the node of this process is to be, before the first channel is made. */
export function configure(options = {}) {
  check("", { settings: options }, { settings: object });
  check("", options, SETTINGS);
  check("limits.", options.limits ?? {}, LIMITS);
  const { stacks, ...rest } = options;
  native().configure(JSON.stringify(rest));
  if (stacks !== undefined) settings.stacks = stacks;
}

/** In JavaScript: numbers that are none become null on the way to the addon. */
function check(path, values, known) {
  for (const [name, value] of Object.entries(values)) {
    if (!Object.hasOwn(known, name)) {
      const names = Object.keys(known).join(", ");
      throw new TypeError(`${path}${name} is no setting: there are ${names}`);
    }
    const { what, is } = known[name];
    if (value !== undefined && !is(value)) {
      throw new TypeError(`${path}${name} is ${what}, and not ${shown(value)}`);
    }
  }
}

function shown(value) {
  return typeof value === "string" ? `"${value}"` : String(value);
}

/** A new secret for a mesh, for MESHCAST_KEY. */
export function generateKey() {
  return native().generateKey();
}
