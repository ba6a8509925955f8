// The three regions of the example `chat`, and people in browsers.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { createInterface } from 'node:readline';

import { tab } from './browser.mjs';

/** Runs the regions. `type` types a command where they run, and waits until it is done. */
export async function regions() {
  const process_ = spawn(process.env.CHAT, ['--port', '0'], { stdio: ['pipe', 'pipe', 'inherit'] });
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

/**
 * What stands in front of instances where they are deployed, and sends who comes to the first of
 * those that answer.
 */
export async function front(urls) {
  const ports = urls.map((url) => new URL(url).port);
  const server = createServer((client) => {
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
    pipe(ports);
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return { url: `http://127.0.0.1:${server.address().port}`, end: () => server.close() };
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
