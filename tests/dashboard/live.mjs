// A session that is opened is seen, told apart, followed, and ended by a click.

import assert from "node:assert/strict";
import { lives, run, scene, until } from "./browser.mjs";
import { open, split } from "./socks.mjs";

const [host, port] = split(scene.origin);
const LATE_MS = 400;
/** As in parts/filters.js; a timer that begins later ends later. */
const TYPING_MS = 350;

await run(async (visit) => {
  const page = await visit({ hash: "#/sessions", mayFail: true });
  await lives(page);
  // The answer to an order comes later than what it brings about: until then the dialog stays open.
  await page.route("**/terminate*", async (route) => {
    const answer = await route.fetch();
    await new Promise((resolve) => setTimeout(resolve, LATE_MS));
    await route.fulfill({ response: answer });
  });
  await page.getByText("No session is alive").waitFor();

  const began = Date.now();
  const socket = await open(scene.socks, host, port);
  await page.locator("tbody tr").waitFor();
  console.log(`a session was shown ${Date.now() - began} ms after it was asked for`);
  assert.equal(await page.locator("tbody td").first().innerText(), scene.origin);

  let cut = false;
  socket.on("close", () => { cut = true; });
  socket.write("0123456789");
  await page.locator("tbody tr", { hasText: "10 B" }).first().waitFor();
  assert.equal(await page.locator("td[title='10 octets']").count(), 2, "up and down, exact on hover");

  // In full, beside the table.
  await page.locator("tbody a").click();
  const one = page.locator("#aside");
  await one.getByRole("heading", { name: scene.origin }).waitFor();
  const text = await one.innerText();
  for (const part of ["Download", "10 B", "Connect", "Login", "Name", "The kernel is asked", "anonymous", "default policy"]) {
    assert.ok(text.includes(part), `${part} is not in\n${text}`);
  }

  // A wrong token is refused and said so, the right one ends it, and is kept for the tab only.
  await one.getByRole("button", { name: "End session" }).click();
  const dialog = page.locator("dialog");
  await dialog.locator("input").fill("not the token");
  await dialog.getByRole("button", { name: "End session" }).click();
  await dialog.getByText("That is not the token.").waitFor();
  assert.equal(cut, false);
  await dialog.locator("input").fill(scene.token);
  const clicked = Date.now();
  await dialog.getByRole("button", { name: "End session" }).click();
  await until("the session's end", () => cut);
  console.log(`it was cut ${Date.now() - clicked} ms after the click`);
  await page.getByText("No session is alive").waitFor();
  await one.locator(".said", { hasText: "an operator ended the session" }).waitFor();
  assert.equal(await page.evaluate(() => Object.values(localStorage).join()), "");
  await page.getByRole("button", { name: "Close" }).click();
  await one.waitFor({ state: "hidden" });

  // The next needs no token, but still a yes.
  const second = await open(scene.socks, host, port);
  let secondCut = false;
  second.on("close", () => { secondCut = true; });
  await page.getByRole("button", { name: `End the session to ${scene.origin}` }).click();
  await dialog.waitFor();
  assert.equal(await dialog.locator("input").count(), 0);
  await dialog.getByRole("button", { name: "Cancel" }).click();
  assert.equal(secondCut, false);
  await page.getByRole("button", { name: `End the session to ${scene.origin}` }).click();
  await dialog.getByRole("button", { name: "End session" }).click();
  await until("the second session's end", () => secondCut);
  await dialog.waitFor({ state: "detached" });

  // All that pass a filter.
  const cuts = [0, 0];
  const more = await Promise.all([0, 1].map(() => open(scene.socks, host, port)));
  more.forEach((socket, index) => socket.on("close", () => { cuts[index] += 1; }));
  await page.locator("tbody tr").nth(1).waitFor();
  // Somebody who types and then looks elsewhere before the filter counts loses nothing of it.
  await page.locator("input[name=dest]").fill(scene.origin);
  await page.locator("tbody a").first().click();
  await one.getByRole("heading", { name: scene.origin }).waitFor();
  await page.getByRole("button", { name: "Close" }).click();
  await page.getByRole("button", { name: "End all 2" }).click();
  await dialog.getByRole("button", { name: "End them all" }).click();
  await until("the end of both", () => cuts[0] + cuts[1] === 2);
  await page.getByText("No live session passes this filter").waitFor();

  // But what the address says since is what counts, once the typing would have.
  await page.locator("input[name=dest]").fill("elsewhere.test:1");
  await page.evaluate((dest) => { location.hash = `#/sessions?user=anonymous&dest=${dest}`; }, scene.origin);
  await until("the other filter", async () => (await page.locator("input[name=user]").inputValue()) === "anonymous");
  await page.evaluate((ms) => new Promise((resolve) => setTimeout(resolve, ms)), TYPING_MS);
  assert.equal(await page.locator("input[name=dest]").inputValue(), scene.origin);
  await page.getByText("No live session passes this filter").waitFor();

  // The history has all four, and gives them away.
  await page.getByRole("link", { name: "Look in the history" }).click();
  await page.locator("tbody tr").nth(3).waitFor();
  assert.equal(await page.locator(".tag", { hasText: "terminated_by_admin" }).count(), 4);
  await page.getByRole("button", { name: "Count all" }).click();
  await page.getByText("4 in all").waitFor();
  const [download] = await Promise.all([page.waitForEvent("download"),
    page.getByRole("button", { name: "Download CSV" }).click()]);
  const chunks = [];
  for await (const chunk of await download.createReadStream()) chunks.push(chunk);
  const lines = Buffer.concat(chunks).toString().trimEnd().split("\r\n");
  assert.equal(lines.length, 5);
  assert.ok(lines[0].startsWith("session_id,user,start_time,"));
  assert.ok(lines.slice(1).every((line) => line.includes(",terminated_by_admin,")));
  await page.locator("select[name=status]").selectOption("failed");
  await page.getByText("No ended session passes this filter").waitFor();
  assert.match(page.url(), /status=failed/);
  await page.goBack();
});
