// Whence the noise? The policy gradient's estimate from one batch, on a bandit with two arms, exactly.
"use strict";

const K = {};

// Arms pay 10 and 11, plus `offset`. π takes the better one with probability p = σ(θ). One sample is
// (1{better} - p) (R - b), a batch the mean of B of them. The baseline b: 0 none, 1 V, 2 Q of the action taken.
K.reinforce = ({ p, offset, batch, baseline }) => {
  const rewards = [10 + offset, 11 + offset];
  const v = (1 - p) * rewards[0] + p * rewards[1];
  const b = [[0, 0], [v, v], rewards][baseline];
  const sample = [(0 - p) * (rewards[0] - b[0]), (1 - p) * (rewards[1] - b[1])];
  const mean = (1 - p) * sample[0] + p * sample[1];
  const variance = (1 - p) * p * (sample[1] - sample[0]) ** 2;
  // The batch's estimate depends only on how many of the B took the better arm: a binomial distribution.
  const values = range(batch + 1, (k) => ((batch - k) * sample[0] + k * sample[1]) / batch);
  const chances = [(1 - p) ** batch];
  for (let k = 1; k <= batch; k++) chances.push((chances[k - 1] * (batch - k + 1) * p) / (k * (1 - p)));
  const wrong = sum(chances.filter((_, k) => values[k] <= 1e-12));
  return { truth: p * (1 - p), mean, deviation: Math.sqrt(variance), values, chances, wrong };
};

const page = {
  kernel: K.reinforce,
  height: 290,
  knobs: [
    { name: "baseline", label: "baseline", options: ["none", "V, the mean reward"], value: 0 },
    { name: "batch", label: "B, samples per batch", values: [1, 2, 3, 5, 10, 20, 50, 100, 200], value: 10 },
    { name: "offset", label: "added to both rewards", values: [-10.5, -10, 0, 10, 50, 100, 1000], value: 100 },
    { name: "p", label: "probability of the better arm", min: 0.1, max: 0.9, step: 0.1, value: 0.5 },
  ],
  breaks: {
    label: "a baseline that knows the action, b = Q(s, a)",
    says: "There is no noise left, and no gradient either: the mean is 0 whatever the rewards. A baseline may know the state, but not the action.",
  },
  predict: {
    ask: "Two arms pay 10 and 11, each is taken half of the time, and there is no baseline. Now 100 is added to both rewards: the better arm is still better by 1. What happens to the variance of the estimated gradient?",
    options: ["it stays as it was", "it grows about tenfold", "it grows about a hundredfold"],
    right: (out, kernel) => {
      const ratio = (out.deviation / kernel({ p: 0.5, offset: 0, batch: 10, baseline: 0 }).deviation) ** 2;
      return ratio < 3 ? 0 : ratio < 30 ? 1 : 2;
    },
    because: "A sample is the score times the whole reward, so its standard deviation goes from 5.25 to 55.25. A baseline takes the common part away: with V it is 0 here, and the mean stays what it was.",
  },
  inputs: (s) => ({ p: s.p, offset: s.offset, batch: s.batch, baseline: s.broken ? 2 : s.baseline }),
  results: (out, s) => [
    ["standard deviation of one sample", out.deviation.toFixed(4)],
    [`of a batch of ${s.batch}`, (out.deviation / Math.sqrt(s.batch)).toFixed(4)],
    ["mean (the true gradient is " + out.truth.toFixed(4) + ")", out.mean.toFixed(4)],
    ["chance that the estimate points the wrong way, or nowhere", (100 * out.wrong).toFixed(1) + " %"],
  ],
  draw: (sheet, out) => {
    const reach = Math.max(1, 1.1 * Math.abs(out.mean) + (4 * out.deviation) / Math.sqrt(out.values.length - 1));
    const step = Math.abs(out.values[1] - out.values[0]);
    const width = Math.max(0.45 * step, reach / 150);
    // Where there is no noise all values are the same, and so are the bars: one stands for them.
    const together = step < 1e-9 ? [[out.mean, 1]] : out.values.map((v, k) => [v, out.chances[k]]);
    const top = Math.max(...together.map((t) => t[1]));
    const { px } = sheet.chart({
      x: { from: -reach, to: reach, label: "estimate of the gradient from one batch", ticks: ticks(-reach, reach) },
      y: { from: 0, to: 1.1 * top, label: "probability", ticks: ticks(0, top, 4) },
      bars: together.filter(([v]) => Math.abs(v) <= reach).map(([value, chance]) => ({
        from: value - width, to: value + width, value: chance, kind: value > 1e-12 ? "first" : "second",
      })),
    });
    sheet.line([[px(out.truth), 12], [px(out.truth), sheet.h - 42]], "dashed");
    sheet.text(px(out.truth) + 5, 22, "the truth", "small", "start");
  },
};

if (typeof module !== "undefined") module.exports = page;
else show(page);
