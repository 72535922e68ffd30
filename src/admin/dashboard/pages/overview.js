// How it goes: what lives, what moves, what was refused, what is ill.

import { get, serverNow } from "../api.js";
import { choice, h, mark, say } from "../element.js";
import { SPAN, active, feed, follow } from "../feed.js";
import { address, ago, count, duration, exactOctets, exactTime, octets, perSecond, rate, roundRate, statusWord, whole } from "../format.js";
import { bars } from "../parts/bars.js";
import { chart, coarser, grouped } from "../parts/chart.js";
import { sparkline } from "../parts/sparkline.js";
import { change, link } from "../place.js";
import { poll } from "../poll.js";

export const title = "Overview";

const HOUR = 3_600_000;
const MINUTE = 60_000;
const RANGES = { live: ["Live", SPAN * 1000], "1h": ["1 h", HOUR], "6h": ["6 h", 6 * HOUR], "24h": ["24 h", 24 * HOUR], "7d": ["7 d", 168 * HOUR] };
const POINTS_MAX = 360;
/** What the live picture shows at least, so that its first seconds are some. */
const LIVE_LEAST_MS = 2 * MINUTE;
/** Without so many minutes the last hour is no picture, and seconds are shown instead. */
const MINUTES_LEAST = 5;
const MINUTES_PER_PAGE = 1440;
/** One more than the longest range has. */
const PAGES_MAX = 9;
const LAG_MAX_SECONDS = 5;
/** Endings of sessions that went as they were meant to. */
const WELL = ["client_closed", "target_closed", "idle_timeout", "half_close_timeout", "shutdown", "terminated_by_admin"];
const REFUSED = ["acl_denied", "acl_denied_address", "banned", "auth_failed", "over_limit", "quota_exceeded", "policy_changed"];

export function mount(place) {
  const tiles = makeTiles();
  const charts = makeCharts();
  const endings = h("div", { class: "inside" });
  const busiest = h("div", { class: "inside" });
  const recent = h("div", { class: "inside" });
  const users = h("div", { class: "inside" });
  const card = (title, more, inside, note) => h("section", { class: "card" },
    h("header", null, h("h2", null, title), h("span", { class: "grow" }), note, more), inside);
  const all = (text, page, params) => h("a", { href: link(page, params) }, text);
  place.append(
    h("h1", { class: "page-head" }, title),
    tiles.element,
    h("div", { class: "grid two-one" },
      h("div", { class: "stack" }, charts.traffic, h("div", { class: "grid halves fills" }, charts.live, charts.coming)),
      h("div", { class: "stack" },
        h("section", { class: "card" }, h("header", null, h("h2", null, "How sessions ended"),
          h("span", { class: "note" }, "since the start")), endings),
        card("Users, 24 h", all("All users", "users"), users))),
    h("div", { class: "grid halves" },
      card("Heaviest live sessions", all("All sessions", "sessions", { sort: "bytes" }), busiest),
      card("Failed and refused of late", all("History", "history", { status: "failed" }), recent)));

  let stats = null;
  const stops = [
    follow(() => {
      tiles.show(stats);
      if (feed.state === "live") endings.replaceChildren(endingBars(feed.resources.since_start.endings));
      charts.tick();
    }),
    poll(5000, async (signal) => {
      stats = await get("/api/sessions/stats", { window_hours: 24, top: 6 }, signal);
      tiles.show(stats);
      users.replaceChildren(userBars(stats));
    }),
    poll(2000, async (signal) => {
      const page = await get("/api/sessions/active", { sort: "bytes", limit: 6 }, signal);
      busiest.replaceChildren(busiestRows(page.data));
    }),
    poll(5000, async (signal) => {
      const asked = ["failed", "rejected_by_acl"].map((status) => get("/api/sessions/history", { status, limit: 6 }, signal));
      try {
        const found = (await Promise.all(asked)).flatMap((page) => page.data);
        found.sort((a, b) => (a.end_time < b.end_time ? 1 : -1));
        recent.replaceChildren(recentRows(found.slice(0, 6)));
      } catch (error) {
        if (!signal.aborted && !error.isForBanner) recent.replaceChildren(h("div", { class: "empty slim" }, h("span", { class: "wrong" }, error.message)));
        throw error;
      }
    }),
    charts.stop,
  ];
  return {
    update: (params) => charts.range(RANGES[params.range] ? params.range : null),
    unmount: () => stops.forEach((stop) => stop()),
  };
}

function tile(label, colour, page, params) {
  const value = h("div", { class: "value" });
  const sub = h("div", { class: "sub" });
  const spark = sparkline(colour);
  const element = h("a", { class: "card tile", href: link(page, params) },
    h("div", { class: "label" }, label), value, sub, spark);
  return { element, show: (text, unit, below, values, ill, exact) => {
    const known = `${text}|${unit}`;
    if (value.dataset.known !== known) {
      value.dataset.known = known;
      value.replaceChildren(text, ...(unit ? [h("small", null, unit)] : []));
    }
    mark(element, "title", exact ?? null);
    say(sub, below);
    mark(element, "data-state", ill ? "ill" : null);
    spark.show(values, 120, 1);
  } };
}

/** `1.23 MB/s` in its number and its unit. */
function split(text) {
  const [number, unit] = text.split(" ");
  return [number, unit ?? ""];
}

function makeTiles() {
  const live = tile("Live sessions", "c-active", "sessions");
  const fresh = tile("New sessions", "c-active", "sessions", { sort: "start_time" });
  const down = tile("Download", "c-download", "sessions", { sort: "bytes_received" });
  const up = tile("Upload", "c-upload", "sessions", { sort: "bytes_sent" });
  const refused = tile("Refused", "c-bad", "history", { status: "rejected_by_acl" });
  const lag = tile("Writer lag", "c-quiet", "node");
  const lags = [];
  const element = h("div", { class: "grid tiles" }, [live, fresh, down, up, refused, lag].map((one) => one.element));
  const show = (stats) => {
    if (!feed.resources) {
      [live, fresh, down, up, refused, lag].forEach((one) => one.show("–", "", "", []));
      return;
    }
    const { resources, samples } = feed;
    const last = samples.at(-1);
    const late = samples.slice(-120);
    const of = (key) => late.map((one) => one[key]);
    const recent = (key) => {
      const some = samples.slice(-3);
      return some.reduce((sum, one) => sum + one[key], 0) / (some.length || 1);
    };
    const day = (text) => (stats ? `${text} in 24 h` : "");
    live.show(count(active(resources)), "", `${whole(resources.connections)} of ${count(resources.connections_max)} connections`, of("active"));
    fresh.show(last ? perSecond(recent("started")) : "–", "/s", day(stats && count(stats.total_sessions)), of("started"),
      false, `${whole(resources.since_start.sessions_started)} since the start`);
    down.show(...split(last ? rate(recent("received")) : "–"), day(stats && octets(stats.total_bytes_received)), of("received"),
      false, `${exactOctets(resources.since_start.bytes_received)} since the start`);
    up.show(...split(last ? rate(recent("sent")) : "–"), day(stats && octets(stats.total_bytes_sent)), of("sent"),
      false, `${exactOctets(resources.since_start.bytes_sent)} since the start`);
    refused.show(stats ? count(stats.rejected_sessions) : "–", "", stats ? `in 24 h · ${count(stats.failed_sessions)} failed` : "", of("rejected"),
      false, `${whole(resources.since_start.sessions_rejected)} refused by rules or the guard since the start`);
    const { oldest_unsaved_seconds: oldest, queue_entries: queue } = resources.writer;
    if (lags.at(-1)?.t !== feed.heard) lags.push({ t: feed.heard, oldest });
    lags.splice(0, lags.length - 120);
    lag.show(...split(duration(oldest).split(" ").slice(0, 2).join(" ")), `${whole(queue)} waiting`, lags.map((one) => one.oldest),
      oldest > LAG_MAX_SECONDS || feed.health?.checks.writer !== "ok", "The age of the oldest record that is not stored yet");
  };
  show(null);
  return { element, show };
}

function makeCharts() {
  const legend = (...entries) => h("span", { class: "legend" }, entries.map(([colour, name]) =>
    h("span", null, h("i", { class: `swatch ${colour}` }), name)));
  const traffic = chart({ label: "Traffic over time", axis: roundRate, least: 1000, series: [
    { key: "received", name: "Download", colour: "c-download", format: rate },
    { key: "sent", name: "Upload", colour: "c-upload", format: rate, below: true }] });
  const each = (number) => `${perSecond(number)} /s`;
  const live = chart({ label: "Live sessions over time", axis: count, least: 4, series: [
    { key: "active", name: "Live", colour: "c-active", format: (number) => whole(Math.round(number)) }] });
  const coming = chart({ label: "New and refused sessions over time", axis: (number) => perSecond(number).replace(/\.0$/, ""), least: 1, series: [
    { key: "started", name: "New", colour: "c-good", format: each },
    { key: "rejected", name: "Refused", colour: "c-bad", format: each, below: true }] });
  let wanted = null;
  let range = "live";
  let minutes = [];
  const ranges = choice("Time range", Object.entries(RANGES).map(([value, [text]]) => [value, text]), range,
    (value) => change({ range: value }, true));
  const show = (data) => [traffic, live, coming].forEach((one) => one.show(data));
  const draw = () => {
    const to = serverNow();
    if (range === "live") {
      const first = feed.samples[0]?.t ?? to;
      const from = Math.min(Math.max(first, to - SPAN * 1000), to - LIVE_LEAST_MS);
      show({ from, to: to + 1000, step: 1000, points: feed.samples, nothing: "The first seconds are being measured." });
      return;
    }
    const from = to - RANGES[range][1];
    show({ from, to, ...coarser(withRunning(minutes, from), MINUTE, POINTS_MAX, ["active"]),
      nothing: "No minute of this time was counted." });
  };
  const load = async (signal) => {
    if (wanted === "live") return;
    const asked = wanted ?? "1h";
    const found = await minutesOf(RANGES[asked][1], signal);
    minutes = found;
    range = wanted ?? (found.length < MINUTES_LEAST ? "live" : asked);
    ranges.press(range);
    draw();
  };
  const stop = poll(20_000, load);
  const card = (title, picture, ...more) => h("section", { class: "card pictured" }, h("header", null, h("h2", null, title), more),
    h("div", { class: "inside" }, picture));
  return {
    traffic: card("Traffic", traffic, legend(["c-download", "Download"], ["c-upload", "Upload"]), h("span", { class: "grow" }), ranges),
    live: card("Live sessions", live),
    coming: card("Per second", coming, legend(["c-good", "New"], ["c-bad", "Refused"])),
    tick: () => { if (range === "live" || feed.samples.length % 5 === 0) draw(); },
    range: (asked) => {
      if (asked === wanted) return;
      wanted = asked;
      range = asked ?? range;
      minutes = [];
      ranges.press(range);
      draw();
      stop.now();
    },
    stop,
  };
}

/** The minutes of so long, in rates. */
async function minutesOf(span, signal) {
  const found = [];
  let since = new Date(serverNow() - span).toISOString();
  for (let page = 0; since && page < PAGES_MAX; page += 1) {
    const answer = await get("/api/metrics/history", { since, limit: MINUTES_PER_PAGE }, signal);
    found.push(...answer.data.map((minute) => ({ t: Date.parse(minute.minute), active: minute.active,
      started: minute.started / 60, rejected: minute.rejected / 60,
      sent: minute.bytes_sent / 60, received: minute.bytes_received / 60 })));
    since = answer.next_since;
  }
  return found;
}

/** The same with the minutes after them, of which only we have seen something so far. */
function withRunning(minutes, from) {
  const after = (minutes.at(-1)?.t ?? from - MINUTE) + MINUTE;
  const seconds = feed.samples.filter((one) => one.t >= after).map(({ t, active, started, rejected, sent, received }) =>
    ({ t, active, started, rejected, sent, received }));
  return [...minutes.filter((minute) => minute.t >= from), ...grouped(seconds, MINUTE, [])];
}

function endingBars(endings) {
  const found = Object.entries(endings).sort((a, b) => b[1] - a[1]);
  if (found.length === 0) return h("div", { class: "empty slim" }, "No session has ended yet.");
  return bars(found.slice(0, 9).map(([code, number]) => ({
    name: code, value: number, text: count(number), title: whole(number),
    colour: WELL.includes(code) ? "c-quiet" : REFUSED.includes(code) ? "c-bad" : "c-warn",
    href: link("history", { close_code: code }),
  })));
}

function userBars(stats) {
  if (stats.top_users.length === 0) return h("div", { class: "empty slim" }, "Nobody has been here.");
  return bars(stats.top_users.slice(0, 5).map((entry) => ({
    name: entry.user, value: entry.bytes, text: octets(entry.bytes),
    title: `${exactOctets(entry.bytes)} in ${whole(entry.sessions)} sessions`,
    href: link("history", { user: entry.user }),
  })));
}

function plainTable(heads, rows) {
  return h("table", { class: "table plainly flush" }, h("thead", null, h("tr", null, heads)), h("tbody", null, rows));
}

function busiestRows(records) {
  if (records.length === 0) return h("div", { class: "empty slim" }, "No session is alive.");
  const octetCell = (number) => h("td", { class: "num right", title: exactOctets(number) }, octets(number));
  return plainTable([h("th", null, "Target"), h("th", null, "User"), h("th", { class: "right" }, "Down"),
    h("th", { class: "right" }, "Up"), h("th", { class: "right wide-only" }, "Age")],
  records.map((record) => {
    const target = record.dest_ip ? address(record.dest_ip, record.dest_port) : "no target";
    return h("tr", null,
      h("td", { class: "long", title: target }, h("a", { href: link("overview", { id: record.session_id }) }, target)),
      h("td", { title: record.user }, record.user),
      octetCell(record.bytes_received), octetCell(record.bytes_sent),
      h("td", { class: "num right wide-only", title: exactTime(record.start_time) },
        duration(Math.max((serverNow() - Date.parse(record.start_time)) / 1000, 0))));
  }));
}

function recentRows(records) {
  if (records.length === 0) return h("div", { class: "empty slim" }, "None. Everything that was asked for was done.");
  return plainTable([h("th", null, "Target"), h("th", null, "Why"), h("th", { class: "right" }, "When")],
    records.map((record) => {
      const target = record.dest_ip ? address(record.dest_ip, record.dest_port) : "no target";
      return h("tr", null,
        h("td", { class: "long", title: target }, h("a", { href: link("overview", { id: record.session_id }) }, target)),
        h("td", { title: record.close_reason }, h("span", { class: "tag", "data-kind": record.status },
          record.close_code ?? statusWord(record.status))),
        h("td", { class: "num right", title: exactTime(record.end_time) },
          ago((serverNow() - Date.parse(record.end_time)) / 1000)));
    }));
}
