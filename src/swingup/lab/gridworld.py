"""Value iteration, V_{k+1} = T* V_k from V_0 = 0, fills a map from its goal, with arrows of the greedy policy.

V_k is the best return of k env steps. Where moves are certain and all that counts is the way to the goal, it is
right in exactly those cells that have the goal within k moves: knowledge spreads by one cell per sweep. And
π(s) = argmax_a Q*(s, a) is a best policy: what it is worth, by the linear equations of its own value, is V*.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from swingup.envs.tabular import (
    ARROWS,
    LAYOUTS,
    MDP,
    MOVES,
    cells,
    cliff,
    frozen_lake,
    grid,
    gridworld,
    windy_grid,
)
from swingup.lab.tools.report import Claim, Report
from swingup.theory.bellman import Iteration, fixed_point, lookahead, optimality_v
from swingup.theory.exact import greedy, optimal_by_linear_program, value

MAZES, ROWS, COLUMNS, WALLS = 20, 6, 8, 0.25  # random mazes, their size, and the probability of a wall
FAR = 10**6  # the distance of cells from which no way leads to the goal


class Spread(NamedTuple):
    """After k sweeps some cells are right, and some have the goal within k moves: both numbers, for each k."""

    right: list[int]
    within: list[int]


def sweeps(process: MDP) -> Iteration:
    """Return V_0 = 0, V_1, ... until nothing changes by more than 1e-12."""
    return fixed_point(lambda v: optimality_v(process, v), np.zeros(process.num_states))


def distances(layout: Sequence[str]) -> np.ndarray:
    """Count moves from each cell to the nearest goal, round walls, holes and cliffs, by search from the goal: [S]."""
    where = cells(layout)
    found = {cell: 0 for cell in where if layout[cell[0]][cell[1]] == "G"}
    border = list(found)
    for cell in border:  # it grows while we walk along it: breadth first
        for move in MOVES:
            near = (cell[0] + move[0], cell[1] + move[1])
            if near in where and near not in found and layout[near[0]][near[1]] not in "HC":
                found[near] = found[cell] + 1
                border.append(near)
    return np.array([found.get(cell, FAR) for cell in where])


def spread(iterates: Sequence[np.ndarray], best: np.ndarray, distance: np.ndarray) -> Spread:
    """Compare V_k with V* in the cells from which a way leads to the goal."""
    counted = (distance < FAR) & (distance > 0)
    right = [int((np.isclose(v, best, rtol=0, atol=1e-9) & counted).sum()) for v in iterates]
    return Spread(right, [int(((distance <= k) & counted).sum()) for k in range(len(iterates))])


def maze(rng: np.random.Generator) -> list[str]:
    """Make a maze of random walls, with one start and one goal."""
    layout = np.where(rng.random((ROWS, COLUMNS)) < WALLS, "#", ".")
    start, goal = rng.permutation(ROWS * COLUMNS)[:2]
    layout.flat[start], layout.flat[goal] = "S", "G"
    return ["".join(row) for row in layout]


def draw(axes: Axes, layout: Sequence[str], process: MDP, v: np.ndarray, title: str) -> None:
    """Draw values in colours, an arrow for each best action that is better than others, letters for special cells."""
    picture = np.full((len(layout), len(layout[0])), np.nan)
    q = lookahead(process, v)
    for s, (i, j) in enumerate(cells(layout)):
        if process.terminal[s] or layout[i][j] == "C":  # never acted in
            axes.text(j, i, layout[i][j], ha="center", va="center", color="white", weight="bold")
            continue
        picture[i, j] = v[s]
        if q[s].max() - q[s].min() > 1e-9:
            best = np.flatnonzero(q[s] > q[s].max() - 1e-9)
            axes.text(j, i, ARROWS[best[0]], ha="center", va="center", color="white", fontsize=11)
    low, high = np.nanmin(picture), np.nanmax(picture)
    image = axes.imshow(picture, cmap="viridis", aspect="equal", vmin=low, vmax=high + 0.3 * (high - low))
    axes.set(xticks=[], yticks=[], title=title)
    axes.set_facecolor("#6b7480")
    axes.grid(False)
    axes.figure.colorbar(image, ax=axes, shrink=0.85).set_label("V", rotation=0, labelpad=8)


def run(seed: int = 0) -> Report:
    """Draw maps of Grid and Cliff after several sweeps; measure the spreading on Cliff and on random mazes, and the
    greedy policies.
    """
    rng = np.random.default_rng(seed)
    figure = Figure(figsize=(12, 4.2), dpi=150, layout="constrained")
    panels = figure.subplots(2, 3, height_ratios=[1.35, 1])
    numbers: dict = {"values": {}}
    for row, (name, process, shown) in enumerate((("Grid", grid(), (1, 3)), ("Cliff", cliff(), (3, 8)))):
        iterates = sweeps(process).iterates
        for axes, k in zip(panels[row], (*shown, len(iterates) - 1), strict=True):
            draw(axes, LAYOUTS[name], process, iterates[k], f"{name}, {k} sweep{'s' * (k > 1)}")
            numbers["values"][f"{name} {k}"] = iterates[k].tolist()
    # A cliff's cells are never entered: a fall leads on to the start, so only the others are compared.
    walk, away = sweeps(cliff()), distances(LAYOUTS["Cliff"])
    on_cliff = spread(walk.iterates, walk.point, away)
    in_mazes = []
    for _ in range(MAZES):
        layout = maze(rng)
        process = gridworld(layout, gamma=0.95)
        found = sweeps(process)
        in_mazes.append(spread(found.iterates, found.point, distances(layout)))
    numbers |= {"cliff": on_cliff._asdict(), "mazes": [x._asdict() for x in in_mazes]}
    gaps = greedy_gaps()
    settled = policy_settled(grid())
    claims = (
        Claim(
            on_cliff.right == on_cliff.within,
            f"Cliff: after k sweeps V_k is right in exactly the cells within k moves of the goal, {on_cliff.right}",
        ),
        Claim(
            all(x.right == x.within for x in in_mazes),
            f"so it is in {MAZES} random mazes, which needed {min(len(x.right) for x in in_mazes) - 1} to "
            f"{max(len(x.right) for x in in_mazes) - 1} sweeps",
        ),
        Claim(
            max(gaps.values()) < 1e-8,
            "the greedy policy of Q* is worth V*; largest differences "
            + ", ".join(f"{name} {gap:.0e}" for name, gap in gaps.items()),
        ),
        Claim(
            settled[0] < settled[1],
            f"Grid: the greedy policy is best after {settled[0]} sweeps, V is right to 1e-12 after {settled[1]}",
        ),
    )
    look = "the colours spread from the goal G by one cell per sweep, and the arrows with them."
    return Report(look, claims, numbers | {"greedy_gaps": gaps, "policy_settled": settled}, figure)


def greedy_gaps() -> dict[str, float]:
    """Return the largest difference of the greedy policy's own value from V*, by linear programming, in four
    gridworlds.
    """
    processes = {"Grid": grid(), "Cliff": cliff(), "FrozenLake": frozen_lake(), "WindyGrid": windy_grid()}
    gaps = {}
    for name, process in processes.items():
        best = optimal_by_linear_program(process)
        worth = value(process, greedy(lookahead(process, best)))
        gaps[name] = float(np.abs(worth - best)[~process.terminal].max())
    return gaps


def policy_settled(process: MDP) -> list[int]:
    """Count the sweeps after which the greedy policy is worth V* for good, and those after which V stands still."""
    found = sweeps(process)
    worth = [value(process, greedy(lookahead(process, v))) for v in found.iterates]
    wrong = [k for k, v in enumerate(worth) if np.abs(v - found.point).max() > 1e-9]
    return [max(wrong, default=-1) + 1, len(found.steps)]
