// Makes the pictures of the page: `MESHCAST=…/meshcast node shots.mjs DIRECTORY`, wide and as on a
// phone, light and dark, with 5 nodes of which one is cut off, and with 100 of which one is down.
// Those of docs/ are the JPEGs among them. `node shots.mjs DIRECTORY 5` makes those of 5 nodes alone.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { PATIENCE, launch, open, post, up } from './browser.mjs';

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
  await first.screenshot({ path: join(directory, 'page-hundred.jpg'), ...JPEG });
  await all(mesh, 'hundred-');
  await mesh.end();
}

if (only !== '100') await five();
if (only !== '5') await hundred();
await browser.close();
