// The chat in browsers at instances in different regions, while links and instances break.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { PATIENCE, launch } from './browser.mjs';
import { front, guest, instances, present, regions, say, sayAt, shown } from './chat.mjs';

let chat, browser, ada, bob;
const guests = [];

before(async () => {
  chat = await regions();
  browser = await launch();
  ada = await come(chat.urls.fra, 'ada');
  bob = await come(chat.urls.iad, 'bob');
});
after(async () => {
  await browser?.close();
  await chat?.end();
});

async function come(url, name) {
  const page = await guest(browser, url, name);
  guests.push(page);
  return page;
}

/** Waits until a look at a page is like this. */
async function becomes(page, look, is, what) {
  const begun = Date.now();
  for (;;) {
    const found = await look(page);
    if (is(found)) return found;
    assert.ok(Date.now() - begun < PATIENCE, `${what}, and it is: ${JSON.stringify(found)}`);
    await page.waitForTimeout(50);
  }
}

const shows = (page, ...lines) => becomes(page, shown, (all) => lines.every((line) => all.includes(line)), `should show ${lines}`);
const isHere = (page, ...people) => becomes(page, present, (all) => all.join() === people.join(), `should be here: ${people}`);
const connection = (page) => page.locator('#connection').textContent();
const isAt = (page, node) => becomes(page, connection, (text) => text === `live at ${node}`, `should be at ${node}`);

/** Each line once, and what one person said in the order in which it was said. */
async function isWhole(page, lines) {
  const all = (await shown(page)).filter((line) => lines.includes(line));
  const by = (who) => (line) => line.startsWith(who);
  for (const who of new Set(lines.map((line) => line.split(':')[0]))) {
    assert.deepEqual(all.filter(by(who)), lines.filter(by(who)));
  }
}

test('what is said in one region is shown in another, with who said it and where', async () => {
  await say(ada, 'hello');
  await shows(bob, 'ada@fra-1: hello');
  await say(bob, 'good evening');
  await shows(ada, 'bob@iad-1: good evening');
});

test('all see who is here, and at which instance', async () => {
  for (const page of [ada, bob]) await isHere(page, 'ada@fra-1', 'bob@iad-1');
  assert.equal(await ada.locator('#count').textContent(), '2 people');
});

test('a newcomer is shown what was said before, and is gone when the page is', async () => {
  const eve = await guest(browser, chat.urls.nrt, 'eve');
  await shows(eve, 'ada@fra-1: hello', 'bob@iad-1: good evening');
  assert.equal((await shown(eve)).length, 2);
  await isHere(ada, 'ada@fra-1', 'bob@iad-1', 'eve@nrt-1');
  await eve.context().close();
  await isHere(ada, 'ada@fra-1', 'bob@iad-1');
});

test('another room is another channel', async () => {
  await bob.getByLabel('Another room').fill('tea');
  await bob.getByRole('button', { name: 'Go' }).click();
  await isHere(bob, 'bob@iad-1');
  await isHere(ada, 'ada@fra-1');
  await say(bob, 'is anybody here?');
  assert.deepEqual(await shown(bob), ['bob@iad-1: is anybody here?']);
  await bob.getByRole('link', { name: '# lobby' }).click();
  await shows(bob, 'ada@fra-1: hello');
  assert.equal((await shown(ada)).length, 2);
});

test('what is said on both sides of a cut is whole on both once it is healed', async () => {
  await isHere(ada, 'ada@fra-1', 'bob@iad-1');
  await chat.type('cut fra');
  // Nothing that is said now is on a connection that might get through in the end.
  await becomes(bob, present, (all) => !all.includes('ada@fra-1'), 'ada should be silent or gone');
  const here = [1, 2, 3].map((n) => `here ${n}`);
  const there = [1, 2, 3].map((n) => `there ${n}`);
  await say(ada, ...here);
  await say(bob, ...there);
  assert.ok(!(await shown(bob)).includes('ada@fra-1: here 1'));
  await chat.type('heal');
  const all = [...here.map((text) => `ada@fra-1: ${text}`), ...there.map((text) => `bob@iad-1: ${text}`)];
  for (const page of [ada, bob]) {
    await shows(page, ...all);
    await isWhole(page, all);
    await isHere(page, 'ada@fra-1', 'bob@iad-1');
  }
});

test('a page whose instance is killed goes on where it was when that is started again', async () => {
  await chat.type('kill iad');
  await bob.locator('.connection.lost').waitFor();
  await say(ada, 'bob is away', 'and misses this');
  await bob.getByLabel('Message', { exact: true }).fill('can you hear me?');
  await bob.getByRole('button', { name: 'Send' }).click();
  await bob.locator('#wrong', { hasText: 'not sent' }).waitFor();
  assert.equal(await bob.getByLabel('Message', { exact: true }).inputValue(), 'can you hear me?', 'it is kept');
  await chat.type('start iad');
  await isAt(bob, 'iad-1');
  await shows(bob, 'ada@fra-1: bob is away', 'ada@fra-1: and misses this');
  await becomes(bob, shown, (all) => all.some((row) => row.includes('back at iad-1') && row.endsWith('2 lines from meanwhile')), 'should say that it was away');
  await isWhole(bob, ['ada@fra-1: hello', 'bob@iad-1: good evening', 'ada@fra-1: bob is away', 'ada@fra-1: and misses this']);
  assert.ok(!(await shown(bob)).some((row) => row.startsWith('!')), 'nothing is missing');
  await bob.getByRole('button', { name: 'Send' }).click();
  await shows(ada, 'bob@iad-1: can you hear me?');
});

test('a page behind a front goes on at another instance and misses nothing', async () => {
  const door = await front([chat.urls.nrt, chat.urls.iad]);
  const cyd = await come(door.url, 'cyd');
  await isAt(cyd, 'nrt-1');
  await shows(cyd, 'ada@fra-1: hello');
  await say(cyd, 'I am in Tokyo');
  await shows(ada, 'cyd@nrt-1: I am in Tokyo');
  await chat.type('kill nrt');
  await say(ada, 'Tokyo is gone');
  await isAt(cyd, 'iad-1');
  await shows(cyd, 'ada@fra-1: Tokyo is gone', 'cyd@nrt-1: I am in Tokyo');
  await isWhole(cyd, ['ada@fra-1: hello', 'ada@fra-1: bob is away', 'ada@fra-1: Tokyo is gone']);
  await say(cyd, 'I am in Virginia');
  await shows(ada, 'cyd@iad-1: I am in Virginia');
  await isHere(ada, 'ada@fra-1', 'bob@iad-1', 'cyd@iad-1');
  door.end();
});

test('what is missing is shown where it is missing', async () => {
  const why = 'messages 4–7 of iad-1 are missing: no longer kept';
  const body = [
    'event: at\ndata: {"node":"fra-1","region":"fra"}',
    'event: history\nid: a\ndata: []',
    `event: gap\nid: b\ndata: ${JSON.stringify(why)}`,
  ];
  const page = await browser.newPage();
  await page.route('**/rooms/**', (route) => route.fulfill({ contentType: 'text/event-stream', body: `${body.join('\n\n')}\n\n` }));
  await page.goto(chat.urls.fra);
  await page.getByLabel('Name').fill('dan');
  await page.getByRole('button', { name: 'Come in' }).click();
  await shows(page, `! ${why}`);
  await page.context().close();
});

test('a page that was cut off for longer than is kept shows exactly what it lacks, and goes on', async () => {
  const kept = await instances(['fra', 'iad'], { MESHCAST_HISTORY_BYTES: '64KiB' });
  const door = await front([kept.urls.fra]);
  const eve = await come(door.url, 'eve');
  // Until they are connected.
  let before = 0;
  const first = async () => (await shown(eve)).filter((row) => row.startsWith('max@iad-1: first')).length;
  await becomes(eve, async () => {
    await sayAt(kept.urls.iad, 'max', `first ${before += 1}`);
    return first();
  }, (heard) => heard > 0, 'should hear of the other instance');
  await becomes(eve, first, (heard) => heard === before, `should have heard all ${before}`);
  door.shut();
  await eve.locator('.connection.lost').waitFor();
  // Four times as much as is kept.
  const said = Array.from({ length: 64 }, (_, n) => `${n + 1} ${'.'.repeat(3_900)}`);
  for (const text of said) await sayAt(kept.urls.iad, 'max', text);
  door.open();
  const last = `max@iad-1: ${said.at(-1)}`;
  const all = await becomes(eve, shown, (rows) => rows.includes(last), 'should go on with what is kept');
  const gaps = all.filter((row) => row.startsWith('!'));
  assert.equal(gaps.length, 1, gaps.join());
  const [, from, to] = gaps[0].match(/^! messages (\d+)–(\d+) of iad-1 are missing: no longer kept$/) ?? assert.fail(gaps[0]);
  // It heard the first, and what was said after those that are missing.
  const heard = all.filter((row) => /^max@iad-1: \d+ \./.test(row)).map((row) => row.slice('max@iad-1: '.length));
  const missing = to - from + 1;
  assert.deepEqual(heard, said.slice(missing), `${missing} are missing`);
  assert.ok(missing >= 32 && missing < 64, `${missing} are missing`);
  assert.equal(Number(from), before + 1, 'after what it had');
  await sayAt(kept.urls.iad, 'max', 'and on');
  await shows(eve, 'max@iad-1: and on');
  await eve.context().close();
  door.end();
  await kept.end();
});

test('what is said is text, whatever it looks like', async () => {
  await say(bob, '<img src=x onerror=document.title=1><b>bold</b>');
  await shows(ada, 'bob@iad-1: <img src=x onerror=document.title=1><b>bold</b>');
  assert.equal(await ada.locator('.line img, .bubble b').count(), 0);
  assert.equal(await ada.title(), '#lobby');
});

test('nothing went wrong in the pages but their connections', () => {
  const wrong = guests.flatMap((page) => page.wrong);
  assert.deepEqual(wrong.filter((text) => !/net::ERR_|status of 50\d/.test(text)), []);
});
