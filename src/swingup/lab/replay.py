"""A replay memory is compared with none: one DQN draws from all transitions so far, another from the newest alone.

Source: Lin 1992, doi:10.1007/BF00992699; Mnih et al. 2015, doi:10.1038/nature14236. Neighbouring transitions are
alike: a batch of the newest ones tells of one corner of the world, and a network that fits it forgets the others.
A replay mixes old transitions with new ones, so a batch is closer to independent draws from all that was seen.

Both kinds write the same memory and take equally large batches equally often. They differ in one number, from how
many of the newest transitions a batch is drawn. What they learn is held against the exact Q* and J*.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from matplotlib.figure import Figure

from swingup.algos.dqn import DQN
from swingup.envs import make
from swingup.lab.tools.learning import (
    all_states,
    apart,
    greedy_performance,
    learn,
    mean_of,
    per_seed,
    seeds_of,
)
from swingup.lab.tools.report import Claim, Report
from swingup.protocols import VecEnv, hyperparameters
from swingup.replay import ring
from swingup.replay.ring import Batch, Ring
from swingup.theory import exact
from swingup.training import machine
from swingup.types import State

ENV = "tabular:FrozenLake?observe=coordinates"
SEEDS, ENV_STEPS, EVERY = 32, 10_000, 400  # of each kind; env steps of each seed, and between two looks
NEWEST = 32.0  # transitions, as many as there are in a batch
KINDS = {"a replay of all transitions": 1e9, f"the newest {NEWEST:.0f} only": NEWEST}
SURE = 5.0  # standard errors; two equal kinds are that far apart in less than one of 50,000 comparisons


@hyperparameters
class Window(DQN):
    """This DQN draws its batches from the newest `window` transitions of its replay."""

    window: float = 1e9

    def init(self, env: VecEnv, key: Array) -> State:
        """Begin as DQN does, but for how batches will be drawn."""
        state = super().init(env, key)
        return state._replace(learner=state.learner._replace(priorities=Newest()))


class Newest(NamedTuple):
    """This stands in the place of priorities: the newest `window` transitions are drawn alike, and no others."""

    def admit(self, *_: object) -> "Newest":
        return self

    def learn(self, *_: object) -> "Newest":
        return self

    def sample(self, replay: Ring, key: Array, algo: Window) -> Batch:
        index = newest(replay, key, algo.batch_size, algo.window)
        return ring.take(replay, index, algo.gamma, algo.n_step)


def newest(replay: Ring, key: Array, count: int, window: Array | float) -> Array:
    """Draw `count` places among the newest `window` rows, uniformly and with replacement: [B]; for one environment."""
    rows = replay.words.shape[0]
    age = jnp.floor(jax.random.uniform(key, (count,)) * jnp.minimum(replay.size, window)).astype(jnp.int32)
    return (replay.pushed - 1 - age) % rows


def run(seed: int = 0) -> Report:
    """Train both kinds; draw the distance to Q* and the exact J of the greedy policy."""
    error, found = judged(list(KINDS.values()), seed)
    best = exact.performance(_mdp(), exact.greedy(exact.optimal_action_value(_mdp())))
    figure = Figure(figsize=(9, 3.6), dpi=150, layout="constrained")
    left, right = figure.subplots(1, 2)
    at = EVERY * np.arange(1, error.shape[-1] + 1)
    for axes, data in ((left, error), (right, found)):
        for name, x in zip(KINDS, data, strict=True):
            mean, half = x.mean(0), 2 * x.std(0, ddof=1) / np.sqrt(SEEDS)
            axes.plot(at, mean, label=name)
            axes.fill_between(at, mean - half, mean + half, alpha=0.25, lw=0)
    right.axhline(best, color="black", ls="--", lw=0.8)
    left.set(xlabel="env steps", ylabel="max |Q - Q*|", ylim=(0, None), title="distance to the exact Q*")
    right.set(xlabel="env steps", ylabel="J of the greedy policy", ylim=(0, None), title="exact performance")
    left.legend()
    half = error.shape[-1] // 2
    look = (
        "the second half: without old transitions Q stays away from Q*, and the greedy policy away from the best one "
        f"(dashed). Bands are the mean of {SEEDS} seeds ± 2 standard errors."
    )
    numbers = {
        "env": ENV,
        "env_steps": at.tolist(),
        "error": error.tolist(),
        "J": found.tolist(),
        "best_J": best,
    }
    return Report(
        look, tuple(claims_of(error[..., half:].mean(-1), found[..., half:].mean(-1))), numbers, figure
    )


def _mdp() -> Any:
    env = make(ENV, 1)
    return env.mdp


def judged(windows: list[float], seed: int, env_steps: int = ENV_STEPS) -> tuple[np.ndarray, np.ndarray]:
    """Return max |Q - Q*| and J of the greedy policy after each `EVERY` env steps, [kinds, seeds, points] each.

    Every kind meets the same seeds.
    """
    algo = per_seed(
        Window,
        epsilon_decay=env_steps / 4,
        warmup=500,
        replay_size=env_steps + 500,
        target_period=100,
        lr=1e-3,
        window=np.repeat(np.array(windows, np.float32), SEEDS),
    )
    rows = seeds_of(seed, SEEDS) * len(windows)
    machine.set_up(algo, len(rows))
    env = make(ENV, algo.num_envs)
    mdp, obs, per = env.mdp, all_states(env), algo.env_steps_per_iteration
    q = learn(algo, env, rows, env_steps // per, EVERY // per, lambda x: x.params(obs)).seen.astype(
        np.float64
    )
    error = np.abs(q - exact.optimal_action_value(mdp))[:, :, ~mdp.terminal].max((2, 3))
    found = np.array([[greedy_performance(mdp, x) for x in row] for row in q])
    shape = len(windows), SEEDS, -1
    return error.reshape(shape), found.reshape(shape)


def claims_of(error: np.ndarray, found: np.ndarray) -> list[Claim]:
    """Claim what the second half of training shows, [kinds, seeds] each, with a replay and without."""
    further, worse = apart(error[1], error[0]), apart(found[0], found[1])
    errors, returns = ([str(mean_of(x)) for x in data] for data in (error, found))
    return [
        Claim(
            bool(further > SURE),
            f"max |Q - Q*| in the second half of training is {errors[0]} with a replay and {errors[1]} without: "
            f"{further:.1f} standard errors apart (at least {SURE:.0f})",
        ),
        Claim(
            bool(worse > SURE),
            f"the greedy policy's exact J is {returns[0]} with a replay and {returns[1]} without: {worse:.1f} "
            f"standard errors apart (at least {SURE:.0f})",
        ),
    ]
