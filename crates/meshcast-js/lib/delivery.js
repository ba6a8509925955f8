// Deliveries of this thread: each is a task of its own, in the order in which they were put in.

const later = globalThis.process?.getBuiltinModule?.("node:timers")?.setImmediate ?? messages();

/** Deliveries to be made, the next at `head`. */
let queue = [];
let head = 0;
/** Immediates that are under way. Each makes one delivery, with its microtasks behind it. */
let underWay = 0;

/**
 * Immediates at once. Those run without a look at the network and timers in between, so that a
 * delivery costs less than a turn of the event loop; and no more, so that these get their turn.
 */
const AT_ONCE = 128;
/** Entries done with from which on they are let go of. */
const SPENT = 1024;

/** Has `run` called in a task of its own, after all that are there. */
export function deliverLater(run) {
  queue.push(run);
  if (underWay < AT_ONCE) start();
}

function start() {
  underWay++;
  later(next);
}

function next() {
  underWay--;
  const run = queue[head];
  queue[head++] = undefined;
  if (head === queue.length) {
    queue = [];
    head = 0;
  } else if (head >= SPENT) {
    queue = queue.slice(head);
    head = 0;
  }
  // Before, since what runs may throw.
  if (underWay < queue.length - head && underWay < AT_ONCE) start();
  run();
}

/** Tasks where there are no immediates: in a page. */
function messages() {
  const { port1, port2 } = new MessageChannel();
  const waiting = [];
  port1.onmessage = () => waiting.shift()();
  return (run) => {
    waiting.push(run);
    port2.postMessage(null);
  };
}
