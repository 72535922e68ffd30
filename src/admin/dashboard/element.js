// Makes elements. Text goes in as text nodes and nothing else: no name can become markup here.

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element. `props` are attributes; those that begin with `on` are listeners. */
export function h(name, props, ...children) {
  return fill(document.createElement(name), props, children);
}

/** An SVG element. */
export function s(name, props, ...children) {
  return fill(document.createElementNS(SVG, name), props, children);
}

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Sets the text of an element, if it is another. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Sets an attribute, or takes it away for `null`, if that changes anything. */
export function mark(element, name, value) {
  if (value === null) element.removeAttribute(name);
  else if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

/** Some buttons of which one is pressed. `choices` are `[value, text]`. */
export function choice(label, choices, chosen, choose) {
  const buttons = choices.map(([value, text]) =>
    h("button", { type: "button", "data-value": value, "aria-pressed": String(value === chosen),
      onclick: () => { press(value); choose(value); } }, text));
  const press = (value) => buttons.forEach((button) =>
    mark(button, "aria-pressed", String(button.dataset.value === value)));
  const group = h("div", { class: "choice", role: "group", "aria-label": label }, buttons);
  group.press = press;
  return group;
}

/** What is said where there is nothing to show. */
export function empty(title, ...text) {
  return h("div", { class: "empty" }, h("strong", null, title), ...text);
}

let toasting = null;

/** Says something in passing. */
export function toast(text) {
  toasting?.remove();
  const element = h("div", { class: "toast", role: "status" }, text);
  toasting = element;
  document.body.append(element);
  setTimeout(() => element.remove(), 5000);
}

/** Icons are drawn with strokes in a field of 24. */
export function icon(path) {
  return s("svg", { viewBox: "0 0 24 24", fill: "none", stroke: "currentColor", "stroke-width": "2",
    "stroke-linecap": "round", "stroke-linejoin": "round", "aria-hidden": "true" }, s("path", { d: path }));
}
