"""Hyperparameters that change in training, by how many env steps are done."""

from typing import Any, Protocol

import jax.numpy as jnp
from jax import Array

from swingup import counters
from swingup.counters import Counter


class Exploring(Protocol):
    """Settings with an ε that falls."""

    @property
    def epsilon_start(self) -> float: ...
    @property
    def epsilon_end(self) -> float: ...
    @property
    def epsilon_decay(self) -> float: ...


def epsilon(algo: Exploring, env_steps: Counter) -> Array:
    """ε: it falls linearly from `epsilon_start` at env step 0 to `epsilon_end` at `epsilon_decay`, and stays there.

    >>> from swingup.algos.dqn import DQN
    >>> algo = DQN(epsilon_start=1.0, epsilon_end=0.1, epsilon_decay=100.0)
    >>> [round(float(epsilon(algo, counters.counter(n))), 3) for n in (0, 50, 100, 1000)]
    [1.0, 0.55, 0.1, 0.1]
    """
    done = jnp.clip(counters.real(env_steps) / algo.epsilon_decay, 0.0, 1.0)
    return algo.epsilon_start + done * (algo.epsilon_end - algo.epsilon_start)


def decayed(algo: Any, lr: Array | float, env_steps: Array) -> Array | float:
    """A learning rate: `lr`, or with `lr_decay` what is left of it on its linear way to 0 at `lr_horizon` env steps.

    >>> from swingup.algos.dqn import DQN
    >>> [float(decayed(DQN(lr_decay=True, lr_horizon=80.0), 0.5, jnp.float32(n))) for n in (0, 20, 80, 90)]
    [0.5, 0.375, 0.0, 0.0]
    """
    return lr * jnp.maximum(0.0, 1 - env_steps / algo.lr_horizon) if algo.lr_decay else lr
