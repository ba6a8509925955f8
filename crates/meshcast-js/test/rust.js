// Programs of the workspace that the tests run if they have been built.

import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const debug = join(resolve(root, process.env.CARGO_TARGET_DIR ?? "target"), "debug");

/** The path of a program, below the folder of debug builds. */
export function built(...path) {
  return join(debug, ...path);
}

/** Why a test that needs it is skipped, or false. */
export function missing(program, command) {
  return existsSync(program) ? false : `needs \`${command}\``;
}
