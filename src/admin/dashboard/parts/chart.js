// Curves over time, with an axis and a cross that tells the values: by pointer, or by arrow keys.
//
// A chart may be mirrored: what `below` says goes down from the line of zero, so that both directions of
// traffic are seen at once and neither covers the other.

import { h, mark, s } from "../element.js";
import { clock, day, ticks } from "../format.js";

const LEFT = 66;
const RIGHT = 6;
const TOP = 8;
const BOTTOM = 22;
const MINUTE = 60_000;
const INTERVALS = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880].map((count) => count * MINUTE);

/**
 * A chart. `series` are `{key, name, colour, format}`, with `below: true` where wanted;
 * `axis` writes the numbers of the axis; `least` is what its top is at least.
 * `show({from, to, step, points, nothing})` draws it: times are milliseconds since the epoch, a point is
 * `{t, …}` with the keys of the series, and stands for the `step` that begins at it.
 */
export function chart({ label, series, axis, least }) {
  const svg = s("svg", { "aria-hidden": "true" });
  const tip = h("div", { class: "tip", hidden: true });
  const nothing = h("p", { class: "nothing", hidden: true });
  const element = h("div", { class: "chart", tabindex: "0", role: "group", "aria-roledescription": "chart",
    "aria-label": `${label}. Arrow keys tell its values.` }, svg, nothing, tip);
  const state = { data: { from: 0, to: 1, step: 1, points: [] }, width: 0, height: 0, at: null };

  const draw = () => {
    const { data, width, height } = state;
    if (width < 80 || height < 60) return;
    const scale = scales(data, series, width, height, least ?? 1);
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    // An axis without curves measures nothing, and would run through what is said instead of them.
    const some = data.points.length > 0;
    const axes = some ? lines(scale, axis, width, height) : [];
    svg.replaceChildren(...axes, ...series.flatMap((one) => curve(one, data, scale)));
    nothing.textContent = data.nothing ?? "";
    nothing.hidden = some;
    point();
  };

  const point = () => {
    svg.querySelectorAll(".cross, .bead").forEach((old) => old.remove());
    const { data, at, width, height } = state;
    const found = at === null ? null : nearest(data.points, at);
    tip.hidden = found === null;
    if (found === null) return;
    const scale = scales(data, series, width, height, least ?? 1);
    const x = scale.x(found.t + data.step / 2);
    svg.append(s("line", { class: "cross", x1: x, x2: x, y1: TOP, y2: height - BOTTOM }));
    series.forEach((one) => svg.append(s("circle",
      { class: `bead ${one.colour}`, cx: x, cy: scale.y(one.below ? -found[one.key] : found[one.key]), r: 4 })));
    const moment = new Date(found.t);
    tip.replaceChildren(
      h("time", null, `${day(moment)} ${clock(moment, data.step < MINUTE)}`),
      ...series.map((one) => h("div", null, h("i", { class: `swatch ${one.colour}` }), one.name,
        h("b", null, one.format(found[one.key])))));
    const room = width - tip.offsetWidth;
    const left = x + 14 > room ? x - tip.offsetWidth - 14 : x + 14;
    tip.style.transform = `translate(${Math.round(Math.max(left, 0))}px, ${TOP}px)`;
  };

  const move = (at) => { state.at = at; point(); };
  element.addEventListener("pointermove", (event) => {
    const { from, to } = state.data;
    const x = event.clientX - element.getBoundingClientRect().left;
    move(from + ((x - LEFT) / (state.width - LEFT - RIGHT)) * (to - from));
  });
  element.addEventListener("pointerleave", () => move(null));
  element.addEventListener("blur", () => move(null));
  element.addEventListener("keydown", (event) => {
    const { points } = state.data;
    const found = state.at === null ? null : nearest(points, state.at);
    const index = found === null ? points.length : points.indexOf(found);
    const next = { ArrowLeft: index - 1, ArrowRight: index + 1, Home: 0, End: points.length - 1 }[event.key];
    if (event.key === "Escape" && state.at !== null) {
      move(null);
    } else if (next !== undefined && points.length > 0) {
      const chosen = points[Math.min(Math.max(next, 0), points.length - 1)];
      move(chosen.t + state.data.step / 2);
      mark(tip, "aria-live", "polite");
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  });
  new ResizeObserver(([entry]) => {
    state.width = Math.round(entry.contentRect.width);
    state.height = Math.round(entry.contentRect.height);
    draw();
  }).observe(element);
  element.show = (data) => { state.data = data; draw(); };
  return element;
}

function scales({ from, to, points }, series, width, height, least) {
  let most = 0;
  let lowest = 0;
  for (const point of points) {
    for (const { key, below } of series) {
      if (below) lowest = Math.max(lowest, point[key]);
      else most = Math.max(most, point[key]);
    }
  }
  const mirrored = series.some((one) => one.below);
  if (mirrored && most + lowest < least) [most, lowest] = [least, least];
  most = Math.max(most, mirrored ? lowest / 4 : least) * 1.06;
  lowest = mirrored ? Math.max(lowest, most / 4) * 1.06 : 0;
  const [wide, high] = [width - LEFT - RIGHT, height - TOP - BOTTOM];
  return {
    from, to, most, lowest,
    x: (t) => LEFT + ((t - from) / (to - from)) * wide,
    y: (value) => TOP + ((most - value) / (most + lowest)) * high,
  };
}

function lines(scale, axis, width, height) {
  const drawn = [];
  for (const value of ticks(-scale.lowest, scale.most, Math.max(Math.round(height / 46), 2))) {
    const y = Math.round(scale.y(value));
    drawn.push(
      s("line", { class: value === 0 ? "grid-line zero" : "grid-line", x1: LEFT, x2: width - RIGHT, y1: y, y2: y }),
      s("text", { x: LEFT - 8, y: y + 4, "text-anchor": "end" }, axis(Math.abs(value))));
  }
  for (const { t, text } of hours(scale.from, scale.to, (width - LEFT) / 84)) {
    const x = scale.x(t);
    if (x > width - 18) continue;
    drawn.push(s("text", { x, y: height - 5, "text-anchor": x < LEFT + 16 ? "start" : "middle" }, text));
  }
  return drawn;
}

/** Round times of the reader's clock, `most` of them at most. */
function hours(from, to, most) {
  const interval = INTERVALS.find((interval) => (to - from) / interval <= most) ?? INTERVALS.at(-1);
  const offset = new Date(from).getTimezoneOffset() * MINUTE;
  const found = [];
  for (let t = Math.ceil((from - offset) / interval) * interval + offset; t <= to; t += interval) {
    const moment = new Date(t);
    found.push({ t, text: interval >= 1440 * MINUTE ? day(moment).slice(5) : clock(moment, false) });
  }
  return found;
}

/** The points in runs without a gap: where nothing was counted nothing is drawn. */
function runs({ points, step }) {
  const found = [];
  points.forEach((point, index) => {
    if (index === 0 || point.t - points[index - 1].t > step * 1.9) found.push([]);
    found.at(-1).push(point);
  });
  return found;
}

function curve(one, data, scale) {
  const sign = one.below ? -1 : 1;
  const zero = scale.y(0).toFixed(1);
  const x = (point) => scale.x(point.t + data.step / 2).toFixed(1);
  const y = (point) => scale.y(sign * point[one.key]).toFixed(1);
  const parts = runs(data);
  const along = parts.map((run) => `M${run.map((point) => `${x(point)} ${y(point)}`).join("L")}`
    + (run.length === 1 ? "h0.1" : ""));
  const under = parts.map((run) =>
    `M${x(run[0])} ${zero}L${run.map((point) => `${x(point)} ${y(point)}`).join("L")}L${x(run.at(-1))} ${zero}Z`);
  return [s("path", { class: `area ${one.colour}`, d: under.join("") }),
    s("path", { class: `curve ${one.colour}`, d: along.join("") })];
}

/** The point that stands for the time `at`, or the nearest to it; `null` without points. */
function nearest(points, at) {
  let found = null;
  for (const point of points) {
    if (found === null || Math.abs(point.t - at) < Math.abs(found.t - at)) found = point;
  }
  return found;
}

/** Puts points together so that there are `most` at most: sums and rates by their mean, `greatest` by theirs. */
export function coarser(points, step, most, greatest) {
  const span = points.length === 0 ? 0 : points.at(-1).t - points[0].t + step;
  const factor = Math.max(Math.ceil(span / step / most), 1);
  if (factor === 1) return { points, step };
  const wide = step * factor;
  return { points: grouped(points, wide, greatest), step: wide };
}

/** One point for each `wide` milliseconds that has some. */
export function grouped(points, wide, greatest) {
  const groups = new Map();
  for (const point of points) {
    const t = Math.floor(point.t / wide) * wide;
    if (!groups.has(t)) groups.set(t, []);
    groups.get(t).push(point);
  }
  return [...groups].map(([t, group]) => {
    const one = { t };
    for (const key of Object.keys(group[0])) {
      if (key === "t") continue;
      one[key] = greatest.includes(key)
        ? Math.max(...group.map((point) => point[key]))
        : group.reduce((sum, point) => sum + point[key], 0) / group.length;
    }
    return one;
  });
}
