// What happens is shown, too, where as many listen to it as may.

import { lives, run, scene } from "./browser.mjs";
import { open, split } from "./socks.mjs";

const [host, port] = split(scene.origin);

await run(async (visit) => {
  const page = await visit({ hash: "#/events", mayFail: true });
  await lives(page);
  await page.getByText("as many listen as may: 0 seen").waitFor();
  const socket = await open(scene.socks, host, port);
  const rows = page.locator("table[aria-label=Events] tbody tr");
  await rows.filter({ hasText: "opened" }).filter({ hasText: scene.origin }).waitFor();
  socket.end();
  await rows.filter({ hasText: "closed" }).filter({ hasText: scene.origin }).waitFor();
});
