// The page at /docs: it shows every path, and tries it.

import assert from "node:assert/strict";
import { DESK, PHONE, fits, run, scene } from "./browser.mjs";

await run(async (visit) => {
  for (const [shape, size] of Object.entries({ desk: DESK, phone: PHONE })) {
    for (const scheme of ["light", "dark"]) {
      const page = await visit({ size, scheme, hash: "docs", mayFail: true });
      await page.locator("h1", { hasText: "API" }).waitFor();
      const described = await page.evaluate(async () => {
        const { paths } = await (await fetch("/openapi.json")).json();
        return Object.values(paths).reduce((sum, methods) => sum + Object.keys(methods).length, 0);
      });
      assert.equal(await page.locator("details.op").count(), described, "every operation is there");
      await page.screenshot({ path: `${scene.out}/docs-${shape}-${scheme}.png` });
      await page.locator("#explain > summary").click();
      await page.locator("#explain").getByRole("button", { name: "Try it" }).click();
      await page.locator("#explain .said b", { hasText: "200" }).waitFor();
      await page.locator("#explain .said pre", { hasText: "policy_generation" }).waitFor();
      await fits(page, `docs, ${shape}`);
      await page.screenshot({ path: `${scene.out}/docs-open-${shape}-${scheme}.png` });

      await page.locator("#terminate > summary").click();
      await page.locator("#terminate input").fill("00000000-0000-7000-8000-000000000000");
      const answer = (text) => page.locator("#terminate .said b", { hasText: text }).waitFor();
      await page.locator("#terminate").getByRole("button", { name: "Try it" }).click();
      await answer("401");
      await page.getByLabel("Token", { exact: true }).fill(scene.token);
      await page.locator("#terminate").getByRole("button", { name: "Try it" }).click();
      await answer("404");

      // A stream is shown while it comes.
      await page.locator("#events > summary").click();
      await page.locator("#events").getByRole("button", { name: "Try it" }).click();
      await page.locator("#events .said pre", { hasText: "event: health" }).waitFor();
      await page.locator("#events").getByRole("button", { name: "Stop" }).click();
      await page.locator("#events .said", { hasText: "(stopped)" }).waitFor();
      await fits(page, `docs, ${shape}`);
      await page.context().close();
    }
  }
  const page = await visit({ hash: "docs#statistics" });
  await page.locator("#statistics[open] h3").waitFor();
});
