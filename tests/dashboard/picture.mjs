// A proxy with a past and a present: the curves of the last hours, and the picture of the README.

import assert from "node:assert/strict";
import net from "node:net";
import { DESK, fits, lives, run, scene, until } from "./browser.mjs";
import { open } from "./socks.mjs";

const EACH_MS = 250;
const PER_TURN = 2;

/** A target at the port of HTTPS where we may have it. */
function target() {
  const server = net.createServer((socket) => {
    socket.on("error", () => {});
    // What is asked for by four octets is sent.
    socket.on("data", (data) => { if (data.length >= 4) socket.write(Buffer.alloc(data.readUInt32BE(0))); });
  });
  return new Promise((resolve) => {
    server.once("error", () => server.listen(0, "127.0.0.1"));
    server.on("listening", () => resolve(server.address().port));
    server.listen(443, "127.0.0.1");
  });
}

const ask = (socket, octets, more) => {
  const head = Buffer.alloc(4 + more);
  head.writeUInt32BE(octets);
  socket.write(head);
};

await run(async (visit) => {
  const port = await target();
  const living = [];
  let turns = 0;
  const session = async () => {
    const user = scene.users[Math.floor(Math.random() ** 1.6 * scene.users.length)];
    const host = scene.hosts[Math.floor(Math.random() ** 1.4 * scene.hosts.length)];
    const socket = await open(scene.socks, host, port, user, "secret");
    socket.resume();
    return socket;
  };
  const turn = async () => {
    turns += 1;
    const wave = 1 + 0.4 * Math.sin(turns / 9) + 0.2 * Math.random();
    living.forEach((socket, index) => ask(socket, Math.floor(wave * 450_000 / (1 + index)), Math.floor(60_000 / (1 + index))));
    for (let count = 0; count < PER_TURN * wave; count += 1) {
      const socket = await session();
      ask(socket, 20_000, 400);
      if (living.length < scene.living) living.push(socket);
      else socket.once("data", () => socket.end());
    }
    const wrong = [["169.254.169.254", 80], ["nowhere.example.com", 443], ["api.example.com", 1], ["10.0.0.1", 22]][turns % 12];
    if (wrong) await open(scene.socks, ...wrong, scene.users[turns % 3], "secret").catch(() => {});
    if (turns % 50 === 7) await open(scene.socks, "api.example.com", port, "mallory", "guess").catch(() => {});
  };
  const page = await visit({ size: DESK });
  await lives(page);
  await page.locator("button[aria-pressed=true]", { hasText: "1 h" }).waitFor();
  let busy = true;
  const traffic = (async () => {
    while (busy) {
      const began = Date.now();
      await turn();
      await new Promise((resolve) => setTimeout(resolve, Math.max(EACH_MS - (Date.now() - began), 1)));
    }
  })();
  const end = Date.now() + scene.seconds * 1000;
  await until("sessions enough", () => living.length === scene.living && Date.now() > end, scene.seconds * 1000);
  await until("all of them on the page", async () => {
    const [live, fresh] = await page.locator(".tile .value").allInnerTexts();
    return parseInt(live, 10) >= scene.living && parseFloat(fresh) > 0;
  });
  await page.locator(".bar .name", { hasText: "alice" }).waitFor();
  await fits(page, "overview");
  const curve = () => page.locator(".chart").first().locator(".curve").first().getAttribute("d");
  assert.ok((await curve()).split("L").length > 50, "an hour has sixty minutes");
  await page.mouse.move(0, 0);
  await page.screenshot({ path: scene.picture, clip: { x: 0, y: 0, width: DESK.width, height: scene.height }, fullPage: true });

  busy = false;
  await traffic;
  for (const range of ["6 h", "24 h", "7 d"]) {
    const before = await curve();
    await page.getByRole("button", { name: range, exact: true }).click();
    await until(`the curve of ${range}`, async () => {
      const now = await curve();
      return now !== before && now.split("L").length > 100;
    });
    assert.ok((await curve()).split("L").length < 400, "no more points than can be seen");
  }
  await page.screenshot({ path: `${scene.out}/week.png`, fullPage: true });
  for (const name of ["sessions", "history", "users", "destinations", "node"]) {
    await page.locator(`#nav a[data-page=${name}]`).click();
    await page.locator("h1", { hasText: new RegExp(name, "i") }).waitFor();
    await page.locator("td, dd").nth(5).waitFor();
    if (name === "sessions") await page.locator("tbody a").nth(4).click();
    if (name === "history") await page.locator("tbody a").first().click();
    if (["sessions", "history"].includes(name)) await page.locator(".one .stage").first().waitFor();
    await page.screenshot({ path: `${scene.out}/filled-${name}.png` });
    if (await page.locator("#aside").isVisible()) await page.keyboard.press("Escape");
  }
  living.forEach((socket) => socket.destroy());
});
