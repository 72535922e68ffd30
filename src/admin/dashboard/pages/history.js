// Sessions that have ended: searched, in pages, to be taken along as CSV.

import { get, serverNow } from "../api.js";
import { choice, empty, h, mark, say, toast } from "../element.js";
import { duration, exactTime, shortTime, statusWord, whole } from "../format.js";
import { csv, download } from "../parts/csv.js";
import { typed } from "../parts/filters.js";
import { amount, clientOf, linked, table, targetOf, text } from "../parts/table.js";
import { change, here, link } from "../place.js";
import { poll } from "../poll.js";

export const title = "History";

const LIMIT = 100;
const EVERY_MS = 5000;
const EXPORT_PAGE = 1000;
const EXPORT_MAX = 50_000;
const TEXTS = [["user", "alice", "User"], ["dest", "example.com:443", "Target"], ["source", "192.0.2.7", "Client address"]];
const SPANS = [["", "Ever"], ["1h", "1 h"], ["24h", "24 h"], ["7d", "7 d"], ["range", "Range"]];
const HOURS = { "1h": 1, "24h": 24, "7d": 168 };
const STATUSES = [["", "Any"], ["closed", "closed"], ["failed", "failed"], ["rejected_by_acl", "refused"]];
/** Every word of `close_code`. */
export const CODES = ["acl_denied", "acl_denied_address", "auth_failed", "banned", "client_closed", "client_gone",
  "client_lost", "client_reset", "connect_failed", "connect_timeout", "connection_refused", "crash",
  "half_close_timeout", "handshake_timeout", "host_unreachable", "idle_timeout", "internal_error", "malformed",
  "name_lookup_failed", "name_not_found", "network_unreachable", "no_acceptable_method", "over_limit",
  "policy_changed", "quota_exceeded", "server_busy", "shutdown", "target_closed", "target_lost", "target_reset",
  "terminated_by_admin", "unsupported_address_type", "unsupported_command"];
const NAMES = ["user", "dest", "source", "status", "close_code", "since", "until", "span"];

export function mount(place) {
  let params = {};
  let pages = [null];
  let page = null;
  let known = "";
  let since = null;

  const inputs = Object.fromEntries(TEXTS.map(([name, example]) => [name, h("input", { name, placeholder: example,
    spellcheck: "false", autocomplete: "off", autocapitalize: "off" })]));
  const filters = typed(inputs);
  const select = (name, label, options) => h("select", { name, "aria-label": label, onchange: (event) => change({ [name]: event.target.value || null }, true) },
    options.map(([value, shown]) => h("option", { value }, shown)));
  const status = select("status", "Status", STATUSES);
  const code = select("close_code", "How it ended", [["", "Any"], ...CODES.map((word) => [word, word])]);
  const moment = (name) => h("input", { type: "datetime-local", name, step: "1", onchange: (event) => {
    const value = event.target.value;
    change({ [name]: value ? new Date(value).toISOString() : null }, true);
  } });
  const [from, until] = [moment("since"), moment("until")];
  const spans = choice("Started within", SPANS, "", (value) => change({ span: value || null, since: null, until: null }, true));
  const ranges = h("div", { class: "fields", hidden: true },
    h("label", { class: "field" }, "Started at or after", from), h("label", { class: "field" }, "and before", until));
  const clear = h("button", { type: "button", class: "plain", hidden: true,
    onclick: () => {
      filters.drop();
      change(Object.fromEntries(NAMES.map((name) => [name, null])));
    } }, "Clear");
  const wrong = h("p", { class: "wrong", role: "alert", hidden: true });
  const order = h("button", { type: "button", class: "small", onclick: () =>
    change({ order: params.order === "asc" ? null : "asc" }, true) });
  const counted = h("span", { class: "note num" });
  const counting = h("button", { type: "button", class: "plain", onclick: () => countAll() }, "Count all");
  const take = h("button", { type: "button", disabled: true, onclick: () => takeAlong() }, "Download CSV");
  const list = table({ label: "Ended sessions", columns: columns(), lead: (record) => change({ id: record.session_id }) });
  const nothing = h("div");
  const range = h("span", { class: "num" });
  const back = h("button", { type: "button", class: "small", disabled: true, onclick: () => turn(-1) }, "Previous");
  const forth = h("button", { type: "button", class: "small", disabled: true, onclick: () => turn(1) }, "Next");

  place.append(
    h("div", { class: "page-head" }, h("h1", null, title), counted, counting, h("span", { class: "grow" }), spans, take),
    h("section", { class: "card" },
      h("div", { class: "toolbar" }, h("div", { class: "fields" },
        TEXTS.map(([name, , label]) => h("label", { class: "field" }, label, inputs[name])),
        h("label", { class: "field" }, "Status", status), h("label", { class: "field" }, "Ending", code), ranges, clear), wrong),
      list, nothing,
      h("div", { class: "table-foot" }, range, h("span", { class: "turns" }, order, back, forth))));

  function columns() {
    const open = (record) => link("history", { ...here().params, id: record.session_id });
    return [
      { name: "Target", class: "p1 long", show: (cell, record) => linked(cell, targetOf(record), open(record)) },
      { name: "User", class: "p3", show: (cell, record) => text(cell, record.user) },
      { name: "Client", class: "num", show: (cell, record) => text(cell, clientOf(record)) },
      { name: "Down", class: "num right", show: (cell, record) => amount(cell, record.bytes_received) },
      { name: "Up", class: "num right", show: (cell, record) => amount(cell, record.bytes_sent) },
      { name: "Lasted", class: "num right", show: (cell, record) =>
        text(cell, record.duration_ms === null ? "–" : duration(record.duration_ms / 1000),
          record.duration_ms === null ? null : `${whole(record.duration_ms)} ms`) },
      { name: "Started", class: "num right p4", show: (cell, record) =>
        text(cell, shortTime(record.start_time, serverNow()), exactTime(record.start_time)) },
      { name: "Ending", class: "p2", show: (cell, record) => {
        let tag = cell.firstElementChild;
        if (!tag) {
          tag = h("span", { class: "tag" });
          cell.append(tag);
        }
        say(tag, record.close_code ?? statusWord(record.status));
        mark(tag, "data-kind", record.status);
        mark(tag, "title", `${statusWord(record.status)}: ${record.close_reason}`);
      } },
    ];
  }

  /** The parameters for the API. A span is fixed when it is chosen, so that pages fit together. */
  function question() {
    const { user, dest, source, close_code } = params;
    return { user, dest, source, status: params.status, close_code, since, until: params.until, order: params.order };
  }

  function turn(step) {
    if (step > 0 && page?.next_cursor) pages.push(page.next_cursor);
    else if (step < 0 && pages.length > 1) pages.pop();
    else return;
    list.forget();
    scrollTo(0, 0);
    stop.now();
  }

  async function ask(signal) {
    try {
      page = await get("/api/sessions/history", { ...question(), limit: LIMIT, cursor: pages.at(-1) }, signal);
    } catch (error) {
      if (signal.aborted) throw error;
      complain(error);
      throw error;
    }
    show();
  }

  function show() {
    const { data, scanned_until: cut } = page;
    list.show(data, params.id);
    list.hidden = data.length === 0;
    const filtered = NAMES.some((name) => params[name]);
    nothing.replaceChildren(...(data.length > 0 ? [] : [
      cut ? empty("Nothing found so far", "The search has looked for as long as one question may take. ",
        h("button", { type: "button", class: "plain", onclick: () => turn(1) }, "Go on searching"))
        : pages.length > 1 ? empty("That was all", "Nothing follows.")
          : filtered ? empty("No ended session passes this filter", "Names, hosts and addresses are compared whole.")
            : empty("No session has ended yet", "Each attempt of a client is listed here once it is over.")]));
    say(range, data.length === 0 ? "" : `page ${whole(pages.length)}, ${whole(data.length)} shown`);
    back.disabled = pages.length === 1;
    forth.disabled = !page.next_cursor;
    say(forth, cut ? "Search on" : "Next");
    wrong.hidden = true;
    // A search that was cut may have found nothing so far.
    take.disabled = data.length === 0 && !page.next_cursor;
    TEXTS.forEach(([name]) => mark(inputs[name], "aria-invalid", null));
  }

  function complain(error) {
    if (error.status === 404) {
      list.hidden = true;
      nothing.replaceChildren(empty("There is no history", "This proxy keeps sums only: ", h("code", null, "sessions.enabled"), " is false."));
      return;
    }
    wrong.textContent = error.status === 503 ? `The history does not answer: ${error.message}` : error.message;
    wrong.hidden = error.isForBanner;
    TEXTS.forEach(([name]) => mark(inputs[name], "aria-invalid", error.message.includes(`\`${name}\``) ? "true" : null));
  }

  async function countAll() {
    counting.disabled = true;
    try {
      const answer = await get("/api/sessions/history", { ...question(), limit: 1, total: true });
      counted.textContent = answer.total === null ? "more than can be counted in two seconds" : `${whole(answer.total)} in all`;
      counting.hidden = true;
    } catch (error) {
      toast(error.message);
    }
    counting.disabled = false;
  }

  async function takeAlong() {
    take.disabled = true;
    const found = [];
    let cursor = null;
    const asked = question();
    try {
      do {
        const answer = await get("/api/sessions/history", { ...asked, limit: EXPORT_PAGE, cursor });
        found.push(...answer.data);
        cursor = answer.next_cursor;
        take.textContent = `${whole(found.length)} …`;
      } while (cursor && found.length < EXPORT_MAX);
      download("sessions.csv", csv(found));
      toast(cursor
        ? `The first ${whole(found.length)}. For all of them: rustsocks sessions export`
        : `${whole(found.length)} ${found.length === 1 ? "session" : "sessions"} in sessions.csv`);
    } catch (error) {
      toast(error.message);
    }
    take.textContent = "Download CSV";
    take.disabled = false;
  }

  const stop = poll(EVERY_MS, async (signal) => { if (known) await ask(signal); });
  return {
    update: (wanted) => {
      params = wanted;
      filters.show(params);
      status.value = params.status ?? "";
      code.value = params.close_code ?? "";
      const span = params.span ?? (params.since || params.until ? "range" : "");
      spans.press(span);
      ranges.hidden = span !== "range";
      [[from, "since"], [until, "until"]].forEach(([input, name]) => { input.value = local(params[name]); });
      clear.hidden = !NAMES.some((name) => params[name]);
      say(order, params.order === "asc" ? "Oldest first" : "Newest first");
      const asked = JSON.stringify(NAMES.concat("order").map((name) => params[name] ?? null));
      if (asked !== known) {
        known = asked;
        pages = [null];
        since = HOURS[span] ? new Date(serverNow() - HOURS[span] * 3_600_000).toISOString() : params.since ?? null;
        counted.textContent = "";
        counting.hidden = false;
        list.forget();
        stop.now();
      } else if (page) {
        show();
      }
    },
    unmount: () => { filters.drop(); stop(); },
  };
}

/** A moment as a field for local times has it. */
function local(text) {
  if (!text) return "";
  const moment = new Date(text);
  const shifted = new Date(moment - moment.getTimezoneOffset() * 60_000);
  return shifted.toISOString().slice(0, 19);
}
