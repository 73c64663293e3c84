"""Every algorithm must find the exact values and actions of the probe environments (Andy Jones 2021)."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from swingup import driver
from swingup.algos import ALGOS, algorithm
from swingup.critics import each
from swingup.envs import PROBES, Vec, probes
from swingup.spaces import Box, Discrete, to_env

SEEDS = [0, 1, 2, 3]
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


def task_of(name: str, probe: str) -> probes.Probe | None:
    """The probe as the algorithm can play it: where the action does not matter, also with continuous ones."""
    task = getattr(probes, probe)
    if name in DISCRETE_ONLY and not isinstance(task.action_space, Discrete):
        return None
    if name in CONTINUOUS_ONLY and isinstance(task.action_space, Discrete):
        if any(action is not None for _, action in task().solution(GAMMA).values()):
            return None
        task = type(probe, (task,), {"action_space": Box.of(-1.0, 1.0, (1,))})
    return task()


SLOW = ("c51", "qr_dqn", "ddpg", "td3", "sac", "sac_discrete")  # eight seconds each, most of it to compile
# Those of the off-policy algorithms, which imply the others; their unit tests have exact tasks besides.
TELLING = ("DelayedReward", "PickActionByObservation", "ContinuousTarget", "TimeLimit")
PAIRS = [
    pytest.param(name, probe, marks=[pytest.mark.slow] if name in SLOW else [])
    for name in ALGOS
    for probe in PROBES
    if task_of(name, probe)
    and (
        name in ITERATIONS or probe in TELLING[0 if name == "dqn" else 2 if name in ("ddpg", "sac") else 3 :]
    )
]


def value_of(algo: Any, learner: Any, obs: jax.Array) -> jax.Array:
    """V of the first observation, or what Q says of the greedy action there."""
    if hasattr(algo, "q_values"):
        return algo.q_values(learner.params, obs)[0].max()
    if hasattr(learner.params, "critic") and hasattr(learner, "replay"):
        critic, action = learner.params.critic, algo.act(learner, obs)[0]
        if type(algo).__name__ == "SACDiscrete":
            return jax.vmap(lambda critic: critic(obs))(critic).min(0)[0, action[0]]
        q = critic(obs, action) if type(algo).__name__ == "DDPG" else each(critic, obs, action).min(0)
        return q[0]
    return learner.params.value(obs)[0]


@pytest.mark.parametrize(("name", "probe"), PAIRS)
def test_probe_is_solved(name: str, probe: str) -> None:
    """All seeds reach the exact value within 0.05 of its scale, and act well (if at random: with probability > 0.9)."""
    algo = algorithm(name)(**SETTINGS[name], gamma=GAMMA)
    task = task_of(name, probe)
    assert task is not None
    env: Any = Vec(task, algo.num_envs)
    iterations = ITERATIONS.get(name, OFF_POLICY_ITERATIONS)
    state = driver.run(algo, env, driver.init(algo, env, SEEDS), iterations, chunk=iterations)
    for obs, (value, action) in task.solution(GAMMA).items():
        batch = jnp.array([obs])
        hint = f"{probe}: look at {task.failure}"
        found = jax.vmap(lambda learner: value_of(algo, learner, batch))(state.learner)  # noqa: B023
        np.testing.assert_allclose(found, value, atol=0.05 * max(1.0, abs(value)), err_msg=hint)
        if action is None:
            continue
        chosen = jax.vmap(lambda learner: algo.act(learner, batch)[0])(state.learner)  # noqa: B023
        if isinstance(action, float):
            np.testing.assert_allclose(
                to_env(task.action_space, chosen)[..., 0], action, atol=0.1, err_msg=hint
            )
            continue
        assert np.all(chosen == action), hint
        if not hasattr(state.learner, "replay"):
            pi = jax.vmap(lambda learner: learner.params.policy(batch))(state.learner)  # noqa: B023
            assert np.all(jnp.exp(pi.log_prob(jnp.full((len(SEEDS), 1), action))) > 0.9), hint
