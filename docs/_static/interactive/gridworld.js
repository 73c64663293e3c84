// How do values spread? Value iteration, V <- max_a E[r + γ V(s')], on a map, from V = 0.
"use strict";

const K = {};
const MAPS = [
  [".......", ".......", "S.....G", ".......", "......."],
  ["...#...", "...#...", "S..#..G", "...#...", "......."],
  [".#.....", ".#.#.#.", "S..#.#G", ".###.#.", ".....#."],
];
const MOVES = [[-1, 0], [0, 1], [1, 0], [0, -1]];

// V after some sweeps, its distance from V* and the greedy actions, for the cells that are no walls, row by row. With
// probability `slip` the agent goes to one of the two sides; the goal pays 1 and ends it; every env step costs `cost`.
K.gridworld = ({ map, gamma, slip, sweeps, cost }) => {
  const layout = MAPS[map];
  const cells = [];
  layout.forEach((row, i) => [...row].forEach((kind, j) => kind !== "#" && cells.push([i, j])));
  const number = (i, j) => cells.findIndex((c) => c[0] === i && c[1] === j);
  const goal = cells.findIndex(([i, j]) => layout[i][j] === "G");
  const next = cells.map(([i, j], s) => MOVES.map(([di, dj]) => {
    const to = number(i + di, j + dj);
    return to < 0 ? s : to; // a wall or the border stops it
  }));
  const value = (v, s, move) => {
    const to = next[s][move];
    return (to === goal ? 1 : gamma * v[to]) - cost;
  };
  const lookahead = (v, s) => range(4, (a) =>
    (1 - slip) * value(v, s, a) + (slip / 2) * (value(v, s, (a + 1) % 4) + value(v, s, (a + 3) % 4)));
  const sweep = (v) => cells.map((_, s) => (s === goal ? 0 : Math.max(...lookahead(v, s))));

  let v = cells.map(() => 0);
  for (let k = 0; k < sweeps; k++) v = sweep(v);
  let best = v;
  for (let moved = 1; moved > 1e-12; ) {
    const better = sweep(best);
    moved = Math.max(...better.map((x, s) => Math.abs(x - best[s])));
    best = better;
  }
  return { v, off: Math.max(...v.map((x, s) => Math.abs(x - best[s]))) };
};

const page = {
  kernel: K.gridworld,
  height: (width) => Math.min(330, (5 * (width - 4)) / 7 + 4),
  knobs: [
    { name: "sweeps", label: "sweeps over all cells", values: [0, 1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 50, 100, 500], value: 3 },
    { name: "gamma", label: "γ, the discount", values: [0.5, 0.8, 0.9, 0.95, 0.99], value: 0.9 },
    { name: "slip", label: "slip, the chance to go astray", min: 0, max: 0.6, step: 0.1, value: 0 },
    { name: "map", label: "walls", options: ["none", "one", "a maze"], value: 1 },
  ],
  breaks: {
    label: "every env step pays 0.1",
    says: "Being alive pays now. Where γ is large, 0.1 / (1 - γ) is more than the goal's 1, and after enough sweeps the best policy walks past it for ever.",
  },
  predict: {
    ask: "All values are 0, and only entering the goal pays 1. Each sweep updates every cell from the values of the sweep before. After 3 sweeps, which cells have a value above 0?",
    options: ["only those next to the goal", "those with the goal within 3 moves", "all from which the goal can be reached"],
    right: (out) => {
      const positive = out.v.filter((v) => v > 0).length;
      return positive <= 3 ? 0 : positive < out.v.length - 1 ? 1 : 2;
    },
    because: "A sweep looks one move ahead, so knowledge of the goal spreads by one move per sweep, and around walls.",
  },
  inputs: (s) => ({ map: s.map, gamma: s.gamma, slip: s.slip, sweeps: s.sweeps, cost: s.broken ? -0.1 : 0 }),
  results: (out) => [
    ["cells with a value above 0", `${out.v.filter((v) => v > 0).length} of ${out.v.length - 1}`],
    ["largest distance from V*", out.off.toFixed(4)],
  ],
  draw: (sheet, out, s) => {
    const size = (sheet.h - 4) / 5;
    const top = Math.max(...out.v, 1e-9);
    let state = 0;
    MAPS[s.map].forEach((row, i) => [...row].forEach((kind, j) => {
      const [x, y] = [2 + j * size, 2 + i * size];
      if (kind === "#") return sheet.box(x, y, size, size, "wall");
      const v = out.v[state++];
      sheet.box(x, y, size, size);
      const depth = 0.75 * (size - 3) * Math.max(0, v / top); // a bar from the floor: readable without colours
      sheet.box(x + 1, y + size - 1 - depth, size - 2, depth, "level");
      sheet.text(x + size / 2, y + size / 2 + 5, kind === "G" ? "goal" : v === 0 ? "0" : v.toFixed(2), kind === "G" || kind === "S" ? "strong" : "");
    }));
  },
};

if (typeof module !== "undefined") module.exports = page;
else show(page);
