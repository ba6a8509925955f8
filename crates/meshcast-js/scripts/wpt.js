// Runs the standard's own tests, those of web-platform-tests, over the package in Node, Deno and
// Bun: those of BroadcastChannel, and the battery of the structured clone through a channel.
//
//   node scripts/wpt.js [--from FOLDER] [--runtime NAME]
//
// They are not part of this project: FOLDER is a checkout of web-platform-tests, and without it what
// is needed is fetched with git. Tests that take a page (`.html`, `.window.js`, ImageData) or a
// transfer list are left out: see `docs/javascript.md`.

import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import vm from "node:vm";

const REPOSITORY = "https://github.com/web-platform-tests/wpt";
const FOLDERS = ["resources", "common", "webmessaging/broadcastchannel"];
const BATTERY = "html/webappapis/structured-clone";
/** How long the tests may take in a runtime, in ms. */
const PATIENCE = 180_000;

const self = fileURLToPath(import.meta.url);
const bin = join(dirname(self), "../node_modules/.bin");
const runtimes = {
  node: ["node"],
  deno: ["deno", "run", "-A", "--no-config", "--quiet"],
  bun: ["bun"],
};

const option = (name) => {
  const at = process.argv.indexOf(name);
  return at === -1 ? null : process.argv[at + 1];
};

const inside = option("--inside");
if (inside === null) compare();
else await run(inside);

/** Runs them in each runtime, and prints a table. */
function compare() {
  const given = option("--from");
  const folder = given ?? fetchTests();
  let failed = 0;
  try {
    const names = option("--runtime") === null ? Object.keys(runtimes) : [option("--runtime")];
    for (const name of names) {
      const [program, ...args] = runtimes[name];
      const env = { ...process.env, PATH: [bin, process.env.PATH].join(delimiter) };
      const options = { env, encoding: "utf8", timeout: PATIENCE, maxBuffer: 1 << 26 };
      const { stdout, stderr, error } = spawnSync(
        program,
        [...args, self, "--inside", folder],
        options,
      );
      if (error?.code === "ENOENT") {
        console.log(`${name}: skipped, it is not installed`);
        continue;
      }
      const line = stdout.split("\n").find((line) => line.startsWith("results: "));
      if (line === undefined) throw new Error(`${name} gave no results: ${stderr}`);
      const results = JSON.parse(line.slice("results: ".length));
      const wrong = results.filter(({ status }) => status !== 0);
      failed += wrong.length;
      console.log(`${name}: ${results.length - wrong.length} of ${results.length} passed`);
      for (const { name, message } of wrong) console.log(`  ${name}: ${message}`);
    }
  } finally {
    if (given === null) rmSync(folder, { recursive: true, force: true });
  }
  process.exitCode = failed > 0 ? 1 : 0;
}

function fetchTests() {
  const folder = mkdtempSync(join(tmpdir(), "wpt-"));
  const git = (...args) => execFileSync("git", args, { stdio: "inherit" });
  git("clone", "--quiet", "--depth=1", "--filter=blob:none", "--sparse", REPOSITORY, folder);
  git("-C", folder, "sparse-checkout", "set", ...FOLDERS, BATTERY);
  return folder;
}

/** Runs them here. */
async function run(folder) {
  const { configure } = await import("../lib/index.js");
  configure({ alone: true });
  await import("../lib/register.js");
  globalThis.self ??= globalThis;
  globalThis.GLOBAL = { isWindow: () => false, isWorker: () => false, isShadowRealm: () => false };
  // It has none, and what an event has as its origin is none too.
  if (globalThis.location === undefined) globalThis.location = { origin: "" };
  const load = (path) => vm.runInThisContext(readFileSync(join(folder, path), "utf8"), path);
  // Nothing can be shared with other processes.
  globalThis.crossOriginIsolated ??= false;
  load("resources/testharness.js");
  const done = new Promise((resolve) => globalThis.add_completion_callback(resolve));
  globalThis.setup({ explicit_timeout: true });
  for (const name of ["basics", "interface"]) load(`webmessaging/broadcastchannel/${name}.any.js`);
  if (existsSync(join(folder, "common/sab.js"))) load("common/sab.js");
  for (const name of ["", "-harness"]) {
    load(`${BATTERY}/structured-clone-battery-of-tests${name}.js`);
  }
  globalThis.runStructuredCloneBatteryOfTests({
    hasDocument: false,
    structuredClone: throughChannel,
  });
  const tests = await done;
  const results = tests.map(({ name, status, message }) => ({ name, status, message }));
  console.log(`results: ${JSON.stringify(results)}`);
  process.exit();
}

/** What arrives of a value. */
function throughChannel(value) {
  const [from, to] = [1, 2].map(() => new globalThis.BroadcastChannel("battery"));
  return new Promise((resolve, reject) => {
    to.onmessage = ({ data }) => resolve(data);
    to.onmessageerror = () => reject(new Error("messageerror"));
    from.postMessageWait(value).catch(reject);
  }).finally(() => {
    from.close();
    to.close();
  });
}
