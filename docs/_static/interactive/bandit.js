// When to explore? ε-greedy learners pull one of two arms; regret is what pulling the worse arm has cost.
"use strict";

const K = {};
const RUNS = 100; // learners per ε

// The mean regret of 100 learners after each tenth of the pulls, for each ε. The arms pay 1 with probability ½ ± gap/2;
// with `swap` they change places half-way.
K.bandit = ({ epsilons, gap, pulls, seed, swap }) => ({
  regret: epsilons.map((epsilon) => {
    const wrong = range(11, () => 0); // pulls of the worse arm before each look, over all learners
    for (let run = 0; run < RUNS; run++) {
      const own = seed * 1000 + run;
      const tried = [0, 0];
      const paid = [0, 0];
      let worse = 0;
      for (let t = 0; t < pulls; t++) {
        const low = paid[0] / tried[0];
        const high = paid[1] / tried[1];
        let arm = high > low ? 1 : 0;
        if (uniform(own, 3 * t) < epsilon || low === high) arm = uniform(own, 3 * t + 1) < 0.5 ? 0 : 1;
        if (t < 2) arm = t; // each arm once
        const better = swap && t >= pulls / 2 ? 0 : 1;
        tried[arm] += 1;
        if (uniform(own, 3 * t + 2) < (arm === better ? 0.5 + gap / 2 : 0.5 - gap / 2)) paid[arm] += 1;
        if (arm !== better) worse += 1;
        if ((t + 1) % (pulls / 10) === 0) wrong[(t + 1) / (pulls / 10)] += worse;
      }
    }
    return wrong.map((count) => (gap * count) / RUNS);
  }),
});

const FIXED = [0, 0.1, 0.5, 1]; // of the prediction

const page = {
  kernel: K.bandit,
  height: 300,
  knobs: [
    { name: "epsilon", label: "ε, the share of random pulls", values: [0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1], value: 0.02 },
    { name: "gap", label: "gap between the arms", min: 0.05, max: 0.6, step: 0.05, value: 0.2 },
    { name: "pulls", label: "T, pulls", values: [20, 50, 100, 200, 500, 1000, 2000], value: 500 },
    { name: "seed", label: "which hundred learners", min: 1, max: 20, step: 1, value: 1 },
  ],
  breaks: {
    label: "the arms change places half-way",
    says: "The means remember the first half as well as the second. The longer the first half was, the longer it takes until they believe the second.",
  },
  predict: {
    ask: "One arm pays in 60 % of its pulls, the other in 40 %. A hundred learners pull 500 times each. Which ε has lost least in the end?",
    options: FIXED.map((e) => `ε = ${e}`),
    right: (out) => out.regret.slice(0, 4).reduce((best, r, i, all) => (r[10] < all[best][10] ? i : best), 0),
    because: "Without exploration some learners stay with the worse arm for good. With too much of it, all of them go on paying for what they already know.",
  },
  inputs: (s) => ({ epsilons: [...FIXED, s.epsilon], gap: s.gap, pulls: s.pulls, seed: s.seed, swap: s.broken }),
  results: (out, s) => [
    [`mean regret of ε = ${short(s.epsilon)} after ${s.pulls} pulls`, out.regret[4][10].toFixed(2)],
    ["of ε = 0", out.regret[0][10].toFixed(2)],
    ["of ε = 1", out.regret[3][10].toFixed(2)],
  ],
  draw: (sheet, out, s) => {
    const top = Math.max(...out.regret.map((r) => r[10]), 1e-9);
    const kinds = ["second dashed", "third", "", "dashed", "first"];
    sheet.chart({
      x: { from: 0, to: s.pulls, label: "pulls", ticks: ticks(0, s.pulls) },
      y: { from: 0, to: 1.05 * top, label: "mean regret", ticks: ticks(0, top) },
      lines: out.regret.map((r, i) => ({
        points: r.map((v, k) => [(k * s.pulls) / 10, v]),
        kind: kinds[i],
        name: i < 4 ? `ε = ${FIXED[i]}` : `yours: ε = ${short(s.epsilon)}`,
      })),
    });
  },
};

if (typeof module !== "undefined") module.exports = page;
else show(page);
