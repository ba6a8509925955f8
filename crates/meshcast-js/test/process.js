// Processes of a mesh, in any of the runtimes that are here.

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { delimiter, join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL("..", import.meta.url));
const path = [join(here, "node_modules", ".bin"), process.env.PATH].join(delimiter);

const has = (program) => spawnSync(program, ["--version"], { env: { PATH: path } }).status === 0;

/** How a file is run, by runtime. */
export const runtimes = {
  ...(has("node") && { node: ["node"] }),
  ...(has("deno") && { deno: ["deno", "run", "-A", "--no-config", "--quiet"] }),
  ...(has("bun") && { bun: ["bun"] }),
};

/** All runtimes, those that are missing here too. */
export const kinds = ["node", "deno", "bun"];

/** Options of a test that takes these runtimes: it is skipped by name where one is missing. */
export function needs(...names) {
  const lacks = names.filter((name) => !(name in runtimes));
  return { skip: lacks.length > 0 && `needs ${[...new Set(lacks)].join(" and ")}` };
}

/** What waits longer than this is broken. */
const PATIENCE = 60_000;

/** Ports that were given away. */
const given = new Set();
/** Where this process looks: files of tests run side by side, each in a process of its own. */
const SLICE = 500;
const first = 20_000 + (process.pid % 24) * SLICE;

/**
 * A port that is free. The system gives none of these to anybody who asks for any port, so it stays
 * free but for other programs that look for one.
 */
export async function freePort() {
  for (;;) {
    const port = first + Math.floor(Math.random() * SLICE);
    if (given.has(port)) continue;
    given.add(port);
    const server = createServer().listen(port, "127.0.0.1");
    const free = await new Promise((resolve) => {
      server.on("listening", () => resolve(true)).on("error", () => resolve(false));
    });
    if (!free) continue;
    await new Promise((resolve) => server.close(resolve));
    return port;
  }
}

/** A program; it is killed at the end of the test if it still runs. */
export class Program {
  constructor(t, [program, ...args], env = {}) {
    this.child = spawn(program, args, {
      env: { PATH: path, HOME: process.env.HOME, DENO_NO_UPDATE_CHECK: "1", ...env },
      stdio: ["pipe", "pipe", "pipe"],
    });
    this.errors = "";
    this.child.stderr.setEncoding("utf8").on("data", (text) => (this.errors += text));
    this.child.stdin.on("error", () => {});
    createInterface({ input: this.child.stdout }).on("line", (line) => this.heard(line));
    this.exit = new Promise((resolve) => {
      this.child.on("close", (code, signal) => {
        this.ended = { code, signal };
        this.heard(null);
        resolve(this.ended);
      });
    });
    t.after(async () => {
      this.child.kill("SIGKILL");
      await this.exit;
    });
  }

  /** Takes a line of its output, or null at its end. */
  heard() {}

  /** How it ended and what it said on stderr, for who reads that a test failed. */
  get state() {
    return `${JSON.stringify(this.ended ?? "runs")} ${this.errors}`;
  }

  /** Waits until it has ended well. */
  async endsWell() {
    assert.deepEqual(await this.exit, { code: 0, signal: null }, this.state);
  }

  /** Waits until it has said so on stderr. */
  async said(what) {
    while (!what.test(this.errors)) {
      if (this.ended) throw new Error(`ended before it said ${what}: ${this.errors}`);
      await Promise.race([once(this.child.stderr, "data"), this.exit]);
    }
  }
}

/** A program that writes JSON texts, each on a line. */
export class JsonProgram extends Program {
  lines = [];
  waiting = [];

  heard(line) {
    if (line !== null) {
      try {
        this.lines.push(JSON.parse(line));
      } catch {
        // It is shown if the test fails.
        this.errors += `on stdout: ${line}\n`;
      }
    }
    this.#look();
  }

  /** Takes the next line that has the field, and gives what it has there. */
  async next(field) {
    return (await this.nextOf(field))[field];
  }

  /** Takes the next line that has the field out of those that came, waiting for it. */
  nextOf(field) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(
          new Error(
            `no ${field} within ${PATIENCE} ms; ${JSON.stringify(this.lines.slice(0, 5))} ${this.state}`,
          ),
        );
      }, PATIENCE);
      this.waiting.push({ field, resolve, reject, timer });
      this.#look();
    });
  }

  #look() {
    this.waiting = this.waiting.filter(({ field, resolve, reject, timer }) => {
      const at = this.lines.findIndex((line) => field in line);
      if (at === -1 && this.ended === undefined) return true;
      clearTimeout(timer);
      if (at === -1) {
        reject(
          new Error(`ended before ${field}: ${this.state}`),
        );
      } else {
        resolve(this.lines.splice(at, 1)[0]);
      }
      return false;
    });
  }
}

/** A file of this folder, in a runtime. */
export class Process extends JsonProgram {
  constructor(t, runtime, file, env = {}, args = []) {
    super(t, [...runtimes[runtime], join(here, "test", file), ...args], env);
  }

  do(command, fields = {}) {
    this.child.stdin.write(`${JSON.stringify({ do: command, ...fields })}\n`);
  }
}

/** Members of one mesh, each in a region of its own name, that know each other on a channel. */
export async function mesh(t, key, regions, channel, env = {}) {
  const members = [];
  for (const [region, runtime] of Object.entries(regions)) {
    members.push(await joins(t, key, region, runtime, channel, members, env));
  }
  return members;
}

/** One more, when it and the others know each other on the channel. */
export async function joins(t, key, region, runtime, channel, others, env = {}) {
  const member = new Process(t, runtime, "member.js", {
    MESHCAST_KEY: key,
    MESHCAST_REGION: region,
    MESHCAST_LISTEN: "127.0.0.1:0",
    MESHCAST_SEEDS: others[0]?.address ?? "",
    ...env,
  });
  member.do("open", { name: channel });
  member.do("ready", { members: others.length });
  member.address = await member.next("ready");
  assert.match(member.address, /^\/ip4\/127\.0\.0\.1\/tcp\/\d+$/);
  for (const each of [...others, member]) {
    each.do("subscribers", { name: channel, count: others.length });
    await each.next("subscribed");
  }
  return member;
}
