"""Exploration has to find what pays: Q-learning tries four schedules of ε where only a long run to the right does.

Source: the lecture's ε-greedy policy, decayed linearly to a floor, as in Mnih et al. 2015, doi:10.1038/nature14236;
the chain is like RiverSwim (Strehl & Littman 2008, doi:10.1016/j.jcss.2007.08.009). A small reward lies at the left
end, where each episode begins, and a large one at the right end. Who is greedy from the beginning finds the small
one and stays there. A random action now and then does not help: the way to the right takes many in a row. Random
at first and greedy later, the same algorithm finds it.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from swingup.algos.q_learning import Learner, QLearning
from swingup.counters import counter
from swingup.distributions import noise
from swingup.envs import Vec
from swingup.envs.adapters.tabular import Tabular
from swingup.envs.tabular import MDP, chain
from swingup.lab.tools.learning import greedy_performance, learn, per_seed, seeds_of
from swingup.lab.tools.report import Claim, Report
from swingup.spaces import Discrete
from swingup.theory import exact
from swingup.training import machine
from swingup.types import Seen

STATES, SLIP, SMALL, GAMMA = 8, 0.1, 0.01, 0.95
SEEDS, ENV_STEPS, POINTS = 40, 10_000, 40  # of each schedule; env steps of each seed; times at which we look
DECAYED = "ε from 1 to 0.05"
SCHEDULES = {"ε = 0": (0.0, 0.0), "ε = 0.1": (0.1, 0.1), "ε = 0.5": (0.5, 0.5), DECAYED: (1.0, 0.05)}
DRAWS, FALSE_ALARM = 20_000, 1e-5  # actions at each look; how often the chi-square test may err


def run(seed: int = 0) -> Report:
    """Train with each schedule; draw the share of seeds that found the goal, and how random actions were."""
    share, epsilon = found_by(list(SCHEDULES.values()), seed)
    figure = Figure(figsize=(9, 3.6), dpi=150, layout="constrained")
    left, right = figure.subplots(1, 2)
    at = ENV_STEPS // POINTS * np.arange(1, POINTS + 1)
    for name, x in zip(SCHEDULES, share, strict=True):
        left.plot(at, x, label=name)
    left.set(xlabel="env steps", ylabel="share of seeds that found it", title=f"{SEEDS} seeds of each")
    left.legend()
    last = dict(zip(SCHEDULES, share[:, -1], strict=True))
    decayed = algorithm([SCHEDULES[DECAYED]], 1)
    counts = actions(decayed, at, seed)
    schedule = expected_epsilon(SCHEDULES[DECAYED], at)
    p_value = fit(counts, schedule)
    draw_schedule(right, at, epsilon[-1], counts)
    look = (
        "left: only the schedule that begins with random actions finds the goal soon and in nearly every seed. "
        "Right: its ε falls, and its actions are as random as ε says."
    )
    numbers = {
        "env_steps": at.tolist(),
        "share": {name: x.tolist() for name, x in zip(SCHEDULES, share, strict=True)},
        "epsilon": epsilon[-1].tolist(),
        "actions": counts.tolist(),
        "p_value": p_value,
    }
    off = float(np.abs(epsilon[-1] - schedule).max())
    return Report(look, (*finding(last), *matching(off, p_value)), numbers, figure)


def river() -> MDP:
    """Make the chain, with a small reward for being carried to its left end."""
    process = chain(STATES, SLIP, GAMMA)
    reward = process.reward.copy()
    reward[:-1, :, 0] = SMALL
    return process._replace(reward=reward)


def algorithm(schedules: list[tuple[float, float]], seeds: int) -> QLearning:
    """Train Q-learning with each schedule and each of `seeds` seeds; the decay takes half of the training."""
    start, end = np.repeat(np.array(schedules, np.float32), seeds, 0).T
    decay = {"epsilon_start": start, "epsilon_end": end, "epsilon_decay": ENV_STEPS / 2}
    return per_seed(QLearning, gamma=GAMMA, **decay)


def found_by(schedules: list[tuple[float, float]], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the share of seeds whose greedy policy has 90% of the best J, and ε, at each look: [schedules, points]
    each.
    """
    algo, rows = algorithm(schedules, SEEDS), seeds_of(seed, SEEDS) * len(schedules)
    machine.set_up(algo, len(rows))
    mdp, every = river(), ENV_STEPS // POINTS
    env = Vec(Tabular(mdp), algo.num_envs)
    found = learn(algo, env, rows, ENV_STEPS, every, lambda learner: learner.q)
    best = exact.performance(mdp, exact.greedy(exact.optimal_action_value(mdp)))
    good = np.array([[greedy_performance(mdp, q) > 0.9 * best for q in row] for row in found.seen])
    epsilon = found.metrics["epsilon"][::SEEDS, every - 1 :: every]
    return good.reshape(len(schedules), SEEDS, -1).mean(1), epsilon


# --- Does ε do what it says? -------------------------------------------------------------------------------


def expected_epsilon(schedule: tuple[float, float], env_steps: np.ndarray) -> np.ndarray:
    """Return ε after a number of env steps: a straight line from start to end in half of the training, then the end."""
    return np.interp(env_steps, [0, ENV_STEPS / 2], schedule)


def actions(algo: Any, env_steps: np.ndarray, seed: int) -> np.ndarray:
    """Count how often each of two actions is taken at each of these times, where action 1 is the greedy one: [points,
    2].
    """
    q = jnp.array([[0.0, 1.0]])
    obs, counts = jnp.zeros(DRAWS, jnp.int32), []
    for time, key in zip(env_steps, jax.random.split(jax.random.key(seed), len(env_steps)), strict=True):
        learner = Learner(q, jnp.zeros((1, 2), jnp.int32), counter(int(time)))
        action, _, _ = algo.act(learner, Seen(obs), noise(Discrete(2), key, (DRAWS,)))
        counts.append(np.bincount(np.asarray(action), minlength=2))
    return np.array(counts)


def fit(counts: np.ndarray, epsilon: np.ndarray) -> float:
    """Return the chi-square test's p-value that the greedy one of two actions is taken with probability 1 - ε / 2."""
    from scipy.stats import chi2

    total = counts.sum(1)
    expected = np.stack([total * epsilon / 2, total * (1 - epsilon / 2)], 1)
    return float(chi2.sf(((counts - expected) ** 2 / expected).sum(), len(counts)))


def draw_schedule(axes: Axes, at: np.ndarray, epsilon: np.ndarray, counts: np.ndarray) -> None:
    """ε as it was in training, and twice the share of actions that were not greedy."""
    axes.plot(at, epsilon, label="ε in training")
    axes.plot(at, 2 * counts[:, 0] / counts.sum(1), ls="", marker=".", label="2 x share of other actions")
    axes.set(
        xlabel="env steps", ylabel="ε", ylim=(0, 1.05), title=f"{DECAYED}; {DRAWS:,} draws at each point"
    )
    axes.legend()


def finding(last: dict[str, float]) -> list[Claim]:
    """Claim what the share of seeds that have found the goal at the end shows."""
    shares = ", ".join(f"{name}: {x:.0%}" for name, x in last.items())
    holds = last["ε = 0"] <= 0.1 and last["ε = 0.1"] <= 0.2 and last[DECAYED] >= 0.8
    return [Claim(bool(holds), f"share of {SEEDS} seeds whose greedy policy goes to the goal, {shares}")]


def matching(off: float, p_value: float) -> list[Claim]:
    """Claim that the actions taken fit the schedule of ε."""
    return [
        Claim(off < 1e-5, f"ε in training is the straight line to its floor, to {off:.0e}"),
        Claim(
            p_value > FALSE_ALARM,
            f"actions are as random as ε says: chi-square test over {POINTS} points, p = {p_value:.2g} (it fails "
            f"below {FALSE_ALARM:g}, which a true ε does as seldom)",
        ),
    ]
