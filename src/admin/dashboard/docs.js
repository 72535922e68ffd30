// The page at /docs: what /openapi.json says, and a form beside each path that tries it.

import { token, withQuery } from "./api.js";
import { h, say } from "./element.js";
import { exampleOf, prose, schemaTree } from "./parts/schema.js";
import { keepTheme } from "./theme.js";

const SHOWN_MAX = 256 * 1024;
const METHODS = ["get", "post", "delete"];

const main = document.getElementById("main");
keepTheme(document.getElementById("theme"));
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});

await load();

async function load() {
  try {
    const headers = token.get() ? { authorization: `Bearer ${token.get()}` } : {};
    const response = await fetch("/openapi.json", { credentials: "omit", headers });
    if (response.status === 401) return askForToken();
    if (!response.ok) throw new Error(`The answer was ${response.status}.`);
    show(await response.json());
  } catch (error) {
    main.replaceChildren(h("div", { class: "empty" }, h("strong", null, "The document cannot be had"), error.message));
  }
}

/** Where reading wants the token, too. */
function askForToken() {
  const field = tokenField();
  const form = h("form", { class: "empty" }, h("strong", null, "Reading wants the token here"), field,
    h("button", { type: "submit" }, "Show"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    load();
  });
  main.replaceChildren(form);
}

function show(spec) {
  const operations = Object.entries(spec.paths).flatMap(([path, methods]) =>
    METHODS.filter((method) => methods[method]).map((method) => ({ path, method, ...methods[method] })));
  main.replaceChildren(
    h("div", { class: "page-head" }, h("h1", null, "API"), h("span", { class: "note" },
      `${spec.info.title} ${spec.info.version} · OpenAPI ${spec.openapi}`), h("span", { class: "grow" }), tokenField()),
    h("p", { class: "about" }, prose(spec.info.description)),
    ...spec.tags.map((tag) => h("section", { class: "card ops" },
      h("header", null, h("h2", null, tag.name), h("span", { class: "note" }, tag.description)),
      operations.filter((one) => one.tags.includes(tag.name)).map((one) => operation(spec, one)))));
  openNamed();
  addEventListener("hashchange", openNamed);
}

/** An operation can be pointed to: `/docs#terminate`. */
function openNamed() {
  const named = document.getElementById(location.hash.slice(1));
  if (!(named instanceof HTMLDetailsElement)) return;
  named.open = true;
  named.scrollIntoView({ block: "start" });
}

function tokenField() {
  const input = h("input", { type: "password", name: "token", autocomplete: "off", spellcheck: "false",
    placeholder: "for what changes something", "aria-label": "Token" });
  input.value = token.get() ?? "";
  input.addEventListener("input", () => (input.value.trim() ? token.keep(input.value.trim()) : token.forget()));
  return h("label", { class: "token" }, "Token ", input);
}

function operation(spec, one) {
  const inside = h("div", { class: "inside" });
  const element = h("details", { class: "op", id: one.operationId }, h("summary", null,
    h("span", { class: "method", "data-method": one.method }, one.method.toUpperCase()),
    h("code", null, one.path), h("span", { class: "sum" }, one.summary),
    one.security.length > 0 && h("span", { class: "tag", title: "Wants the token" }, "token")), inside);
  // Drawn when it is looked at.
  element.addEventListener("toggle", () => {
    if (element.open && inside.childElementCount === 0) inside.append(...details(spec, one));
  });
  return element;
}

function details(spec, one) {
  const parts = [];
  if (one.description) parts.push(h("p", { class: "about" }, prose(one.description)));
  parts.push(trial(spec, one), h("h3", null, "Answers"), ...Object.entries(one.responses).map(([status, answer]) =>
    response(spec, status, resolve(spec, answer))));
  return parts;
}

function resolve(spec, thing) {
  return thing.$ref ? thing.$ref.split("/").slice(1).reduce((at, name) => at[name], spec) : thing;
}

function response(spec, status, answer) {
  const [kind, content] = Object.entries(answer.content ?? {})[0] ?? [];
  const head = [h("b", { class: "num", "data-class": status[0] }, status), h("span", null, prose(answer.description)),
    kind && h("span", { class: "faint" }, kind)];
  const tree = content?.schema && content.schema.type !== "string" ? schemaTree(spec, content.schema) : null;
  if (!tree) return h("div", { class: "answer" }, head);
  return h("details", { class: "answer", open: status.startsWith("2") }, h("summary", null, head), tree);
}

/** The form that tries it. */
function trial(spec, one) {
  const inputs = one.parameters.map((parameter) => [parameter, inputOf(parameter)]);
  const schema = one.requestBody?.content["application/json"].schema;
  const body = schema && h("textarea", { rows: "8", spellcheck: "false", "aria-label": "Body" });
  if (body) body.value = JSON.stringify(exampleOf(spec, schema), null, 2);
  const said = h("div", { class: "said", role: "status" });
  const stop = h("button", { type: "button", hidden: true }, "Stop");
  const form = h("form", { onsubmit: (event) => {
    event.preventDefault();
    send(one, inputs, body?.value, said, stop);
  } },
  inputs.length > 0 && h("table", { class: "takes" }, h("tbody", null, inputs.map(([parameter, input]) => h("tr", null,
    h("th", { scope: "row" }, h("code", null, parameter.name), parameter.required && h("span", { class: "faint" }, " in the path")),
    h("td", null, input), h("td", { class: "soft" }, prose(parameter.description), " ", rangeOf(parameter.schema)))))),
  body, schema && h("details", { class: "answer" }, h("summary", null, "What the body may hold"), schemaTree(spec, schema)),
  h("div", { class: "buttons" }, h("button", { type: "submit", class: "first" }, "Try it"), stop), said);
  return form;
}

function inputOf({ name, required, schema }) {
  const choices = schema.enum ?? (schema.type === "boolean" ? ["true", "false"] : null);
  if (choices) {
    return h("select", { name, "aria-label": name }, h("option", { value: "" }, schema.default ? `(${schema.default})` : ""),
      choices.map((value) => h("option", { value }, value)));
  }
  const example = schema.default ?? schema.examples?.[0] ?? "";
  return h("input", { name, "aria-label": name, required: Boolean(required), placeholder: String(example), spellcheck: "false",
    autocomplete: "off", autocapitalize: "off" });
}

function rangeOf(schema) {
  if (schema.minimum === undefined) return null;
  return h("span", { class: "faint num" }, `${schema.minimum} to ${schema.maximum}`);
}

async function send(one, inputs, body, said, stop) {
  let path = one.path;
  const query = {};
  for (const [{ name, in: place }, input] of inputs) {
    if (place === "path") path = path.replace(`{${name}}`, encodeURIComponent(input.value.trim()));
    else query[name] = input.value.trim();
  }
  const asked = withQuery(path, query);
  const headers = {};
  if (token.get()) headers.authorization = `Bearer ${token.get()}`;
  if (body !== undefined) headers["content-type"] = "application/json";
  const own = new AbortController();
  stop.onclick = () => own.abort();
  stop.hidden = false;
  const head = h("p", { class: "soft" }, `${one.method.toUpperCase()} ${asked} …`);
  const text = h("pre", { tabindex: "0" });
  said.replaceChildren(head, text);
  const began = performance.now();
  try {
    const response = await fetch(asked, { method: one.method.toUpperCase(), headers, body, cache: "no-store",
      credentials: "omit", redirect: "error", signal: own.signal });
    const kind = response.headers.get("content-type") ?? "";
    head.replaceChildren(h("b", { class: "num", "data-class": String(response.status)[0] }, `${response.status} ${response.statusText}`),
      ` ${one.method.toUpperCase()} ${asked}, after ${Math.round(performance.now() - began)} ms, ${kind}`);
    await read(response, text, kind);
  } catch (error) {
    if (own.signal.aborted) head.append(" (stopped)");
    else head.replaceChildren(h("b", { "data-class": "5" }, "No answer"), ` ${error.message}`);
  }
  stop.hidden = true;
}

/** Shows an answer while it comes: one may never end. */
async function read(response, text, kind) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let all = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    all = (all + value).slice(-SHOWN_MAX);
    say(text, all);
  }
  if (/json/.test(kind)) {
    try {
      say(text, JSON.stringify(JSON.parse(all), null, 2));
    } catch {
      // It is shown as it came: a part of it, it being too long.
    }
  }
}
