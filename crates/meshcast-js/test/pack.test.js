// The package as people install it: in a folder elsewhere, without Rust.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { needs, runtimes } from "./process.js";

/** What takes longer is broken, in ms. */
const PATIENCE = 180_000;
const here = fileURLToPath(new URL("..", import.meta.url));

const HELLO = `
import "meshcast/register";
import { configure } from "meshcast";
import { decode, encode } from "meshcast/value";
import { connection } from "meshcast/browser";
import { Gateway } from "meshcast/gateway";

configure({ alone: true });
if (connection.state !== "closed" || new Gateway({ permit() {} }).clients !== 0) process.exit(1);
const [a, b] = [new BroadcastChannel("earth"), new BroadcastChannel("earth")];
b.onmessage = ({ data }) => {
  console.log(decode(encode(data)));
  a.close();
  b.close();
};
a.postMessage("hello");
`;

/** A program that knows only the global class: whether that was replaced, also in a worker. */
const EARTH = `
import { Worker, isMainThread } from "node:worker_threads";

const replaced = Object.hasOwn(BroadcastChannel.prototype, "postMessageWait");
if (isMainThread) {
  console.log("main", replaced);
  new Worker(new URL(import.meta.url));
} else {
  console.log("worker", replaced);
}
`;

function project(t) {
  const folder = mkdtempSync(join(tmpdir(), "meshcast-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const run = (program, args, cwd = folder) => {
    const env = { PATH: process.env.PATH, HOME: folder };
    const options = { cwd, encoding: "utf8", env, stdio: "pipe", timeout: PATIENCE };
    return execFileSync(program, args, options);
  };
  const install = (...files) => {
    writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
    run("npm", [
      "install",
      "--offline",
      "--no-audit",
      "--no-fund",
      ...files.map((file) => `./${file}`),
    ]);
    writeFileSync(join(folder, "hello.js"), HELLO);
    return run("node", ["hello.js"]);
  };
  const pack = () =>
    JSON.parse(run("npm", ["pack", "--json", "--pack-destination", folder], here))[0];
  return { folder, run, pack, install };
}

test("a packed package installs and runs in a folder elsewhere", (t) => {
  const { pack, install } = project(t);
  const { filename, files } = pack();
  const paths = files.map(({ path }) => path);
  for (const wanted of ["README.md", "LICENSE-MIT", "lib/index.d.ts", "examples/earth.js"]) {
    assert.ok(paths.includes(wanted), `${wanted} is not among ${paths}`);
  }
  assert.ok(!paths.some((path) => path.startsWith("src/") || path.startsWith("test/")), `${paths}`);
  assert.equal(install(filename), "hello\n");
});

test("a package for each platform and one for all install and run together", (t) => {
  const { folder, run, install } = project(t);
  run("node", [join(here, "scripts/pack.js"), folder]);
  const packed = readdirSync(folder).filter((file) => file.endsWith(".tgz"));
  assert.ok(packed.length >= 2, `${packed}`);
  assert.equal(install(...packed), "hello\n");
});

test("a program gets the class with what the documentation has its runtime told", async (t) => {
  const { folder, run, pack, install } = project(t);
  install(pack().filename);
  writeFileSync(join(folder, "service.js"), EARTH);
  const told = (kind, ...options) => {
    const [program, ...args] = runtimes[kind].filter((option) => option !== "--no-config");
    const path = [join(here, "node_modules/.bin"), process.env.PATH].join(delimiter);
    return run("/usr/bin/env", [`PATH=${path}`, program, ...args, ...options, "service.js"]);
  };
  assert.equal(told("node", "--import", "meshcast/register"), "main true\nworker true\n");
  await t.test("Bun", needs("bun"), () => {
    assert.equal(told("bun", "--preload", "meshcast/register"), "main true\nworker false\n");
  });
  await t.test("Deno", needs("deno"), () => {
    const file = "./node_modules/meshcast/lib/register.js";
    assert.equal(told("deno", "--preload", file), "main true\nworker false\n");
    // As npm notes a package down that is not from a file.
    const path = join(folder, "package.json");
    const manifest = readFileSync(path, "utf8").replace(/"file:[^"]*"/, '"^0.1.0"');
    writeFileSync(path, manifest);
    const published = told("deno", "--preload", "npm:meshcast/register");
    assert.equal(published, "main true\nworker false\n");
  });
});
