// How far ahead? A small reward is near, a reward of 1 is far: the discount decides.
"use strict";

const K = {};
const NEAR = 2; // env steps to the near reward

// What both rewards are worth `delay` env steps before the choice, now and over 21 delays, and the γ at which they are
// worth the same. A hyperbola 1 / (1 + k t) with the same first env step stands for γ^t where `hyperbolic`.
K.discount = ({ gamma, reward, far, delay, hyperbolic }) => {
  const weight = (t) => (hyperbolic ? 1 / (1 + ((1 - gamma) / gamma) * t) : gamma ** t);
  const worth = (d) => [reward * weight(NEAR - 1 + d), weight(far - 1 + d)];
  const [near, later] = worth(delay);
  return { near, far: later, threshold: reward ** (1 / (far - NEAR)), before: range(21, worth) };
};

const page = {
  kernel: K.discount,
  height: 290,
  knobs: [
    { name: "gamma", label: "γ, the discount", min: 0.5, max: 0.99, step: 0.01, value: 0.7 },
    { name: "reward", label: "the near reward", min: 0.1, max: 0.9, step: 0.1, value: 0.5 },
    { name: "far", label: "env steps to the far reward of 1", min: 3, max: 20, step: 1, value: 7 },
    { name: "delay", label: "seen from this many env steps before", min: 0, max: 20, step: 1, value: 0 },
  ],
  breaks: {
    label: "discount by a hyperbola, as people do",
    says: "Seen from afar the larger reward is preferred, and close by the nearer one: the plan is thrown over on the way. Only γ^t never changes its mind.",
  },
  predict: {
    ask: "A reward of 0.5 comes after 2 env steps, a reward of 1 after 7. With γ = 0.7, which one is worth more?",
    options: ["0.5 after 2 env steps", "1 after 7 env steps", "both the same"],
    right: (out) => (out.near > out.far ? 0 : out.near < out.far ? 1 : 2),
    because: "The first reward counts in full and each env step more costs a factor γ: 0.5 · 0.7 against 1 · 0.7⁶. They are equal at γ = 0.5^(1/5) = 0.871.",
  },
  inputs: (s) => ({ gamma: s.gamma, reward: s.reward, far: s.far, delay: s.delay, hyperbolic: s.broken }),
  results: (out) => [
    ["the near one is worth", out.near.toFixed(4)],
    ["the far one is worth", out.far.toFixed(4)],
    ["preferred", out.near > out.far ? "near" : out.near < out.far ? "far" : "neither"],
    ["γ^t prefers far above γ =", out.threshold.toFixed(4)],
  ],
  draw: (sheet, out, s) => {
    const top = Math.max(...out.before[0], 0.05);
    const { px } = sheet.chart({
      x: { from: 0, to: 20, label: "env steps before the choice", ticks: ticks(0, 20) },
      y: { from: 0, to: 1.1 * top, label: "worth", ticks: ticks(0, top) },
      lines: [0, 1].map((i) => ({
        points: out.before.map((w, d) => [d, w[i]]),
        kind: ["second", "first"][i],
        name: [`${short(s.reward)} after ${NEAR}`, `1 after ${s.far} env steps`][i],
      })),
      dots: [{ point: [s.delay, out.near], kind: "second" }, { point: [s.delay, out.far], kind: "first" }],
    });
    sheet.line([[px(s.delay), 40], [px(s.delay), sheet.h - 42]], "dashed");
  },
};

if (typeof module !== "undefined") module.exports = page;
else show(page);
