// Thousands of live sessions: the count is right, pages turn, sorting and filtering work, and the page
// stays quick, because it holds no more than one page of them.

import assert from "node:assert/strict";
import { PHONE, fits, lives, run, scene, until } from "./browser.mjs";
import { open, origin } from "./socks.mjs";

const AT_ONCE = 64;
const words = new Intl.NumberFormat("en").format(scene.sessions);

await run(async (visit) => {
  const port = await origin(1);
  const sockets = [];
  const began = Date.now();
  while (sockets.length < scene.sessions) {
    const some = Math.min(AT_ONCE, scene.sessions - sockets.length);
    sockets.push(...await Promise.all(Array.from({ length: some }, () => open(scene.socks, "127.0.0.1", port))));
  }
  console.log(`${sockets.length} sessions opened in ${Date.now() - began} ms`);
  sockets.forEach((socket, index) => socket.write(Buffer.alloc(1 + (index % 500))));

  const page = await visit({ hash: "#/sessions" });
  await lives(page);
  const shown = Date.now();
  await page.getByText(`${words} live`).waitFor();
  console.log(`the count was right ${Date.now() - shown} ms after the first answer`);
  assert.equal(await page.locator("tbody tr").count(), 100);
  const foot = page.locator(".table-foot span").first();
  assert.equal(await foot.innerText(), `1–100 of ${words}`);

  // No session twice, none left out, over three pages.
  const seen = new Set();
  for (let turn = 0; turn < 3; turn += 1) {
    await until(`page ${turn + 1}`, async () => (await foot.innerText()).startsWith(`${turn * 100 + 1}–`));
    (await page.locator("tbody tr td:nth-child(3)").allInnerTexts()).forEach((client) => seen.add(client));
    await page.getByRole("button", { name: "Next" }).click();
  }
  assert.equal(seen.size, 300);
  await page.getByRole("button", { name: "Previous" }).click();

  await page.getByRole("button", { name: "Down" }).click();
  await until("the heaviest first", async () => (await page.locator("tbody td:nth-child(5)").first().getAttribute("title")) === "500 octets");
  assert.equal(await page.locator("th[aria-sort=descending]").innerText(), "Down");

  // While it is asked each second, the page answers at once: no frame waits long for another.
  const longest = await page.evaluate(() => new Promise((resolve) => {
    const end = performance.now() + 4000;
    let last = performance.now();
    let longest = 0;
    const step = (now) => {
      longest = Math.max(longest, now - last);
      last = now;
      if (now < end) requestAnimationFrame(step);
      else resolve(longest);
    };
    requestAnimationFrame(step);
  }));
  console.log(`the longest wait for a frame in 4 s was ${Math.round(longest)} ms`);
  const elements = await page.evaluate(() => document.querySelectorAll("*").length);
  assert.ok(elements < 4000, `${elements} elements`);

  await page.locator("#nav a[data-page=overview]").click();
  await page.locator(".tile .value", { hasText: words.length > 6 ? words : new RegExp(`^${words}$`) }).first().waitFor();
  await page.setViewportSize(PHONE);
  await fits(page, "overview, phone");
  await page.locator("#nav a[data-page=sessions]").click();
  await page.locator("tbody tr").nth(99).waitFor();
  await fits(page, "sessions, phone");
  await page.screenshot({ path: `${scene.out}/many-phone.png` });
  sockets.forEach((socket) => socket.destroy());
  await page.getByText("No session is alive").waitFor();
});
