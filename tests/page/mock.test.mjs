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
