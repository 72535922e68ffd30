// Each page, wide and narrow, light and dark: it loads without a complaint and asks nobody else, it fits,
// and it shows what there is.

import assert from "node:assert/strict";
import { DESK, PHONE, TABLET, fits, lives, run, scene, until } from "./browser.mjs";
import { open, split } from "./socks.mjs";

const [host, port] = split(scene.origin);
const PAGES = {
  overview: "Overview", sessions: "Sessions", events: "Live", history: "History", users: "Users",
  destinations: "Destinations", rules: "Rules", limits: "Limits", node: "Node",
};

/** What shows that a page has what it is for. */
const SHOWN = {
  overview: async (page) => {
    await page.locator(".tile .value", { hasText: /^3$/ }).waitFor();
    await page.locator(".curve[d^=M]").first().waitFor({ state: "attached" });
    await page.locator(".bar", { hasText: "acl_denied" }).first().waitFor();
    await page.locator("td", { hasText: scene.origin }).first().waitFor();
  },
  sessions: async (page) => {
    await page.getByText("3 live").waitFor();
    assert.equal(await page.locator("tbody tr").count(), 3);
  },
  events: async (page) => {
    await page.getByText("0 heard").waitFor();
    (await open(scene.socks, host, port)).end("x");
    await page.locator("tbody tr", { hasText: "client_closed" }).first().waitFor();
    assert.equal(await page.locator("tbody .tag", { hasText: "opened" }).count(), 1);
  },
  history: async (page) => {
    await page.locator("tbody tr").nth(1).waitFor();
    await until("both endings", async () => {
      const text = await page.locator("tbody").innerText();
      return text.includes("acl_denied") && text.includes("client_closed");
    });
  },
  users: (page) => page.locator("td a", { hasText: "anonymous" }).waitFor(),
  destinations: (page) => page.locator("td a", { hasText: scene.origin }).waitFor(),
  rules: (page) => page.getByText("There are no rules").waitFor(),
  limits: (page) => page.getByText("Nobody is banned").waitFor(),
  node: async (page) => {
    await page.locator(".check[data-state=ok]").nth(4).waitFor();
    assert.equal(await page.locator(".check[data-state=ill]").count(), 0);
    assert.equal(await page.locator("table[aria-label=Workers] tbody tr").count(), 2);
    await page.locator("dd", { hasText: /^0\.\d+\.\d+$/ }).waitFor();
  },
};

await run(async (visit) => {
  const living = await Promise.all([1, 2, 3].map(() => open(scene.socks, host, port)));
  living[0].write("some octets");
  const ended = await open(scene.socks, host, port);
  ended.end("x");
  await open(scene.socks, "169.254.1.1", 80).catch(() => {});
  for (const [shape, size] of Object.entries({ desk: DESK, phone: PHONE })) {
    for (const scheme of ["light", "dark"]) {
      const page = await visit({ size, scheme });
      await lives(page);
      for (const [name, title] of Object.entries(PAGES)) {
        await page.locator(`#nav a[data-page=${name}]`).click();
        await page.locator("h1", { hasText: title }).waitFor();
        await SHOWN[name](page);
        await fits(page, `${name}, ${shape}`);
        await page.screenshot({ path: `${scene.out}/${name}-${shape}-${scheme}.png` });
      }
      const background = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
      const [red] = background.match(/\d+/g).map(Number);
      assert.equal(red < 128, scheme === "dark", `${scheme}: ${background}`);
      await page.locator("#theme").click();
      assert.equal(await page.getAttribute("html", "data-theme"), "light");
      await page.context().close();
    }
  }
  // Between the two nothing lies on top of the navigation: a click finds what it is for.
  const page = await visit({ size: TABLET, scheme: "light" });
  await lives(page);
  for (const width of [768, 900, 1010, 1101]) {
    await page.setViewportSize({ ...TABLET, width });
    for (const [name, title] of Object.entries(PAGES)) {
      await page.locator(`#nav a[data-page=${name}]`).click({ timeout: 10_000 });
      await page.locator("h1", { hasText: title }).waitFor();
    }
    await fits(page, `${width} pixels`);
    await page.screenshot({ path: `${scene.out}/width-${width}.png` });
  }
});
