"""Demonstrations that train run many seeds in one program and look at what they have learnt."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from swingup.envs.tabular import MDP
from swingup.errors import ConfigError
from swingup.protocols import Algorithm, VecEnv
from swingup.theory import exact
from swingup.training import driver

A = TypeVar("A", bound=Algorithm)


class Learning(NamedTuple):
    """This is what a training of S seeds has left behind."""

    seen: Any  # what `look` returned, with leading axes [S, points]
    metrics: dict[str, np.ndarray]  # {name: [S, iterations]}


def seeds_of(seed: int, count: int) -> list[int]:
    """Derive `count` seeds from one root seed; no two root seeds share any.

    >>> seeds_of(2, 3)
    [6, 7, 8]
    """
    return list(range(seed * count, (seed + 1) * count))


def per_seed(kind: type[A], **settings: Any) -> A:
    """Return an algorithm some of whose hyperparameters of type float are arrays, [S]: a value for each seed."""
    return kind(**settings)


def learn(
    algo: Algorithm,
    env: VecEnv,
    seeds: Sequence[int],
    iterations: int,
    every: int,
    look: Callable[[Any], Any],
) -> Learning:
    """Train all seeds side by side; after each `every` iterations see what `look(learner)` says of each seed.

    `every` must divide `iterations`. Call `machine.set_up` before the environment is made, which starts JAX.
    """
    looks, seen, parts = jax.jit(jax.vmap(look)), [], []

    def keep(progress: driver.Progress) -> None:
        parts.append(progress.metrics)
        if progress.iteration % every == 0:  # a copy, because the next chunk writes over the learner
            seen.append(jax.tree.map(np.array, looks(progress.state.learner)))

    driver.run(algo, env, driver.begin(algo, env, seeds), iterations, every=[every], callbacks=[keep])
    metrics = {name: np.concatenate([part[name] for part in parts], 1) for name in parts[0]}
    return Learning(jax.tree.map(lambda *x: np.stack(x, 1), *seen), metrics)


def all_states(env: Any) -> Any:
    """Return what an environment of a finite MDP shows in each of its states: [S, ...]."""
    return jax.vmap(env.env.observe)(jnp.arange(env.env.mdp.num_states))


def greedy_performance(mdp: MDP, q: np.ndarray) -> float:
    """Return the exact J of the policy that is greedy in Q [S, A]; -∞ where γ = 1 and it never comes to an end.

    Where it never comes, Q was never learnt, and the uniform policy may stand there: J does not know.
    """
    policy, met = exact.greedy(q), mdp.start > 0
    for _ in range(mdp.num_states):
        met = met | (met @ exact.chain_of(mdp, policy) > 0)
    try:
        return exact.performance(mdp, np.where(met[:, None], policy, exact.uniform(mdp)))
    except ConfigError:
        return -np.inf


class Mean(NamedTuple):
    """A mean over seeds comes with its standard error."""

    value: float
    error: float

    def __str__(self) -> str:
        return f"{self.value:.3g} ± {self.error:.2g}"


def mean_of(x: np.ndarray) -> Mean:
    """Take the mean of one number per seed, [S].

    >>> print(mean_of(np.array([1.0, 3.0])))
    2 ± 1
    """
    return Mean(float(x.mean()), float(x.std(ddof=1) / np.sqrt(len(x))))


def apart(a: np.ndarray, b: np.ndarray) -> float:
    """Return by how many standard errors the mean of independent a [S] lies above that of b [S] (Welch's t).

    >>> float(apart(np.array([3.0, 5.0]), np.array([1.0, 1.0])))
    3.0
    """
    x, y = mean_of(a), mean_of(b)
    return (x.value - y.value) / max(np.hypot(x.error, y.error), 1e-12)
