// What is shown when something is wrong: the database is ill, the proxy is gone, and back again.

import assert from "node:assert/strict";
import { PHONE, fits, lives, order, run, scene, until } from "./browser.mjs";
import { open, split } from "./socks.mjs";

const [host, port] = split(scene.origin);

await run(async (visit) => {
  const page = await visit({ hash: "#/sessions", mayFail: true });
  await lives(page);
  const banner = page.locator(".banner");
  assert.equal(await banner.count(), 0);
  // A bad filter is said where it is.
  await page.locator("input[name=source]").fill("not an address");
  await page.getByText("parameter `source` must be an IP address").waitFor();
  assert.equal(await page.locator("input[name=source]").getAttribute("aria-invalid"), "true");
  await page.getByRole("button", { name: "Clear" }).click();

  await order("lock");
  (await open(scene.socks, host, port)).end("x");
  await banner.filter({ hasText: "Degraded" }).filter({ hasText: "writer:" }).waitFor();
  await page.locator("#health[data-state=ill]", { hasText: "Degraded" }).click();
  await page.locator(".check[data-state=ill]", { hasText: "Writer" }).waitFor();
  await page.screenshot({ path: `${scene.out}/degraded.png` });
  await order("unlock");
  await banner.waitFor({ state: "detached" });

  await page.locator("#nav a[data-page=sessions]").click();
  await page.getByText("No session is alive").waitFor();
  await order("stop");
  await banner.filter({ hasText: "The proxy cannot be reached" }).waitFor();
  await page.locator("#health[data-state=gone]").waitFor();
  await page.setViewportSize(PHONE);
  await fits(page, "the banner, phone");
  await page.screenshot({ path: `${scene.out}/gone-phone.png` });
  assert.ok(page.faults.length === 0, page.faults.join());
});
