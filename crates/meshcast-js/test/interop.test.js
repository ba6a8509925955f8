// With Rust: the `meshcast` command watches and posts on a mesh of both.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { generateKey } from "../lib/index.js";
import { toJson } from "../lib/value.js";
import { JsonProgram, Process, kinds, needs } from "./process.js";
import { built, missing } from "./rust.js";
import { samples } from "./samples.js";

const meshcast = built("meshcast");
const noRust = missing(meshcast, "cargo build");

for (const runtime of kinds) {
  const skip = noRust || needs(runtime).skip;
  test(`values go from ${runtime} to Rust and back`, { skip }, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), "meshcast-"));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const env = { XDG_RUNTIME_DIR: folder, MESHCAST_KEY: generateKey() };

    const options = ["--name", "rust", "--region", "fra", "--listen", "127.0.0.1:0"];
    const node = new JsonProgram(
      t,
      [meshcast, "node", ...options, "--channel", "earth", "--json"],
      env,
    );
    await node.next("peer_id");
    const address = await node.next("address");
    const watch = new JsonProgram(t, [meshcast, "watch", "earth", "--json"], env);
    await watch.said(/listening/);

    const member = new Process(t, runtime, "member.js", {
      MESHCAST_KEY: env.MESHCAST_KEY,
      MESHCAST_REGION: "js",
      MESHCAST_LISTEN: "127.0.0.1:0",
      MESHCAST_SEEDS: address,
    });
    member.do("open", { name: "earth" });
    member.do("ready", { members: 1 });
    await member.next("ready");
    member.do("subscribers", { name: "earth", count: 1 });
    await member.next("subscribed");

    member.do("samples", { name: "earth" });
    for (const sample of samples()) assert.deepEqual(await watch.next("data"), toJson(sample));

    const json = '{"id": 123456789012345678901234567890, "list": [1, null, "häß"]}';
    execFileSync(meshcast, ["post", "earth", "--json", json], { env, stdio: "pipe" });
    assert.deepEqual(await member.next("heard"), {
      id: { $bigint: "123456789012345678901234567890" },
      list: [1, null, "häß"],
    });
    // What Rust calls bytes is a Uint8Array.
    execFileSync(meshcast, ["post", "earth", "--raw", "hi"], { env, stdio: "pipe" });
    assert.deepEqual(await member.next("heard"), { $bytes: "aGk=" });
  });
}
