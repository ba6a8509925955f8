// What somebody does who sees the page for the first time: post, cut, post on both sides, heal.

import assert from 'node:assert/strict';
import { request } from 'node:http';
import { after, before, test } from 'node:test';

import { PATIENCE, launch, middle, open, post, tab, up } from './browser.mjs';

const NODES = ['fra-1', 'gru-1', 'iad-1', 'nrt-1', 'syd-1'];
let mesh, browser, page;

before(async () => {
  mesh = await up('--regions', 'fra,iad,nrt,gru,syd');
  browser = await launch();
  page = await open(browser, mesh.page);
});
after(async () => {
  await browser?.close();
  await mesh?.end();
});

/** Waits until it is so. */
async function eventually(what, look) {
  const begun = Date.now();
  for (;;) {
    const found = await look();
    if (found) return found;
    assert.ok(Date.now() - begun < PATIENCE, `not within ${PATIENCE} ms: ${what}`);
    await page.waitForTimeout(50);
  }
}

const row = (text) => page.locator('.tail > li').filter({ has: page.locator('.text', { hasText: new RegExp(`^${text}$`) }) });
const arrivals = (text) => row(text).locator('.arrivals li').evaluateAll((items) => items.map(({ className, dataset }) => [dataset.at, className]));
const everywhere = (text) => eventually(`${text} is everywhere`, async () => {
  const all = (await arrivals(text)).filter(([, way]) => way !== 'waiting' && way !== '');
  return all.length === NODES.length && all;
});
const happened = (text) => page.locator('#timeline li').filter({ hasText: text }).first().waitFor();

/** What a node lists by its own service. */
async function listed(name) {
  const { url } = mesh.nodes.find((node) => node.name === name);
  return (await fetch(`${url}/messages`)).json();
}

test('a message is seen to arrive in all regions', async () => {
  await eventually('all are followed', async () => {
    const note = await page.locator('#messages .muted').first().textContent();
    return NODES.every((name) => note.includes(name));
  });
  await post(page, 'fra-1', 'before');
  const ways = Object.fromEntries(await everywhere('before'));
  assert.equal(ways['fra-1'], 'local');
  assert.deepEqual(Object.keys(ways).sort(), NODES);
});

test('a link is cut and healed by click, on the map and on the timeline', async () => {
  const panel = page.locator('#panel');
  // The map makes room for what comes in beside it: where a link was may be none any more.
  await eventually('the link is opened by a click', async () => {
    await page.mouse.click(...await middle(page, 'fra|iad'));
    return panel.getByRole('heading', { name: 'fra – iad' }).isVisible();
  });
  await panel.getByRole('button', { name: 'Cut', exact: true }).click();
  await page.locator('[data-link="fra|iad"].cut.both').waitFor();
  await happened('nothing passes between fra and iad');
  assert.match(await page.locator('#around').textContent(), /go around the cut/);
  await panel.getByRole('button', { name: 'Heal', exact: true }).click();
  await page.locator('[data-link="fra|iad"]:not(.cut)').waitFor();
  await happened('links between fra and iad are mended');
  await page.keyboard.press('Escape');
  assert.equal(await panel.isVisible(), false);
});

test('what is posted on both sides of a cut is everywhere and in order once it is healed', async () => {
  await page.locator('[aria-label^="region fra,"]').focus();
  await page.keyboard.press('Enter');
  await page.locator('#panel').getByRole('button', { name: 'Cut off' }).click();
  await eventually('all its links are cut', async () => (await page.locator('.link.cut').count()) === 4);
  // What is posted now is on no connection that might get through in the end.
  await happened('no link is left');
  for (const n of [1, 2, 3]) {
    await post(page, 'fra-1', `here-${n}`);
    await post(page, 'nrt-1', `there-${n}`);
  }
  await eventually('the other side has it', async () => (await arrivals('there-3')).filter(([, way]) => way !== 'waiting').length === 4);
  const waiting = (await arrivals('here-3')).filter(([, way]) => way === 'waiting');
  assert.deepEqual(waiting.map(([at]) => at).sort(), ['gru-1', 'iad-1', 'nrt-1', 'syd-1']);
  await page.getByRole('button', { name: 'Heal all links' }).first().click();
  for (const n of [1, 2, 3]) {
    await everywhere(`here-${n}`);
    await everywhere(`there-${n}`);
  }
  await happened('all links are mended');
  await happened('fetched');
  for (const name of NODES) {
    const all = await listed(name);
    for (const side of ['here', 'there']) {
      const its = all.filter((message) => message.startsWith(side));
      assert.deepEqual(its, [1, 2, 3].map((n) => `${side}-${n}`), name);
    }
  }
  await page.keyboard.press('Escape');
});

test('a node is killed and started again by click', async () => {
  await page.locator('[data-member="gru-1"]').focus();
  await page.keyboard.press('Enter');
  const panel = page.locator('#panel');
  await panel.getByRole('button', { name: 'Kill', exact: true }).click();
  await page.locator('[data-member="gru-1"].down').waitFor();
  await happened('gru-1 is killed');
  await panel.getByRole('button', { name: 'Start', exact: true }).click();
  await page.locator('[data-member="gru-1"].up').waitFor();
  await happened('gru-1 is up');
  await page.keyboard.press('Escape');
});

test('a node is paused, goes on and is started anew by click', async () => {
  const panel = page.locator('#panel');
  const press = (name) => panel.getByRole('button', { name, exact: true }).click();
  await page.locator('[data-member="nrt-1"]').focus();
  await page.keyboard.press('Enter');
  await press('Pause');
  await page.locator('[data-member="nrt-1"].paused').waitFor();
  await happened('nrt-1 is paused');
  await eventually('the lane shows that something is broken', async () => (await page.locator('#lane .spans rect').count()) > 0);
  await press('Resume');
  await page.locator('[data-member="nrt-1"].up').waitFor();
  await happened('nrt-1 goes on');
  await press('Restart');
  await happened('nrt-1 is started again');
  await happened('nrt-1 was started anew');
  await page.locator('[data-member="nrt-1"].up').waitFor();
  await page.keyboard.press('Escape');
});

test('the link of two members is cut by click, and healed', async () => {
  const panel = page.locator('#panel');
  await page.locator('[data-member="syd-1"]').focus();
  await page.keyboard.press('Enter');
  await panel.getByRole('button', { name: 'Cut syd-1 – nrt-1' }).click();
  await page.locator('[data-link="nrt|syd"].cut').waitFor();
  await happened('nothing passes between syd-1 and nrt-1');
  await panel.getByText('× no link').waitFor();
  await panel.getByRole('button', { name: 'Heal syd-1 – nrt-1' }).click();
  await page.locator('[data-link="nrt|syd"]:not(.cut)').waitFor();
  await page.keyboard.press('Escape');
});

test('one way of a link is cut by click, and the other is not', async () => {
  const panel = page.locator('#panel');
  await page.locator('[data-link="gru|syd"]').focus();
  await page.keyboard.press('Enter');
  await panel.getByRole('button', { name: /gru → syd/ }).click();
  await page.locator('[data-link="gru|syd"].cut:not(.both)').waitFor();
  await happened('nothing passes from gru to syd');
  await panel.getByRole('button', { name: 'Heal', exact: true }).click();
  await page.locator('[data-link="gru|syd"]:not(.cut)').waitFor();
  await page.keyboard.press('Escape');
});

test('on a phone, in the light, nothing is wider than the screen, and a panel opens by a touch', async () => {
  const phone = await open(browser, mesh.page, { width: 390, height: 844, dark: false });
  const width = () => phone.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(await width() <= 390, `${await width()} px`);
  const [red] = await phone.evaluate(() => getComputedStyle(document.body).backgroundColor.match(/\d+/g).map(Number));
  assert.ok(red > 200, 'it is light');
  await phone.getByRole('tab', { name: 'Members' }).tap();
  await phone.locator('#members').getByRole('button', { name: 'fra-1' }).tap();
  await phone.locator('#panel').getByRole('heading', { name: 'fra-1' }).waitFor();
  assert.ok(await width() <= 390, `${await width()} px`);
  assert.deepEqual(phone.wrong, []);
  await phone.context().close();
});

test('keys lead to what they say', async () => {
  await page.locator('#work').focus();
  const shown = (name) => page.locator(`#tab-${name}[aria-selected="true"]`).waitFor();
  for (const [key, tab] of [['2', 'members'], ['3', 'links'], ['4', 'channels'], ['1', 'messages']]) {
    await page.keyboard.press(key);
    await shown(tab);
  }
  await page.keyboard.press('?');
  await page.locator('#keys[open]').waitFor();
  await page.keyboard.press('Escape');
  const theme = () => page.evaluate(() => document.documentElement.dataset.theme);
  await page.keyboard.press('t');
  assert.equal(await theme(), 'light');
  await page.keyboard.press('t');
  assert.equal(await theme(), 'dark');
  // All that the map shows is reached by Tab.
  await page.keyboard.press('/');
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute('aria-label') ?? document.activeElement.labels?.[0]?.textContent.trim()), 'Message');
  await page.locator('#work').focus();
  const reached = new Set();
  for (let i = 0; i < 60; i++) {
    await page.keyboard.press('Tab');
    reached.add(await page.evaluate(() => document.activeElement.dataset?.member ?? document.activeElement.dataset?.link));
  }
  for (const name of NODES) assert.ok(reached.has(name), `${name} by Tab: ${[...reached]}`);
});

test('the panel of a channel shows who is present on it, while they come and go', async () => {
  await page.getByRole('tab', { name: 'Channels' }).click();
  await page.locator('#channels').getByRole('button', { name: 'earth' }).click();
  const panel = page.locator('#panel');
  const present = () => panel.locator('[data-name="Present"] tbody tr').evaluateAll((rows) => Object.fromEntries(rows.map((row) => {
    const [name, region, since, heard] = [...row.children].map((cell) => cell.textContent);
    return [name, { region, since, heard }];
  })));
  await eventually('all are present', async () => Object.keys(await present()).join() === NODES.join());
  const { 'nrt-1': there } = await present();
  assert.equal(there.region, 'nrt');
  assert.equal(there.heard, '● yes');
  assert.match(there.since, /^\d\d:\d\d:\d\d$/);
  await panel.getByText(/^As \S+ sees it\.$/).waitFor();
  const fault = (what) => page.evaluate(([headers, body]) => fetch('/api/faults', { method: 'POST', headers, body }), [{ ...JSON_, ...bearer(mesh.page) }, JSON.stringify(what)]);
  await fault({ fault: 'kill', node: 'syd-1', silent: true });
  await eventually('nothing is heard of it', async () => (await present())['syd-1']?.heard === '? silent');
  await eventually('it is lost', async () => !('syd-1' in await present()));
  await fault({ fault: 'restart', node: 'syd-1' });
  await eventually('it is back', async () => (await present())['syd-1']?.heard === '● yes');
  await page.keyboard.press('Escape');
  await page.getByRole('tab', { name: 'Messages' }).click();
});

test('a channel that nobody has open is opened by hand, and closed when it is not followed any more', async () => {
  const box = page.getByLabel('Channel', { exact: true });
  const choose = async (name) => {
    await box.fill(name);
    await box.press('Enter');
    await box.press('Tab');
  };
  /** How many members have each open. What was posted is kept for a while also where none has. */
  const channels = async () => Object.fromEntries(await page.locator('#channels tbody tr').evaluateAll((all) =>
    all.map(({ children: [name, members] }) => [name.textContent, members.textContent])));
  await choose('moon');
  await page.getByText('No member here has moon open').waitFor();
  assert.deepEqual(await channels(), { earth: '5' });
  await page.getByLabel('Post from').selectOption('iad-1');
  await page.getByRole('button', { name: 'Open it at iad-1' }).click();
  await page.getByText('Following moon at iad-1').waitFor();
  await post(page, 'iad-1', 'to the moon');
  await eventually('it is seen', async () => (await row('to the moon').count()) === 1);
  await eventually('the channel is open', async () => (await channels()).moon === '1');
  await choose('earth');
  await page.getByText('Following earth at').waitFor();
  await eventually('the channel is closed', async () => ((await channels()).moon ?? '0') === '0');
});

test('what was posted is text, whatever it looks like', async () => {
  await post(page, 'iad-1', '<img src=x onerror=document.title=1><b>bold</b>');
  await eventually('it is listed', async () => (await page.locator('.tail .text', { hasText: '<b>bold</b>' }).count()) === 1);
  assert.equal(await page.locator('.tail img, .tail .text b').count(), 0);
  assert.equal(await page.title(), 'meshcast');
});

test('nothing went wrong in the page', () => assert.deepEqual(page.wrong, []));

/** What shows the key of an address. */
const bearer = (address) => ({ authorization: `Bearer ${new URL(address).hash.replace('#key=', '')}` });
const JSON_ = { 'content-type': 'application/json' };

/** The status of an answer to a request with these headers, and the key unless they have another. */
const status = (method, path, headers) => new Promise((resolve, reject) => {
  const { hostname, port } = new URL(mesh.page);
  const asked = request({ hostname, port, method, path, headers: { ...bearer(mesh.page), ...headers } }, (answer) => {
    answer.destroy();
    resolve(answer.statusCode);
  });
  asked.once('error', reject);
  asked.end(method === 'POST' ? '{"fault":"heal"}' : undefined);
});

test('the key is in no address of the page, and not in what it asks for', async () => {
  const other = await open(browser, mesh.page);
  const { pathname } = new URL(other.url());
  assert.equal(other.url(), new URL(mesh.page).origin + pathname);
  const { entries } = await (await other.context().newCDPSession(other)).send('Page.getNavigationHistory');
  assert.ok(entries.length > 0 && entries.every(({ url }) => !url.includes('key')), JSON.stringify(entries));
  const asked = [];
  other.on('request', (it) => asked.push(it.url(), it.headers().referer ?? ''));
  // It is kept for the tab.
  await other.reload();
  await other.locator('.connection.live').waitFor();
  assert.ok(asked.some((url) => url.includes('/api/stream')));
  assert.ok(!asked.some((text) => text.includes(bearer(mesh.page).authorization.slice(7))), 'an address with the key');
  assert.deepEqual(await other.evaluate(() => [document.cookie, localStorage.length]), ['', 0]);
  await other.context().close();
});

test('without the key nothing is shown or changed, and the page says what it takes', async () => {
  const { origin } = new URL(mesh.page);
  const without = await tab(browser, origin);
  await without.locator('.connection.refused').waitFor();
  assert.equal(await without.locator('.region').count(), 0);
  // The address in full, in the same tab.
  await without.goto(mesh.page);
  await without.locator('.connection.live').waitFor();
  await without.context().close();
  for (const authorization of ['', 'Bearer ', `Bearer ${'0'.repeat(32)}`]) {
    for (const path of ['/api/stream', '/api/member?name=fra-1', '/api/channel?name=earth', '/api/link?a=fra&b=iad', '/api/nothing']) {
      assert.equal(await status('GET', path, { authorization }), 401, path);
    }
    for (const path of ['/api/faults', '/api/messages', '/api/channels']) {
      assert.equal(await status('POST', path, { ...JSON_, authorization }), 401, path);
    }
  }
});

test('pages of others can neither read nor change anything', async () => {
  const json = JSON_;
  assert.equal(await status('POST', '/api/faults', json), 200, 'a tool that has the key');
  assert.equal(await status('GET', '/', { host: 'evil.example' }), 403);
  assert.equal(await status('GET', '/api/stream', { origin: 'http://evil.example' }), 403);
  assert.equal(await status('POST', '/api/faults', { ...json, origin: 'http://evil.example' }), 403);
  assert.equal(await status('POST', '/api/faults', { ...json, 'sec-fetch-site': 'cross-site' }), 403);
});

test('what changes something takes POST and JSON, and nothing else', async () => {
  const forms = ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data', ''];
  for (const path of ['/api/faults', '/api/messages', '/api/channels']) {
    for (const type of forms) assert.equal(await status('POST', path, { 'content-type': type }), 415, `${path} as ${type}`);
    assert.equal(await status('POST', path, {}), 415, path);
    for (const method of ['GET', 'HEAD', 'PUT', 'DELETE']) assert.equal(await status(method, path, {}), 405, `${method} ${path}`);
  }
});

test('there are sixteen streams, and one more when one ends', async () => {
  const { hostname, port } = new URL(mesh.page);
  const follow = () => new Promise((resolve, reject) => {
    const asked = request({ hostname, port, path: '/api/stream', headers: bearer(mesh.page) }, (answer) => {
      answer.on('error', () => {});
      resolve([answer.statusCode, () => answer.destroy()]);
    });
    asked.once('error', reject);
    asked.end();
  });
  await page.context().close();
  page = undefined;
  const streams = [];
  // The page has gone, and its stream goes soon.
  while (streams.length < 16) {
    const [code, end] = await follow();
    if (code === 200) streams.push(end);
    else end();
  }
  assert.equal((await follow())[0], 503);
  streams.pop()();
  const begun = Date.now();
  for (;;) {
    const [code, end] = await follow();
    end();
    if (code === 200) break;
    assert.ok(Date.now() - begun < PATIENCE, 'a place is free');
  }
  streams.forEach((end) => end());
});
