// What the addon hands over; see `src/batch.rs`.

const MESSAGE = 1;
const SENDER = 2;
const GAP = 3;
const HISTORY = 4;
const CAUGHT_UP = 5;
const CURSOR = 6;

const text = new TextDecoder();

/**
 * Reads a batch.
 *
 * @param senders by the number that batches of the link have of them; they are noted down
 * @param handle told of each entry: `message(bytes, origin)`, `gap`, `caughtUp`, and `cursor` if it
 * has that. What an origin has as its `cursor` comes with the entry behind the message
 */
export function readBatch({ buffer, byteOffset, byteLength }, senders, handle) {
  const batch = new Uint8Array(buffer, byteOffset, byteLength);
  const view = new DataView(buffer, byteOffset, byteLength);
  let latest = null;
  for (let at = 0; at < batch.length;) {
    const kind = batch[at];
    const start = at + 5;
    at = start + view.getUint32(at + 1, true);
    if (kind === MESSAGE || kind === HISTORY) {
      latest = {
        sender: senders[view.getUint32(start, true)],
        seq: view.getFloat64(start + 4, true),
        postedAt: view.getFloat64(start + 12, true),
        history: kind === HISTORY,
        cursor: null,
      };
      handle.message(batch.subarray(start + 20, at), latest);
      continue;
    }
    if (kind === CAUGHT_UP) {
      handle.caughtUp();
      continue;
    }
    const content = text.decode(batch.subarray(start, at));
    if (kind === SENDER) {
      const sender = JSON.parse(content);
      senders[sender.number] = sender;
      handle.sender?.(sender);
    }
    if (kind === GAP) {
      const gap = JSON.parse(content);
      latest = { ...gap, sender: senders[gap.sender], cursor: null };
      handle.gap(latest);
    }
    if (kind === CURSOR) {
      if (latest !== null) latest.cursor = content;
      handle.cursor?.(content);
    }
  }
}
