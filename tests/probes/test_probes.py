"""Every algorithm must find the exact values and actions of the probe environments (Andy Jones 2021)."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from swingup import driver
from swingup.algos import ALGOS, algorithm
from swingup.envs import PROBES, make, probes
from swingup.spaces import to_env

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
ITERATIONS = {"vpg": 250, "a2c": 1000, "trpo": 100, "ppo": 150}


@pytest.mark.parametrize("probe", PROBES)
@pytest.mark.parametrize("name", ALGOS)
def test_probe_is_solved(name: str, probe: str) -> None:
    """All seeds reach the exact value within 0.05 of its scale, and act well with probability > 0.9."""
    settings = SETTINGS[name]
    algo = algorithm(name)(**settings, gamma=GAMMA)
    env = make(f"probe:{probe}", algo.num_envs)
    state = driver.run(algo, env, driver.init(algo, env, SEEDS), ITERATIONS[name], chunk=ITERATIONS[name])
    task = getattr(probes, probe)()
    for obs, (value, action) in task.solution(GAMMA).items():
        batch = jnp.array([obs])
        hint = f"{probe}: look at {task.failure}"
        found = jax.vmap(lambda learner: learner.params.value(batch)[0])(state.learner)  # noqa: B023
        np.testing.assert_allclose(found, value, atol=0.05 * max(1.0, abs(value)), err_msg=hint)
        if action is None:
            continue
        pi = jax.vmap(lambda learner: learner.params.policy(batch))(state.learner)  # noqa: B023
        if isinstance(action, int):
            assert np.all(jnp.exp(pi.log_prob(jnp.full((len(SEEDS), 1), action))) > 0.9), hint
        else:
            np.testing.assert_allclose(
                to_env(task.action_space, pi.mode())[..., 0], action, atol=0.1, err_msg=hint
            )
