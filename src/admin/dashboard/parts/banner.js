// The line below the head that says what is wrong: nobody answers, a token is wanted, the node is ill.

import { token } from "../api.js";
import { h } from "../element.js";
import { feed, follow } from "../feed.js";
import { clock } from "../format.js";
import { askAgain } from "../poll.js";
import { askToken } from "./orders.js";

/** Sentences of the checks that are not well. */
export function troubles(health) {
  const checks = Object.entries(health?.checks ?? {});
  return checks.filter(([name, word]) => name !== "stage" && word !== "ok").map(([name, word]) => `${name}: ${word}`);
}

/** What the health pill says, and in which state. */
export function summary({ state, health }) {
  if (state === "waiting") return ["waiting", "Connecting"];
  if (state === "denied") return ["ill", "Token wanted"];
  if (state !== "live") return ["gone", "No answer"];
  const stage = health.checks.stage;
  if (stage !== "ready") return ["ill", stage === "draining" ? "Draining" : "Starting"];
  return health.status === "ok" ? ["ok", "Healthy"] : ["ill", "Degraded"];
}

/** Keeps the banner as things are. */
export function keepBanner(place) {
  let shown = "";
  let lost = false;
  follow(() => {
    // Who has been refused waits longer and longer, and should not when that is over.
    if (feed.state === "live" && lost) setTimeout(askAgain);
    lost = feed.state !== "live";
    const { key, element } = banner();
    if (key === shown) return;
    shown = key;
    place.replaceChildren(...(element ? [element()] : []));
  });
}

function banner() {
  const { state, problem, health } = feed;
  if (state === "gone" || state === "ill") {
    const since = feed.heard ? ` What you see is of ${clock(new Date(feed.heard), true)}.` : "";
    return { key: `${state}${problem.message}${since}`, element: () => line("gone",
      state === "gone" ? problem.title : `The proxy answered ${problem.status}`,
      `${problem.message}${since} Trying again.`, button("Try now", askAgain)) };
  }
  if (state === "denied") {
    const wrong = token.get() !== null;
    return { key: `denied${wrong}`, element: () => line("ill",
      wrong ? "The token is not the right one" : "This API wants its token for reading, too",
      "It is in the file that server.api_token_file names.",
      button("Enter the token", async () => { if (await askToken(wrong)) askAgain(); })) };
  }
  const found = troubles(health);
  const stage = health?.checks.stage;
  if (stage && stage !== "ready") {
    return { key: stage, element: () => line("ill", stage === "draining" ? "Draining" : "Starting",
      stage === "draining" ? "No new clients are taken; sessions may end by themselves." : "No clients are taken yet.") };
  }
  return { key: found.join("\n"), element: found.length > 0 && (() => line("ill", "Degraded", found.join(" · "))) };
}

function line(kind, title, text, ...more) {
  return h("div", { class: "banner", "data-kind": kind }, h("strong", null, title), h("span", null, text), ...more);
}

function button(text, act) {
  return h("button", { type: "button", class: "small", onclick: act }, text);
}
