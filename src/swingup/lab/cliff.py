"""On a cliff the better policy is learnt off-policy, and more is earned on-policy while learning.

Source: Sutton & Barto 2018, example 6.6. Both explore all the time, with ε = 0.1. Q-learning learns what the greedy
policy is worth, and so walks the shortest way, along the edge, where one random action in ten falls down. SARSA
learns what the policy is worth that acts, random actions included, and keeps away from the edge. So SARSA earns
more while it learns, and Q-learning has the better policy once exploration ends.
"""

from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from swingup.algos.q_learning import QLearning
from swingup.algos.sarsa import SARSA
from swingup.envs import make
from swingup.envs.tabular import LAYOUTS, MDP, cells, cliff
from swingup.lab.tools.learning import apart, greedy_performance, learn, mean_of, seeds_of
from swingup.lab.tools.report import Claim, Report
from swingup.theory import exact
from swingup.training import machine

ENV, EPSILON, LR = "tabular:Cliff", 0.1, 0.2
LEARNERS: dict[str, Any] = {"SARSA": SARSA, "Q-learning": QLearning}
SEEDS, ENV_STEPS, POINTS = (
    50,
    20_000,
    20,
)  # of each learner; env steps of each seed, and times at which we look
SURE = 5.0  # standard errors; two equal learners are that far apart in less than one of 50,000 comparisons


def run(seed: int = 0) -> Report:
    """Train both; draw the learnt paths, and the returns of the episodes in which they were learnt."""
    found = {name: learnt(kind, seed) for name, kind in LEARNERS.items()}
    mdp, best = cliff(), softly_best(cliff(), EPSILON)
    short = exact.epsilon_greedy(exact.optimal_action_value(mdp), EPSILON)
    lines = {
        "exact, best with ε": exact.performance(mdp, best),
        "exact, shortest with ε": exact.performance(mdp, short),
    }
    figure = Figure(figsize=(11, 3.6), dpi=150, layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.2, 1))
    draw_paths(left, mdp, {name: q for name, (_, q) in found.items()})
    at = ENV_STEPS // POINTS * np.arange(1, POINTS + 1)
    for name, (returns, _) in found.items():
        mean, half = returns.mean(0), 2 * returns.std(0, ddof=1) / np.sqrt(SEEDS)
        right.plot(at, mean, label=f"{name}, mean ± 2 standard errors")
        right.fill_between(at, mean - half, mean + half, alpha=0.25, lw=0)
    for (name, value), style in zip(lines.items(), ("-.", "--"), strict=True):
        right.axhline(value, color="black", ls=style, lw=0.8, label=name)
    right.set(xlabel="env steps", ylabel="return while learning", ylim=(-100, 0), title=f"with ε = {EPSILON}")
    right.legend(loc="lower right")
    final = {name: np.array([greedy_performance(mdp, x) for x in q]) for name, (_, q) in found.items()}
    look = (
        "left: the path of Q-learning's greedy policy runs along the cliff, SARSA's keeps a distance. Right: "
        "while both still explore, the one on the safe way earns more."
    )
    numbers = {
        "env_steps": at.tolist(),
        "returns": {name: x.tolist() for name, (x, _) in found.items()},
        "greedy_J": {name: [float(x) if np.isfinite(x) else None for x in j] for name, j in final.items()},
        "exact": lines,
    }
    late = {name: x[:, POINTS // 2 :].mean(1) for name, (x, _) in found.items()}
    return Report(look, tuple(claims_of(late, final)), numbers, figure)


def learnt(kind: Any, seed: int, env_steps: int = ENV_STEPS) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean return of the episodes that ended in each of `POINTS` pieces of the training [S, POINTS], and
    the last Q.
    """
    algo = kind(gamma=1.0, lr=LR, epsilon_start=EPSILON, epsilon_end=EPSILON)
    machine.set_up(algo, SEEDS)
    env = make(ENV, algo.num_envs)
    found = learn(algo, env, seeds_of(seed, SEEDS), env_steps, env_steps // POINTS, lambda learner: learner.q)
    returns = np.nanmean(found.metrics["ep/return"].reshape(SEEDS, POINTS, -1), -1)
    return returns, found.seen[:, -1].astype(np.float64)


def softly_best(mdp: MDP, epsilon: float) -> np.ndarray:
    """Find exactly the best of all policies that take any action with probability ε: [S, A].

    It is the best policy of an MDP in which a random action is taken instead of the chosen one with probability ε.
    """

    def blur(x: np.ndarray) -> np.ndarray:
        return (1 - epsilon) * x + epsilon * x.mean(1, keepdims=True)

    chance, reward = blur(mdp.transition), blur(mdp.transition * mdp.reward)
    reward = np.divide(reward, chance, out=np.zeros_like(reward), where=chance > 0)
    shaken = mdp._replace(transition=chance, reward=reward)
    return exact.epsilon_greedy(exact.optimal_action_value(shaken), epsilon)


def path(mdp: MDP, q: np.ndarray) -> list[int]:
    """Follow the greedy policy's states, to the end or to where it has been before."""
    states = [int(np.argmax(mdp.start))]
    while not mdp.terminal[states[-1]] and states[-1] not in states[:-1]:
        s = states[-1]
        states.append(int(np.argmax(mdp.transition[s, np.argmax(q[s])])))
    return states


def draw_paths(axes: Axes, mdp: MDP, tables: dict[str, np.ndarray]) -> None:
    """Draw the greedy paths of all seeds on the map: a line is as wide as the share of seeds that walk there."""
    layout = LAYOUTS["Cliff"]
    where = np.array(cells(layout), np.float64)
    edge = np.array([cell for cell in cells(layout) if layout[cell[0]][cell[1]] == "C"])
    axes.plot(edge[:, 1], edge[:, 0], ls="", marker="s", ms=15, color="#999999", label="cliff")
    for i, (name, found) in enumerate(tables.items()):
        moves = Counter(move for q in found for move in pairwise(path(mdp, q)))
        axes.plot([], [], color=f"C{i}", ls="-", lw=4, label=name)
        for move, often in moves.items():
            line = where[list(move)] - 0.12 * i  # a little aside, so that both are seen where they meet
            axes.plot(line[:, 1], line[:, 0], color=f"C{i}", ls="-", lw=6 * often / len(found))
    for s, text in ((mdp.start.argmax(), "S"), (mdp.terminal.argmax(), "G")):
        axes.annotate(text, (where[s, 1], where[s, 0] + 0.3), ha="center", va="center", weight="bold")
    axes.set(xlim=(-0.6, 11.6), ylim=(3.6, -0.6), aspect="equal", title="greedy paths after learning")
    axes.set(xlabel="column", ylabel="row", yticks=range(4))
    axes.legend(loc="upper center", ncols=3, bbox_to_anchor=(0.5, -0.25))


def claims_of(online: dict[str, np.ndarray], final: dict[str, np.ndarray]) -> list[Claim]:
    """Claim what the returns while learning and those of the greedy policies show, one number per seed each. A tenth
    may be exceptions.
    """
    better = apart(online["SARSA"], online["Q-learning"])
    earned = " and ".join(f"{name} {mean_of(x)}" for name, x in online.items())
    best = exact.performance(cliff(), exact.greedy(exact.optimal_action_value(cliff())))
    share = {name: float(np.mean(np.abs(x - best) < 1e-6)) for name, x in final.items()}
    middle = float(np.median(final["SARSA"]))
    return [
        Claim(
            bool(better > SURE),
            f"in the second half of training {earned} earn per episode: SARSA more, by {better:.1f} standard errors "
            f"(at least {SURE:.0f})",
        ),
        Claim(
            share["Q-learning"] >= 0.9 and share["SARSA"] <= 0.1,
            f"the greedy policy's exact J is the best possible, {best:.0f}, in {share['Q-learning']:.0%} of "
            f"Q-learning's seeds and in {share['SARSA']:.0%} of SARSA's, whose median is {middle:.0f}",
        ),
    ]
