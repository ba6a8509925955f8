// What passes between a page and the service: text that is JSON, and binary frames that carry
// values. See `docs/gateway.md`; both sides are here.

/** The subprotocol of the WebSocket. */
export const PROTOCOL = "meshcast.v1";
export const VERSION = 1;

/** Bytes before the value that a client posts, and before one that it is given. */
export const POST_HEAD = 8;
export const MESSAGE_HEAD = 25;

/** What a client says, or null if it is nothing that one may say. */
export function readSaid(text) {
  let said;
  try {
    said = JSON.parse(text);
  } catch {
    return null;
  }
  switch (said?.type) {
    case "open": {
      const { type, channel, name, last, ago, after } = said;
      const fits =
        isNumber(channel) &&
        typeof name === "string" &&
        [last, ago].every((count) => count === undefined || count === null || isNumber(count)) &&
        (after === undefined || after === null || typeof after === "string");
      return fits ? { type, channel, name, last, ago, after } : null;
    }
    case "close":
      return isNumber(said.channel) ? { type: "close", channel: said.channel } : null;
    case "alive":
      return { type: "alive" };
    default:
      return null;
  }
}

/** A value that a client posts, or null if the frame is too short. */
export function readPost(frame) {
  if (frame.byteLength < POST_HEAD) return null;
  const view = new DataView(frame);
  return {
    channel: view.getUint32(0, true),
    number: view.getUint32(4, true),
    value: new Uint8Array(frame, POST_HEAD),
  };
}

export function writePost({ channel, number, value }) {
  const frame = new Uint8Array(POST_HEAD + value.length);
  const view = new DataView(frame.buffer);
  view.setUint32(0, channel, true);
  view.setUint32(4, number, true);
  frame.set(value, POST_HEAD);
  return frame;
}

/** A message on its way to a client. */
export function writeMessage({ history, channel, sender, seq, postedAt, value }) {
  const frame = new Uint8Array(MESSAGE_HEAD + value.length);
  const view = new DataView(frame.buffer);
  view.setUint8(0, history ? 1 : 0);
  view.setUint32(1, channel, true);
  view.setUint32(5, sender, true);
  view.setFloat64(9, seq, true);
  view.setFloat64(17, postedAt, true);
  frame.set(value, MESSAGE_HEAD);
  return frame;
}

export function readMessage(frame) {
  if (frame.byteLength < MESSAGE_HEAD) return null;
  const view = new DataView(frame);
  return {
    history: view.getUint8(0) === 1,
    channel: view.getUint32(1, true),
    sender: view.getUint32(5, true),
    seq: view.getFloat64(9, true),
    postedAt: view.getFloat64(17, true),
    value: new Uint8Array(frame, MESSAGE_HEAD),
  };
}

function isNumber(number) {
  return Number.isInteger(number) && number >= 0 && number <= 0xffffffff;
}
