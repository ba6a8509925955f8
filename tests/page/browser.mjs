// Chromium, and regions for it to look at.

import { spawn } from 'node:child_process';
import { accessSync, constants, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';

const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-quic'];

/** How long anything may take that works, on a machine with other things to do. */
export const PATIENCE = Number(process.env.PATIENCE ?? 60_000);

/** The path of a program, which a variable of the environment names. */
export function program(variable) {
  const path = process.env[variable];
  if (!path) throw new Error(`${variable} is not set: it is the path of the program, as target/release/meshcast`);
  try {
    accessSync(path, constants.X_OK);
  } catch (error) {
    throw new Error(`${variable} is no program: ${error.message}`);
  }
  return path;
}

const children = new Set();
process.on('exit', () => children.forEach((child) => child.kill('SIGKILL')));

/** Runs a program, which does not outlive this one, also if this one fails. */
export function run(path, arguments_, options) {
  const child = spawn(path, arguments_, options);
  children.add(child);
  child.once('exit', () => children.delete(child));
  return child;
}

/** The first line that a program writes. */
export function firstLine(process_, what) {
  return new Promise((resolve, reject) => {
    createInterface({ input: process_.stdout }).once('line', resolve);
    process_.once('error', reject);
    process_.once('exit', (code) => reject(new Error(`${what} ended with ${code}`)));
  });
}

/** Runs `meshcast up` and returns what it says, and how to end it. */
export async function up(...options) {
  const meshcast = program('MESHCAST');
  const directory = mkdtempSync(join(tmpdir(), 'meshcast-page-'));
  const process_ = run(meshcast, ['up', '--json', '--http-base', '0', '--page', '0', ...options], {
    env: { ...process.env, XDG_RUNTIME_DIR: directory, TMPDIR: directory },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise((resolve) => process_.once('exit', resolve));
  const report = JSON.parse(await firstLine(process_, 'meshcast up'));
  const end = async () => {
    process_.kill('SIGTERM');
    await ended;
    rmSync(directory, { recursive: true, force: true });
  };
  return { ...report, directory, end };
}

/** What tells of so many nodes that there are not, and of messages a second (fleet.mjs). */
export async function fleet(nodes, rate) {
  const directory = mkdtempSync(join(tmpdir(), 'meshcast-told-'));
  const script = new URL('fleet.mjs', import.meta.url).pathname;
  const process_ = run(process.execPath, [script, directory, nodes, rate], { stdio: ['ignore', 'pipe', 'inherit'] });
  await firstLine(process_, 'the fleet');
  const ended = new Promise((resolve) => process_.once('exit', resolve));
  const end = async () => {
    process_.kill('SIGTERM');
    await ended;
    rmSync(directory, { recursive: true, force: true });
  };
  return { directory, end };
}

/** A dashboard of the nodes there. */
export async function dashboard(directory) {
  const env = { ...process.env, XDG_RUNTIME_DIR: directory, TMPDIR: directory };
  const options = { env, stdio: ['ignore', 'pipe', 'inherit'] };
  const process_ = run(program('MESHCAST'), ['dashboard', '--json', '--port', '0'], options);
  const { page } = JSON.parse(await firstLine(process_, 'the dashboard'));
  return { page, pid: process_.pid, end: () => process_.kill('SIGTERM') };
}

export async function launch() {
  const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
  return chromium.launch({ executablePath, args: FLAGS });
}

/** The page, once it is live. */
export async function open(browser, url, options) {
  const page = await tab(browser, url, options);
  await page.locator('.connection.live').waitFor();
  await page.locator('.region').first().waitFor();
  return page;
}

/** A browser window of its own. What goes wrong in its page is in `page.wrong`. */
export async function tab(browser, url, { width = 1440, height = 900, dark = true } = {}) {
  const phone = width < 500;
  const context = await browser.newContext({
    viewport: { width, height },
    colorScheme: dark ? 'dark' : 'light',
    isMobile: phone,
    hasTouch: phone,
  });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  page.wrong = [];
  page.on('pageerror', (error) => page.wrong.push(error.message));
  page.on('console', (message) => {
    if (message.type() === 'error') page.wrong.push(message.text());
  });
  await page.goto(url);
  return page;
}

/** Posts by the box of the page. */
export async function post(page, node, text) {
  await page.getByLabel('Post from').selectOption(node);
  const box = page.getByLabel('Message', { exact: true });
  await box.fill(text);
  await box.press('Enter');
}

/** The middle of a link on the map. */
export async function middle(page, link) {
  return page.locator(`[data-link="${link}"] .hit`).evaluate((path) => {
    const point = path.getPointAtLength(path.getTotalLength() * 0.5);
    const { x, y } = point.matrixTransform(path.getScreenCTM());
    return [x, y];
  });
}
