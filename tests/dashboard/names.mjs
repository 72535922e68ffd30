// Names that strangers choose stay names, wherever they are shown.

import assert from "node:assert/strict";
import { lives, run, scene, until } from "./browser.mjs";
import { open, split } from "./socks.mjs";

const [host, port] = split(scene.origin);

await run(async (visit) => {
  const living = [];
  for (const name of scene.names) {
    living.push(await open(scene.socks, host, port, name, "secret"));
    (await open(scene.socks, host, port, name, "secret")).end("x");
    await open(scene.socks, host, port, `claimed ${name}`, "wrong").catch(() => {});
  }
  living.forEach((socket) => socket.write("x"));
  const page = await visit({ hash: "#/overview" });
  await lives(page);
  for (const place of ["overview", "sessions", "history", "users"]) {
    await page.locator(`#nav a[data-page=${place}]`).click();
    for (const name of scene.names) {
      // Compared whole: nothing of it has become anything else.
      await until(`${name} on ${place}`, () => page.evaluate((name) =>
        [...document.querySelectorAll("main td, main .name, main td a")].some((cell) => cell.textContent === name), name));
    }
  }
  await page.locator("#nav a[data-page=history]").click();
  await page.locator("select[name=close_code]").selectOption("auth_failed");
  await until("only failed logins", async () =>
    (await page.locator("tbody .tag").allInnerTexts()).join() === scene.names.map(() => "auth_failed").join());
  for (let row = 0; row < scene.names.length; row += 1) {
    await page.locator("tbody a").nth(row).click();
    await page.locator("#aside dd", { hasText: "claimed " }).waitFor();
  }
  await page.locator("#nav a[data-page=sessions]").click();
  for (const name of scene.names) {
    await page.locator("input[name=user]").fill(name);
    await page.getByText("1 found").waitFor();
    await page.getByRole("button", { name: "End all 1" }).click();
    await page.locator("dialog b", { hasText: name }).waitFor();
    await page.getByRole("button", { name: "Cancel" }).click();
    await page.getByRole("button", { name: "Clear" }).click();
    await page.getByText(`${scene.names.length} live`).waitFor();
  }
  const made = await page.evaluate(() => [window.pwned, document.images.length,
    document.querySelectorAll("main script, main img, main b[onclick], main iframe").length]);
  assert.deepEqual(made, [undefined, 1, 0], "nothing but the mark is an image, and no name has run");
});
