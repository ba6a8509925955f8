// What the page costs: `MESHCAST=…/meshcast node frames.mjs [--told] [--ahead] [--check] [NODES [RATE [SECONDS]]]`.
// Runs so many nodes in five regions, posts RATE messages a second, opens the page that a `meshcast
// dashboard` of its own serves, and prints as JSON the frames that Chromium drew and what the
// dashboard took of a core. Both mean something only where the machine has cores to spare;
// `idle_fps` is what an empty page has on it.
//
// `--told`: there are no nodes, but admin sockets that tell what so many would (fleet.mjs). The
// dashboard, its sampling of all nodes, its tails, the page and Chromium are the real ones. For
// machines that cannot carry as many nodes besides.
//
// `--ahead`: Chromium goes before all else that the machine does, by priority, which takes root: so frames can be counted on
// a machine that has other work. What the dashboard takes of a core is the time of its own process, also there.
//
// `--check` fails if the dashboard takes more than 10 % of a core, or the page draws fewer than 55
// frames a second where an empty one has them. Status 2: the machine has none for an empty page
// either, or the nodes do not post at that rate, so that the figures say nothing.

import { readFileSync, readdirSync } from 'node:fs';
import { setPriority } from 'node:os';
import { dashboard, fleet, launch, open, program, run, up } from './browser.mjs';

const asked = process.argv.slice(2).filter((argument) => !argument.startsWith('--'));
const isTold = process.argv.includes('--told');
const isAhead = process.argv.includes('--ahead');
const AHEAD = -18; // of priorities from 19 to -20
const [nodes, rate, seconds] = [100, 1000, 10].map((usual, i) => Number(asked[i] ?? usual));
const MOST_OF_A_CORE = 10; // percent
const LEAST_FPS = 55; // of 60
const meshcast = program('MESHCAST');
const TICKS = 100; // of the kernel's accounts, a second

/** How many seconds of processor a process took so far. */
function processor(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS;
}

/** What Chromium's processes took of the processor so far, in seconds. */
async function ofChromium(session) {
  const { processInfo } = await session.send('SystemInfo.getProcessInfo');
  return processInfo.reduce((sum, { cpuTime }) => sum + cpuTime, 0);
}

/** Lets all threads of Chromium go before others. */
async function goAhead(session) {
  const { processInfo } = await session.send('SystemInfo.getProcessInfo');
  for (const { id } of processInfo) {
    for (const thread of readdirSync(`/proc/${id}/task`)) {
      try {
        setPriority(Number(thread), AHEAD);
      } catch (error) {
        // Threads come and go.
        if (error.info?.code !== 'ESRCH') throw error;
      }
    }
  }
}

/** The times between frames, in milliseconds. */
const frames = (page) => page.evaluate((time) => new Promise((resolve) => {
  const gaps = [];
  let [begin, last] = [performance.now(), performance.now()];
  const step = (now) => {
    gaps.push(now - last);
    last = now;
    if (now - begin < time) requestAnimationFrame(step); else resolve(gaps.slice(1));
  };
  requestAnimationFrame(step);
}), seconds * 1000);

function told(gaps) {
  const sorted = [...gaps].sort((a, b) => a - b);
  const sum = gaps.reduce((a, b) => a + b, 0);
  const at = (part) => Math.round(sorted[Math.floor((sorted.length - 1) * part)] * 10) / 10;
  return { fps: Math.round(10000 * gaps.length / sum) / 10, p50_ms: at(0.5), p99_ms: at(0.99), max_ms: at(1) };
}

// The nodes that there are, or what tells of them.
const mesh = isTold
  ? await fleet(nodes, rate)
  : await up('--regions', 'fra,iad,nrt,gru,syd', '--nodes-per-region', String(nodes / 5), '--rtt', 'none');
const env = { ...process.env, XDG_RUNTIME_DIR: mesh.directory, TMPDIR: mesh.directory };
const serves = await dashboard(mesh.directory);
const bench = rate && !isTold && run(
  meshcast,
  ['bench', 'earth', '--rate', String(rate), '--duration', `${3 * seconds + 60}s`, '--json'],
  { env, stdio: 'ignore' },
);
const browser = await launch();
const session = await browser.newBrowserCDPSession();
const empty = await browser.newPage();
if (isAhead) await goAhead(session);
const idle = told(await frames(empty));
await empty.close();
const page = await open(browser, serves.page);
await page.waitForTimeout(8000);
if (isAhead) await goAhead(session);
const [before, drawn, began] = [processor(serves.pid), await ofChromium(session), performance.now()];
const busy = told(await frames(page));
const passed = (performance.now() - began) / 1000;
const took = (processor(serves.pid) - before) / passed;
const drew = (await ofChromium(session) - drawn) / passed;
// What it showed meanwhile: whether the nodes were there, and the messages.
const shown = await page.locator('#totals > div').evaluateAll((rows) =>
  Object.fromEntries(rows.map((row) => [row.children[0].textContent, row.children[1].textContent])));
const percent = Math.round(1000 * took) / 10;
console.log(JSON.stringify({
  nodes, told: isTold, rate, seconds, idle_fps: idle.fps, idle_p99_ms: idle.p99_ms, ...busy,
  core_percent: percent, chromium_percent: Math.round(1000 * drew) / 10, ahead: isAhead, shown, wrong: page.wrong,
}));
const fail = (status, why) => {
  console.error(why);
  process.exitCode = Math.max(status, process.exitCode ?? 0);
};
// Of nodes that are too busy to answer the page shows little, which costs little.
if (shown.Members !== `${nodes}/${nodes}`) fail(2, `the page showed ${shown.Members} nodes: the figures say nothing`);
if (process.argv.includes('--check')) {
  const posted = Number(shown['Posted/s'].replace(' k', 'e3'));
  if (posted < 0.9 * rate) fail(2, `${posted} messages a second were posted: the figures say nothing`);
  if (percent > MOST_OF_A_CORE) fail(1, `the dashboard took ${percent} % of a core, over ${MOST_OF_A_CORE} %`);
  if (idle.fps < LEAST_FPS) fail(2, `an empty page has ${idle.fps} frames a second here: that of the page says nothing`);
  else if (busy.fps < LEAST_FPS) fail(1, `the page drew ${busy.fps} frames a second`);
}
if (process.env.SHOT) await page.screenshot({ path: process.env.SHOT });
await browser.close();
if (bench) bench.kill('SIGINT');
serves.end();
await mesh.end();
