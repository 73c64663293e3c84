// Which path along the cliff? SARSA and Q-learning on a map where one wrong move costs 100.
"use strict";

const K = {};
const [ROWS, COLUMNS, START, GOAL] = [4, 12, 36, 47]; // states are numbered row by row; 37 to 46 are the cliff
const MOVES = [[-1, 0], [0, 1], [1, 0], [0, -1]];

function argmax(list) { // the first of equals
  return list.indexOf(Math.max(...list));
}

function move(state, action) { // -> next state and reward
  const row = Math.min(ROWS - 1, Math.max(0, Math.floor(state / COLUMNS) + MOVES[action][0]));
  const column = Math.min(COLUMNS - 1, Math.max(0, (state % COLUMNS) + MOVES[action][1]));
  const to = row * COLUMNS + column;
  return to > START && to < GOAL ? [START, -100] : [to, -1];
}

// Learn for a number of env steps, ε-greedy all the time, with γ = 1. Where `forget`, the goal does not end the sum: its
// value is taken to be that of the first state of the next episode.
K.cliff = ({ sarsa, epsilon, alpha, envSteps, seed, forget }) => {
  const q = range(ROWS * COLUMNS, () => [0, 0, 0, 0]);
  const act = (s, t) => (uniform(seed, 2 * t) < epsilon ? Math.floor(4 * uniform(seed, 2 * t + 1)) : argmax(q[s]));
  const returns = []; // of the episodes that end in the second half
  let total = 0;
  let s = START;
  let a = act(s, 0);
  for (let t = 0; t < envSteps; t++) {
    const [to, reward] = move(s, a);
    const ends = to === GOAL;
    const following = ends ? START : to; // where the agent finds itself
    const next = act(following, t + 1);
    const after = sarsa ? q[following][next] : Math.max(...q[following]);
    q[s][a] += alpha * (reward + (ends && !forget ? 0 : after) - q[s][a]);
    total += reward;
    if (ends) {
      if (2 * t >= envSteps) returns.push(total);
      total = 0;
    }
    // Q-learning updates first and then acts; SARSA has already chosen.
    [s, a] = [following, sarsa ? next : act(following, t + 1)];
  }
  const path = [START];
  while (path.length < 40 && path[path.length - 1] !== GOAL) {
    const last = path[path.length - 1];
    path.push(move(last, argmax(q[last]))[0]);
  }
  return { v: q.map((row) => Math.max(...row)), path, mean: returns.length ? sum(returns) / returns.length : NaN };
};

const high = (width) => Math.min(50, (1.1 * (width - 4)) / COLUMNS); // of a cell
const arrived = (out) => out.path[out.path.length - 1] === GOAL;

const page = {
  kernel: K.cliff,
  height: (width) => 44 + ROWS * high(width),
  knobs: [
    { name: "sarsa", label: "algorithm", options: ["Q-learning", "SARSA"], value: 1 },
    { name: "epsilon", label: "ε, the share of random moves", values: [0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5], value: 0.1 },
    { name: "alpha", label: "α, the learning rate", values: [0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1], value: 0.2 },
    { name: "seed", label: "which learner", min: 1, max: 20, step: 1, value: 1 },
  ],
  breaks: {
    label: "forget that the goal ends the episode",
    says: "The goal now leads back to the start, and nothing is ever over. Values fall without end, and they no longer say how far the goal is.",
  },
  predict: {
    ask: "SARSA explores with ε = 0.1 all the time. After 10,000 env steps, which way does its greedy policy go?",
    options: ["along the edge of the cliff, the shortest way", "a row or more away from the edge", "it does not arrive"],
    right: (out) => (!arrived(out) ? 2 : out.path.length === 14 ? 0 : 1),
    because: "SARSA learns what its own policy is worth, random moves included: beside the cliff one move in forty falls. Q-learning learns what the greedy policy is worth, and walks along the edge.",
  },
  inputs: (s) => ({ sarsa: s.sarsa === 1, epsilon: s.epsilon, alpha: s.alpha, envSteps: 10000, seed: s.seed, forget: s.broken }),
  results: (out) => [
    ["greedy path", arrived(out) ? `${out.path.length - 1} env steps` : "does not arrive"],
    ["mean return while learning, second half", Number.isNaN(out.mean) ? "no episode ended" : out.mean.toFixed(2)],
    ["value of the start", out.v[START].toFixed(2)],
  ],
  draw: (sheet, out) => {
    const wide = (sheet.w - 4) / COLUMNS;
    const tall = high(sheet.w);
    const middle = (s) => [2 + ((s % COLUMNS) + 0.5) * wide, 20 + (Math.floor(s / COLUMNS) + 0.5) * tall];
    range(ROWS * COLUMNS).forEach((s) => {
      const [x, y] = middle(s);
      sheet.box(x - wide / 2, y - tall / 2, wide, tall, s > START && s < GOAL ? "hole" : "");
      if (sheet.w > 560 && !(s >= START)) sheet.text(x, y + tall / 2 - 6, out.v[s].toFixed(1), "small");
    });
    sheet.line(out.path.map(middle), "first");
    sheet.dot(...middle(out.path[out.path.length - 1]), "first");
    const floor = 20 + ROWS * tall + 14;
    sheet.text(2, floor, "S start", "small", "start");
    sheet.text(sheet.w / 2, floor, "the cliff: -100", "small");
    sheet.text(sheet.w - 2, floor, "goal", "small", "end");
  },
};

if (typeof module !== "undefined") module.exports = page;
else show(page);
