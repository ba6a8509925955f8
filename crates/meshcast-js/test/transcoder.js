// The Rust codec as a process: `cargo build -p meshcast-value --example transcode`.

import { spawn } from "node:child_process";
import { built, missing as notBuilt } from "./rust.js";

const program = built("examples", "transcode");

export const missing = notBuilt(program, "cargo build -p meshcast-value --example transcode");

/** Runs the program over messages; each answer is bytes. */
export async function run(inputs, ...args) {
  const child = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] });
  const output = [];
  child.stdout.on("data", (data) => output.push(data));
  const ended = new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => (code === 0 ? resolve() : reject(new Error(`exit code ${code}`))));
  });
  for (const input of inputs) {
    const length = Buffer.alloc(4);
    length.writeUInt32LE(input.length);
    child.stdin.write(length);
    child.stdin.write(input);
  }
  child.stdin.end();
  await ended;
  const all = Buffer.concat(output);
  const answers = [];
  for (let at = 0; at < all.length;) {
    const length = all.readUInt32LE(at);
    answers.push(all.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return answers;
}

/** What Rust makes of values: their bytes as it writes them, or why it refuses them. */
export async function transcode(inputs) {
  return (await run(inputs)).map((answer) =>
    answer[0] === 0 ? { bytes: answer.subarray(1) } : { refused: answer.toString("utf8", 1) },
  );
}

export function generate(count, seed) {
  return run([], "generate", `${count}`, `${seed}`);
}
