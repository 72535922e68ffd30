// Users and destinations: who moves most, where to, in windows of the last hours.

import { get } from "../api.js";
import { choice, empty, h } from "../element.js";
import { count, exactOctets, exactTime, octets, percent, whole } from "../format.js";
import { whole as wholeBar } from "../parts/bars.js";
import { change, link } from "../place.js";
import { poll } from "../poll.js";

const EVERY_MS = 5000;
const WINDOWS = [["1", "1 h"], ["6", "6 h"], ["24", "24 h"], ["168", "7 d"]];
const TOPS = [["10", "Top 10"], ["25", "25"], ["100", "100"]];
const MEASURES = [["bytes", "By traffic"], ["sessions", "By sessions"]];
const COLOURS = ["c-s1", "c-s2", "c-s3", "c-s4", "c-s5", "c-quiet"];
const NAMED = 5;

export const users = {
  title: "Users",
  mount: (place) => mount(place, { title: "Users", one: "user", list: "top_users", name: (entry) => entry.user,
    usual: "bytes", filter: (name) => ({ user: name }),
    none: "Nobody has started a session in this window." }),
};

export const destinations = {
  title: "Destinations",
  mount: (place) => mount(place, { title: "Destinations", one: "destination", list: "top_destinations",
    name: (entry) => entry.dest, usual: "sessions", filter: (name) => ({ dest: name }),
    none: "Nothing has been asked for in this window." }),
};

function mount(place, kind) {
  let params = {};
  let answer = null;
  const hours = choice("Window", WINDOWS, "24", (value) => change({ hours: value === "24" ? null : value }, true));
  const tops = choice("How many", TOPS, "10", (value) => change({ top: value === "10" ? null : value }, true));
  const measures = choice("Measure", MEASURES, kind.usual, (value) => change({ by: value === kind.usual ? null : value }, true));
  const sums = h("div", { class: "grid thirds sums" });
  const share = h("div", { class: "inside" });
  const list = h("div");
  const note = h("span", { class: "note" });
  place.append(
    h("div", { class: "page-head" }, h("h1", null, kind.title), note, h("span", { class: "grow" }), hours, tops),
    sums,
    h("section", { class: "card" },
      h("header", null, h("h2", null, `The heaviest ${kind.title.toLowerCase()}`), h("span", { class: "grow" }), measures),
      share, list));

  const by = () => (MEASURES.some(([value]) => value === params.by) ? params.by : kind.usual);
  const show = () => {
    const entries = [...answer[kind.list]].sort((a, b) => b[by()] - a[by()]);
    const bytes = answer.total_bytes_sent + answer.total_bytes_received;
    const sum = by() === "bytes" ? bytes : answer.total_sessions;
    const said = [
      !answer.complete && "Rows from before the start are still being added up.",
      answer.approximate && "The lists are not exact: a bound was reached.",
    ].filter(Boolean);
    note.textContent = said.join(" ");
    note.title = `As of ${answer.as_of ? exactTime(answer.as_of) : "no commit yet"}`;
    sums.replaceChildren(
      figure("Octets", octets(bytes), exactOctets(bytes), [["Download", answer.total_bytes_received, octets, "c-download"],
        ["Upload", answer.total_bytes_sent, octets, "c-upload"]]),
      figure("Sessions", count(answer.total_sessions), `${whole(answer.total_sessions)} started at or after ${answer.window_start}`, [
        ["Closed", answer.closed_sessions, count, "c-good"], ["Failed", answer.failed_sessions, count, "c-warn"],
        ["Refused", answer.rejected_sessions, count, "c-bad"]]),
      figure("Live now", count(answer.active_sessions), exactTime(answer.generated_at), [],
        answer.total_sessions > 0 && `A session of this window has moved ${octets(bytes / answer.total_sessions)} on average.`));
    if (entries.length === 0) {
      share.replaceChildren();
      list.replaceChildren(empty("Nothing here", kind.none));
      return;
    }
    share.replaceChildren(shares(entries, sum, kind, by()));
    list.replaceChildren(rows(entries, sum, kind, by()));
  };

  const stop = poll(EVERY_MS, async (signal) => {
    try {
      answer = await get("/api/sessions/stats", { window_hours: params.hours ?? 24, top: params.top ?? 10 }, signal);
    } catch (error) {
      if (signal.aborted) throw error;
      if (!error.isForBanner) list.replaceChildren(h("div", { class: "empty" }, h("span", { class: "wrong" }, error.message)));
      throw error;
    }
    show();
  });
  return {
    update: (wanted) => {
      const asked = `${wanted.hours}/${wanted.top}`;
      const before = `${params.hours}/${params.top}`;
      params = wanted;
      hours.press(params.hours ?? "24");
      tops.press(params.top ?? "10");
      measures.press(by());
      if (asked !== before) stop.now();
      else if (answer) show();
    },
    unmount: stop,
  };
}

function figure(label, value, title, parts, note) {
  return h("section", { class: "card figure" }, h("div", { class: "inside", title }, h("span", { class: "soft" }, label),
    h("b", { class: "num" }, value),
    parts.length > 0 && wholeBar(parts.map(([name, number, say, colour]) =>
      ({ name, value: number, text: say(number), colour })), label),
    note && h("span", { class: "faint" }, note)));
}

/** The share of the heaviest few in all. */
function shares(entries, sum, kind, by) {
  const named = entries.slice(0, NAMED);
  const rest = Math.max(sum - named.reduce((sum, entry) => sum + entry[by], 0), 0);
  const parts = named.map((entry, index) => ({ name: kind.name(entry), value: entry[by],
    text: percent(entry[by] / sum), colour: COLOURS[index] }));
  if (rest > 0) parts.push({ name: "all others", value: rest, text: percent(rest / sum), colour: "c-quiet" });
  return wholeBar(parts, `Shares of the ${kind.title.toLowerCase()}`);
}

function rows(entries, sum, kind, by) {
  const most = entries[0][by] || 1;
  return h("table", { class: "table plainly", "aria-label": kind.title },
    h("thead", null, h("tr", null, h("th", { class: "right wide-only" }, "#"), h("th", null, kind.one[0].toUpperCase() + kind.one.slice(1)),
      h("th", { class: "wide-only" }), h("th", { class: "right" }, "Octets"), h("th", { class: "right" }, "Sessions"),
      h("th", { class: "right wide-only" }, "Share"), h("th", { class: "wide-only" }))),
    h("tbody", null, entries.map((entry, index) => {
      const name = kind.name(entry);
      const bar = h("span", { class: COLOURS[Math.min(index, NAMED)] });
      bar.style.width = `${(entry[by] / most) * 100}%`;
      return h("tr", null, h("td", { class: "num right faint wide-only" }, String(index + 1)),
        h("td", { class: "long", title: name }, h("a", { href: link("history", kind.filter(name)) }, name)),
        h("td", { class: "barred wide-only" }, h("div", { class: "track" }, bar)),
        h("td", { class: "num right", title: exactOctets(entry.bytes) }, octets(entry.bytes)),
        h("td", { class: "num right" }, whole(entry.sessions)),
        h("td", { class: "num right wide-only" }, sum > 0 ? percent(entry[by] / sum) : "–"),
        h("td", { class: "right wide-only" }, h("a", { href: link("sessions", kind.filter(name)) }, "live")));
    })));
}
