// Are the seeds enough? Two algorithms, one truly better; returns of seeds are normal with the same spread.
"use strict";

const K = {};
const COUNTS = [2, 3, 5, 10, 20, 30, 50, 100];

function density(z) {
  return Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI);
}

// The normal distribution function, ½ + φ(z) (z + z³/3 + z⁵/15 + ...): all terms have one sign, so none cancel.
function below(z) {
  if (Math.abs(z) > 8.5) return z > 0 ? 1 : 0;
  let [term, total] = [z, z];
  for (let k = 3; Math.abs(term) > 1e-17; k += 2) {
    term *= (z * z) / k;
    total += term;
  }
  return 0.5 + density(z) * total;
}

// The chance that the worse algorithm has the higher mean of n seeds, where it is given `tries` and reports the best of
// them: 1 - E[Φ(z + d)^tries], d = gap √n / spread. The trapezoid rule is exact to rounding for what dies out like this.
function loses(n, gap, spread, tries) {
  const d = (gap * Math.sqrt(n)) / spread;
  return 1 - 0.05 * sum(range(341, (i) => -8.5 + 0.05 * i).map((z) => density(z) * below(z + d) ** tries));
}

// That chance for your n and for others; the chance that two equal ones differ by more than 20 % of their mean, 100; and
// the returns of one experiment, n seeds of each.
K.seeds = ({ n, gap, spread, experiment, tries }) => ({
  wrong: loses(n, gap, spread, tries),
  curve: COUNTS.map((count) => loses(count, gap, spread, tries)),
  apart: 2 * below((-20 * Math.sqrt(n / 2)) / spread),
  worse: range(n, (i) => 100 + spread * normal(experiment, i)),
  better: range(n, (i) => 100 + gap + spread * normal(experiment + 1000, i)),
});

const mean = (list) => sum(list) / list.length;
const error = (list) => Math.sqrt(sum(list.map((x) => (x - mean(list)) ** 2)) / (list.length - 1) / list.length);

const page = {
  kernel: K.seeds,
  height: 430,
  knobs: [
    { name: "n", label: "n, seeds of each algorithm", values: [2, 3, 5, 10, 20, 30, 50], value: 3 },
    { name: "gap", label: "the better one is better by, in %", min: 0, max: 50, step: 5, value: 20 },
    { name: "spread", label: "standard deviation over seeds, in %", min: 5, max: 80, step: 5, value: 40 },
    { name: "experiment", label: "which experiment", min: 1, max: 50, step: 1, value: 1 },
  ],
  breaks: {
    label: "tune the worse one ten times, and report its best",
    says: "Ten settings that are all the same, and the best one's seeds are reported: the untuned baseline loses to luck. Report other seeds than those on which you chose.",
  },
  predict: {
    ask: "Algorithm B is better than A by 20 %, and returns of one algorithm spread by 40 % over seeds. You run 3 seeds of each. How often does A, the worse one, have the higher mean?",
    options: ["in 1 % of such experiments", "in 5 %", "in about a quarter", "in half of them"],
    right: (out) => (out.wrong < 0.03 ? 0 : out.wrong < 0.15 ? 1 : out.wrong < 0.4 ? 2 : 3),
    because: "The means of three seeds spread by 40 / √3 = 23 each, so their difference spreads by 33, more than the 20 that is to be seen.",
  },
  inputs: (s) => ({ n: s.n, gap: s.gap, spread: s.spread, experiment: s.experiment, tries: s.broken ? 10 : 1 }),
  results: (out, s) => [
    ["chance that the worse one has the higher mean", (100 * out.wrong).toFixed(2) + " %"],
    ["chance that two equal ones differ by over 20 %", (100 * out.apart).toFixed(2) + " %"],
    [`this experiment (one of ${s.n} seeds each)`, `A ${mean(out.worse).toFixed(1)}, B ${mean(out.better).toFixed(1)}: ${mean(out.better) > mean(out.worse) ? "B wins, rightly" : "A wins, wrongly"}`],
  ],
  draw: (sheet, out, s) => {
    sheet.chart({
      bottom: 210,
      x: { from: 2, to: 100, log: true, label: "seeds n", ticks: COUNTS },
      y: { from: 0, to: s.broken ? 1 : 0.5, label: "chance of the wrong winner", ticks: ticks(0, s.broken ? 1 : 0.5) },
      lines: [{ points: out.curve.map((c, i) => [COUNTS[i], c]), kind: "first" }],
      dots: [{ point: [s.n, out.wrong], kind: "first" }],
    });
    const all = [...out.worse, ...out.better, 100];
    const [low, high] = [Math.min(...all) - 5, Math.max(...all) + 5];
    const { px, py } = sheet.chart({
      top: 215,
      x: { from: low, to: high, label: "returns; line: mean ± standard error", ticks: ticks(low, high) },
      y: { from: 0, to: 3, label: "", ticks: [] },
      dots: [["worse", 2, "second"], ["better", 1, "first"]].flatMap(([name, y, kind]) => out[name].map((r) => ({ point: [r, y], kind }))),
    });
    [[out.worse, 2, "A"], [out.better, 1, "B"]].forEach(([list, y, name]) => {
      sheet.line([[px(mean(list) - error(list)), py(y) + 12], [px(mean(list) + error(list)), py(y) + 12]]);
      sheet.dot(px(mean(list)), py(y) + 12, "", 4);
      sheet.text(30, py(y) + 5, name, "strong");
    });
  },
};

if (typeof module !== "undefined") module.exports = page;
else show(page);
