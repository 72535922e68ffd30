// Who is shut out, and what has been used of what may be used: bans with a way out, quotas with how far
// they are.

import { get, serverNow } from "../api.js";
import { empty, h, say } from "../element.js";
import { duration, exactOctets, exactTime, octets, percent, whole } from "../format.js";
import { liftBan } from "../parts/orders.js";
import { link } from "../place.js";
import { poll } from "../poll.js";

export const title = "Limits";

const EVERY_MS = 3000;
const TYPING_MS = 350;
const LIMIT = 200;
const COLOURS = { ok: "c-good", warned: "c-warn", exhausted: "c-bad" };
const PERIODS = { hour: "an hour", day: "a day", week: "a week", month: "a month" };

export function mount(place) {
  const note = h("span", { class: "note" });
  const bans = h("div");
  const quotas = h("div");
  const user = h("input", { name: "user", placeholder: "alice", "aria-label": "Quotas of the user", spellcheck: "false",
    autocomplete: "off", autocapitalize: "off", oninput: () => {
      clearTimeout(typing);
      typing = setTimeout(() => stops[1].now(), TYPING_MS);
    } });
  let typing = null;
  const quotaCard = h("section", { class: "card" }, h("header", null, h("h2", null, "Quotas"),
    h("span", { class: "note" }, "of the running period")),
  h("div", { class: "toolbar" }, h("div", { class: "fields" }, h("label", { class: "field" }, "User", user))), quotas);
  place.append(
    h("div", { class: "page-head" }, h("h1", null, title), note),
    h("section", { class: "card" }, h("header", null, h("h2", null, "Banned addresses"),
      h("span", { class: "note" }, "after too many wrong passwords")), bans),
    quotaCard);

  const lift = async (ban) => { if (await liftBan(ban.address)) stops[0].now(); };
  const ask = (path, params, into, show) => poll(EVERY_MS, async (signal) => {
    try {
      show(await get(path, { limit: LIMIT, ...params() }, signal));
    } catch (error) {
      if (!signal.aborted && !error.isForBanner) into.replaceChildren(empty("Not to be had", error.message));
      throw error;
    }
  });
  const stops = [
    ask("/api/bans", () => ({}), bans, (page) => {
      say(note, page.total === 0 ? "" : `${whole(page.total)} banned`);
      bans.replaceChildren(page.total === 0
        ? empty("Nobody is banned", "An address that tries too many wrong passwords is shut out for a while: ",
          h("code", null, "auth.max_failures"), " and ", h("code", null, "auth.ban_secs"), ".")
        : banTable(page, lift));
    }),
    ask("/api/quotas", () => ({ user: user.value.trim() }), quotas, (page) => {
      const none = user.value.trim()
        ? empty("This user has no quota of their own", "What all have together is no user's.")
        : empty("There are no quotas", "They are set in the configuration, in ", h("code", null, "[limits]"), ".");
      quotas.replaceChildren(page.total === 0 ? none : quotaTable(page));
    }),
  ];
  return { update: () => {}, unmount: () => {
    clearTimeout(typing);
    stops.forEach((stop) => stop());
  } };
}

function banTable(page, lift) {
  const rows = page.data.map((ban) => {
    const left = Math.max((Date.parse(ban.until) - serverNow()) / 1000, 0);
    return h("tr", null,
      h("td", { class: "mono" }, h("a", { href: link("history", { source: ban.address }) }, ban.address)),
      h("td", { class: "num right" }, whole(ban.failures)),
      h("td", { class: "num right", title: exactTime(ban.until) }, duration(Math.ceil(left))),
      h("td", { class: "right" }, h("button", { type: "button", class: "small", "aria-label": `Lift the ban of ${ban.address}`,
        onclick: () => lift(ban) }, "Lift")));
  });
  return h("div", null, h("table", { class: "table plainly", "aria-label": "Banned addresses" }, h("thead", null, h("tr", null,
    h("th", null, "Address"), h("th", { class: "right", title: "Wrong passwords that led to it" }, "Failures"),
    h("th", { class: "right" }, "Ends in"), h("th", null, ""))), h("tbody", null, rows)), rest(page.total, rows.length));
}

function quotaTable(page) {
  const rows = page.data.map((quota) => {
    const share = quota.limit_bytes === 0 ? 1 : Math.min(quota.used_bytes / quota.limit_bytes, 1);
    const bar = h("span", { class: COLOURS[quota.state] ?? "c-quiet" });
    bar.style.width = `${share * 100}%`;
    return h("tr", null,
      h("td", { title: quota.quota }, quota.quota, h("span", { class: "faint" }, ` ${PERIODS[quota.period] ?? quota.period}`)),
      h("td", { title: quota.user ?? "" }, quota.user === null ? h("span", { class: "faint" }, "all together")
        : h("a", { href: link("history", { user: quota.user }) }, quota.user)),
      h("td", { class: "barred", title: `${exactOctets(quota.used_bytes)} of ${exactOctets(quota.limit_bytes)}` },
        h("div", { class: "busy" }, h("div", { class: "track" }, bar), h("span", { class: "num" }, percent(share)))),
      h("td", { class: "num right" }, octets(quota.used_bytes)),
      h("td", { class: "num right wide-only" }, octets(quota.limit_bytes)),
      h("td", { class: "num right wide-only", title: exactTime(quota.period_end) },
        duration(Math.max((Date.parse(quota.period_end) - serverNow()) / 1000, 0))),
      h("td", { class: "right" }, h("span", { class: "tag", "data-kind": { exhausted: "rejected_by_acl", warned: "failed" }[quota.state] ?? "active" },
        quota.state === "exhausted" ? (quota.action === "throttle" ? "slowed down" : "used up") : quota.state)));
  });
  return h("div", null, h("table", { class: "table plainly", "aria-label": "Quotas" }, h("thead", null, h("tr", null,
    h("th", null, "Quota"), h("th", null, "User"), h("th", { class: "barred" }, "Used"), h("th", { class: "right" }, ""),
    h("th", { class: "right wide-only" }, "Of"), h("th", { class: "right wide-only" }, "Ends in"), h("th", { class: "right" }, "State"))),
  h("tbody", null, rows)), rest(page.total, rows.length));
}

function rest(total, shown) {
  return total > shown && h("div", { class: "table-foot" }, `${whole(total - shown)} more are not shown.`);
}
