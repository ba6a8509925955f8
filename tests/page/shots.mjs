// Makes the pictures of the page: `MESHCAST=…/meshcast node shots.mjs DIRECTORY`, wide and as on a
// phone, light and dark: with 5 nodes of which one is cut off, with 100 of which one is down, and
// with 100 that there are not and that post a thousand messages a second (fleet.mjs). Those of docs/
// are the JPEGs among them: that of 100 is of a page that is told what 100 would say, since they
// take minutes to start on a small machine. `node shots.mjs DIRECTORY 5` starts 5 alone, `100` as
// many, and `busy` none.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { PATIENCE, dashboard, fleet, launch, open, post, up } from './browser.mjs';
import { detailOf, mock, view } from './mock.mjs';

const directory = process.argv[2] ?? 'shots';
const only = process.argv[3];
const JPEG = { type: 'jpeg', quality: 70 };
mkdirSync(directory, { recursive: true });
const REGIONS = ['--regions', 'fra,iad,nrt,gru,syd'];
const SIZES = {
  wide: {},
  'wide-light': { dark: false },
  phone: { width: 390, height: 844 },
  'phone-light': { width: 390, height: 844, dark: false },
};
const browser = await launch();

/** The page in all sizes. */
async function all(mesh, prefix) {
  for (const [name, options] of Object.entries(SIZES)) {
    const page = await open(browser, mesh.page, options);
    await page.waitForTimeout(4000);
    await page.screenshot({ path: join(directory, `${prefix}${name}.png`), fullPage: options.width === 390 });
    await page.context().close();
  }
}

async function five() {
  const mesh = await up(...REGIONS);
  const page = await open(browser, mesh.page, { width: 1200, height: 760 });
  const phone = await open(browser, mesh.page, { ...SIZES['phone-light'] });
  await phone.getByText('Following earth at').waitFor();
  const settled = (time) => page.waitForTimeout(time);
  await page.getByText('Following earth at').waitFor();
  await post(page, 'iad-1', 'hello from Virginia');
  await settled(1500);
  await page.locator('[aria-label^="region fra,"]').focus();
  await page.keyboard.press('Enter');
  await page.locator('#panel').getByRole('button', { name: 'Cut off' }).click();
  await page.keyboard.press('Escape');
  await page.locator('#timeline li').filter({ hasText: 'no link is left' }).waitFor();
  await post(page, 'fra-1', 'anybody there?');
  await post(page, 'nrt-1', 'where is Frankfurt?');
  await settled(2500);
  await page.screenshot({ path: join(directory, 'page.jpg'), ...JPEG });
  await phone.screenshot({ path: join(directory, 'page-phone.jpg'), ...JPEG, fullPage: true });
  await all(mesh, '');
  await phone.context().close();
  await page.context().close();
  await mesh.end();
}

async function hundred() {
  const mesh = await up(...REGIONS, '--nodes-per-region', '20', '--rtt', 'none');
  const first = await open(browser, mesh.page, { width: 1200, height: 760, dark: false });
  await first.getByText('100/100').waitFor({ timeout: 2 * PATIENCE });
  await first.locator('[data-member="iad-7"]').focus();
  await first.keyboard.press('Enter');
  await first.locator('#panel').getByRole('button', { name: 'Kill', exact: true }).click();
  await first.locator('[data-member="iad-7"].down').waitFor();
  await post(first, 'nrt-3', 'one of a hundred is down');
  await all(mesh, 'hundred-');
  await mesh.end();
}

/** A hundred that there are not, which post a thousand messages a second. */
async function busy() {
  const { directory, end } = await fleet(100, 1000);
  const serves = await dashboard(directory);
  await all(serves, 'busy-');
  serves.end();
  await end();
}

async function told() {
  const state = view(['fra', 'iad', 'nrt', 'gru', 'syd'], 20);
  state.members['iad-7'] = { region: 'iad', state: 'down', links: 0 };
  state.regions.iad.up = 19;
  state.totals.up = 99;
  const now = Date.now();
  const timeline = [
    { id: 1, at_ms: now - 20_000, kind: 'fault', text: 'iad-7 is killed' },
    { id: 2, at_ms: now - 19_000, kind: 'member', text: 'iad-7 is down' },
    { id: 3, at_ms: now - 5_000, kind: 'post', text: 'nrt-3 posted on earth' },
  ];
  const regions = { 'fra-1': 'fra', 'gru-1': 'gru', 'iad-1': 'iad', 'nrt-3': 'nrt', 'syd-1': 'syd' };
  const took = { 'nrt-3': 0, 'syd-1': 53, 'iad-1': 84, 'fra-1': 121, 'gru-1': 139 };
  const arrivals = Object.fromEntries(Object.entries(took).map(([name, took_ms]) => [name, { region: regions[name], took_ms, way: took_ms === 0 ? 'local' : 'gossip' }]));
  const row = { id: 1, sender: 'id-of-nrt-3', name: 'nrt-3', region: 'nrt', seq: 1, posted_ms: now - 5_000, text: 'one of a hundred is down', arrivals };
  const server = await mock(() => [['state', state], ['timeline', timeline], ['tail', { rows: [row], skipped: 0, places: Object.entries(regions) }]]);
  server.details['/api/member'] = detailOf(state);
  const page = await open(browser, server.url, { width: 1200, height: 760, dark: false });
  await page.getByText('one of a hundred is down').waitFor();
  await page.locator('[data-member="nrt-3"]').focus();
  await page.keyboard.press('Enter');
  await page.getByText('Links (99)').waitFor();
  await page.screenshot({ path: join(directory, 'page-hundred.jpg'), ...JPEG });
  await page.context().close();
  server.end();
}

if (only !== 'busy') await told();
if (only !== '5') await busy();
if (only === undefined || only === '5') await five();
if (only === undefined || only === '100') await hundred();
await browser.close();
