// What the page makes of what it is told, where real nodes would have to be very many, very slow or
// very unlucky.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { launch, open } from './browser.mjs';
import { detailOf, mock, view } from './mock.mjs';

const REGIONS = ['fra', 'iad', 'nrt', 'gru', 'syd'];
let browser;

before(async () => {
  browser = await launch();
});
after(() => browser?.close());

/** A page of this state, and its server. */
async function shown(first, look, options) {
  const server = await mock(first);
  try {
    const page = await open(browser, server.url, options);
    await look(page, server);
    assert.deepEqual(page.wrong, []);
    await page.context().close();
  } finally {
    server.end();
  }
}

/** A state in which all that is counted is more than before. */
function later(state) {
  const next = structuredClone(state);
  for (const { counts } of Object.values(next.members)) counts.posted += 1;
  next.totals.posted += 1;
  return next;
}

const opened = async (page, kind, id) => {
  await page.locator(`[data-${kind}="${id}"]`).focus();
  await page.keyboard.press('Enter');
  return page.locator('#panel');
};

const entry = (id, kind, text, at_ms = Date.now()) => ({ id, kind, text, at_ms });
const listed = (page) => page.locator('#timeline li').evaluateAll((items) => items.map((item) => item.textContent.replace(/^\S+\d\d:\d\d/, '')));

test('a server that was started anew is shown with its own timeline', async () => {
  const state = view(['fra', 'iad']);
  let entries = [entry(1, 'fault', 'fra-1 is killed'), entry(2, 'mend', 'fra-1 is started again')];
  const first = () => [['state', state], ['timeline', entries]];
  await shown(first, async (page, server) => {
    await page.locator('#timeline').getByText('fra-1 is started again').waitFor();
    for (const anew of [[entry(1, 'gap', 'iad-1 missed 3')], [entry(2, 'link', 'no link is left')], []]) {
      entries = anew;
      server.hangUp();
      if (anew.length > 0) await page.locator('#timeline').getByText(anew[0].text).waitFor();
      else await page.locator('#quiet').waitFor();
      assert.equal(await page.locator('#timeline li').count(), anew.length, `${await listed(page)}`);
      const marks = await page.locator('#lane .marks title').evaluateAll((all) => all.map((it) => it.textContent));
      assert.deepEqual(marks, anew.map(({ text }) => text));
      for (const { kind } of anew) assert.equal(await page.locator('#timeline li').getAttribute('class'), `kind-${kind}`);
    }
  });
});

test('what was broken before a page is opened is shown since then', async () => {
  const state = { ...view(['fra', 'iad']), cuts: [{ from: 'fra', to: 'iad' }] };
  state.totals.delivered_per_s = 0;
  const entries = [entry(1, 'fault', 'nothing passes between fra and iad', Date.now() - 60_000)];
  await shown(() => [['state', state], ['timeline', entries]], async (page) => {
    const span = page.locator('#lane .spans rect');
    await span.waitFor();
    await page.locator('#timeline li').waitFor();
    const part = await span.evaluate((it) => it.width.baseVal.value / it.ownerSVGElement.viewBox.baseVal.width);
    // Of the three minutes that are shown one.
    assert.ok(part > 0.3 && part < 0.5, `${part}`);
    assert.equal(await span.count(), 1);
    await page.getByText('nothing was heard').waitFor();
  });
});

test('a panel that changes all the time can be read to its end, and what is pressed in it is done', async () => {
  let state = view(REGIONS, 20);
  await shown(() => [['state', state], ['timeline', []]], async (page, server) => {
    server.details['/api/member'] = (query) => detailOf(state)(query);
    await page.locator('[data-member="iad-7"]').focus();
    await page.keyboard.press('Enter');
    const panel = page.locator('#panel');
    const links = panel.locator('[data-name="Links"]');
    const told = async () => {
      state = later(state);
      server.say('state', state);
      const { posted } = state.members['iad-7'].counts;
      await panel.locator('dd', { hasText: new RegExp(`^${posted} \\(`) }).waitFor();
    };
    await links.getByText('Links (99)').waitFor();
    const scroll = links.locator('.scroll');
    const at = () => scroll.evaluate((element) => element.scrollTop);
    await scroll.evaluate((element) => element.scrollTo(0, element.scrollHeight));
    const end = await at();
    assert.ok(end > 500, 'there is something to scroll');
    const last = links.getByRole('button', { name: 'syd-20', exact: true });
    await last.focus();
    for (let n = 0; n < 3; n++) await told();
    assert.equal(await at(), end);
    assert.ok(await last.evaluate((element) => element === document.activeElement));
    // A part that was closed stays so.
    await links.locator('summary').click();
    await told();
    assert.equal(await links.evaluate((element) => element.open), false);
    // The button is down while the panel changes.
    const box = await panel.getByRole('button', { name: 'Restart' }).boundingBox();
    await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
    await page.mouse.down();
    await told();
    let done;
    server.answer = () => new Promise((resolve) => { done = resolve; });
    await page.mouse.up();
    const restart = panel.getByRole('button', { name: 'Restart' });
    await panel.locator('button[data-do="Restart"][disabled]').waitFor();
    // It is under way: neither a change of the panel nor another click begins a second one.
    await told();
    assert.ok(await restart.isDisabled());
    await restart.click({ force: true });
    done();
    await panel.locator('button[data-do="Restart"]:not([disabled])').waitFor();
    assert.deepEqual(server.asked, [['/api/faults', { fault: 'restart', node: 'iad-7' }]]);
  });
});

test('why nothing can be broken is told where it could be', async () => {
  const state = { ...view(['fra', 'iad']), breakable: false, why_not: 'several `meshcast up` are running here' };
  await shown(() => [['state', state]], async (page, server) => {
    server.details['/api/member'] = detailOf(state);
    const panel = await opened(page, 'member', 'fra-1');
    await panel.getByText('Nothing can be broken here: several `meshcast up` are running here.').waitFor();
    assert.equal(await panel.getByRole('button', { name: 'Kill' }).count(), 0);
  });
});

const tailRow = (id, more) => ({ id, sender: 'id-of-fra-1', name: 'fra-1', region: 'fra', seq: id, posted_ms: Date.now() + 60_000, text: `message ${id}`, arrivals: {}, ...more });

test('a channel of another mesh is followed as that, and one that nobody has open is opened by hand alone', async () => {
  const state = view(['fra', 'iad']);
  state.channels['earth …1a2b3c'] = { ...state.channels.earth, name: 'earth', members: 1 };
  await shown(() => [['state', state]], async (page, server) => {
    server.details['/api/channel'] = () => ({
      name: 'earth', senders: [], present: { by: null, members: [], left_out: 0 },
      members: [{ name: 'fra-1', region: 'fra', mesh: 2, sends_to: ['iad-1', 'nrt-1'], behind: 0, unread_bytes: 0 }],
    });
    await page.getByRole('tab', { name: 'Channels' }).click();
    await page.locator('#channels').getByRole('button', { name: 'earth …1a2b3c' }).click();
    const panel = page.locator('#panel');
    await panel.getByText('No member here has it open').waitFor();
    await panel.getByText('2: iad-1, nrt-1').waitFor();
    const streams = server.wanted.length;
    await panel.getByRole('button', { name: 'Follow' }).click();
    await page.getByText('Following earth …1a2b3c').waitFor();
    while (server.wanted.length === streams) await page.waitForTimeout(20);
    assert.deepEqual(server.wanted.at(-1), { channel: 'earth …1a2b3c' });
    const box = page.getByLabel('Channel', { exact: true });
    await box.fill('moon');
    await box.press('Tab');
    await page.getByText('No member here has moon open').waitFor();
    assert.deepEqual(server.asked, []);
    await page.getByRole('button', { name: 'Open it at fra-1' }).click();
    while (server.asked.length === 0) await page.waitForTimeout(20);
    assert.deepEqual(server.asked, [['/api/channels', { node: 'fra-1', channel: 'moon' }]]);
    server.say('tail', { rows: [], skipped: 0, places: [['fra-1', 'fra']] });
    await page.getByText('Following moon at fra-1').waitFor();
    assert.equal(await page.getByRole('button', { name: /Open it/ }).count(), 0);
  });
});

test('the panel of a channel shows what was heard, repaired, missed and dropped, in all and at each member', async () => {
  const state = view(['fra', 'iad']);
  Object.assign(state.channels.earth, { delivered: 90, delivered_per_s: 5, repaired: 7, missed: 1, dropped: 3 });
  await shown(() => [['state', state]], async (page, server) => {
    server.details['/api/channel'] = () => ({
      name: 'earth', senders: [], present: { by: null, members: [], left_out: 0 },
      members: [{ name: 'fra-1', region: 'fra', mesh: 2, behind: 0, unread_bytes: 0, delivered: 90, repaired: 6, missed: 1, dropped: 2 }],
    });
    await page.getByRole('tab', { name: 'Channels' }).click();
    await page.locator('#channels').getByRole('button', { name: 'earth' }).click();
    const panel = page.locator('#panel');
    const row = panel.locator('tr[data-key="fra-1 fra"]');
    await row.waitFor();
    const facts = await panel.locator('dl.facts').evaluate((list) => Object.fromEntries([...list.querySelectorAll('dt')].map((term) => [term.textContent, term.nextSibling.textContent])));
    assert.deepEqual([facts.Heard, facts.Repaired, facts.Missed, facts.Dropped], ['90 (5/s)', '7 messages', '1 message', '3 messages']);
    const heads = await panel.locator('thead', { hasText: 'Unread' }).locator('th').allTextContents();
    const cells = await row.locator('td').allTextContents();
    assert.deepEqual([heads.slice(-3), cells.slice(-3)], [['Repaired', 'Missed', 'Dropped'], ['6', '1', '2']]);
  });
});

test('a stream that begins anew shows its own messages', async () => {
  const state = view(['fra', 'iad']);
  const places = [['fra-1', 'fra'], ['iad-1', 'iad']];
  let rows = [tailRow(1, { gap: [3, 'iad-1'], text: 'expired' }), tailRow(2)];
  await shown(() => [['state', state], ['tail', { rows, skipped: 0, places }]], async (page, server) => {
    const all = () => page.locator('.tail > li').evaluateAll((items) => items.map((item) => [item.className, item.querySelectorAll('.arrivals li').length, item.querySelector('.text').textContent]));
    await page.getByText('message 2').waitFor();
    assert.deepEqual(await all(), [['', 2, 'message 2'], ['gap', 0, '! iad-1 will not get #1–3: expired']]);
    rows = [tailRow(1, { text: 'other 1' }), tailRow(2, { gap: [2, 'fra-1'], text: 'expired' })];
    server.hangUp();
    await page.getByText('other 1').waitFor();
    assert.deepEqual(await all(), [['gap', 0, '! fra-1 will not get #2: expired'], ['', 2, 'other 1']]);
  });
});

test('where nothing can be broken, the key that heals does nothing', async () => {
  const state = { ...view(['fra', 'iad']), breakable: false };
  await shown(() => [['state', state]], async (page, server) => {
    await page.locator('#work').focus();
    await page.keyboard.press('h');
    await page.keyboard.press('2');
    await page.locator('#tab-members[aria-selected="true"]').waitFor();
    assert.deepEqual(server.asked, []);
    assert.equal(await page.locator('#connection').textContent(), '● live');
  });
});

test('the link between two members alone is cut by a click, and healed when it is gone', async () => {
  let state = view(['fra', 'iad'], 2);
  let peers = detailOf(state);
  await shown(() => [['state', state]], async (page, server) => {
    server.details['/api/member'] = (query) => peers(query);
    const pair = (a, b) => ({ a, b, rtt_us: 90_000, half: false, mute: 0 });
    let links = [pair('fra-1', 'iad-1'), pair('fra-2', 'iad-1'), pair('fra-1', 'iad-2'), pair('fra-2', 'iad-2')];
    server.details['/api/link'] = () => ({ a: 'fra', b: 'iad', count: links.length, links });
    const panel = await opened(page, 'member', 'fra-2');
    await panel.getByRole('button', { name: 'Cut fra-2 – iad-1' }).click();
    while (server.asked.length < 1) await page.waitForTimeout(20);
    assert.deepEqual(server.asked.pop(), ['/api/faults', { fault: 'partition', groups: [['fra-2'], ['iad-1']] }]);
    state = { ...later(state), cuts: [{ from: 'fra-2', to: 'iad-1' }, { from: 'iad-1', to: 'fra-2' }] };
    links = links.filter(({ a, b }) => `${a} ${b}` !== 'fra-2 iad-1');
    peers = ({ name }) => ({ ...detailOf(state)({ name }), peers: detailOf(state)({ name }).peers.filter((peer) => peer.name !== 'iad-1') });
    server.say('state', state);
    const heal = panel.getByRole('button', { name: 'Heal fra-2 – iad-1' });
    await heal.waitFor();
    await panel.getByText('× no link').waitFor();
    await opened(page, 'link', 'fra|iad');
    await panel.getByText('Each link (4)').waitFor();
    assert.equal(await panel.getByRole('button', { name: /^Cut fra-\d – iad-\d$/ }).count(), 3);
    await panel.getByRole('button', { name: /^Heal .* – / }).click();
    while (server.asked.length < 1) await page.waitForTimeout(20);
    assert.deepEqual(server.asked, [['/api/faults', { fault: 'mend', a: 'fra-2', b: 'iad-1' }]]);
  });
});

test('a hundred members fit on the page, each with a place of its own, in all sizes', async () => {
  const state = view(REGIONS, 20);
  for (const options of [{}, { dark: false }, { width: 390, height: 844 }, { width: 390, height: 844, dark: false }]) {
    await shown(() => [['state', state], ['timeline', []]], async (page) => {
      await page.locator('[data-member]').nth(99).waitFor();
      const dots = await page.locator('[data-member] .dot').evaluateAll((all) => all.map((dot) => {
        const { x, y, width } = dot.getBoundingClientRect();
        return [x + width / 2, y + width / 2, width];
      }));
      assert.equal(dots.length, 100);
      dots.forEach(([x, y, size], nth) => {
        for (const [x2, y2] of dots.slice(nth + 1)) assert.ok(Math.hypot(x - x2, y - y2) > 0.9 * size, `${nth} at ${x}, ${y}`);
      });
      const wide = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(wide <= page.viewportSize().width, `${wide} px`);
      assert.match(await page.locator('#totals').textContent(), /100\/100/);
    }, options);
  }
});

test('a look at a hundred members is drawn within a frame or two', async () => {
  let state = view(REGIONS, 20);
  await shown(() => [['state', state], ['timeline', []]], async (page, server) => {
    server.details['/api/member'] = (query) => detailOf(state)(query);
    const panel = await opened(page, 'member', 'iad-7');
    await panel.getByText('Links (99)').waitFor();
    const long = await page.evaluateHandle(() => {
      const all = [];
      new PerformanceObserver((list) => all.push(...list.getEntries().map(({ duration }) => duration))).observe({ type: 'longtask' });
      return all;
    });
    for (let n = 0; n < 10; n++) {
      state = later(state);
      server.say('state', state);
      const { posted } = state.members['iad-7'].counts;
      await panel.locator('dd', { hasText: new RegExp(`^${posted} \\(`) }).waitFor();
    }
    // A task is long from 50 ms on; this is about the order, on machines that do other things too.
    const longest = await long.evaluate((all) => Math.max(0, ...all));
    assert.ok(longest < 500, `${longest} ms`);
  });
});

test('no colour has to tell anything: each state, cut and kind has a sign, also where colours are forced', async () => {
  const state = view(['fra', 'iad', 'nrt', 'gru'], 2);
  const states = { 'fra-2': ['elsewhere', '○'], 'iad-1': ['paused', '‖'], 'iad-2': ['down', '×'], 'nrt-2': ['silent', '?'] };
  for (const [name, [how]] of Object.entries(states)) state.members[name].state = how;
  const cuts = { 'fra|iad': ['both', '✂'], 'fra|nrt': ['a_to_b', '⇥'], 'iad|nrt': ['b_to_a', '⇤'], 'fra|gru': ['part', '◐'] };
  for (const [key, [cut]] of Object.entries(cuts)) state.links[key].cut = cut;
  const kinds = { fault: '✂', mend: '✚', member: '●', link: '–', gap: '!', repair: '↺', post: '✉' };
  const entries = Object.keys(kinds).map((kind, nth) => entry(nth + 1, kind, `a ${kind}`));
  await shown(() => [['state', state], ['timeline', entries]], async (page) => {
    await page.emulateMedia({ forcedColors: 'active' });
    await page.getByRole('tab', { name: 'Members' }).click();
    for (const [name, [how, sign]] of Object.entries(states)) {
      const row = page.locator('#members tr').filter({ has: page.getByRole('button', { name: `${sign} ${name}` }) });
      await row.getByText(how, { exact: true }).waitFor();
      assert.match(await page.locator(`[data-member="${name}"]`).getAttribute('aria-label'), new RegExp(how));
      if (how !== 'elsewhere') assert.equal(await page.locator(`[data-member="${name}"] .glyph`).textContent(), sign);
    }
    for (const [key, [, sign]] of Object.entries(cuts)) {
      assert.equal(await page.locator(`[data-link="${key}"] .sign`).textContent(), sign);
      assert.match(await page.locator(`[data-link="${key}"]`).getAttribute('aria-label'), /cut/);
    }
    for (const [kind, sign] of Object.entries(kinds)) assert.equal(await page.locator(`#timeline .kind-${kind} .sign`).textContent(), sign);
    // What has the focus, and which view is shown, is seen without colours too.
    await page.locator('#work').focus();
    await page.keyboard.press('3');
    const outline = await page.evaluate(() => {
      const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement);
      return [outlineStyle, outlineWidth];
    });
    assert.ok(outline[0] !== 'none' && outline[1] !== '0px', `${outline}`);
  });
});
