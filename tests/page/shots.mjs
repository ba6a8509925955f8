// Makes the pictures of the page: `MESHCAST=…/meshcast node shots.mjs DIRECTORY`, wide and as on a
// phone, light and dark. docs/page.jpg is the first of them.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { launch, open, post, up } from './browser.mjs';

const directory = process.argv[2] ?? 'shots';
mkdirSync(directory, { recursive: true });
const mesh = await up('--regions', 'fra,iad,nrt,gru,syd');
const browser = await launch();
const page = await open(browser, mesh.page, { width: 1200, height: 760 });
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
await page.screenshot({ path: join(directory, 'page.jpg'), type: 'jpeg', quality: 70 });
for (const [name, options] of Object.entries({
  wide: {},
  'wide-light': { dark: false },
  phone: { width: 390, height: 844 },
  'phone-light': { width: 390, height: 844, dark: false },
})) {
  const other = await open(browser, mesh.page, options);
  await other.waitForTimeout(2500);
  await other.screenshot({ path: join(directory, `${name}.png`), fullPage: options.width === 390 });
  await other.context().close();
}
await browser.close();
await mesh.end();
