// Live sessions: filtered, sorted, in pages, each second anew.

import { get, serverNow } from "../api.js";
import { empty, h, mark, say } from "../element.js";
import { active, feed } from "../feed.js";
import { duration, exactTime, rate, whole } from "../format.js";
import { typed } from "../parts/filters.js";
import { amount, clientOf, linked, table, targetOf, text } from "../parts/table.js";
import { terminate, terminateAll } from "../parts/orders.js";
import { change, here, link } from "../place.js";
import { poll } from "../poll.js";

export const title = "Sessions";

const LIMIT = 100;
const EVERY_MS = 1000;
/** After so many empty answers in a row, sessions that are counted are not shown on purpose. */
const UNSEEN = 2;
const SORTS = { start_time: "Newest", bytes: "Traffic", bytes_received: "Download", bytes_sent: "Upload",
  user: "User", source_ip: "Client", dest_ip: "Target" };
/** What is sorted least first when nobody says how. */
const TEXTS = ["user", "source_ip", "dest_ip"];
const FILTERS = ["user", "dest", "source"];

export function mount(place) {
  let params = {};
  let cursors = [null];
  let next = null;
  let total = 0;
  let moved = new Map();
  let known = "";
  let unseen = 0;

  const fields = Object.fromEntries([["user", "alice", "User"], ["dest", "example.com:443", "Target"], ["source", "192.0.2.7", "Client address"]]
    .map(([name, example, label]) => [name, { label, input: h("input", { name, placeholder: example,
      spellcheck: "false", autocomplete: "off", autocapitalize: "off" }) }]));
  const filters = typed(Object.fromEntries(FILTERS.map((name) => [name, fields[name].input])));
  const wrong = h("p", { class: "wrong", role: "alert", hidden: true });
  const clear = h("button", { type: "button", class: "plain", hidden: true,
    onclick: () => {
      filters.drop();
      change({ user: null, dest: null, source: null });
    } }, "Clear");
  const endAll = h("button", { type: "button", class: "danger", hidden: true, onclick: async () => {
    if (await terminateAll(filter(), total)) stop.now();
  } }, "End all of these");
  const sortBy = h("select", { "aria-label": "Sort by", onchange: () => sorted(sortBy.value) },
    Object.entries(SORTS).map(([value, name]) => h("option", { value }, name)));
  const shown = h("span", { class: "note num" });
  const list = table({ label: "Live sessions", columns: columns(), sorted: (sort) => sorted(sort),
    lead: (record) => change({ id: record.session_id }) });
  const nothing = h("div", null);
  const range = h("span", { class: "num" });
  const back = h("button", { type: "button", class: "small", disabled: true, onclick: () => turn(-1) }, "Previous");
  const forth = h("button", { type: "button", class: "small", disabled: true, onclick: () => turn(1) }, "Next");

  place.append(
    h("div", { class: "page-head" }, h("h1", null, title), shown, h("span", { class: "grow" }), endAll),
    h("section", { class: "card" },
      h("div", { class: "toolbar" }, h("div", { class: "fields" },
        Object.values(fields).map(({ label, input }) => h("label", { class: "field" }, label, input)),
        h("label", { class: "field" }, "Sort by", sortBy), clear), wrong),
      list, nothing,
      h("div", { class: "table-foot" }, range, h("span", { class: "turns" }, back, forth))));

  function columns() {
    return [
      { name: "Target", sort: "dest_ip", class: "p1 long", show: (cell, record) => linked(cell, targetOf(record), open(record)) },
      { name: "User", sort: "user", class: "p3", show: (cell, record) => text(cell, record.user) },
      { name: "Client", sort: "source_ip", class: "num", show: (cell, record) => text(cell, clientOf(record)) },
      { name: "Kind", title: "What the client asked for", show: (cell, record) => text(cell, kind(record)) },
      { name: "Down", sort: "bytes_received", class: "num right p2", show: (cell, record) => amount(cell, record.bytes_received) },
      { name: "Up", sort: "bytes_sent", class: "num right", show: (cell, record) => amount(cell, record.bytes_sent) },
      { name: "Rate now", class: "num right", title: "Both ways, since the look before", show: (cell, record) => {
        const now = moved.get(record.session_id)?.rate;
        text(cell, now === undefined ? "" : now === 0 ? "–" : rate(now));
      } },
      { name: "Age", sort: "start_time", class: "num right p4", show: (cell, record) =>
        text(cell, duration(Math.max((serverNow() - Date.parse(record.start_time)) / 1000, 0)), exactTime(record.start_time)) },
      { name: "", class: "right", show: (cell, record) => {
        let button = cell.firstElementChild;
        if (!button) {
          button = h("button", { type: "button", class: "small danger", onclick: () => end(cell.record) }, "End");
          cell.append(button);
        }
        cell.record = record;
        mark(button, "aria-label", `End the session to ${targetOf(record)}`);
      } },
    ];
  }

  const open = (record) => link("sessions", { ...here().params, id: record.session_id });
  const filter = () => Object.fromEntries(FILTERS.map((name) => [name, params[name] ?? null]));
  const sort = () => (SORTS[params.sort] ? params.sort : "start_time");
  const order = () => params.order ?? (TEXTS.includes(sort()) ? "asc" : "desc");

  async function end(record) {
    if (await terminate(record, targetOf(record))) stop.now();
  }

  function sorted(by) {
    const usual = TEXTS.includes(by) ? "asc" : "desc";
    const flipped = by === sort() ? (order() === "asc" ? "desc" : "asc") : usual;
    change({ sort: by === "start_time" ? null : by, order: flipped === usual ? null : flipped }, true);
  }

  function turn(step) {
    if (step > 0 && next) cursors.push(next);
    else if (step < 0 && cursors.length > 1) cursors.pop();
    else return;
    list.forget();
    scrollTo(0, 0);
    stop.now();
  }

  async function ask(signal) {
    try {
      const page = await get("/api/sessions/active",
        { ...filter(), sort: sort(), order: order(), limit: LIMIT, cursor: cursors.at(-1) }, signal);
      // What was on this page has ended: so back to one that has something.
      if (page.data.length === 0 && cursors.length > 1) {
        cursors.pop();
        return ask(signal);
      }
      show(page);
    } catch (error) {
      if (signal.aborted) throw error;
      complain(error);
      throw error;
    }
  }

  function show(page) {
    const now = performance.now();
    moved = new Map(page.data.map((record) => {
      const octets = record.bytes_sent + record.bytes_received;
      const before = moved.get(record.session_id);
      const seconds = before ? (now - before.at) / 1000 : 0;
      const rate = seconds > 0.2 ? Math.max(octets - before.octets, 0) / seconds : before?.rate;
      return [record.session_id, { octets, at: now, rate }];
    }));
    next = page.next_cursor;
    total = page.total;
    list.show(page.data, params.id);
    list.hidden = page.data.length === 0;
    const filtered = FILTERS.some((name) => params[name]);
    // The feed may be a second behind, so not at once.
    const hidden = feed.resources && page.total === 0 ? active(feed.resources) : 0;
    unseen = hidden > 0 ? unseen + 1 : 0;
    nothing.replaceChildren(...(page.data.length > 0 ? [] : [filtered
      ? empty("No live session passes this filter", "Names, hosts and addresses are compared whole. ",
        h("a", { href: link("history", filter()) }, "Look in the history"))
      : unseen > UNSEEN ? empty(`${whole(hidden)} live, but single sessions are not shown`,
        h("code", null, "sessions.enabled"), " is false: there are only sums.")
      : empty("No session is alive", h("span", { class: "hint" }, "For one, have a client use this proxy: ", h("code", null,
        `curl -x socks5h://${location.hostname}:1080 https://example.com/`)))]));
    const first = (cursors.length - 1) * LIMIT;
    say(shown, `${whole(total)} ${filtered ? "found" : "live"}`);
    say(range, page.data.length === 0 ? "" : `${whole(first + 1)}–${whole(first + page.data.length)} of ${whole(total)}`);
    back.disabled = cursors.length === 1;
    forth.disabled = next === null;
    endAll.hidden = !filtered || total === 0;
    say(endAll, `End all ${whole(total)}`);
    wrong.hidden = true;
    FILTERS.forEach((name) => mark(fields[name].input, "aria-invalid", null));
  }

  function complain(error) {
    wrong.textContent = error.message;
    wrong.hidden = error.isForBanner;
    FILTERS.forEach((name) => mark(fields[name].input, "aria-invalid", error.message.includes(`\`${name}\``) ? "true" : null));
  }

  const stop = poll(EVERY_MS, async (signal) => { if (known) await ask(signal); });
  return {
    update: (wanted) => {
      params = wanted;
      filters.show(params);
      sortBy.value = sort();
      list.order(sort(), order());
      clear.hidden = !FILTERS.some((name) => params[name]);
      const asked = JSON.stringify([filter(), sort(), order()]);
      if (asked !== known) {
        known = asked;
        cursors = [null];
        list.forget();
      }
      stop.now();
    },
    unmount: () => { filters.drop(); stop(); },
  };
}

function kind(record) {
  return { connect: "TCP", bind: "TCP, bind", udp_associate: "UDP" }[record.command] ?? record.protocol.toUpperCase();
}
