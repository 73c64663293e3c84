"""A finite Markov decision process is a few tables.

With P and R in hand every quantity of the theory has an exact answer: see `swingup.theory`.
`tabular:Cliff` and the other names of `PROCESSES` are environments that any algorithm trains on, made by
`swingup.envs.adapters.tabular`; what is behind the question mark, as in `tabular:Random?states=20`, goes to the
function that makes the tables.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from swingup.errors import ConfigError

MOVES = (-1, 0), (0, 1), (1, 0), (0, -1)  # what the four actions of a gridworld add to row and column
ARROWS = "↑→↓←"


class MDP(NamedTuple):
    """A finite MDP has S states and A actions. Terminal states lead to themselves, with reward 0."""

    transition: Any  # P(s'|s, a): [S, A, S]
    reward: Any  # R(s, a, s'): [S, A, S]
    start: Any  # μ(s), the distribution of the first state: [S]
    terminal: Any  # the episode ends on entering it, and its value is 0: [S], bool
    gamma: Any  # γ: discount per env step, in [0, 1]

    @property
    def num_states(self) -> int:
        return self.transition.shape[0]

    @property
    def num_actions(self) -> int:
        return self.transition.shape[1]

    @property
    def expected_reward(self) -> Any:
        """r(s, a) = Σ_s' P(s'|s, a) R(s, a, s'): [S, A]."""
        return (self.transition * self.reward).sum(-1)


def mdp(transition: Any, reward: Any, start: Any, terminal: Any = (), gamma: float = 0.99) -> MDP:
    """Make an `MDP` of float64 tables. `reward` may be [S, A, S] or [S, A]; `terminal` are numbers of states.

    Raises `ConfigError` where shapes do not fit or probabilities do not sum to 1.

    >>> two = mdp([[[0, 1]], [[0, 1]]], [[1], [0]], [1, 0], terminal=[1])
    >>> two.num_states, two.num_actions, float(two.expected_reward[0, 0])
    (2, 1, 1.0)
    """
    p, r, mu = (np.array(x, np.float64) for x in (transition, reward, start))
    if p.ndim != 3 or p.shape[0] != p.shape[2] or mu.shape != p.shape[:1] or r.shape[:2] != p.shape[:2]:
        raise ConfigError(
            f"an MDP needs transition [S, A, S], reward [S, A] or [S, A, S] and start [S]; got {p.shape}, "
            f"{r.shape} and {mu.shape}"
        )
    r = np.broadcast_to(r[..., None] if r.ndim == 2 else r, p.shape).copy()
    ends = np.zeros(len(mu), bool)
    ends[list(terminal)] = True
    p[ends], r[ends] = np.eye(len(mu))[ends][:, None], 0.0
    wrong = [
        n for n, x in (("transition", p), ("start", mu)) if x.min() < 0 or abs(x.sum(-1) - 1).max() > 1e-9
    ]
    if wrong:
        raise ConfigError(f"probabilities must be at least 0 and sum to 1; those of {wrong[0]} do not")
    if not 0 <= gamma <= 1:
        raise ConfigError(f"gamma must lie in [0, 1], not {gamma}")
    return MDP(p, r, mu, ends, float(gamma))


# --- Processes ---------------------------------------------------------------------------------------------


def random(states: int = 6, actions: int = 3, branching: int = 3, seed: int = 0, gamma: float = 0.9) -> MDP:
    """Make an MDP in which each state and action leads to `branching` states, with Dirichlet(1) probabilities and
    standard normal rewards.

    So are Garnets made (Bhatnagar et al. 2009). It never ends.
    """
    if not 1 <= branching <= states or actions < 1:
        raise ConfigError(f"branching must lie between 1 and states = {states}, and actions be at least 1")
    rng = np.random.default_rng(seed)
    p = np.zeros((states, actions, states))
    for row in p.reshape(-1, states):
        row[rng.permutation(states)[:branching]] = rng.dirichlet(np.ones(branching))
    return mdp(p, rng.normal(size=(states, actions)), rng.dirichlet(np.ones(states)), gamma=gamma)


def chain(states: int = 5, slip: float = 0.0, gamma: float = 0.9) -> MDP:
    """Put states in a row: left and right, the first state the start; reward 1 for reaching the last, which ends it.

    With probability `slip` the other direction is taken. V*(s) = γ^(states - 2 - s) without slips.
    """
    p, r = np.zeros((states, 2, states)), np.zeros((states, 2, states))
    for s in range(states):
        for a, move in enumerate((-1, 1)):
            p[s, a, np.clip(s + move, 0, states - 1)] += 1 - slip
            p[s, a, np.clip(s - move, 0, states - 1)] += slip
    r[:, :, -1] = 1.0
    return mdp(p, r, np.eye(states)[0], [states - 1], gamma)


def two_state_loop(gamma: float = 0.9) -> MDP:
    """Offer two actions, to stay or to go to the other state, with reward 1 for going from the first to the second:
    V*(first) = 1 / (1 - γ²).
    """
    stay, go = np.eye(2), np.eye(2)[::-1]
    return mdp(np.stack([stay, go], 1), [[0, 1], [0, 0]], [1, 0], gamma=gamma)


def bias(actions: int = 10, gamma: float = 1.0) -> MDP:
    """Make an MDP in which a maximum over noise misleads (Sutton & Barto 2018, example 6.7).

    In the first state action 0 ends it with reward 0, any other leads to the second state. There every action
    ends it with reward +1 or -1, the second with probability 0.55: so action 0 is best, by 0.1.
    """
    p, r = np.zeros((4, actions, 4)), np.zeros((4, actions, 4))
    p[0, 0, 2], p[0, 1:, 1] = 1.0, 1.0
    p[1, :, 2:], r[1, :, 2:] = [0.45, 0.55], [1.0, -1.0]
    return mdp(p, r, np.eye(4)[0], [2, 3], gamma)


def baird(gamma: float = 0.99) -> MDP:
    """Make Baird's seven states (Baird 1995): action 0 leads to any of the first six, action 1 to the seventh; no
    reward.
    """
    p = np.zeros((7, 2, 7))
    p[:, 0, :6], p[:, 1, 6] = 1 / 6, 1.0
    return mdp(p, np.zeros((7, 2)), np.full(7, 1 / 7), gamma=gamma)


# --- Gridworlds --------------------------------------------------------------------------------------------

LAYOUTS = {
    "Grid": ("...G", ".#.H", "S..."),
    "Cliff": ("............",) * 3 + ("SCCCCCCCCCCG",),
    "FrozenLake": ("S...", ".H.H", "...H", "H..G"),
    "WindyGrid": ("..........",) * 3 + ("S......G..",) + ("..........",) * 3,
}


def cells(layout: Sequence[str]) -> list[tuple[int, int]]:
    """Return row and column of each state of a gridworld: all cells but the walls `#`, row by row."""
    return [(i, j) for i, row in enumerate(layout) for j, cell in enumerate(row) if cell != "#"]


def gridworld(
    layout: Sequence[str],
    *,
    goal: float = 1.0,
    hole: float = 0.0,
    cost: float = 0.0,
    slip: float = 0.0,
    wind: Sequence[int] = (),
    gamma: float = 0.99,
) -> MDP:
    """Actions up, right, down, left on a map of `S` starts, `G` goals, `H` holes, `C` cliffs and `#` walls.

    Entering G or H ends the episode, with reward `goal` or `hole`; stepping on C costs 100 and leads back to the
    start; every env step costs `cost`. With probability `slip` the agent goes to one of the two sides
    instead. `wind` says by how many cells each column carries it upwards. Walls and the border stop it.
    """
    where = cells(layout)
    number, end = {cell: i for i, cell in enumerate(where)}, {"G": goal, "H": hole}
    kinds = [layout[i][j] for i, j in where]
    starts = [s for s, kind in enumerate(kinds) if kind == "S"]
    p, pr = np.zeros((2, len(where), 4, len(where)))

    def moved(cell: tuple[int, int], step: tuple[int, int]) -> tuple[int, int]:
        aim = (
            min(max(cell[0] + step[0], 0), len(layout) - 1),
            min(max(cell[1] + step[1], 0), len(layout[0]) - 1),
        )
        return aim if aim in number else cell

    for s, cell in enumerate(where):
        for a in range(4):
            for turn, chance in ((0, 1 - slip), (1, slip / 2), (3, slip / 2)):
                to = moved(cell, MOVES[(a + turn) % 4])
                for _ in range(wind[cell[1]] if wind else 0):
                    to = moved(to, MOVES[0])
                kind = layout[to[0]][to[1]]
                following = starts if kind == "C" else [number[to]]
                p[s, a, following] += chance / len(following)
                pr[s, a, following] += (
                    chance / len(following) * (end.get(kind, 0.0) - cost - 99 * (kind == "C"))
                )
    reward = np.divide(pr, p, out=np.zeros_like(p), where=p > 0)
    start = np.isin(np.arange(len(where)), starts) / len(starts)
    return mdp(p, reward, start, [s for s, kind in enumerate(kinds) if kind in end], gamma)


def grid(slip: float = 0.2, cost: float = 0.04, gamma: float = 0.99) -> MDP:
    """Make three rows and four columns with a wall, +1 and -1 (Russell & Norvig, chapter 17), and with slips."""
    return gridworld(LAYOUTS["Grid"], hole=-1.0, slip=slip, cost=cost, gamma=gamma)


def cliff(gamma: float = 1.0) -> MDP:
    """Walk along a cliff (Sutton & Barto 2018, example 6.6): -1 per env step, -100 for a fall."""
    return gridworld(LAYOUTS["Cliff"], goal=0.0, cost=1.0, gamma=gamma)


def frozen_lake(slip: float = 2 / 3, gamma: float = 0.99) -> MDP:
    """Make Gymnasium's 4x4 lake: holes, one goal with reward 1, and ice on which one move in three goes as meant."""
    return gridworld(LAYOUTS["FrozenLake"], slip=slip, gamma=gamma)


def windy_grid(gamma: float = 1.0) -> MDP:
    """Let wind blow up in the middle of ten columns (Sutton & Barto 2018, example 6.5), 15 env steps at best."""
    return gridworld(
        LAYOUTS["WindyGrid"], goal=0.0, cost=1.0, wind=(0, 0, 0, 1, 1, 1, 2, 2, 1, 0), gamma=gamma
    )


PROCESSES = {
    "Chain": chain,
    "TwoStateLoop": two_state_loop,
    "Random": random,
    "Bias": bias,
    "Baird": baird,
    "Grid": grid,
    "Cliff": cliff,
    "FrozenLake": frozen_lake,
    "WindyGrid": windy_grid,
}
