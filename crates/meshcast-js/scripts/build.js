// Builds the addon with cargo and puts it beside the package:
//
//   node scripts/build.js [--debug]

import { execFileSync, spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, renameSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const debug = process.argv.includes("--debug");
const here = fileURLToPath(new URL("..", import.meta.url));
const cargo = (...args) =>
  execFileSync("cargo", args, {
    cwd: here,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
  });

// For tests all of the workspace, as they have built it, with what examples and tests depend on: alone,
// it would take other features of what it depends on, and build that again.
cargo("build", "--locked", ...(debug ? ["--workspace", "--lib", "--examples", "--bin", "meshcast"] : ["-p", "meshcast-js", "--release"]));
const { target_directory } = JSON.parse(cargo("metadata", "--format-version", "1", "--no-deps"));

const { platform, arch } = process;
const library = {
  darwin: "libmeshcast_js.dylib",
  linux: "libmeshcast_js.so",
  win32: "meshcast_js.dll",
}[platform];
const isMusl = platform === "linux" && !process.report.getReport().header.glibcVersionRuntime;
const abi = { linux: isMusl ? "-musl" : "-gnu", win32: "-msvc" }[platform] ?? "";
const addon = join(here, "native", `meshcast.${platform}-${arch}${abi}.node`);

mkdirSync(dirname(addon), { recursive: true });
// Not over one that a process has loaded.
copyFileSync(join(target_directory, debug ? "debug" : "release", library), `${addon}.new`);
if (debug) strip(`${addon}.new`);
renameSync(`${addon}.new`, addon);
console.log(addon);

/** Where it can be: tests pack and load it again and again, and a tenth of it is enough. */
function strip(file) {
  const args = platform === "darwin" ? ["-x", file] : ["--strip-unneeded", file];
  spawnSync("strip", args, { stdio: "ignore" });
}
