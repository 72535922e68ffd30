// The frame: which page is shown, the health in the corner, the theme.

import { h, mark, say } from "./element.js";
import { feed, follow, start } from "./feed.js";
import { duration } from "./format.js";
import { change, here } from "./place.js";
import { keepBanner, summary } from "./parts/banner.js";
import * as events from "./pages/events.js";
import * as history from "./pages/history.js";
import * as limits from "./pages/limits.js";
import * as node from "./pages/node.js";
import * as overview from "./pages/overview.js";
import * as rules from "./pages/rules.js";
import { sessionPanel } from "./pages/session.js";
import * as sessions from "./pages/sessions.js";
import { destinations, users } from "./pages/top.js";
import { keepTheme } from "./theme.js";

// `{title, mount(place) → {update(params), unmount()}}`. A page is there when what it shows is.
const PAGES = { overview, sessions, events, history, users, destinations, rules, limits, node };

const main = document.getElementById("main");
const aside = document.getElementById("aside");
let shown = null;

function navigate() {
  const { page, params } = here();
  const name = PAGES[page] ? page : "overview";
  if (shown?.name !== name) {
    shown?.page.unmount();
    main.replaceChildren();
    shown = { name, page: PAGES[name].mount(main) };
    document.title = `${PAGES[name].title} · rustsocks`;
    document.querySelectorAll("#nav a").forEach((anchor) =>
      mark(anchor, "aria-current", anchor.dataset.page === name ? "page" : null));
    document.querySelector("#nav a[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
    scrollTo(0, 0);
  }
  shown.page.update(params);
  panel.show(params.id ?? null);
}

const panel = sessionPanel(aside, () => change({ id: null }));

function keepHealth() {
  const health = document.getElementById("health");
  const foot = document.getElementById("foot");
  follow(() => {
    const [state, text] = summary(feed);
    mark(health, "data-state", state);
    say(health.lastElementChild, text);
    if (feed.state !== "live") return;
    const { resources } = feed;
    say(foot.firstElementChild, `rustsocks ${feed.health.version} · up ${duration(resources.uptime_seconds)} · ${location.host}`);
  });
}

document.getElementById("nav").append(...Object.entries(PAGES).map(([name, page]) =>
  h("a", { href: `#/${name}`, "data-page": name }, page.title)));
addEventListener("hashchange", navigate);
addEventListener("keydown", (event) => {
  const typing = event.target.matches?.("input, select, textarea");
  if (event.key === "/" && !typing && !document.querySelector("dialog")) {
    const field = main.querySelector("input");
    if (field) {
      field.focus();
      event.preventDefault();
    }
  }
  if (event.key === "Escape" && !document.querySelector("dialog") && !aside.hidden) change({ id: null });
});
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
keepTheme(document.getElementById("theme"));
keepHealth();
keepBanner(document.getElementById("banner"));
start();
navigate();
