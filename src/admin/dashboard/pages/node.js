// The node: its health, how its workers are loaded, and what it uses of the machine.

import { serverNow } from "../api.js";
import { h, icon, mark, say } from "../element.js";
import { feed, follow } from "../feed.js";
import { ago, count, duration, exactTime, octets, percent, perSecond, whole } from "../format.js";
import { ring } from "../parts/bars.js";
import { sparkline } from "../parts/sparkline.js";

export const title = "Node";

const SHOWN_SECONDS = 120;
const TICK = "M5 12.500 10 17.500 19 7";
const ALERT = "M12 4v9M12 18v.500";
const WHAT = { stage: "Stage", writer: "Writer", wal: "Write-ahead log", ledger: "Ledger", connections: "Connections" };

export function mount(place) {
  const checks = h("div", { class: "checks" });
  const connections = gauge("Connections", "Connections taken");
  const descriptors = gauge("Descriptors", "Descriptors open");
  const memory = curve("Memory", "c-active");
  const cpu = curve("CPU", "c-download");
  const workers = h("tbody");
  const writer = h("dl", { class: "facts" });
  const facts = h("dl", { class: "facts" });
  place.append(
    h("h1", { class: "page-head" }, title),
    h("div", { class: "grid thirds" },
      h("section", { class: "card" }, h("header", null, h("h2", null, "Health")), h("div", { class: "inside" }, checks)),
      connections.element, descriptors.element),
    h("div", { class: "grid halves" }, memory.element, cpu.element),
    h("section", { class: "card" }, h("header", null, h("h2", null, "Workers"), h("span", { class: "note" }, "one thread each")),
      h("table", { class: "table plainly", "aria-label": "Workers" }, h("thead", null, h("tr", null,
        h("th", null, "Worker"), h("th", { class: "barred" }, "Busy"), h("th", { class: "wide-only" }, "Last two minutes"),
        h("th", { class: "right" }, "Sessions"), h("th", { class: "right wide-only" }, "Accepted"),
        h("th", { class: "right", title: "The longest turn of this minute and the one before" }, "Lag"),
        h("th", { class: "right wide-only", title: "Since the start" }, "Longest turn"))), workers)),
    h("div", { class: "grid halves" },
      h("section", { class: "card" }, h("header", null, h("h2", null, "Writer")), h("div", { class: "inside" }, writer)),
      h("section", { class: "card" }, h("header", null, h("h2", null, "Process")), h("div", { class: "inside" }, facts))));

  const rows = [];
  const stop = follow(() => {
    if (!feed.resources) return;
    const { resources, health, samples } = feed;
    const late = samples.slice(-SHOWN_SECONDS);
    checks.replaceChildren(...Object.entries(health.checks).map(([name, word]) => check(name, word)));
    connections.show(resources.connections, resources.connections_max);
    descriptors.show(resources.open_descriptors, resources.open_descriptors_max);
    memory.show(octets(resources.resident_bytes), `${whole(resources.resident_bytes)} octets in RAM`, late.map((one) => one.resident));
    const last = late.at(-1);
    cpu.show(last ? percent(last.cpu) : "–", "of one core", late.map((one) => one.cpu), 1);
    resources.workers.forEach((worker, index) => {
      rows[index] ??= workerRow(workers);
      rows[index](worker, late.map((one) => one.busy[index] ?? 0));
    });
    list(writer, writerFacts(resources.writer));
    list(facts, [["Version", health.version], ["Running for", duration(resources.uptime_seconds)],
      ["CPU time", duration(resources.cpu_seconds)], ["Threads", whole(resources.threads)],
      ["Sessions so far", whole(resources.since_start.sessions_started)],
      ["Refused so far", whole(resources.since_start.sessions_rejected)],
      ["Failed logins", whole(resources.since_start.auth_failures)],
      ["New now", last ? `${perSecond(last.started)} per second` : "–"]]);
  });
  return { update: () => {}, unmount: stop };
}

function check(name, word) {
  const well = name === "stage" ? word === "ready" : word === "ok";
  return h("div", { class: "check", "data-state": well ? "ok" : "ill" }, icon(well ? TICK : ALERT),
    h("span", null, WHAT[name] ?? name), h("span", { class: "why" }, word));
}

function gauge(name, label) {
  const picture = ring(label);
  const number = h("b", { class: "num" });
  const of = h("span", { class: "soft num" });
  const element = h("section", { class: "card" }, h("header", null, h("h2", null, name)),
    h("div", { class: "inside gauge" }, picture, h("div", { class: "what" }, number, of)));
  return { element, show: (taken, most) => {
    picture.show(most ? taken / most : 0);
    say(number, whole(taken));
    say(of, most ? `of ${whole(most)}, ${percent(taken / most)}` : "no limit");
  } };
}

function curve(name, colour) {
  const value = h("span", { class: "value num" });
  const below = h("span", { class: "faint" });
  const spark = sparkline(colour);
  const element = h("section", { class: "card" }, h("header", null, h("h2", null, name)),
    h("div", { class: "inside shown-live" }, value, below, spark));
  return { element, show: (text, note, values, least) => {
    say(value, text);
    say(below, note);
    spark.show(values, SHOWN_SECONDS, least);
  } };
}

function workerRow(body) {
  const spark = sparkline("c-download");
  const bar = h("span");
  const busy = h("span", { class: "num" });
  const cells = ["right", "right wide-only", "right", "right wide-only"].map((kind) => h("td", { class: `num ${kind}` }));
  const name = h("td");
  body.append(h("tr", null, name, h("td", { class: "barred" }, h("div", { class: "busy" }, h("div", { class: "track" }, bar), busy)),
    h("td", { class: "wide-only" }, spark), cells));
  return (worker, late) => {
    const part = late.at(-1) ?? 0;
    say(name, String(worker.worker));
    bar.style.width = `${(part * 100).toFixed(1)}%`;
    mark(bar, "class", part > 0.9 ? "c-bad" : part > 0.7 ? "c-warn" : "c-download");
    say(busy, percent(part));
    spark.show(late, SHOWN_SECONDS, 1);
    [count(worker.active_sessions), whole(worker.accepted), duration(worker.loop_lag_seconds),
      duration(worker.longest_turn_seconds)].forEach((text, index) => say(cells[index], text));
  };
}

function writerFacts(writer) {
  const commit = writer.last_commit;
  return [
    ["Waiting", `${whole(writer.queue_entries)} ${writer.queue_entries === 1 ? "entry" : "entries"}`],
    ["Oldest", duration(writer.oldest_unsaved_seconds)],
    ["Last commit", commit ? ago((serverNow() - Date.parse(commit)) / 1000) : "none yet", commit && exactTime(commit)],
    ["Commits", whole(writer.commits)],
    ["Rows", whole(writer.rows)],
    ["Tried again", whole(writer.retries)],
    ["Log size", octets(writer.wal_bytes)],
    ["Unrecorded", whole(writer.unrecorded), "Sessions that ran without a record, because the ledger was full"],
  ];
}

/** A list of names and values, of which only what has changed is touched. */
function list(element, rows) {
  if (element.children.length !== rows.length * 2) {
    element.replaceChildren(...rows.flatMap(([name]) => [h("dt", null, name), h("dd", { class: "num" })]));
  }
  rows.forEach(([, value, exact], index) => {
    const cell = element.children[index * 2 + 1];
    say(cell, value);
    mark(cell, "title", exact ?? null);
  });
}
