// Where only sums are kept, nothing else is promised.

import { lives, run, scene } from "./browser.mjs";
import { open, split } from "./socks.mjs";

const [host, port] = split(scene.origin);

await run(async (visit) => {
  await open(scene.socks, host, port);
  const page = await visit({ hash: "#/sessions", mayFail: true });
  await lives(page);
  await page.getByText("1 live, but single sessions are not shown").waitFor();
  await page.locator("#nav a[data-page=history]").click();
  await page.getByText("There is no history").waitFor();
  await page.locator("#nav a[data-page=overview]").click();
  await page.locator(".tile .value", { hasText: /^1$/ }).first().waitFor();
  await page.getByText("sessions are not recorded").waitFor();
});
