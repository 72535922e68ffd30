// Banned addresses: shown, and let in again by a click.

import assert from "node:assert/strict";
import { PHONE, fits, lives, run, scene, until } from "./browser.mjs";
import { open, split } from "./socks.mjs";

const [host, port] = split(scene.origin);

await run(async (visit) => {
  await open(scene.socks, host, port, "alice", "guess").catch(() => {});
  const page = await visit({ hash: "#/limits", mayFail: true });
  await lives(page);
  await page.locator("td", { hasText: "127.0.0.1" }).waitFor();
  await page.getByText("1 banned").waitFor();
  await page.screenshot({ path: `${scene.out}/limits-ban.png` });
  await page.setViewportSize(PHONE);
  await fits(page, "limits, phone");
  await page.screenshot({ path: `${scene.out}/limits-ban-phone.png` });
  await assert.rejects(open(scene.socks, host, port, "alice", "secret"), "it is banned");
  await page.getByRole("button", { name: "Lift the ban of 127.0.0.1" }).click();
  await page.locator("dialog input").fill("wrong");
  await page.locator("dialog").getByRole("button", { name: "Lift it" }).click();
  await page.getByText("That is not the token.").waitFor();
  await page.locator("dialog input").fill(scene.token);
  await page.locator("dialog").getByRole("button", { name: "Lift it" }).click();
  await page.locator(".toast", { hasText: "127.0.0.1 may come again" }).waitFor();
  await page.getByText("Nobody is banned").waitFor();
  (await open(scene.socks, host, port, "alice", "secret")).end();
  await until("its session", async () => {
    await page.locator("#nav a[data-page=history]").click();
    return page.locator("td", { hasText: "alice" }).first().isVisible();
  });
});
