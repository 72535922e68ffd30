// The rules in the order in which they are tried, how often each has held, and why something would be
// decided as it would: asked of the evaluator that judges the traffic.

import { get, post, token } from "../api.js";
import { empty, h, say } from "../element.js";
import { count, whole } from "../format.js";
import { reload } from "../parts/orders.js";
import { change } from "../place.js";
import { poll } from "../poll.js";

export const title = "Rules";

const EVERY_MS = 3000;
const LIMIT = 100;
const COMMANDS = [["connect", "connect"], ["udp_associate", "udp associate"], ["bind", "bind"]];
const ASKED = ["target", "user", "source", "command", "addresses"];
const RESULTS = { decides: "decides", shadows: "would block", guarded: "stopped by the guard", missed: "does not hold" };

export function mount(place) {
  let params = {};
  let cursors = [0];
  let next = null;
  let asked = "";

  const field = (name, label, example) => ({ label, input: h("input", { name, placeholder: example, spellcheck: "false",
    autocomplete: "off", autocapitalize: "off" }) });
  const fields = {
    target: field("target", "Target", "example.com:443"),
    user: field("user", "User", "alice"),
    source: field("source", "Client address", "127.0.0.1"),
    addresses: field("addresses", "Addresses of the name", "192.0.2.7, 2001:db8::7"),
  };
  fields.target.input.required = true;
  fields.addresses.input.className = "wide";
  const command = h("select", { name: "command" }, COMMANDS.map(([value, text]) => h("option", { value }, text)));
  const verdict = h("div", { class: "verdict", role: "status" });
  const form = h("form", { class: "fields", onsubmit: (event) => {
    event.preventDefault();
    const answers = Object.fromEntries(Object.entries(fields).map(([name, { input }]) => [name, input.value.trim() || null]));
    asked = "";
    change({ ...answers, command: command.value === "connect" ? null : command.value }, true);
    explain();
  } },
  ["target", "user", "source"].map((name) => h("label", { class: "field" }, fields[name].label, fields[name].input)),
  h("label", { class: "field" }, "Command", command),
  h("label", { class: "field" }, fields.addresses.label, fields.addresses.input),
  h("button", { type: "submit", class: "first" }, "Explain"));

  const note = h("span", { class: "note" });
  const body = h("tbody");
  const list = h("table", { class: "table plainly rules", "aria-label": "Rules" }, h("thead", null, h("tr", null,
    h("th", { class: "right wide-only" }, "Priority"), h("th", null, "Action"), h("th", null, "Rule"),
    h("th", { class: "right", title: "How often it decided" }, "Hits"),
    h("th", { class: "right", title: "How often it would have blocked, being on trial" }, "Shadow hits"),
    h("th", { class: "right wide-only", title: "In the rule file" }, "Line"))), body);
  const otherwise = h("div", { class: "table-foot" });
  const nothing = h("div");
  const range = h("span", { class: "num" });
  const back = h("button", { type: "button", class: "small", disabled: true, onclick: () => turn(-1) }, "Previous");
  const forth = h("button", { type: "button", class: "small", disabled: true, onclick: () => turn(1) }, "Next");
  const again = h("button", { type: "button", onclick: async () => { if (await reload()) stop.now(); } }, "Reload");

  place.append(
    h("div", { class: "page-head" }, h("h1", null, title), note, h("span", { class: "grow" }), again),
    h("section", { class: "card" }, h("header", null, h("h2", null, "What would be decided, and why")),
      h("div", { class: "inside" }, form, verdict)),
    h("section", { class: "card" }, h("header", null, h("h2", null, "In the order in which they are tried"),
      h("span", { class: "note" }, "the first that holds decides")), list, nothing, otherwise,
    h("div", { class: "table-foot" }, range, h("span", { class: "turns" }, back, forth))));

  function turn(step) {
    if (step > 0 && next !== null) cursors.push(next);
    else if (step < 0 && cursors.length > 1) cursors.pop();
    stop.now();
  }

  const stop = poll(EVERY_MS, async (signal) => {
    let page;
    try {
      page = await get("/api/acl/rules", { limit: LIMIT, cursor: cursors.at(-1) }, signal);
    } catch (error) {
      if (!signal.aborted && !error.isForBanner) nothing.replaceChildren(empty("The rules are not to be had", error.message));
      throw error;
    }
    next = page.next_cursor;
    say(note, `${whole(page.total)} ${page.total === 1 ? "rule" : "rules"} · generation ${page.generation} · guard ${page.guard}`);
    body.replaceChildren(...page.data.map(row));
    list.hidden = page.total === 0;
    nothing.replaceChildren(...(page.total > 0 ? [] : [empty("There are no rules",
      "Whatever the guard lets through is allowed. Rules are in the file that ", h("code", null, "acl.config_file"), " names.")]));
    otherwise.replaceChildren("Where no rule holds:", action(page.default_policy));
    otherwise.hidden = page.total === 0;
    const first = cursors.at(-1);
    say(range, page.total > LIMIT ? `${whole(first + 1)}–${whole(first + page.data.length)} of ${whole(page.total)}` : "");
    back.disabled = cursors.length === 1;
    forth.disabled = next === null;
    back.parentElement.hidden = page.total <= LIMIT;
  });

  async function explain() {
    const key = JSON.stringify(ASKED.map((name) => params[name] ?? null));
    if (key === asked) return;
    asked = key;
    if (!params.target) {
      verdict.replaceChildren();
      return;
    }
    const question = { target: params.target, command: params.command ?? "connect" };
    if (params.user) question.user = params.user;
    if (params.source) question.source = params.source;
    if (params.addresses) question.addresses = params.addresses.split(/[\s,]+/).filter(Boolean);
    try {
      const answer = await post("/api/acl/explain", {}, token.get(), question);
      if (key === asked) verdict.replaceChildren(...told(answer));
    } catch (error) {
      if (key === asked) verdict.replaceChildren(h("p", { class: "wrong", role: "alert" }, error.message));
    }
  }

  return {
    update: (wanted) => {
      params = wanted;
      Object.entries(fields).forEach(([name, { input }]) => {
        if (document.activeElement !== input) input.value = params[name] ?? "";
      });
      command.value = COMMANDS.some(([value]) => value === params.command) ? params.command : "connect";
      explain();
    },
    unmount: stop,
  };
}

function action(word) {
  return h("span", { class: "tag", "data-kind": { allow: "active", block: "rejected_by_acl" }[word] ?? "failed" }, word);
}

function row(rule) {
  return h("tr", null,
    h("td", { class: "num right wide-only" }, String(rule.priority)), h("td", null, action(rule.action)),
    h("td", { class: "long", title: rule.rule }, rule.rule, h("small", { class: "conditions" }, conditions(rule))),
    h("td", { class: "num right", title: whole(rule.hits) }, count(rule.hits)),
    h("td", { class: "num right", title: whole(rule.shadow_hits) }, rule.shadow_hits === 0 ? "–" : count(rule.shadow_hits)),
    h("td", { class: "num right wide-only faint" }, String(rule.line)));
}

/** What must hold, in words; what is empty is no condition. */
function conditions(rule) {
  const some = (name, list, more) => list.length > 0
    && `${name} ${list.slice(0, 4).join(", ")}${list.length + (more ?? 0) > 4 ? ` and ${whole(list.length + (more ?? 0) - 4)} more` : ""}`;
  return [some("users", rule.users, rule.users_left_out), some("groups", rule.groups, rule.groups_left_out), some("to", rule.destinations, rule.destinations_left_out),
    rule.ports !== "any" && `ports ${rule.ports}`, rule.commands.length < 3 && rule.commands.join(", ").replaceAll("_", " "),
    some("from", rule.sources, rule.sources_left_out), rule.hours !== "any" && `at ${rule.hours}`, rule.egress && `out by ${rule.egress}`,
    rule.bandwidth && `no faster than ${rule.bandwidth}`].filter(Boolean).join(" · ");
}

/** What is decided about the request, and then about each address. */
function told(answer) {
  return [
    answer.command_offered === false && h("p", { class: "soft" }, "The command is not one of server.commands: it is refused whatever the rules say."),
    answer.user_known === false && h("p", { class: "soft" }, "Nobody is this user: this is what one of that name would be told."),
    ...story(answer, answer.decision === null ? "It depends on the address" : null),
    ...answer.addresses.flatMap((one) => [h("h3", { class: "mono" }, one.address), ...story(one, null)]),
  ].filter(Boolean);
}

function story({ decision, rule, shadow_rule_id: shadow, trace, left_out: left }, unknown) {
  const steps = trace.map((step) => h("li", { "data-result": step.result },
    h("span", { class: "step-head" }, action(step.action), h("b", null, step.rule),
      h("span", { class: "faint" }, RESULTS[step.result] ?? step.result)),
    h("span", { class: "soft" }, step.why)));
  return [
    h("p", { class: "decision" }, decision === null ? h("span", { class: "tag" }, unknown ?? "undecided") : action(decision),
      h("b", null, rule ?? "no rule holds for the request alone")),
    shadow !== null && h("p", { class: "soft" }, `Rule ${shadow}, being on trial, would have blocked it.`),
    steps.length > 0 && h("ol", { class: "trace" }, steps),
    left > 0 && h("p", { class: "faint" }, `${whole(left)} more rules do not hold.`),
  ].filter(Boolean);
}
