// What happens, as it happens: the newest first, as many as can be read.

import { choice, empty, h, mark, say } from "../element.js";
import { exactOctets, localTime, octets, whole } from "../format.js";
import { glances } from "../glance.js";
import { typed } from "../parts/filters.js";
import { clientOf, targetOf } from "../parts/table.js";
import { change, here, link } from "../place.js";
import { poll } from "../poll.js";
import { listen } from "../stream.js";

export const title = "Live";

const ROWS_MAX = 200;
const DRAW_MS = 250;
const GLANCE_MS = 2000;
const CROWDED = 429;
const KINDS = [["", "All"], ["opened", "Opened"], ["closed", "Closed"], ["refused", "Refused"]];
const TAGS = { opened: "active", closed: "closed", refused: "rejected_by_acl" };
const FILTERS = ["user", "dest", "source"];

export function mount(place) {
  let params = {};
  let known = null;
  let stop = null;
  let waiting = [];
  let heard = 0;
  let missed = 0;
  let paused = false;
  let problem = null;
  let listening = false;
  let glancing = null;

  const kinds = choice("Kind", KINDS, "", (value) => change({ kind: value || null }, true));
  const fields = Object.fromEntries([["user", "alice", "User"], ["dest", "example.com:443", "Target"], ["source", "192.0.2.7", "Client address"]]
    .map(([name, example, label]) => [name, { label, input: h("input", { name, placeholder: example,
      spellcheck: "false", autocomplete: "off", autocapitalize: "off" }) }]));
  const filters = typed(Object.fromEntries(FILTERS.map((name) => [name, fields[name].input])));
  const wrong = h("p", { class: "wrong", role: "alert", hidden: true });
  const note = h("span", { class: "note num" });
  const pause = h("button", { type: "button", "aria-pressed": "false", onclick: () => {
    paused = !paused;
    mark(pause, "aria-pressed", String(paused));
    say(pause, paused ? "Go on" : "Pause");
  } }, "Pause");
  const body = h("tbody");
  const list = h("table", { class: "table rows events", "aria-label": "Events", hidden: true }, h("thead", null, h("tr", null,
    h("th", null, "Time"), h("th", null, "Event"), h("th", null, "Target"), h("th", null, "User"), h("th", null, "Client"),
    h("th", { class: "right" }, "Down"), h("th", { class: "right" }, "Up"), h("th", null, "Ending"))), body);
  const nothing = h("div", null, empty("Nothing has happened yet", "Sessions are told here as they open and end."));
  place.append(
    h("div", { class: "page-head" }, h("h1", null, title), note, h("span", { class: "grow" }), kinds, pause),
    h("section", { class: "card" }, h("div", { class: "toolbar" }, h("div", { class: "fields" },
      Object.values(fields).map(({ label, input }) => h("label", { class: "field" }, label, input))), wrong), list, nothing));

  function draw() {
    if (paused) return;
    // Of more than can be read the newest are shown.
    const fresh = waiting.slice(-ROWS_MAX);
    waiting = [];
    for (const [kind, record] of fresh) body.prepend(row(kind, record));
    while (body.childElementCount > ROWS_MAX) body.lastElementChild.remove();
    list.hidden = body.childElementCount === 0;
    nothing.hidden = !list.hidden;
    if (glancing) say(note, `asked every ${GLANCE_MS / 1000} s, since as many listen as may: ${whole(heard)} seen`);
    else say(note, !listening ? "" : `${whole(heard)} heard${missed > 0 ? `, ${whole(missed)} missed` : ""}`);
    wrong.hidden = problem === null || problem.isForBanner;
    say(wrong, problem?.message ?? "");
  }

  function glance(ask) {
    glancing?.();
    glancing = ask && poll(GLANCE_MS, ask);
  }

  function begin() {
    stop?.();
    glance(null);
    waiting = [];
    heard = 0;
    missed = 0;
    body.replaceChildren();
    const asked = { event: params.kind, ...Object.fromEntries(FILTERS.map((name) => [name, params[name]])) };
    const hear = (name, data) => {
      if (name === "missed") missed += data.count;
      if (!TAGS[name]) return;
      heard += 1;
      waiting.push([name, data]);
      if (waiting.length > 2 * ROWS_MAX) waiting.splice(0, ROWS_MAX);
    };
    stop = listen(asked, hear, (why) => {
      const crowded = why?.status === CROWDED;
      problem = crowded ? null : why;
      listening = why === null;
      if (!crowded) glance(null);
      else if (!glancing) glance(glances(asked, hear));
    });
  }

  const timer = setInterval(draw, DRAW_MS);
  return {
    update: (wanted) => {
      params = wanted;
      kinds.press(KINDS.some(([value]) => value === params.kind) ? params.kind : "");
      filters.show(params);
      const asked = JSON.stringify([params.kind, ...FILTERS.map((name) => params[name])]);
      if (asked === known) return;
      known = asked;
      begin();
    },
    unmount: () => {
      filters.drop();
      clearInterval(timer);
      stop?.();
      glance(null);
    },
  };
}

function row(kind, record) {
  const at = kind === "opened" ? record.start_time : record.end_time;
  const target = targetOf(record);
  const amount = (number) => (kind === "closed" ? octets(number) : "");
  return h("tr", null,
    h("td", { class: "num p4", title: at }, localTime(at).split(" ").at(-1)),
    h("td", { class: "p2" }, h("span", { class: "tag", "data-kind": TAGS[kind] }, kind)),
    h("td", { class: "p1 long", title: target }, h("a", { href: link("events", { ...here().params, id: record.session_id }) }, target)),
    h("td", { class: "p3", title: record.user }, record.user),
    h("td", { class: "num" }, clientOf(record)),
    h("td", { class: "num right", title: exactOctets(record.bytes_received) }, amount(record.bytes_received)),
    h("td", { class: "num right", title: exactOctets(record.bytes_sent) }, amount(record.bytes_sent)),
    h("td", { title: record.close_reason ?? "" }, record.close_code ?? ""));
}
