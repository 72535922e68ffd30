// What the scripts of this folder have in common: Debian's Chromium, a page that is watched, and the way
// to the test that started the script (tests/dashboard.rs).

import assert from "node:assert/strict";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

/** What the test says: `{api, socks, origin, token, out, …}`. */
export const scene = JSON.parse(process.env.SCENE);
export const base = `http://${scene.api}`;
export const DESK = { width: 1440, height: 900 };
export const TABLET = { width: 768, height: 1024 };
export const PHONE = { width: 390, height: 844 };
const PATIENCE_MS = 60_000;
const TOO_LONG_MS = 400_000;

setTimeout(() => {
  console.error("the script took too long");
  process.exit(1);
}, TOO_LONG_MS).unref();

const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Has the test do something, by a word that it knows. */
export async function order(word) {
  console.log(`! ${word}`);
  const { value, done } = await answers.next();
  assert.ok(!done, "the test has gone");
  return value;
}

/** Waits until `condition` gives something, and so much longer than it otherwise would. */
export async function until(what, condition, longer = 0) {
  const end = Date.now() + PATIENCE_MS + longer;
  for (;;) {
    const value = await condition();
    if (value) return value;
    assert.ok(Date.now() < end, `waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

/** Runs `script(open)`; `open({size, scheme, hash})` gives a page of the dashboard that is watched. */
export async function run(script) {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: [
    "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run"] });
  const pages = [];
  try {
    await script(async (options) => {
      const page = await watched(browser, options ?? {});
      pages.push(page);
      return page;
    });
    pages.forEach((page) => assert.deepEqual(page.faults, [], "what the page did wrong"));
  } catch (error) {
    console.error(error);
    for (const [index, page] of pages.entries()) {
      console.error("faults:", page.faults);
      await page.screenshot({ path: `${scene.out}/failed-${index}.png` }).catch(() => {});
    }
    process.exitCode = 1;
  }
  await browser.close();
  // The way to the test would keep the process alive.
  process.exit(process.exitCode ?? 0);
}

/** `mayFail`: that a request fails is what is being tested; a browser says that in its console. */
async function watched(browser, { size = DESK, scheme = "light", hash = "", mayFail = false, scale = 1 }) {
  const context = await browser.newContext({ viewport: size, colorScheme: scheme, deviceScaleFactor: scale,
    reducedMotion: "reduce", acceptDownloads: true });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  page.faults = [];
  page.asked = 0;
  page.on("console", (message) => {
    const failed = mayFail && message.text().startsWith("Failed to load resource");
    if (["error", "warning"].includes(message.type()) && !failed) page.faults.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => page.faults.push(`error: ${error.stack}`));
  page.on("request", (request) => {
    page.asked += 1;
    const url = request.url();
    if (!url.startsWith(`${base}/`) && !url.startsWith("blob:")) page.faults.push(`foreign request: ${url}`);
  });
  page.on("dialog", (dialog) => page.faults.push(`dialog: ${dialog.message()}`));
  await page.goto(`${base}/${hash}`);
  return page;
}

/** No page is wider than the window, and nothing in it is cut off without a way to see it. */
export async function fits(page, name) {
  const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(over <= 0, `${name}: ${over} pixels wider than the window`);
}

/** Waits until the feed has measured something. */
export function lives(page) {
  return page.locator("#health[data-state=ok], #health[data-state=ill]").waitFor();
}
