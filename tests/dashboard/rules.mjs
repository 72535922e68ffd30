// The rules: in their order, with their hits, explained, and read anew.

import assert from "node:assert/strict";
import { PHONE, fits, lives, order, run, scene, until } from "./browser.mjs";
import { open, split } from "./socks.mjs";

const [host, port] = split(scene.origin);

await run(async (visit) => {
  await open(scene.socks, host, port);
  await assert.rejects(open(scene.socks, "blocked.example.com", 25));
  const page = await visit({ hash: "#/rules" });
  await lives(page);
  const rows = page.locator("table[aria-label=Rules] tbody tr");
  await rows.nth(2).waitFor();
  assert.equal(await rows.count(), 3);
  const text = await rows.first().innerText();
  for (const part of ["block", "<b>no mail</b>", "to .example.com", "ports 25"]) assert.ok(text.includes(part), `${part} is not in ${text}`);
  await until("the hits", async () => (await rows.first().locator("td").nth(3).innerText()) === "1");
  await until("the shadow hits", async () => (await rows.nth(1).locator("td").nth(4).innerText()) === "1");
  await page.getByText("Where no rule holds:").locator(".tag", { hasText: "block" }).waitFor();

  // What would be decided, and why; the question is in the address.
  const verdict = page.locator(".verdict");
  const explain = async (target) => {
    await page.locator("input[name=target]").fill(target);
    await page.getByRole("button", { name: "Explain" }).click();
  };
  await explain("mail.example.com:25");
  await verdict.locator(".decision", { hasText: "block" }).filter({ hasText: "<b>no mail</b>" }).waitFor();
  await verdict.locator("li[data-result=decides]").waitFor();
  assert.match(page.url(), /target=mail\.example\.com%3A25/);
  await explain(scene.origin);
  await verdict.locator(".decision", { hasText: "allow" }).waitFor();
  await verdict.locator("li[data-result=missed]").first().waitFor();
  await verdict.locator("li[data-result=shadows]").waitFor();
  await verdict.getByText("Nobody is this user").waitFor({ state: "detached" });
  await page.locator("input[name=user]").fill("alcie");
  await explain(scene.origin);
  await verdict.getByText("Nobody is this user").waitFor();
  await page.locator("input[name=user]").fill("");
  await explain(scene.origin);
  await verdict.getByText("Nobody is this user").waitFor({ state: "detached" });
  await page.screenshot({ path: `${scene.out}/rules.png` });
  await page.setViewportSize(PHONE);
  await fits(page, "rules, phone");
  await page.screenshot({ path: `${scene.out}/rules-phone.png` });
  await page.setViewportSize({ width: 1440, height: 900 });

  // From a record to why.
  await page.locator("#nav a[data-page=history]").click();
  await page.locator("select[name=status]").selectOption("rejected_by_acl");
  await page.locator("tbody a", { hasText: "blocked.example.com:25" }).click();
  await page.locator("#aside").getByRole("link", { name: "Explain" }).click();
  await verdict.locator(".decision", { hasText: "<b>no mail</b>" }).waitFor();

  await order("change");
  await page.getByRole("button", { name: "Reload" }).click();
  await page.locator("dialog input").fill(scene.token);
  await page.locator("dialog").getByRole("button", { name: "Reload" }).click();
  await page.locator(".toast").waitFor();
  await until("the new rules", async () => (await rows.count()) === 1);
  assert.equal(await page.evaluate(() => document.querySelectorAll("main b b").length), 0);
});
