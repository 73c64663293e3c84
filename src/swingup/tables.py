"""The algorithms without a network share tables of values."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from swingup.errors import ConfigError
from swingup.protocols import VecEnv
from swingup.spaces import Discrete
from swingup.types import Rollout


class Sample(NamedTuple):
    """These are transitions (s, a, r, s'), and the number of the environment that each comes from."""

    obs: Array
    action: Array
    reward: Array
    next_obs: Array
    terminated: Array
    truncated: Array
    env: Array


def sizes(env: VecEnv) -> tuple[int, int]:
    """Return how many states and actions there are. Raises `ConfigError` unless both are numbers."""
    states, actions = env.observation_space, env.action_space
    if not (isinstance(states, Discrete) and isinstance(actions, Discrete)):
        raise ConfigError(
            f"{env.name}: a table needs observations and actions that are numbers (Discrete). Use an algorithm with "
            "a network, such as dqn, or an environment such as tabular:Cliff"
        )
    return states.n, actions.n


def in_order(rollout: Rollout) -> Sample:
    """Put the transitions of a rollout [T, N] in order of time, [T N]: those of one time by their environments."""
    step = rollout.step
    t, n = step.reward.shape
    env = jnp.broadcast_to(jnp.arange(n), (t, n))
    fields = (rollout.obs, rollout.action, step.reward, step.next_obs, step.terminated, step.truncated, env)
    return Sample(*(x.reshape(t * n) for x in fields))


def rate(lr: Array | float, power: Array | float, visits: Array) -> Array:
    """Return the learning rate α: `lr`, or with ω = `power` > 0 the n-th update's 1 / n^ω.

    With 1/2 < ω <= 1 their sum is infinite and that of their squares finite, as theorems of convergence ask.

    >>> float(rate(0.25, 0.0, jnp.array(4))), float(rate(0.25, 0.5, jnp.array(4)))
    (0.25, 0.5)
    """
    return jnp.where(power > 0, jnp.maximum(visits, 1.0) ** -power, lr)


def visit(visits: Array, place: tuple, now: Array | bool = True) -> Array:
    """Return counts of visits with one more at `place`, if `now`. They stop at 2^31 - 1.

    A rate 1 / n^ω is then too small to change a float32 anyway, or its ω so near 1/2 that it is 2e-5 for good.
    """
    return visits.at[place].add((now & (visits[place] < 2**31 - 1)).astype(jnp.int32))


def largest(table: Array) -> Array:
    """Return the largest absolute value, the sup norm."""
    return jnp.abs(table).max()
