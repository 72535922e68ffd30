// One session in full, beside whatever page it was opened from.

import { get, serverNow } from "../api.js";
import { h, icon, toast } from "../element.js";
import { ago, duration, exactOctets, localTime, micros, octets, rate, statusWord, whole } from "../format.js";
import { sparkline } from "../parts/sparkline.js";
import { clientOf, targetOf } from "../parts/table.js";
import { terminate } from "../parts/orders.js";
import { link } from "../place.js";
import { poll } from "../poll.js";

const EVERY_MS = 1000;
const RATES_MAX = 120;
const STAGES = [["auth_us", "Login", "c-s1"], ["resolve_us", "Name", "c-s2"], ["connect_us", "Connect", "c-s3"],
  ["first_byte_us", "First byte", "c-s4"]];
const CROSS = "M6 6l12 12M18 6 6 18";

/** The panel in `aside`; `show(id)` opens it, `show(null)` closes it. */
export function sessionPanel(aside, close) {
  let current = null;
  let stop = null;
  let opener = null;
  return { show: (id) => {
    if (id === current) return;
    stop?.();
    stop = null;
    if (id === null) {
      aside.hidden = true;
      if (opener?.isConnected) opener.focus({ preventScroll: true });
    } else {
      if (current === null) opener = document.activeElement;
      stop = open(aside, id, close);
    }
    current = id;
  } };
}

function open(aside, id, close) {
  const title = h("h2", { tabindex: "-1" }, "…");
  const said = h("p", { class: "said" });
  const body = h("div");
  const spark = sparkline("c-download");
  const button = h("button", { type: "button", class: "icon-button", "aria-label": "Close", title: "Close (Esc)", onclick: close },
    icon(CROSS));
  aside.replaceChildren(h("div", { class: "one" }, h("header", null, title, button), said, body));
  aside.hidden = false;
  title.focus({ preventScroll: true });
  const rates = [];
  let before = null;
  let drawn = "";

  const draw = (record) => {
    const at = performance.now();
    const moved = record.bytes_sent + record.bytes_received;
    if (before && at - before.at > 200) {
      rates.push(Math.max(moved - before.moved, 0) / ((at - before.at) / 1000));
      rates.splice(0, rates.length - RATES_MAX);
    }
    if (!before || at - before.at > 200) before = { at, moved };
    spark.show(rates, 30);
    title.textContent = targetOf(record);
    said.replaceChildren(h("span", { class: "tag", "data-kind": record.status }, statusWord(record.status)), " ", sentence(record));
    // Drawn anew only when something has changed, so that a selection or a focus inside survives.
    const key = JSON.stringify(record) + rates.length;
    if (key === drawn) return;
    drawn = key;
    const focused = body.contains(document.activeElement) ? document.activeElement.dataset.act : null;
    body.replaceChildren(...sections(record, spark, rates));
    if (focused) body.querySelector(`[data-act="${focused}"]`)?.focus({ preventScroll: true });
  };

  const stop = poll(EVERY_MS, async (signal) => {
    try {
      const record = await get(`/api/sessions/${encodeURIComponent(id)}`, {}, signal);
      draw(record);
      // It will not change any more.
      if (record.status !== "active") stop();
    } catch (error) {
      if (signal.aborted) throw error;
      if (error.status === 404) {
        title.textContent = "No such session";
        said.textContent = "It may have been deleted since, its time being over.";
        body.replaceChildren();
        stop();
        return;
      }
      if (!error.isForBanner) said.textContent = error.message;
      throw error;
    }
  });
  return stop;
}

function sentence(record) {
  const began = (serverNow() - Date.parse(record.start_time)) / 1000;
  if (record.status === "active") return `for ${duration(Math.max(began, 0))}`;
  const ended = (serverNow() - Date.parse(record.end_time)) / 1000;
  return `${record.close_reason}, ${ago(ended)}`;
}

function sections(record, spark, rates) {
  const live = record.status === "active";
  const found = [
    h("section", null, h("div", { class: "moved" },
      moved("↓", "down", "Download", record.bytes_received, record.packets_received, record.protocol),
      moved("↑", "up", "Upload", record.bytes_sent, record.packets_sent, record.protocol))),
  ];
  if (live && rates.length > 1) {
    found.push(h("section", null, h("h3", null, `Both ways, ${rate(rates.at(-1))} now`), spark));
  }
  found.push(
    h("section", null, h("div", { class: "buttons" },
      live && h("button", { type: "button", class: "danger", "data-act": "end",
        onclick: () => terminate(record, targetOf(record)) }, "End session"),
      h("a", { class: "button", "data-act": "user", href: link("history", { user: record.user }) }, "This user’s"),
      Boolean(record.dest_ip) && h("a", { class: "button", "data-act": "dest", href: link("history", { dest: targetOf(record) }) }, "To this target"),
      Boolean(record.dest_ip) && h("a", { class: "button", "data-act": "why", href: link("rules", { target: targetOf(record), user: record.user,
        source: record.source_ip, command: record.command === "connect" ? null : record.command, addresses: record.resolved_ip }) }, "Explain"),
      h("a", { class: "button", "data-act": "source", href: link("history", { source: record.source_ip }) }, "From this client"))),
    h("section", null, h("h3", null, "Stages"), stages(record)),
    h("section", null, h("h3", null, "Round trips"), path(record, live)),
    h("section", null, h("h3", null, "Facts"), facts(record)));
  return found;
}

function moved(arrow, kind, name, bytes, packets, protocol) {
  const unit = `${protocol === "udp" ? "datagram" : "transfer"}${packets === 1 ? "" : "s"}`;
  return h("div", { title: exactOctets(bytes) }, h("span", { class: "soft" }, h("span", { class: `dir ${kind}` }, arrow), ` ${name}`),
    h("b", { class: "num" }, octets(bytes)),
    h("span", { class: "faint" }, `${whole(bytes)} B · ${whole(packets)} ${unit}`));
}

/** The stages one after the other, as they were. The last one begins when the target is connected. */
function stages(record) {
  const sum = STAGES.reduce((sum, [key]) => sum + (record[key] ?? 0), 0) || 1;
  let from = 0;
  return h("div", { class: "stages" }, STAGES.map(([key, name, colour]) => {
    const us = record[key];
    const bar = h("span", { class: colour });
    if (us !== null) {
      bar.style.left = `${Math.min((from / sum) * 100, 99)}%`;
      bar.style.width = `${(us / sum) * 100}%`;
      from += us;
    }
    return h("div", { class: "stage", "data-none": us === null },
      h("span", null, name), h("div", { class: "way" }, us !== null && bar),
      h("span", { class: "num", title: us === null ? null : `${whole(us)} µs` }, us === null ? "none" : micros(us)));
  }));
}

function path(record, live) {
  if (record.client_rtt_us === null && record.upstream_rtt_us === null) {
    return h("p", { class: "faint" }, live ? "The kernel is asked when the session ends."
      : "It never relayed, so there is nothing to tell.");
  }
  const leg = (us, retransmits) => h("div", { class: "leg", title: us === null ? null : `${whole(us)} µs` },
    h("b", null, us === null ? "–" : micros(us)), h("small", null, retransmits ? `${whole(retransmits)} resent` : "none resent"));
  const end = (text) => h("span", { class: "end" }, text);
  return h("div", { class: "path" }, end("client"), leg(record.client_rtt_us, record.client_retransmits), end("proxy"),
    leg(record.upstream_rtt_us, record.upstream_retransmits), end("target"));
}

function facts(record) {
  const rows = [
    ["Session", h("span", null, h("span", { class: "mono" }, record.session_id), " ",
      h("button", { type: "button", class: "plain small", "data-act": "copy", onclick: () => copy(record.session_id) }, "copy"))],
    ["User", record.user],
    ["Claimed user", record.claimed_user],
    ["Client", clientOf(record)],
    ["Dialled", record.resolved_ip],
    ["Command", record.command && record.command.replace("_", " ")],
    ["Protocol", record.protocol],
    ["Started", time(record.start_time)],
    ["Ended", record.end_time && time(record.end_time)],
    ["Lasted", record.duration_ms !== null ? `${duration(record.duration_ms / 1000)} (${whole(record.duration_ms)} ms)` : null],
    ["Ending", record.close_code && `${record.close_code}: ${record.close_reason}`],
    ["Decision", record.acl_decision],
    ["By rule", record.acl_rule_matched],
    ["Rule", record.rule_id === null ? null : String(record.rule_id)],
    ["Policy", record.policy_generation === null ? null : `generation ${record.policy_generation}`],
    ["Node", record.node],
  ];
  return h("dl", { class: "facts" }, rows.filter(([, value]) => value)
    .flatMap(([name, value]) => [h("dt", null, name), h("dd", null, value)]));
}

function time(text) {
  return h("time", { datetime: text, title: text }, localTime(text));
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    toast("Copied.");
  } catch {
    toast(text);
  }
}
