// Lists of names with a bar each, a bar of several parts, and a ring.

import { h, s } from "../element.js";

/** Names with a bar: `entries` are `{name, value, text, title, colour, href}`, in their order. */
export function bars(entries) {
  const most = Math.max(...entries.map((entry) => entry.value), 0) || 1;
  return h("div", { class: "bars", role: "list" }, entries.map((entry) => {
    const name = entry.href
      ? h("a", { class: "name", href: entry.href, title: entry.name }, entry.name)
      : h("span", { class: "name", title: entry.name }, entry.name);
    return h("div", { class: `bar ${entry.colour ?? ""}`, role: "listitem" }, name,
      h("span", { class: "amount", title: entry.title }, entry.text),
      h("div", { class: "track" }, width(h("span"), entry.value / most)));
  }));
}

/** One bar of several parts, with a legend: `parts` are `{name, value, text, colour}`. */
export function whole(parts, label) {
  const sum = parts.reduce((sum, part) => sum + part.value, 0) || 1;
  return h("figure", { "aria-label": label },
    h("div", { class: "track thick" }, parts.filter((part) => part.value > 0)
      .map((part) => width(h("span", { class: part.colour, title: `${part.name}: ${part.text}` }), part.value / sum))),
    h("figcaption", { class: "legend legend-below" }, parts.map((part) =>
      h("span", null, h("i", { class: `swatch ${part.colour}` }), part.name, " ", h("b", { class: "num" }, part.text)))));
}

function width(element, part) {
  element.style.width = `${(Math.min(Math.max(part, 0), 1) * 100).toFixed(2)}%`;
  return element;
}

const RADIUS = 44;
const ROUND = 2 * Math.PI * RADIUS;

/** A ring that `show(part)` fills from 0 to 1. */
export function ring(label) {
  const front = s("circle", { class: "front", cx: 56, cy: 56, r: RADIUS, transform: "rotate(-90 56 56)",
    "stroke-dasharray": `0 ${ROUND}` });
  const svg = s("svg", { class: "ring", viewBox: "0 0 112 112", role: "img", "aria-label": label },
    s("circle", { class: "back", cx: 56, cy: 56, r: RADIUS }), front);
  svg.show = (part) => {
    const shown = Math.min(Math.max(part, 0), 1);
    // A cap is drawn even for nothing, so nothing is drawn then.
    front.setAttribute("stroke-dasharray", `${shown < 0.002 ? 0 : shown * ROUND} ${ROUND}`);
    front.toggleAttribute("hidden", shown < 0.002);
    svg.classList.toggle("c-bad", shown >= 0.95);
    svg.classList.toggle("c-warn", shown >= 0.8 && shown < 0.95);
  };
  return svg;
}
