// When is the gradient off? PPO's objective for one sample, min(ρ Â, clip(ρ, 1 - ε, 1 + ε) Â), and its slope in ρ.
"use strict";

const K = {};

// Objective and slope at one ratio, and the slopes in six cells: Â above and below 0, ρ below, within and above the
// interval. Without `minimum` the clipped term stands alone.
K.clip = ({ ratio, advantage, clip, minimum }) => {
  const at = (rho, adv) => {
    const clipped = Math.min(Math.max(rho, 1 - clip), 1 + clip);
    const inside = rho >= 1 - clip && rho <= 1 + clip;
    const plain = inside || (minimum && rho * adv < clipped * adv); // the unclipped term is the smaller one
    return plain ? [rho * adv, adv] : [clipped * adv, 0];
  };
  const cells = [1, -1].flatMap((sign) => [1 - 1.5 * clip, 1, 1 + 1.5 * clip].map((rho) => at(rho, sign)[1]));
  const [objective, slope] = at(ratio, advantage);
  return { objective, slope, cells, curve: range(41, (i) => at(i / 20, advantage)[0]) };
};

const CELLS = ["Â > 0", "Â < 0"].flatMap((a) => ["ρ < 1 - ε", "ρ near 1", "ρ > 1 + ε"].map((r) => `${a}, ${r}`));

const page = {
  kernel: K.clip,
  height: 300,
  knobs: [
    { name: "ratio", label: "ρ, new probability over old", min: 0.025, max: 2, step: 0.025, value: 1.4 },
    { name: "advantage", label: "Â, the advantage", min: -2, max: 2, step: 0.25, value: 1 },
    { name: "clip", label: "ε, the clip", values: [0.05, 0.1, 0.2, 0.3, 0.5], value: 0.2 },
  ],
  breaks: {
    label: "clip alone, without the minimum",
    says: "Now four cells are flat. A good action that has become rare, and a bad one that has become frequent, have no gradient: mistakes are frozen.",
  },
  predict: {
    ask: "In which of these cells has PPO's objective no gradient? Choose all.",
    many: true,
    options: CELLS,
    right: (out) => out.cells.flatMap((slope, i) => (slope === 0 ? [i] : [])),
    because: "There the ratio has moved far enough in the direction that the advantage asks for. A move in the wrong direction keeps its gradient, so that it can be undone.",
  },
  inputs: (s) => ({ ratio: s.ratio, advantage: s.advantage, clip: s.clip, minimum: !s.broken }),
  results: (out) => [
    ["objective", out.objective.toFixed(4)],
    ["slope in ρ", out.slope.toFixed(4)],
    ["flat cells", out.cells.flatMap((slope, i) => (slope === 0 ? [CELLS[i]] : [])).join("; ")],
  ],
  draw: (sheet, out, s) => {
    const reach = Math.max(1, 2 * Math.abs(s.advantage));
    const { px } = sheet.chart({
      x: { from: 0, to: 2, label: "ratio ρ", ticks: ticks(0, 2) },
      y: { from: s.advantage < 0 ? -reach : -0.2 * reach, to: s.advantage < 0 ? 0.2 * reach : reach, label: "objective", ticks: ticks(s.advantage < 0 ? -reach : 0, s.advantage < 0 ? 0 : reach) },
      lines: [
        { points: [[0, 0], [2, 2 * s.advantage]], kind: "dashed", name: "ρ Â" },
        { points: out.curve.map((v, i) => [i / 20, v]), kind: "first", name: s.broken ? "clip alone" : "PPO's objective" },
      ],
      dots: [{ point: [s.ratio, out.objective], kind: out.slope === 0 ? "second" : "first" }],
    });
    for (const side of [1 - s.clip, 1 + s.clip]) sheet.line([[px(side), 34], [px(side), sheet.h - 42]], "rule");
  },
};

if (typeof module !== "undefined") module.exports = page;
else show(page);
