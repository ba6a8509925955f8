// What a channel object may want that the web's class does not have.

/** What a link of its own is opened with; null if an object needs none. */
export function linkOptions({ history, after, cursors }) {
  const own = {};
  if (typeof history === "number") own.last = count("history", history);
  else if (history?.ago !== undefined) own.ago = count("history.ago", history.ago);
  else if (history !== undefined)
    throw new TypeError("history is a number or { ago: milliseconds }");
  if (after !== undefined) own.after = `${after}`;
  if (cursors) own.cursors = "message";
  return Object.keys(own).length > 0 ? own : null;
}

function count(what, number) {
  if (Number.isInteger(number) && number >= 0 && number <= 0xffffffff) return number;
  throw new TypeError(`${what} is a whole number that fits 32 bits`);
}
