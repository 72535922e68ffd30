// The frame: which page is shown, the health in the corner, the theme.

import { h, icon, mark, say } from "./element.js";
import { feed, follow, start } from "./feed.js";
import { duration } from "./format.js";
import { change, here } from "./place.js";
import { keepBanner, summary } from "./parts/banner.js";
import * as history from "./pages/history.js";
import * as node from "./pages/node.js";
import * as overview from "./pages/overview.js";
import * as rules from "./pages/rules.js";
import { sessionPanel } from "./pages/session.js";
import * as sessions from "./pages/sessions.js";
import { destinations, users } from "./pages/top.js";

// `{title, mount(place) → {update(params), unmount()}}`. A page is there when what it shows is.
const PAGES = { overview, sessions, history, users, destinations, rules, node };

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
    say(foot, `rustsocks ${feed.health.version} · up ${duration(resources.uptime_seconds)} · ${location.host}`);
  });
}

const THEME_KEY = "rustsocks-theme";
const THEMES = {
  auto: ["Theme: as the system has it", "M12 3a9 9 0 1 0 0 18zM12 3a9 9 0 0 1 0 18"],
  light: ["Theme: light", "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8M12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.4 1.4M17.600 17.600 19 19M5 19l1.400-1.400M17.600 6.400 19 5"],
  dark: ["Theme: dark", "M20 14.500A8.500 8.500 0 0 1 9.500 4 8.500 8.500 0 1 0 20 14.500"],
};

function keepTheme() {
  const button = document.getElementById("theme");
  const paint = (theme) => {
    mark(document.documentElement, "data-theme", theme === "auto" ? null : theme);
    const [text, path] = THEMES[theme];
    mark(button, "title", text);
    mark(button, "aria-label", text);
    button.replaceChildren(icon(path));
  };
  const stored = () => (THEMES[localStorage.getItem(THEME_KEY)] ? localStorage.getItem(THEME_KEY) : "auto");
  button.addEventListener("click", () => {
    const names = Object.keys(THEMES);
    const next = names[(names.indexOf(stored()) + 1) % names.length];
    localStorage.setItem(THEME_KEY, next);
    paint(next);
  });
  paint(stored());
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
keepTheme();
keepHealth();
keepBanner(document.getElementById("banner"));
start();
navigate();
