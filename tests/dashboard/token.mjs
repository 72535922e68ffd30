// Where reading wants the token, too: the page comes, says what it needs, and works once it has it.

import assert from "node:assert/strict";
import { lives, run, scene } from "./browser.mjs";

await run(async (visit) => {
  const page = await visit({ hash: "#/sessions", mayFail: true });
  const banner = page.locator(".banner");
  await banner.filter({ hasText: "wants its token" }).waitFor();
  const enter = () => page.getByRole("button", { name: "Enter the token" }).click();
  await enter();
  await page.locator("dialog input").fill("wrong");
  await page.getByRole("button", { name: "Use it" }).click();
  await banner.filter({ hasText: "not the right one" }).waitFor();
  await page.screenshot({ path: `${scene.out}/token.png` });
  await enter();
  await page.locator("dialog input").fill(scene.token);
  await page.getByRole("button", { name: "Use it" }).click();
  await lives(page);
  await page.getByText("No session is alive").waitFor();
  await banner.waitFor({ state: "detached" });
  // A reload is the same tab; another tab has to ask anew.
  await page.reload();
  await page.getByText("No session is alive").waitFor();
  const text = await page.content();
  assert.ok(!text.includes(scene.token));
  const docs = await visit({ hash: "docs", mayFail: true });
  await docs.getByText("Reading wants the token here").waitFor();
  await docs.getByLabel("Token", { exact: true }).fill("wrong");
  await docs.getByRole("button", { name: "Show" }).click();
  await docs.getByText("Reading wants the token here").waitFor();
  await docs.getByLabel("Token", { exact: true }).fill(scene.token);
  await docs.getByRole("button", { name: "Show" }).click();
  await docs.locator("h1", { hasText: "API" }).waitFor();
  const other = await visit({ mayFail: true });
  await other.locator(".banner", { hasText: "wants its token" }).waitFor();
});
