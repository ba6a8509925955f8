// The class inside one thread, by the HTML standard and where it leaves room as the runtimes have it.

import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import * as meshcast from "../lib/index.js";
import { deliverBytes } from "./raw.js";

const { BroadcastChannel } = meshcast;
meshcast.configure({ alone: true });

let number = 0;
/** Channels of a name of their own, closed when the test is over. */
function channels(t, count, name = `name ${number++}`) {
  const made = Array.from({ length: count }, () => new BroadcastChannel(name));
  t.after(() => made.forEach((channel) => channel.close()));
  return made;
}

/** Events of the channels, as they come. */
function record(...channels) {
  const log = [];
  channels.forEach((channel, i) => {
    channel.addEventListener("message", ({ data }) => log.push([i, data]));
  });
  return log;
}

/** Waits until a message that is posted now has arrived: whatever was before it has, too. */
async function settled(channel) {
  const [one, other] = [channel.name, channel.name].map((name) => new BroadcastChannel(name));
  const arrived = once(other, "message");
  one.postMessage(null);
  await arrived;
  one.close();
  other.close();
}

test("the name is what a string makes of the argument", (t) => {
  const of = (...names) => {
    const channel = new BroadcastChannel(...names);
    t.after(() => channel.close());
    return channel.name;
  };
  assert.equal(of(null), "null");
  assert.equal(of(undefined), "undefined");
  assert.equal(of(123), "123");
  assert.equal(of(""), "");
  assert.equal(of({ toString: () => "object" }), "object");
  assert.equal(of("ü".repeat(127)), "ü".repeat(127));
  assert.throws(() => new BroadcastChannel(), TypeError);
  assert.throws(() => new BroadcastChannel(Symbol("s")), TypeError);
  assert.throws(() => BroadcastChannel("x"), TypeError);
  assert.throws(() => new BroadcastChannel("ü".repeat(128)), {
    name: "TypeError",
    message: /255 bytes/,
  });
  assert.throws(() => new BroadcastChannel("\ud800"), {
    name: "TypeError",
    message: /well-formed/,
  });
});

test("the class has the shape that the web's has", (t) => {
  const [channel] = channels(t, 1);
  const proto = BroadcastChannel.prototype;
  assert.equal(BroadcastChannel.length, 1);
  assert.equal(BroadcastChannel.name, "BroadcastChannel");
  assert.ok(channel instanceof EventTarget);
  assert.equal(Object.getPrototypeOf(proto), EventTarget.prototype);
  assert.equal(String(channel), "[object BroadcastChannel]");
  for (const key of ["name", "postMessage", "close", "onmessage", "onmessageerror"]) {
    assert.ok(Object.getOwnPropertyDescriptor(proto, key).enumerable, key);
  }
  assert.equal(proto.postMessage.length, 1);
  assert.equal(proto.close.length, 0);
  assert.equal(Object.getOwnPropertyDescriptor(proto, "name").set, undefined);
  assert.throws(() => {
    channel.name = "x";
  }, TypeError);
  assert.throws(() => proto.name, TypeError);
  assert.throws(() => proto.close.call({}), TypeError);
  assert.deepEqual(Object.keys(channel), []);
});

test("every other object of the name hears a message, and never the one that posted it", async (t) => {
  const [a, b, c] = channels(t, 3);
  const [other] = channels(t, 1);
  const log = record(a, b, c);
  const elsewhere = record(other);
  b.postMessage("hello");
  await settled(a);
  assert.deepEqual(
    log.filter(([, data]) => data !== null),
    [
      [0, "hello"],
      [2, "hello"],
    ],
  );
  assert.deepEqual(elsewhere, []);
});

test("messages arrive in the order of posting, at receivers in the order of their making", async (t) => {
  const [c1, c2, c3] = channels(t, 3);
  const log = record(c1, c2, c3);
  c1.postMessage("from c1");
  c3.postMessage("from c3");
  c2.postMessage("from c2");
  await settled(c1);
  assert.deepEqual(
    log.filter(([, data]) => data !== null),
    [
      [1, "from c1"],
      [2, "from c1"],
      [0, "from c3"],
      [1, "from c3"],
      [0, "from c2"],
      [2, "from c2"],
    ],
  );
});

test("a delivery is a task of its own, behind the current one and its microtasks", async (t) => {
  const [a, b] = channels(t, 2);
  const log = [];
  b.onmessage = ({ data }) => {
    log.push(data);
    queueMicrotask(() => queueMicrotask(() => log.push(`microtask of ${data}`)));
  };
  for (let i = 0; i < 300; i++) a.postMessage(i);
  log.push("posted");
  await Promise.resolve().then(() => log.push("microtask"));
  await settled(a);
  const expected = ["posted", "microtask"];
  for (let i = 0; i < 300; i++) expected.push(i, `microtask of ${i}`);
  assert.deepEqual(log.slice(0, 602), expected);
});

test("with `once` again and again no message is missed", async (t) => {
  const [a, b] = channels(t, 2);
  for (let i = 0; i < 50; i++) a.postMessage(i);
  for (let i = 0; i < 50; i++) {
    const [event] = await once(b, "message");
    assert.equal(event.data, i);
  }
});

test("many deliveries do not hold up timers", async (t) => {
  const [a, b] = channels(t, 2);
  let left = 20_000;
  const all = new Promise((resolve) => {
    b.onmessage = () => --left === 0 && resolve();
  });
  for (let i = left; i > 0; i--) a.postMessage(i);
  await sleep(0);
  assert.ok(left > 0, "the timer came first");
  await all;
});

test("a listener that is added later in the same task hears the message; with none it is dropped", async (t) => {
  const [a, b] = channels(t, 2);
  a.postMessage("dropped");
  await settled(a);
  a.postMessage("heard");
  const [event] = await once(b, "message");
  assert.equal(event.data, "heard");
});

test("an object hears what is posted from its making on", async (t) => {
  const [a] = channels(t, 1);
  a.postMessage("before");
  const [b] = channels(t, 1, a.name);
  const log = record(b);
  a.postMessage("after");
  await settled(a);
  assert.deepEqual(log[0], [0, "after"]);
});

test("the value is copied when it is posted, and each receiver has a copy of its own", async (t) => {
  const [a, b, c] = channels(t, 3);
  const value = { list: [1], bytes: Buffer.from("hi") };
  const copies = Promise.all([once(b, "message"), once(c, "message")]);
  a.postMessage(value);
  value.list.push(2);
  const [[{ data: one }], [{ data: other }]] = await copies;
  assert.deepEqual(one.list, [1]);
  assert.deepEqual([...other.bytes], [104, 105]);
  assert.notEqual(one, other);
  assert.notEqual(one.bytes.buffer, other.bytes.buffer);
});

test("undefined stays undefined, and a second argument is ignored", async (t) => {
  const [a, b] = channels(t, 2);
  const arrived = once(b, "message");
  const buffer = new ArrayBuffer(1);
  a.postMessage(undefined, [buffer]);
  const [event] = await arrived;
  assert.equal(event.data, undefined);
  assert.equal(buffer.byteLength, 1);
});

test("the event has the fields of the standard", async (t) => {
  const [a, b] = channels(t, 2);
  const arrived = once(b, "message");
  a.postMessage("x");
  const [event] = await arrived;
  assert.ok(event instanceof MessageEvent);
  assert.equal(Object.getPrototypeOf(event), MessageEvent.prototype);
  const { type, origin, lastEventId, source, bubbles, cancelable, target } = event;
  assert.deepEqual(
    [type, origin, lastEventId, source, bubbles, cancelable, target],
    ["message", "", "", null, false, false, b],
  );
  assert.deepEqual([...event.ports], []);
  assert.equal(meshcast.originOf(event), null);
});

test("close drops what is on its way to the object and sends what it posted", async (t) => {
  const [a, b, c] = channels(t, 3);
  const log = record(a, b, c);
  a.postMessage("from a");
  b.close();
  a.close();
  a.close();
  assert.equal(a.name, c.name);
  await settled(c);
  assert.deepEqual(
    log.filter(([, data]) => data !== null),
    [[2, "from a"]],
  );
});

test("an object that closes in its own handler hears no more", async (t) => {
  const [a, b] = channels(t, 2);
  const log = record(b);
  b.addEventListener("message", () => b.close());
  a.postMessage(1);
  a.postMessage(2);
  await settled(a);
  assert.deepEqual(log, [[0, 1]]);
});

test("what a getter closes posts that message, and no other", async (t) => {
  for (const post of ["postMessage", "postMessageWait"]) {
    const [a] = channels(t, 1);
    // It hears by way of the node.
    const other = new BroadcastChannel(a.name, { cursors: true });
    t.after(() => other.close());
    const arrived = once(other, "message");
    const value = {
      get last() {
        a.close();
        return true;
      },
    };
    await a[post](value);
    assert.deepEqual((await arrived)[0].data, { last: true });
    assert.throws(() => a.postMessage(1), { name: "InvalidStateError", message: /is closed/ });
  }
});

test("a name can be opened again at once", async (t) => {
  const [a] = channels(t, 1);
  a.close();
  const [b, c] = channels(t, 2, a.name);
  const arrived = once(c, "message");
  b.postMessage("again");
  assert.equal((await arrived)[0].data, "again");
  a.onmessage = () => {};
  assert.equal(typeof a.onmessage, "function");
});

test("errors come in the order of the standard", (t) => {
  const [a] = channels(t, 1);
  const { postMessage } = BroadcastChannel.prototype;
  assert.throws(() => postMessage.call({}, 1), TypeError);
  assert.throws(() => a.postMessage(), TypeError);
  assert.throws(() => a.postMessage(Symbol("s")), { name: "DataCloneError", code: 25 });
  const thrown = new Error("of a getter");
  assert.throws(
    () =>
      a.postMessage({
        get x() {
          throw thrown;
        },
      }),
    (error) => error === thrown,
  );
  a.close();
  assert.throws(() => a.postMessage(), TypeError);
  assert.throws(() => a.postMessage(Symbol("s")), { name: "InvalidStateError", code: 11 });
});

test("a message over the limit is refused where it is posted", async (t) => {
  const [a, b] = channels(t, 2);
  const log = record(b);
  for (const value of ["x".repeat(1 << 20), new Uint8Array(2 << 20)]) {
    assert.throws(() => a.postMessage(value), { name: "QuotaExceededError" });
    await assert.rejects(a.postMessageWait(value), { name: "QuotaExceededError" });
  }
  await settled(a);
  assert.deepEqual(log, [[0, null]]);
});

test("what cannot be kept is refused by name, and can be waited for", async (t) => {
  const [a, b] = channels(t, 2);
  const chunk = new Uint8Array(1 << 19);
  let posted = 0;
  assert.throws(
    () => {
      for (; posted < 100; posted++) a.postMessage(chunk);
    },
    { name: "QuotaExceededError" },
  );
  assert.ok(posted >= 8, `${posted} posted`);
  let heard = 0;
  b.onmessage = () => heard++;
  for (let i = 0; i < 30; i++) await a.postMessageWait(chunk);
  await settled(a);
  assert.equal(heard, posted + 30 + 1);
});

test("messages with nothing in them count as well, for each that is to hear them", async (t) => {
  const room = 8 << 20;
  const entry = 256;
  const most = (others) => Math.floor(room / (others * entry)) + 1;
  const fill = (channel) => {
    let posted = 0;
    try {
      for (; posted < 100_000; posted++) channel.postMessage(null);
    } catch ({ name }) {
      assert.equal(name, "QuotaExceededError");
    }
    return posted;
  };
  const [a] = channels(t, 2);
  assert.ok(fill(a) <= most(1));
  assert.ok(a.stats().backlogBytes <= room);
  const [b] = channels(t, 5);
  assert.ok(fill(b) <= most(4));
  // What waits for a turn of its own, with nobody to hear it.
  const [c] = channels(t, 1);
  const waiting = [];
  for (let i = 0; i < 100_000; i++) waiting.push(c.postMessageWait(null));
  const outcomes = await Promise.allSettled(waiting);
  const refused = outcomes.filter(({ status }) => status === "rejected");
  assert.ok(outcomes.length - refused.length <= most(1), `${refused.length} refused`);
  assert.ok(refused.every(({ reason }) => reason.name === "QuotaExceededError"));
  await settled(a);
  assert.equal(a.stats().backlogBytes, 0);
});

test("handlers keep their place among listeners", async (t) => {
  const [a, b] = channels(t, 2);
  const log = [];
  assert.equal(b.onmessage, null);
  b.addEventListener("message", () => log.push("first"));
  b.onmessage = () => log.push("never");
  b.addEventListener("message", () => log.push("last"));
  b.onmessage = function (event) {
    log.push("handler", this === b, event.data);
  };
  a.postMessage(1);
  await settled(a);
  assert.deepEqual(log.slice(0, 5), ["first", "handler", true, 1, "last"]);
  for (const nothing of [5, "text", null, undefined]) {
    b.onmessage = nothing;
    assert.equal(b.onmessage, null);
  }
  const object = {};
  b.onmessage = object;
  assert.equal(b.onmessage, object);
  log.length = 0;
  a.postMessage(2);
  await settled(a);
  assert.deepEqual(log.slice(0, 2), ["first", "last"]);
});

test("bytes that are no value are a messageerror", async (t) => {
  const [a, b] = channels(t, 2);
  const error = once(b, "messageerror");
  deliverBytes(a, Uint8Array.from([0x11, 0xff]));
  const [event] = await error;
  assert.equal(event.type, "messageerror");
  assert.equal(event.data, null);
  const arrived = once(b, "message");
  a.postMessage("and on it goes");
  assert.equal((await arrived)[0].data, "and on it goes");
});

test("blobs arrive whole and do not change the order", async (t) => {
  const [a, b] = channels(t, 2);
  const log = [];
  const all = new Promise((resolve) => {
    b.onmessage = async ({ data }) => {
      log.push(data);
      if (log.length === 4) resolve();
    };
  });
  a.postMessage({ blob: new Blob(["1"]) });
  a.postMessage("2");
  a.postMessage(new File(["3"], "name"));
  const waited = a.postMessageWait("4");
  a.close();
  await Promise.all([all, waited]);
  assert.deepEqual(
    [await log[0].blob.text(), log[1], await log[2].text(), log[3]],
    ["1", "2", "3", "4"],
  );
});

test("ref and unref return the channel", (t) => {
  const [a] = channels(t, 1);
  assert.equal(a.unref(), a);
  assert.equal(a.unref().ref().ref(), a);
  a.close();
  assert.equal(a.ref(), a);
});

test("a class that extends it works like one", async (t) => {
  class Room extends BroadcastChannel {
    constructor(name) {
      super(name);
      this.log = [];
      this.onmessage = ({ data }) => this.log.push(data);
    }
  }
  const room = new Room("room");
  t.after(() => room.close());
  const [a] = channels(t, 1, "room");
  a.postMessage("hello");
  await settled(a);
  assert.equal(room.log[0], "hello");
});

test("the node tells what it is and what passed", async (t) => {
  const [a, b] = channels(t, 2, "inspected");
  a.postMessage(1);
  await settled(b);
  const { node, peers, channels: open, counters } = await meshcast.inspect();
  assert.equal(node.pid, process.pid);
  assert.deepEqual(peers, []);
  assert.equal(open.find(({ name }) => name === "inspected").objects, 1);
  assert.equal(typeof counters.posted, "number", JSON.stringify(counters));
  assert.equal(a.stats().posted, 2);
  assert.equal(a.stats().received, 0);
  assert.deepEqual(await meshcast.ready(), { members: 0 });
  assert.equal(await meshcast.waitForMembers(0), 0);
  for (const members of [-1, NaN, 1.5, Infinity, "2", undefined]) {
    await assert.rejects(meshcast.waitForMembers(members), { name: "RangeError" });
  }
  assert.throws(() => meshcast.configure({}), /runs already/);
});

test("settings that are none, or not of their kind, are refused by name", () => {
  for (const [settings, says] of [
    [{ sedes: [] }, /^sedes is no setting: there are key, /],
    [{ listen: "127.0.0.1:4001" }, /^listen is a list of texts, and not "127.0.0.1:4001"$/],
    [{ seeds: [4001] }, /^seeds is a list/],
    [{ key: null }, /^key is a text, and not null$/],
    [{ admin: 5 }, /^admin is true, false or a path, and not 5$/],
    [{ local: "yes" }, /^local is /],
    [{ stacks: 1 }, /^stacks is /],
    [{ limits: 5 }, /^limits is an object/],
    [{ limits: { outboxBytes: Infinity } }, /^limits.outboxBytes is a whole number/],
    [{ limits: { historyAge: 2 ** 32 } }, /^limits.historyAge is a whole number up to 4294967295/],
    [{ limits: { maxMessage: 1 } }, /^limits.maxMessage is no setting/],
    [{ limits: { hasOwnProperty: 1 } }, /^limits.hasOwnProperty is no setting/],
    [5, /^settings is an object, and not 5$/],
    [null, /^settings is an object, and not null$/],
    [["alone"], /^settings is an object/],
  ]) {
    assert.throws(() => meshcast.configure(settings), { name: "TypeError", message: says });
  }
});
