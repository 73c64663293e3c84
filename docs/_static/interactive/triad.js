// What tames the deadly triad? Baird's seven states: expected semi-gradient TD(0) with a target network.
"use strict";

const K = {};
const [STATES, WEIGHTS, ALPHA] = [7, 8, 0.01];
// v(i) = 2 w_i + w_8 for the first six states, and w_7 + 2 w_8 for the seventh, to which the evaluated policy always goes.
const FEATURES = range(STATES, (i) => range(WEIGHTS, (j) => (i < 6 ? 2 : 1) * (j === i) + (i < 6 ? 1 : 2) * (j === 7)));
const START = [1, 1, 1, 1, 1, 1, 10, 1];

function product(a, b) {
  return a.map((row) => b[0].map((_, j) => sum(row.map((x, k) => x * b[k][j]))));
}

// The spectral radius is the limit of |Mⁿ|^(1/n). Squaring 50 times makes n = 2^50; the size is kept apart, as a logarithm.
function radius(matrix) {
  let [m, log] = [matrix, 0];
  for (let k = 0; k < 50; k++) {
    const size = Math.max(...m.flat().map(Math.abs));
    log += Math.log(size) / 2 ** k;
    m = m.map((row) => row.map((x) => x / size));
    m = product(m, m);
  }
  return Math.exp(log);
}

// Growth per update, and log10 of the error of v after 0, 100, ..., 2,000 updates. `share` of the data is the behaviour's,
// which visits all states alike, the rest is the evaluated policy's, always in the seventh state; `blind` data never visit it.
K.triad = ({ share, gamma, period, blind }) => {
  const visits = range(STATES, (i) => (blind ? (i < 6) / 6 : share / STATES + (1 - share) * (i === 6)));
  const weighted = (i, j) => ALPHA * visits[i] * j; // α D
  // One update: w <- w - α X' D X w + α γ X' D P X u, where u are the weights of the target network.
  const own = range(WEIGHTS, (a) => range(WEIGHTS, (b) =>
    (a === b) - sum(range(STATES, (i) => weighted(i, FEATURES[i][a] * FEATURES[i][b])))));
  const target = range(WEIGHTS, (a) => range(WEIGHTS, (b) =>
    gamma * sum(range(STATES, (i) => weighted(i, FEATURES[i][a] * FEATURES[6][b])))));
  // After `period` updates with the same u, which then becomes w: one linear map.
  let map = range(WEIGHTS, (a) => range(WEIGHTS, (b) => Number(a === b)));
  for (let k = 0; k < period; k++) map = product(own, map).map((row, a) => row.map((x, b) => x + target[a][b]));
  const errors = [];
  let w = START;
  let u = START;
  for (let k = 0; k <= 2000; k++) {
    if (k % period === 0) u = w;
    const v = FEATURES.map((x) => sum(x.map((f, j) => f * w[j])));
    if (k % 100 === 0) errors.push(Math.log10(Math.sqrt(sum(v.map((value, i) => visits[i] * value * value)))));
    const [now, old] = [w, u];
    w = now.map((_, a) => sum(own[a].map((x, b) => x * now[b])) + sum(target[a].map((x, b) => x * old[b])));
  }
  return { radius: radius(map) ** (1 / period), errors };
};

const page = {
  kernel: K.triad,
  height: 300,
  knobs: [
    { name: "share", label: "share of off-policy data", min: 0, max: 1, step: 0.05, value: 1 },
    { name: "gamma", label: "γ, the discount", values: [0.5, 0.7, 0.8, 0.85, 0.9, 0.95, 0.99], value: 0.99 },
    { name: "period", label: "updates between two target networks", values: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000], value: 1 },
  ],
  breaks: {
    label: "never train on the seventh state",
    says: "All targets are the seventh state's value, and nothing corrects it. A target network makes it slower, but the error still grows.",
  },
  predict: {
    ask: "Every reward is 0, so every true value is 0, and the features can represent that. TD learns from off-policy data, with bootstrapping and with these features: all three legs. What does the error do?",
    options: ["it shrinks to 0", "it stays as it is", "it grows without end"],
    right: (out) => (out.radius > 1 + 1e-9 ? 2 : out.errors[20] < out.errors[0] - 1 ? 0 : 1),
    because: "The expected update multiplies the weights by a matrix whose largest eigenvalue is 1.002393: 1 % more error with every four updates or so.",
  },
  inputs: (s) => ({ share: s.share, gamma: s.gamma, period: s.period, blind: s.broken }),
  results: (out) => [
    ["spectral radius, per update", out.radius.toFixed(6)],
    ["error after 2,000 updates", (10 ** out.errors[20]).toPrecision(3)],
    ["so it", out.radius > 1 + 1e-9 ? "diverges" : "does not diverge"],
  ],
  draw: (sheet, out) => {
    const high = Math.max(2, ...out.errors);
    const low = Math.min(-2, Math.max(-8, ...[Math.min(...out.errors)]));
    sheet.chart({
      x: { from: 0, to: 2000, label: "updates", ticks: ticks(0, 2000, 4) },
      y: { from: low, to: high, label: "log₁₀ of the error of v", ticks: ticks(low, high) },
      lines: [{ points: out.errors.map((e, k) => [100 * k, e]), kind: out.radius > 1 + 1e-9 ? "second" : "first" }],
    });
  },
};

if (typeof module !== "undefined") module.exports = page;
else show(page);
