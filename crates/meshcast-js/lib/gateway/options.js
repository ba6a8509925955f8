// What a gateway is made with, looked at where it is made: later it would let in all, or nobody.

/** A whole number from 1 on. */
export function count(what, number) {
  if (Number.isInteger(number) && number >= 1) return number;
  throw new TypeError(`${what} is a whole number from 1 on, and not ${number}`);
}

/** Origins as browsers say them. */
export function origins(list) {
  return all("origins", list, isOrigin, "https://app.example.com, and nothing behind it");
}

/** Hosts with a port or without, in lower case. */
export function hosts(list) {
  const found = all("hosts", list, isHost, "app.example.com or app.example.com:8443");
  return new Set([...found].map((host) => host.toLowerCase()));
}

/** A text is iterable too: by its letters. */
function all(what, list, is, example) {
  if (typeof list === "string" || typeof list?.[Symbol.iterator] !== "function") {
    throw new TypeError(`${what} is a list, such as ["${example.split(/,| or /)[0]}"]`);
  }
  const found = new Set(list);
  for (const item of found) {
    if (typeof item === "string" && is(item)) continue;
    throw new TypeError(`${what}: ${String(item)} is none; one is such as ${example}`);
  }
  return found;
}

function isOrigin(text) {
  if (/^https?:/i.test(text)) return URL.canParse(text) && new URL(text).origin === text;
  // Of an extension or an app, or one that a page does not tell.
  return text === "null" || /^[a-z][a-z\d+.-]*:\/\/[^/?#]+$/.test(text);
}

function isHost(text) {
  return /^[^/?#@\s]+$/.test(text);
}
