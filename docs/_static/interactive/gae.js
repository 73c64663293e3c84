// What does λ do? Generalised advantage estimates over twelve env steps, one of which ends an episode.
"use strict";

const K = {};
const [STEPS, END] = [12, 5]; // the episode's last env step is number 5; the next episode begins after it

// A_t = δ_t + γ λ (1 - done_t) A_{t+1},  δ_t = r_t + γ (1 - terminated_t) V(s'_t) - V(s_t); all lists have one entry per env step.
K.gae = ({ reward, value, next, terminated, done, gamma, lambda }) => {
  const advantage = [];
  let later = 0;
  for (let t = reward.length - 1; t >= 0; t--) {
    const delta = reward[t] + (terminated[t] ? 0 : gamma * next[t]) - value[t];
    later = delta + (done[t] ? 0 : gamma * lambda * later);
    advantage[t] = later;
  }
  return { advantage };
};

// Rewards are 1 on average for ever, so V = 1 / (1 - γ) in every state, and every advantage is 0. The rewards' noise is
// always the same, none at the end; the critic errs by `error` upwards and downwards in turn.
function rollout({ gamma, lambda, error, ending, broken }) {
  const critic = (t) => 1 / (1 - gamma) + (t % 2 ? error : -error);
  const last = (t) => t === END;
  return {
    reward: range(STEPS, (t) => (last(t) ? 1 : 1 + 2 * (uniform(3, t) - 0.5))),
    value: range(STEPS, critic),
    next: range(STEPS, (t) => critic(t + 1)),
    terminated: range(STEPS, (t) => last(t) && (ending === 1 || broken)),
    done: range(STEPS, last),
    gamma,
    lambda,
  };
}

const rms = (list) => Math.sqrt(sum(list.map((x) => x * x)) / list.length);

const page = {
  kernel: K.gae,
  height: 300,
  knobs: [
    { name: "lambda", label: "λ, how far to sum before trusting V", min: 0, max: 1, step: 0.05, value: 0.95 },
    { name: "gamma", label: "γ, the discount", values: [0.5, 0.8, 0.9, 0.95, 0.99], value: 0.9 },
    { name: "error", label: "V's error, up and down in turn", min: 0, max: 3, step: 0.25, value: 0 },
    { name: "ending", label: "env step 5 ends by", options: ["a time limit", "a fall: the task is over"], value: 0 },
  ],
  breaks: {
    label: "take the time limit for a fall",
    says: "The bootstrap is gone, so the env step at the limit seems to have lost the whole future, and λ carries the blame back to all the env steps before. The agent learns to fear env step 5.",
  },
  predict: {
    ask: "Every env step pays 1 on average, for ever. V is exact: 1 / (1 - 0.9) = 10 in every state. Env step 5 pays exactly 1, and then a time limit ends the episode. What is the advantage at env step 5?",
    options: ["about -9: the future is lost", "0: nothing unexpected happened", "about +1: a reward came"],
    right: (out) => (out.advantage[END] < -0.5 ? 0 : out.advantage[END] < 0.5 ? 1 : 2),
    because: "δ = 1 + 0.9 · 10 - 10 = 0. A clock does not change what the state is worth, so the estimate bootstraps from V of the true next state, and nothing leaks in from the next episode.",
  },
  inputs: rollout,
  results: (out) => [
    ["advantage at env step 5", out.advantage[END].toFixed(4)],
    ["at env step 0", out.advantage[0].toFixed(4)],
    ["root mean square (the true ones are all 0 without a fall)", rms(out.advantage).toFixed(4)],
  ],
  draw: (sheet, out) => {
    const reach = Math.max(2, ...out.advantage.map(Math.abs));
    const { px } = sheet.chart({
      x: { from: -0.5, to: STEPS - 0.5, label: "env step t", ticks: range(STEPS) },
      y: { from: -1.05 * reach, to: 1.05 * reach, label: "advantage", ticks: ticks(-reach, reach) },
      bars: out.advantage.map((value, t) => ({ from: t - 0.35, to: t + 0.35, value, kind: t <= END ? "first" : "second" })),
    });
    sheet.line([[px(END + 0.5), 12], [px(END + 0.5), sheet.h - 42]], "dashed");
    sheet.text(px(END + 0.5) + 5, 24, "next episode", "small", "start");
  },
};

if (typeof module !== "undefined") module.exports = page;
else show(page);
