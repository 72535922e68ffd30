// Everything without a pointer.

import assert from "node:assert/strict";
import { lives, run, scene, until } from "./browser.mjs";
import { open, split } from "./socks.mjs";

const [host, port] = split(scene.origin);
const focused = (page) => page.evaluate(() => {
  const element = document.activeElement;
  return element.getAttribute("aria-label") || element.textContent.trim() || element.name || element.tagName;
});

await run(async (visit) => {
  const sockets = await Promise.all([0, 1].map(() => open(scene.socks, host, port)));
  const cuts = [];
  sockets.forEach((socket, index) => socket.on("close", () => cuts.push(index)));
  const page = await visit();
  await lives(page);
  const press = (key) => page.keyboard.press(key);

  // From the top: past the head to the content, and through the head to each page.
  await press("Tab");
  assert.equal(await focused(page), "To the content");
  await press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "main");
  await page.locator(".brand").focus();
  for (const name of ["Overview", "Sessions"]) {
    await press("Tab");
    assert.equal(await focused(page), name);
  }
  await press("Enter");
  await page.locator("tbody tr").nth(1).waitFor();

  // To the filter by a slash, to a row by Tab, to the next by an arrow, into the session by Enter.
  await press("/");
  assert.equal(await focused(page), "user");
  await page.locator("tbody a").first().focus();
  await press("ArrowDown");
  assert.ok(await page.evaluate(() => document.activeElement === document.querySelectorAll("tbody a")[1]));
  // The table is drawn anew each second, and takes the focus from nobody.
  const asked = page.asked;
  await until("some more answers", () => page.asked > asked + 6);
  assert.ok(await page.evaluate(() => document.activeElement === document.querySelectorAll("tbody a")[1]));
  await press("Enter");
  await page.locator("#aside h2", { hasText: scene.origin }).waitFor();
  assert.ok(await page.evaluate(() => document.activeElement === document.querySelector("#aside h2")));
  await press("Escape");
  await page.locator("#aside").waitFor({ state: "hidden" });
  assert.ok(await page.evaluate(() => document.activeElement === document.querySelectorAll("tbody a")[1]), "back to the row");

  // Ends the session of that row.
  await press("Tab");
  assert.equal(await focused(page), `End the session to ${scene.origin}`);
  await press("Enter");
  await page.locator("dialog input").waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.name), "token");
  await press("Escape");
  await page.locator("dialog").waitFor({ state: "detached" });
  assert.deepEqual(cuts, []);
  await press("Enter");
  await page.locator("dialog input").waitFor();
  await page.keyboard.type(scene.token);
  await press("Enter");
  await until("the end of one", () => cuts.length === 1);
  await page.locator("dialog").waitFor({ state: "detached" });
  await page.getByText("1 live").waitFor();

  // A chart tells its values.
  await page.locator("#nav a[data-page=overview]").focus();
  await press("Enter");
  await page.locator(".curve[d^=M]").first().waitFor({ state: "attached" });
  await page.locator(".chart").first().focus();
  await press("ArrowLeft");
  const tip = page.locator(".tip").first();
  await tip.waitFor();
  assert.match(await tip.innerText(), /Download[\s\S]+\/s[\s\S]+Upload/);
  await press("Escape");
  await tip.waitFor({ state: "hidden" });
  for (const button of await page.locator(".choice button").all()) {
    assert.ok(["true", "false"].includes(await button.getAttribute("aria-pressed")));
  }
  // Whatever can be reached has a name.
  const nameless = await page.evaluate(() => [...document.querySelectorAll("a, button, input, select")]
    .filter((one) => !(one.getAttribute("aria-label") || one.textContent.trim() || one.labels?.[0]?.textContent.trim()))
    .map((one) => one.outerHTML));
  assert.deepEqual(nameless, []);
});
