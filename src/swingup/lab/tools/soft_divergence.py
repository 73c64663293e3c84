"""Soft divergence shows in the largest |Q| that a DQN comes to believe in, here with each of four bootstrap targets.

Source: van Hasselt et al. 2018, "Deep reinforcement learning and the deadly triad", arXiv:1812.02648. With rewards
within [-1, 1] no discounted return exceeds 1 / (1 - γ). An estimate beyond that is wrong without any doubt; a run
in which one appears has softly diverged, even if it comes back later.
"""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from swingup.algos.dqn import DQN
from swingup.envs import make
from swingup.errors import ConfigError
from swingup.lab.tools.learning import per_seed
from swingup.nets.value_networks import QNetwork
from swingup.protocols import hyperparameters
from swingup.replay.ring import Batch
from swingup.training import driver

TARGETS = {  # {name: (the online network chooses the next action, it judges it)}
    "online max": (1.0, 1.0),
    "inverse double": (0.0, 1.0),
    "target network": (0.0, 0.0),
    "double": (1.0, 0.0),
}
PAPER = {"online max": 61, "inverse double": 33, "target network": 14, "double": 10}  # % of runs, on Atari


@hyperparameters
class Bootstrap(DQN):
    """In this DQN the online or the target network chooses the next action, and either of them judges it.

        y = r + γ (1 - terminated) Q_judge(s', argmax_a' Q_choose(s', a'))

    Both options are floats, so one compiled program runs all four combinations side by side.
    """

    online_chooses: float = 0.0  # 1: the online network chooses a'; 0: the target network does
    online_judges: float = 0.0  # 1: the online network says what a' is worth; 0: the target network does

    def loss(
        self, params: QNetwork, target: QNetwork, b: Batch, key: Array | None = None
    ) -> tuple[Array, tuple[Array, dict]]:
        """Compute DQN's loss, with a target network that knows the judge's value of the chosen action, and -∞ of all
        others.
        """

        def judged(obs: Any) -> Array:
            online, frozen = params(obs), target(obs)
            chosen = jnp.argmax(jnp.where(self.online_chooses > 0, online, frozen), -1)
            value = jnp.where(self.online_judges > 0, online, frozen)
            return jnp.where(jnp.arange(value.shape[-1]) == chosen[..., None], value, -jnp.inf)

        stand_in: Any = judged
        loss, (td, metrics) = super().loss(params, stand_in, b, key)
        # The largest sum of k discounted rewards is 1 + γ + ... + γ^{k-1}, and the batch has γ^k.
        most = (1 - b.discount) / (1 - self.gamma)
        return loss, (td, metrics | {"reward/max": (jnp.abs(b.reward) / most).max()})


def settings(
    seeds: Sequence[int], lrs: Sequence[float], gradient_steps: int, **changes: Any
) -> tuple[Bootstrap, list[int]]:
    """Return all targets x learning rates x seeds as one batch of settings, and the seed of each of its rows.

    Every target meets the same seeds. There is one gradient step per iteration, so that the driver's metrics are
    those of every single one, and every transition stays in the replay.
    """
    rows = [(*kind, lr, seed) for kind in TARGETS.values() for lr in lrs for seed in seeds]
    chooses, judges, rates, _ = np.array(rows, np.float32).T
    algo = per_seed(
        Bootstrap,
        **{
            "num_steps": 1,
            "replay_ratio": 1.0,
            "target_period": 50,
            "epsilon_decay": gradient_steps / 4,
            "replay_size": 1000 + gradient_steps,
            "warmup": 1000,
            **changes,
        },
        online_chooses=chooses,
        online_judges=judges,
        lr=rates,
    )
    return algo, [row[-1] for row in rows]


def largest_q(env_id: str, algo: Bootstrap, seeds: Sequence[int], gradient_steps: int) -> np.ndarray:
    """Return the largest |Q(s, a)| among the transitions of each batch: [rows, gradient steps].

    Raises `ConfigError` if what was learnt from needs rewards beyond [-1, 1], where 1 / (1 - γ) would be no bound.
    """
    env, parts, rewards = make(env_id, algo.num_envs), [], []

    def keep(progress: driver.Progress) -> None:
        parts.append(progress.metrics["q/max"])
        rewards.append(progress.metrics["reward/max"].max())

    driver.run(algo, env, driver.begin(algo, env, seeds), gradient_steps, callbacks=[keep])
    if max(rewards) > 1.001:  # the thousandth is for rounding
        raise ConfigError(f"{env_id} has rewards of up to {max(rewards):g}; this bound needs them in [-1, 1]")
    return np.concatenate(parts, 1)
