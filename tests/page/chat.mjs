// The three regions of the example `chat`, and people in browsers.

import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { program, run, tab } from './browser.mjs';

/** Runs the regions. `type` types a command where they run, and waits until it is done. */
export async function regions() {
  const process_ = run(program('CHAT'), ['--port', '0'], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = once(process_, 'exit');
  const lines = createInterface({ input: process_.stdout })[Symbol.asyncIterator]();
  const next = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error('the chat has ended');
    return value;
  };
  const urls = {};
  for (let line = await next(); !line.startsWith('type:'); line = await next()) {
    const [region, url] = line.split(/ +/);
    urls[region] = url;
  }
  const type = async (command) => {
    process_.stdin.write(`${command}\n`);
    const answer = await next();
    if (answer !== `done: ${command}`) throw new Error(answer);
  };
  const end = async () => {
    process_.kill('SIGTERM');
    await ended;
  };
  return { urls, type, end };
}

/** Runs an instance in each of these regions as one deploys it, with these variables. */
export async function instances(regions_, variables) {
  const directory = mkdtempSync(join(tmpdir(), 'meshcast-chat-'));
  const key = execFileSync(program('MESHCAST'), ['key', 'new'], { encoding: 'utf8' }).trim();
  const [processes, urls] = [[], {}];
  let seeds = '';
  for (const region of regions_) {
    const env = {
      ...process.env, ...variables, XDG_RUNTIME_DIR: directory, MESHCAST_KEY: key, MESHCAST_NAME: `${region}-1`, MESHCAST_REGION: region,
      MESHCAST_LISTEN: '127.0.0.1:0', ...(seeds && { MESHCAST_SEEDS: seeds }),
    };
    const process_ = run(program('CHAT'), ['--http', '127.0.0.1:0'], { env, stdio: ['ignore', 'pipe', 'ignore'] });
    processes.push(process_);
    for await (const line of createInterface({ input: process_.stdout })) {
      if (line.startsWith('listening on ')) seeds = line.slice('listening on '.length);
      if (line.startsWith('serving ')) {
        urls[region] = line.slice('serving '.length);
        break;
      }
    }
  }
  const end = async () => {
    await Promise.all(processes.map((process_) => {
      process_.kill('SIGTERM');
      return once(process_, 'exit');
    }));
    rmSync(directory, { recursive: true, force: true });
  };
  return { urls, end };
}

/** Says something without a page. */
export async function sayAt(url, from, text) {
  const response = await fetch(`${url}/rooms/lobby`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ from, text }),
  });
  if (!response.ok) throw new Error(await response.text());
}

/**
 * What stands in front of instances where they are deployed, and sends who comes to the first of
 * those that answer. `shut()` cuts off all who came, and lets nobody in until `open()`.
 */
export async function front(urls) {
  const ports = urls.map((url) => new URL(url).port);
  const clients = new Set();
  let isShut = false;
  const server = createServer((client) => {
    if (isShut) return client.destroy();
    clients.add(client);
    client.on('close', () => clients.delete(client));
    const pipe = (others) => {
      if (others.length === 0) return client.destroy();
      const instance = connect(others[0], '127.0.0.1');
      let up = false;
      instance.once('connect', () => {
        up = true;
        client.pipe(instance).pipe(client);
      });
      instance.on('error', () => (up ? client.destroy() : pipe(others.slice(1))));
      instance.on('close', () => up && client.destroy());
      client.on('close', () => instance.destroy());
      return undefined;
    };
    client.on('error', () => {});
    return pipe(ports);
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const shut = () => {
    isShut = true;
    clients.forEach((client) => client.destroy());
  };
  const open = () => {
    isShut = false;
  };
  return { url: `http://127.0.0.1:${server.address().port}`, shut, open, end: () => server.close() };
}

/** Somebody who comes into a room. */
export async function guest(browser, url, name, options) {
  const page = await tab(browser, url, options);
  await page.getByLabel('Name').fill(name);
  await page.getByRole('button', { name: 'Come in' }).click();
  await page.locator('.connection.live').waitFor();
  return page;
}

export async function say(page, ...texts) {
  for (const text of texts) {
    const box = page.getByLabel('Message', { exact: true });
    await box.fill(text);
    await box.press('Enter');
    await page.locator('.line .bubble', { hasText: text }).first().waitFor();
  }
}

/** What a page shows, each line as who said it where, and what; notes as they are. */
export const shown = (page) => page.locator('#lines > li').evaluateAll((rows) => rows.map((row) => {
  if (row.classList.contains('note')) return row.textContent;
  const text = row.querySelector('.bubble').firstChild.textContent;
  return `${row.querySelector('b').textContent}@${row.querySelector('.node').textContent.split(' ')[0]}: ${text}`;
}));

/** Who a page says is here, by instance; those of silent ones with a question mark. */
export const present = (page) => page.locator('#members > li').evaluateAll((members) => members.flatMap((member) =>
  [...member.querySelectorAll('.names li > span:last-child')].map((name) =>
    `${name.textContent.replace(' (you)', '')}@${member.dataset.node}${member.classList.contains('silent') ? '?' : ''}`)).sort());
