// Pages in Chromium, at services in two regions. It takes Chromium, at CHROMIUM or where Debian has
// it.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import process from "node:process";
import { after, test } from "node:test";
import { chromium } from "playwright-core";
import { Service, lacks, pairs, twoRegions } from "./pages.js";

const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
/** A container has little shared memory. */
const args = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"];
const noChromium = existsSync(executablePath) ? false : "needs Chromium";
/** How long anything may take that works, on a machine with other things to do. */
const PATIENCE = 60_000;

let browser = null;
after(() => browser?.close());

/** A page that is connected, or refused. */
async function open(service, query) {
  browser ??= await chromium.launch({ executablePath, args, timeout: PATIENCE });
  const context = await browser.newContext();
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  page.wrong = [];
  page.on("pageerror", (error) => page.wrong.push(error.message));
  await page.goto(`http://${service.host}/?${query}`);
  return page;
}

const connected = (page, region) => page.getByText(`connected in ${region}`).waitFor();

async function say(page, text) {
  await page.getByLabel("Message").fill(text);
  await page.getByLabel("Message").press("Enter");
}

/** Waits until a page shows these lines, in whatever order, and no other. */
async function shows(page, lines) {
  const wanted = [...lines].sort();
  const end = Date.now() + PATIENCE;
  for (;;) {
    const texts = await page.locator("#lines li").allTextContents();
    const shown = texts.map((text) => text.replace(/ \w*$/, "")).sort();
    if (JSON.stringify(shown) === JSON.stringify(wanted)) return;
    assert.ok(Date.now() < end, `${JSON.stringify(shown)} is not ${JSON.stringify(wanted)}`);
    await page.waitForTimeout(50);
  }
}

for (const [one, other] of pairs) {
  const skip = noChromium || lacks(one, other);
  test(`${one} and ${other}: pages lose nothing by a cut and a kill`, { skip }, async (t) => {
    const { key, fra, nrt, cable } = await twoRegions(t, [one, other]);
    const iad = await Service.start(t, other, "iad", key, `127.0.0.1:${nrt.meshPort}`, {
      ORIGINS: `http://${fra.host}`,
    });
    const ada = await open(fra, `user=ada&also=${iad.host}`);
    const bob = await open(nrt, "user=bob");
    await connected(ada, "fra");
    await connected(bob, "nrt");
    const lines = ["hello", "hello yourself"];
    await say(ada, lines[0]);
    await shows(bob, lines.slice(0, 1));
    await say(bob, lines[1]);
    await shows(ada, lines);

    cable.cut = true;
    await say(ada, "said in fra");
    await say(bob, "said in nrt");
    cable.mend();
    lines.push("said in fra", "said in nrt");
    for (const page of [ada, bob]) await shows(page, lines);

    fra.child.kill("SIGKILL");
    await say(bob, "while ada is away");
    await say(ada, "while nobody is there");
    lines.push("while ada is away", "while nobody is there");
    for (const page of [ada, bob]) await shows(page, lines);
    await connected(ada, "iad");

    const thrown = await ada.evaluate(() => {
      const values = [document.body, new ImageData(1, 1), new DOMRect(), () => {}, new WeakMap()];
      return values.map((value) => {
        try {
          globalThis.room.postMessage({ value });
        } catch ({ name }) {
          return name;
        }
      });
    });
    assert.deepEqual(thrown, Array(5).fill("DataCloneError"));

    // Who may not hears nothing, and is told.
    const eve = await open(nrt, "");
    await eve.getByText("refused: forbidden").waitFor();
    await say(bob, "for us");
    lines.push("for us");
    await shows(ada, lines);
    await shows(eve, []);
    for (const page of [ada, bob, eve]) {
      assert.deepEqual(page.wrong, []);
      await page.context().close();
    }
  });
}
