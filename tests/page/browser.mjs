// Chromium, and regions for it to look at.

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';

const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-quic'];

/** How long anything may take that works, on a machine with other things to do. */
export const PATIENCE = Number(process.env.PATIENCE ?? 60_000);

/** Runs `meshcast up` and returns what it says, and how to end it. */
export async function up(...options) {
  const directory = mkdtempSync(join(tmpdir(), 'meshcast-page-'));
  const process_ = spawn(process.env.MESHCAST, ['up', '--json', '--http-base', '0', '--page', '0', ...options], {
    env: { ...process.env, XDG_RUNTIME_DIR: directory, TMPDIR: directory },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise((resolve) => process_.once('exit', resolve));
  const lines = createInterface({ input: process_.stdout });
  const report = await new Promise((resolve, reject) => {
    lines.once('line', (line) => resolve(JSON.parse(line)));
    process_.once('exit', (code) => reject(new Error(`meshcast up ended with ${code}`)));
  });
  const end = async () => {
    process_.kill('SIGTERM');
    await ended;
    rmSync(directory, { recursive: true, force: true });
  };
  return { ...report, directory, end };
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
