// Makes the pictures of the chat: `CHAT=…/examples/chat node chat-shots.mjs DIRECTORY`, wide and as
// on a phone, light and dark. Those of docs/ are the JPEGs among them.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

import { launch } from './browser.mjs';
import { guest, regions, say } from './chat.mjs';

const directory = process.argv[2] ?? 'shots';
mkdirSync(directory, { recursive: true });
const chat = await regions();
const browser = await launch();
const SIZES = {
  'chat': {},
  'chat-light': { dark: false },
  'chat-phone': { width: 390, height: 844 },
  'chat-phone-light': { width: 390, height: 844, dark: false },
};
const grace = await guest(browser, chat.urls.iad, 'Grace');
const alan = await guest(browser, chat.urls.nrt, 'Alan');
await say(grace, 'Good morning from Virginia. Did the release go out?');
await say(alan, 'It did, 20 minutes ago. Tokyo and Frankfurt are on it, Virginia is next.', 'Nobody lost a message so far.');
const pages = {};
for (const [name, options] of Object.entries(SIZES)) pages[name] = await guest(browser, chat.urls.fra, 'Ada', options);
await say(pages.chat, 'I see both of you from Frankfurt.');
await say(grace, 'Let me restart the one you are at, then. It should say where it went on, and what it missed.');
await chat.type('kill fra');
await pages.chat.locator('.connection.lost').waitFor();
await say(alan, 'Frankfurt is away.', 'This is what Ada misses meanwhile, and is shown when she is back. It is long enough to take more than a line, also on a large screen: καλημέρα, добрый день, שלום.');
await chat.type('start fra');
for (const page of Object.values(pages)) await page.getByText('2 lines from meanwhile').waitFor();
await say(pages.chat, 'Back again!');
await pages['chat-phone-light'].locator('.line', { hasText: 'Back again' }).waitFor();
await chat.type('cut nrt');
await pages.chat.locator('.members .silent').waitFor();
for (const [name, page] of Object.entries(pages)) await page.screenshot({ path: join(directory, `${name}.png`) });
const JPEG = { type: 'jpeg', quality: 75 };
await pages['chat-phone-light'].screenshot({ path: join(directory, 'chat-phone.jpg'), ...JPEG });
await pages.chat.setViewportSize({ width: 1000, height: 700 });
await pages.chat.screenshot({ path: join(directory, 'chat.jpg'), ...JPEG });
await pages['chat-phone'].locator('summary').click();
await pages['chat-phone'].screenshot({ path: join(directory, 'chat-phone-who.png') });
const newcomer = await browser.newPage();
await newcomer.goto(chat.urls.iad);
await newcomer.getByLabel('Name').waitFor();
await newcomer.screenshot({ path: join(directory, 'chat-name.png') });
await browser.close();
await chat.end();
