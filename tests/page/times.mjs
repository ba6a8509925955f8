// How long commands take that people wait for: `MESHCAST=…/meshcast node times.mjs [--told] [--check]`. Prints
// as JSON the times of 20 runs of `meshcast --help`, of `meshcast peers` at a node with 100 peers,
// and, as what starting any process takes here, of `true`. With `--check` it fails if the median of
// the first is over 20 ms, or that of the second over 100 ms.
//
// `--told`: the node is one that only tells of 100 peers (fleet.mjs), for machines that cannot carry
// as many.

import { spawnSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fleet, program, run, up } from './browser.mjs';

const MESHCAST = program('MESHCAST');
const RUNS = 20;
const LIMITS = { help: 20, peers: 100 }; // in ms
const env = { ...process.env, MESHCAST_KEY: '' };

/** The times of runs of a command, in ms. */
function times(program, arguments_) {
  const all = Array.from({ length: RUNS }, () => {
    const begun = performance.now();
    const { status, stderr } = spawnSync(program, arguments_, { env });
    if (status !== 0) throw new Error(`${program} ${arguments_}: ${status} ${stderr}`);
    return performance.now() - begun;
  }).sort((a, b) => a - b);
  const rounded = (time) => Math.round(time * 10) / 10;
  return { p50_ms: rounded((all[RUNS / 2 - 1] + all[RUNS / 2]) / 2), max_ms: rounded(all.at(-1)) };
}

const json = (...arguments_) => {
  const { stdout } = spawnSync(MESHCAST, [...arguments_, '--json'], { env });
  return stdout.length > 0 ? JSON.parse(stdout) : null;
};

/** A node with a hundred peers: its name, and how to end it. */
async function real() {
  const key = spawnSync(MESHCAST, ['key', 'new']).stdout;
  const file = join(tmpdir(), `meshcast-times-${process.pid}.key`);
  writeFileSync(file, key, { mode: 0o600 });
  const mesh = await up('--regions', 'fra,iad,nrt,gru,syd', '--nodes-per-region', '20', '--rtt', 'none', '--key-file', file);
  Object.assign(env, { XDG_RUNTIME_DIR: mesh.directory, TMPDIR: mesh.directory });
  delete env.MESHCAST_KEY;
  // One more, since `up` has a hundred at most, each of which has 99 peers.
  const [seed] = json('nodes').nodes[0].listen_addresses;
  const one = ['node', '--name', 'one', '--region', 'fra', '--listen', '127.0.0.1:0', '--seed', seed, '--key-file', file];
  const node = run(MESHCAST, one, { env, stdio: 'ignore' });
  const ended = new Promise((resolve) => node.once('exit', resolve));
  const waited = spawnSync(MESHCAST, ['peers', '--node', 'one', '--wait', '100', '--timeout', '120s'], { env });
  if (waited.status !== 0) throw new Error(`it has not found all: ${waited.stderr}`);
  const end = async () => {
    node.kill('SIGTERM');
    await ended;
    await mesh.end();
    rmSync(file, { force: true });
  };
  return { name: 'one', end };
}

/** The same of one that there is not. */
async function told() {
  const { directory, end } = await fleet(101, 0);
  Object.assign(env, { XDG_RUNTIME_DIR: directory, TMPDIR: directory });
  return { name: 'fra-1', end };
}

const isTold = process.argv.includes('--told');
const node = isTold ? await told() : await real();
try {
  const found = {
    control: times('true', []),
    help: times(MESHCAST, ['--help']),
    peers: times(MESHCAST, ['peers', '--node', node.name]),
  };
  console.log(JSON.stringify({ runs: RUNS, told: isTold, peers: json('peers', '--node', node.name).peers.length, ...found }));
  for (const [name, limit] of Object.entries(LIMITS)) {
    if (process.argv.includes('--check') && found[name].p50_ms > limit) {
      console.error(`${name} takes ${found[name].p50_ms} ms, over ${limit} ms`);
      process.exitCode = 1;
    }
  }
} finally {
  await node.end();
}
