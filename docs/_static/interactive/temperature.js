// What does α buy? The best policy of SAC's objective in one state, π ∝ exp(Q / α).
"use strict";

const K = {};

// π, its entropy, what it earns and the soft value α log Σ exp(Q / α), which is the sum of earnings and α times entropy.
// `upside` multiplies by α instead.
K.temperature = ({ alpha, q, upside }) => {
  const logits = q.map((x) => (upside ? alpha * x : x / alpha));
  const largest = Math.max(...logits); // subtracted, so that nothing overflows
  const powers = logits.map((z) => Math.exp(z - largest));
  const total = sum(powers);
  const p = powers.map((x) => x / total);
  const entropy = Math.log(total) + largest - sum(p.map((x, i) => x * logits[i]));
  return { p, entropy, mean: sum(p.map((x, i) => x * q[i])), soft: sum(p.map((x, i) => x * q[i])) + alpha * entropy };
};

const page = {
  kernel: K.temperature,
  height: 280,
  knobs: [
    { name: "alpha", label: "α, the temperature", values: [0.001, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 1000], value: 0.3 },
    ...[1, 2, 3].map((i) => ({ name: "q" + i, label: `Q of action ${i}`, min: -2, max: 5, step: 0.5, value: i })),
  ],
  breaks: {
    label: "multiply Q by α, do not divide",
    says: "Now a high temperature makes the policy greedy and a low one makes it random. A learner that tunes α to reach an entropy turns the wrong way, and runs off.",
  },
  predict: {
    ask: "Three actions have the values 1, 2 and 3. The policy is π ∝ exp(Q / α). Which entropy does it approach as α goes to 0, and as α goes to infinity?",
    options: ["0, and ln 3 = 1.0986", "ln 3 = 1.0986, and 0", "0, and infinity"],
    right: (out, kernel) => {
      const [cold, hot] = [1e-3, 1e3].map((alpha) => kernel({ alpha, q: [1, 2, 3], upside: false }).entropy);
      return cold < 0.01 && hot > 1.09 && hot < 1.0987 ? 0 : cold > hot ? 1 : 2;
    },
    because: "At 0 only the best action counts, so the policy is greedy. At infinity the values do not matter, and the policy is uniform: three actions have at most ln 3.",
  },
  inputs: (s) => ({ alpha: s.alpha, q: [s.q1, s.q2, s.q3], upside: s.broken }),
  results: (out) => [
    ["entropy", out.entropy.toFixed(4)],
    ["mean of Q", out.mean.toFixed(4)],
    ["soft value", out.soft.toFixed(4)],
    ["π", out.p.map((x) => x.toFixed(3)).join(", ")],
  ],
  draw: (sheet, out) => {
    sheet.chart({
      x: { from: 0.4, to: 3.6, label: "action", ticks: [1, 2, 3] },
      y: { from: 0, to: 1, label: "probability", ticks: ticks(0, 1) },
      bars: out.p.map((value, i) => ({ from: i + 0.65, to: i + 1.35, value, kind: "first" })),
    });
  },
};

if (typeof module !== "undefined") module.exports = page;
else show(page);
