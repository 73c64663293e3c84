"""Every algorithm must find the exact values and actions of the probe environments (Andy Jones 2021)."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from conftest import SEEDS, half_of
from swingup.algos import algorithm
from swingup.envs import PROBES, Vec, probes
from swingup.spaces import Discrete, to_env
from swingup.training import driver
from swingup.types import Seen

GAMMA = 0.8
SETTINGS: dict[str, dict[str, Any]] = {
    "vpg": {
        "num_envs": 16,
        "num_steps": 16,
        "lr": 1e-2,
        "value_lr": 3e-3,
        "value_epochs": 10,
        "hidden": (32, 32),
    },
    "a2c": {
        "num_envs": 16,
        "num_steps": 5,
        "lr": 1e-2,
        "lr_decay": True,
        "lr_horizon": 80.0 * 1000,
        "c_entropy": 0.0,
        "max_grad_norm": 5.0,
        "hidden": (32, 32),
    },
    "trpo": {
        "num_envs": 16,
        "num_steps": 16,
        "delta": 0.02,
        "lr": 3e-3,
        "value_epochs": 4,
        "num_minibatches": 4,
        "hidden": (32, 32),
    },
    "ppo": {
        "num_envs": 16,
        "num_steps": 16,
        "num_minibatches": 4,
        "lr": 3e-3,
        "lr_decay": True,
        "lr_horizon": 256.0 * 150,
        "c_entropy": 0.0,
        "max_grad_norm": 5.0,
        "hidden": (32, 32),
    },
}
Q_LEARNING = {
    "num_envs": 8,
    "num_steps": 4,
    "replay_ratio": 0.25,
    "lr": 3e-3,
    "batch_size": 64,
    "replay_size": 2_000,
    "warmup": 1_000,
    "epsilon_decay": 2_000.0,
    "target_period": 20,
    "hidden": (32, 32),
}
SETTINGS |= {
    "dqn": Q_LEARNING,
    "c51": Q_LEARNING | {"v_min": -5.0, "v_max": 6.0, "atoms": 23},
    "qr_dqn": Q_LEARNING | {"quantiles": 8},
}
ACTOR_CRITIC = {
    "num_envs": 8,
    "num_steps": 4,
    "replay_ratio": 0.25,
    "lr": 3e-3,
    "actor_lr": 1e-3,
    "batch_size": 64,
    "replay_size": 2_000,
    "warmup": 1_000,
    "tau": 0.05,
    "hidden": (32, 32),
}
SETTINGS |= {
    "ddpg": ACTOR_CRITIC,
    "td3": ACTOR_CRITIC | {"smoothing": 0.05},
    "sac": ACTOR_CRITIC | {"actor_lr": 3e-3, "alpha": 0.002, "alpha_lr": 0.0},
    "sac_discrete": ACTOR_CRITIC | {"alpha": 0.01, "alpha_lr": 0.0},
}
ITERATIONS = {"vpg": 250, "a2c": 1000, "trpo": 100, "ppo": 150}
OFF_POLICY_ITERATIONS = 200
DISCRETE_ONLY, CONTINUOUS_ONLY = ("dqn", "c51", "qr_dqn", "sac_discrete"), ("ddpg", "td3", "sac")


class AnyProbe(probes.Probe):
    """The probe of a number that may be traced: so all of them, and all seeds, are one compiled program."""

    def __init__(self, tasks: list[probes.Probe], which: jax.Array):
        self.tasks, self.which = tasks, which
        self.action_space = tasks[-1].action_space

    def observe(self, time, sign):
        return self.choose("observe", time, sign)

    def respond(self, time, sign, action):
        reward, terminated, truncated = self.choose("respond", time, sign, action)
        return reward, terminated > 0, truncated > 0

    def choose(self, method, *args):
        def one(task):
            return lambda: jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), getattr(task, method)(*args))

        return jax.lax.switch(self.which, [one(task) for task in self.tasks])


def tasks_of(kind: str) -> list[probes.Probe]:
    """Those with discrete actions; or the continuous one, and with its actions those in which they do not matter."""
    all_ = [getattr(probes, name)() for name in PROBES]
    discrete = [task for task in all_ if isinstance(task.action_space, Discrete)]
    if kind == "discrete":
        return discrete
    pointless = [t for t in discrete if all(best is None for _, best in t.solution(GAMMA).values())]
    return [*pointless, probes.ContinuousTarget()]


PAIRS = [
    (name, kind)
    for name in SETTINGS
    for kind in ("discrete", "continuous")
    if name not in (DISCRETE_ONLY if kind == "continuous" else CONTINUOUS_ONLY)
]


def trained(algo: Any, tasks: list[probes.Probe], iterations: int, seeds: Sequence[int] = SEEDS) -> Any:
    """What is learnt of each task with each seed: [tasks, seeds]."""

    def one(which, key):
        env: Any = Vec(AnyProbe(tasks, which), algo.num_envs)
        state = algo.init(env, key)
        return jax.lax.fori_loop(0, iterations, lambda i, s: algo.step(env, s)[0], state).learner

    keys = jnp.stack([driver.root_key(seed, "train") for seed in seeds])
    every_seed = jax.vmap(one, (None, 0))
    return jax.jit(jax.vmap(every_seed, (0, None)))(jnp.arange(len(tasks)), keys)


def misses(algo: Any, learner: Any, task: probes.Probe) -> dict[str, np.ndarray]:
    """For everything that learners [S] of a task must know, how far off each is: [S], 1 is the bound.

    Values within 0.05 of their scale; the best action, and at random with a probability above 0.9; a number within 0.1.
    """
    found = {}
    for obs, (value, action) in task.solution(GAMMA).items():
        batch = jnp.array([obs])
        got = np.asarray(jax.vmap(lambda learner: algo.value(learner, batch)[0])(learner))  # noqa: B023
        found[f"V{obs} is {value}"] = np.abs(got - value) / (0.05 * max(1.0, abs(value)))
        if action is None:
            continue
        chosen = jax.vmap(lambda learner: algo.act(learner, Seen(batch))[0])(learner)  # noqa: B023
        if isinstance(action, float):
            off = np.abs(to_env(task.action_space, chosen)[..., 0] - action)[:, 0] / 0.1
        else:
            off = 2.0 * np.asarray(chosen[:, 0] != action)
            if not hasattr(learner, "replay"):
                pi = jax.vmap(lambda learner: learner.params.policy(batch))(learner)  # noqa: B023
                p = jnp.exp(pi.log_prob(jnp.full((len(off), 1), action)))[:, 0]
                off = np.maximum(off, (1 - np.asarray(p)) / 0.1)
        found[f"the best action in {obs} is {action}"] = off
    return {f"{task.name}: {text}: look at {task.failure}": x for text, x in found.items()}


def missed(name: str, kind: str, seeds: Sequence[int] = SEEDS) -> tuple[Any, Any, dict[str, np.ndarray]]:
    """An algorithm, what it learnt [tasks, S], and its misses [S] in all probes of a kind."""
    algo, tasks = algorithm(name)(**SETTINGS[name], gamma=GAMMA), tasks_of(kind)
    learners = trained(algo, tasks, ITERATIONS.get(name, OFF_POLICY_ITERATIONS), seeds)
    rows = [jax.tree.map(lambda x, i=i: x[i], learners) for i in range(len(tasks))]
    found = [misses(algo, row, task) for task, row in zip(tasks, rows, strict=True)]
    return algo, rows, {text: x for one in found for text, x in one.items()}


@pytest.mark.slow  # half a minute each; the fast tests have slow loops of all updates in their place
@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_probes_are_solved(name: str, kind: str) -> None:
    """Half of the seeds reach each exact value within 0.05 of its scale, and act well: see `misses`."""
    wrong = [f"{text}, not {x}" for text, x in missed(name, kind)[2].items() if half_of(x) > 1]
    assert not wrong, "\n".join(wrong)
