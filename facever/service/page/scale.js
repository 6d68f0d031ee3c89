// A score on a scale, with the threshold that decides and where it came from.

import { el, svg } from "/page/dom.js";

const WIDTH = 560, LEFT = 16, RIGHT = 544, LINE = 48;

export function scale(score, point) {
  const limit = point ? point.threshold : null;
  const cosine = !point || point.similarity === "cosine";
  const values = [score, ...(limit === null ? [] : [limit])];
  const low = cosine ? Math.min(-0.2, ...values) : Math.min(...values) * 1.2 - 0.01;
  const high = cosine ? 1 : Math.max(0, ...values);
  const at = (value) => LEFT + ((value - low) / (high - low)) * (RIGHT - LEFT);
  const parts = [svg("line", { x1: LEFT, x2: RIGHT, y1: LINE, y2: LINE, class: "axis", "stroke-width": 2 })];
  for (let k = 0; k <= 4; k += 1) {
    const value = low + ((high - low) * k) / 4;
    const label = svg("text", { x: at(value), y: LINE + 24, "text-anchor": k === 0 ? "start" : k === 4 ? "end" : "middle" });
    label.textContent = value.toFixed(2);
    parts.push(svg("line", { x1: at(value), x2: at(value), y1: LINE, y2: LINE + 6, class: "axis" }), label);
  }
  if (limit !== null) {
    const label = svg("text", { x: at(limit), y: 16, "text-anchor": at(limit) > 400 ? "end" : "start" });
    label.textContent = `threshold ${limit.toFixed(4)}`;
    parts.push(svg("line", { x1: at(limit), x2: at(limit), y1: 20, y2: LINE + 8, class: "limit", "stroke-width": 2 }), label);
  }
  parts.push(svg("circle", { cx: at(score), cy: LINE, r: 7, class: "score" }));
  const told = `Score ${score.toFixed(4)}` + (limit === null ? ", without a threshold." : `, threshold ${limit.toFixed(4)}.`);
  return svg("svg", { viewBox: `0 0 ${WIDTH} 80`, class: "scale", role: "img", "aria-label": told }, ...parts);
}

export function rate(value) {
  return value === null || value === undefined ? "" : Number(value.toPrecision(3)).toString();
}

export function interval(span) {
  return span ? `${Math.round(span.level * 100)} %: ${rate(span.low)} to ${rate(span.high)}` : "not recorded";
}

/** A sentence about an operating point. */
export function provenance(point) {
  if (!point) return el("p", { class: "hint" }, "No threshold was used.");
  const what = point.kind === "1:N" ? "false positive identification rate" : "false match rate";
  return el("p", { class: "hint" },
    `Threshold ${point.threshold.toFixed(4)}, set for a ${what} of at most ${rate(point.target_rate)}. On ` +
    `${point.dataset || "unnamed data"} the rate was ${rate(point.achieved_rate)} (${interval(point.interval)}; ` +
    `${point.trials.impostor.toLocaleString("en")} impostor and ${point.trials.genuine.toLocaleString("en")} genuine trials).`);
}
