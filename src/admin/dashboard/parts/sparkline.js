// A small curve without an axis: how a number went of late.

import { mark, s } from "../element.js";

const WIDTH = 200;
const HEIGHT = 40;
/** So many values fill it at least, so that the first few do not look like a trend. */
const LEAST = 20;

/** A curve of this class of colour; `show(values, most)` draws it. */
export function sparkline(colour) {
  const area = s("path", { class: "spark-area" });
  const curve = s("path", { class: "spark-curve" });
  const svg = s("svg", { class: `spark ${colour}`, viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
    preserveAspectRatio: "none", "aria-hidden": "true" }, area, curve);
  svg.show = (values, room, greatest) => {
    if (values.length < 2) {
      mark(curve, "d", "");
      mark(area, "d", "");
      return;
    }
    const most = Math.max(greatest ?? 0, ...values) || 1;
    const step = WIDTH / (Math.max(Math.min(room, LEAST), values.length) - 1);
    const from = WIDTH - step * (values.length - 1);
    const points = values.map((value, index) =>
      `${(from + index * step).toFixed(1)} ${(HEIGHT - 1.5 - (value / most) * (HEIGHT - 5)).toFixed(1)}`);
    mark(curve, "d", `M${points.join("L")}`);
    mark(area, "d", `M${from.toFixed(1)} ${HEIGHT}L${points.join("L")}L${WIDTH} ${HEIGHT}Z`);
  };
  return svg;
}
