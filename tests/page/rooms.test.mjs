// The page of the chat without instances: what it makes of answers that are hard to get from real ones.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';

import { launch } from './browser.mjs';
import { shown } from './chat.mjs';

const files = new URL('../../examples/chat/', import.meta.url);
const TYPES = { html: 'text/html', css: 'text/css', js: 'text/javascript' };
const ORIGIN = 'http://127.0.0.1:1';
let browser;

before(async () => {
  browser = await launch();
});
after(() => browser?.close());

/**
 * A page in the room of this hash. Questions are answered by `answer(room, method)`, events as
 * `[name, data]` or a status; they are remembered in `page.questions`.
 */
async function guest(hash, answer, options) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.questions = [];
  page.wrong = [];
  page.on('pageerror', (error) => page.wrong.push(error.message));
  await page.clock.install();
  await page.route(`${ORIGIN}/**`, async (route) => {
    const { pathname } = new URL(route.request().url());
    const room = pathname.match(/^\/rooms\/(.*)$/)?.[1];
    if (room === undefined) {
      const name = pathname === '/' ? 'page.html' : pathname.slice(1);
      return route.fulfill({ contentType: TYPES[name.split('.').at(-1)], body: readFileSync(new URL(name, files), 'utf8') });
    }
    const question = [decodeURIComponent(room), route.request().method()];
    page.questions.push(question.join(' '));
    const told = await answer(...question);
    if (typeof told === 'number') return route.fulfill({ status: told, body: 'no' });
    const body = told.map(([name, data]) => `event: ${name}\nid: x\ndata: ${JSON.stringify(data)}\n\n`).join('');
    return route.fulfill({ contentType: 'text/event-stream', body });
  });
  await page.goto(`${ORIGIN}/#${hash}`);
  await page.getByLabel('Name').fill('ada');
  await page.getByRole('button', { name: 'Come in' }).click();
  return page;
}

const AT = ['at', { node: 'fra-1', region: 'fra' }];

/** Lets this much time pass, little by little, so that what is begun in it is done in it. */
async function pass(page, seconds) {
  for (let n = 0; n < seconds; n++) {
    await page.clock.runFor(1000);
    await page.evaluate(() => fetch('page.css'));
  }
}

test('a room that was left while its instance refused stays left', async () => {
  let release;
  const held = new Promise((resolve) => { release = resolve; });
  let holds = false;
  const page = await guest('lobby', async (room) => {
    if (room !== 'lobby') return [AT, ['history', []]];
    if (holds) await held;
    return 502;
  });
  await page.locator('.connection.lost').waitFor();
  await pass(page, 10);
  const tries = page.questions.filter((question) => question === 'lobby GET').length;
  assert.ok(tries > 1, `it is tried again: ${page.questions}`);
  // The next question is under way when the room is left.
  holds = true;
  const { length } = page.questions;
  while (page.questions.length === length) await pass(page, 1);
  await page.getByLabel('Another room').fill('tea');
  await page.getByRole('button', { name: 'Go' }).click();
  await page.getByText('Nobody has said anything here yet.').waitFor();
  const before = page.questions.length;
  release();
  await pass(page, 30);
  assert.ok(!page.questions.slice(before).some((question) => question.startsWith('lobby')), `${page.questions}`);
  assert.ok(page.questions.every((question) => question.endsWith('GET')), 'nothing else is asked');
  await page.context().close();
});

const line = (n, more) => ({ id: `id/${n}`, node: 'iad-1', region: 'iad', at: Date.now() + n, from: 'bob', text: `line ${n}`, took: 90, past: false, ...more });

test('a room is called by whole characters', async () => {
  const name = `${'x'.repeat(39)}😀`;
  const page = await guest(encodeURIComponent(name), () => [AT, ['history', []]]);
  await page.getByText('Nobody has said anything here yet.').waitFor();
  assert.equal(page.questions[0], `${'x'.repeat(39)} GET`);
  await page.context().close();
});

test('what came late is told by clocks of instances, and not by that of the browser', async () => {
  const hour = 3_600_000;
  const lines = [line(1, { at: Date.now() - hour }), line(2, { at: Date.now() - hour + 1, took: 7_000 })];
  const page = await guest('lobby', () => [AT, ['history', []], ['lines', lines]]);
  await page.getByText('line 2').waitFor();
  const late = await page.locator('.bubble').evaluateAll((all) => all.map((it) => it.querySelector('.late')?.textContent));
  assert.deepEqual(late, [undefined, '↺ came 7.0 s late']);
  // What comes after the connection was lost is below the note of that.
  await page.locator('.note.away').waitFor();
  assert.equal((await shown(page)).length, 3);
  assert.match((await shown(page)).at(-1), /no connection|back at/);
  await page.context().close();
});

test('on a phone nothing is wider than the screen, and one can say something', async () => {
  const lines = [line(1), line(2, { text: 'x'.repeat(300) }), line(3, { text: `${'long words '.repeat(40)}end` })];
  for (const colorScheme of ['light', 'dark']) {
    const page = await guest('lobby', () => [AT, ['who', [{ node: 'fra-1', region: 'fra', silent: false, names: ['ada', 'y'.repeat(24)], more: 0 }]], ['history', lines]],
      { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true, colorScheme });
    await page.getByText('line 1').waitFor();
    const wide = () => page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(await wide() <= 390, `${await wide()} px`);
    const [send, box] = [page.getByRole('button', { name: 'Send' }), page.getByLabel('Message', { exact: true })];
    for (const part of [send, box]) {
      const { x, y, width, height } = await part.boundingBox();
      assert.ok(x >= 0 && x + width <= 390 && y + height <= 844 && height >= 40, `${[x, y, width, height]}`);
    }
    // Who is here is folded away until it is asked for.
    assert.equal(await page.locator('#members').isVisible(), false);
    await page.locator('summary').tap();
    await page.getByText('ada (you)').waitFor();
    assert.ok(await wide() <= 390, `${await wide()} px`);
    assert.deepEqual(page.wrong, []);
    await page.context().close();
  }
});
