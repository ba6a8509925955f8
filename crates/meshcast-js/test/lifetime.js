// Ends, or does not, by what it does with its channels: `lifetime.js <what>`.

import process from "node:process";
import { BroadcastChannel, configure } from "../lib/index.js";

configure({ alone: true });

/** A timer that does not keep the process alive, in any runtime. */
function unrefed(run, ms) {
  const timer = setTimeout(run, ms);
  if (globalThis.Deno !== undefined) Deno.unrefTimer(timer);
  else timer.unref();
}

const channel = new BroadcastChannel("lifetime");
const other = new BroadcastChannel("lifetime");

switch (process.argv[2]) {
  case "open":
    break;
  case "close":
    setTimeout(() => {
      channel.close();
      other.close();
      console.log(JSON.stringify({ closed: true }));
    }, 100);
    break;
  case "unref":
    channel.unref();
    other.unref();
    break;
  case "ref":
    channel.unref();
    other.unref().ref();
    // Nothing but the channel keeps it alive until then.
    unrefed(() => {
      console.log(JSON.stringify({ timer: true }));
      other.unref();
    }, 300);
    break;
  case "deliver":
    // What is under way is delivered before the process ends.
    channel.unref();
    other.unref();
    other.onmessage = ({ data }) => console.log(JSON.stringify({ heard: data }));
    channel.postMessage("last");
    break;
  case "alone":
    other.onmessage = () => {
      channel.close();
      other.close();
    };
    channel.postMessage("to nobody else");
    break;
  case "throw":
    process.on("uncaughtException", (error) =>
      console.log(JSON.stringify({ thrown: error.message })),
    );
    other.onmessage = () => {
      throw new Error("of a listener");
    };
    other.addEventListener("message", ({ data }) => {
      console.log(JSON.stringify({ heard: data }));
      channel.close();
      other.close();
    });
    channel.postMessage("goes on");
    break;
}
console.log(JSON.stringify({ started: true }));
