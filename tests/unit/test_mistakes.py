"""Mistakes of docs/mistakes.md are tested here if they have no better place: each test fails on the original."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from conftest import assert_close, small
from swingup.algos.vpg import VPG, Batch
from swingup.envs import make
from swingup.returns import k3
from swingup.rollout import collect
from swingup.runs.experiment import Experiment
from swingup.spaces import Box, to_env
from swingup.training import driver
from swingup.types import Rollout


def rollout_of(algo: Any, name: str, learner: Any = None) -> tuple[Any, Rollout]:
    """A learner and what its policy met."""
    env = make(name, algo.num_envs)
    state = jax.tree.map(lambda x: x[0], driver.init(algo, env, [0]))
    learner = learner or state.learner
    act = partial(algo.act, learner)
    return learner, collect(env, act, state.actor, jax.random.key(1), algo.num_steps)[1]


@pytest.mark.parametrize("name", ["vpg", "a2c"])
def test_the_kl_divergence_is_measured_after_the_step_C7(name: str) -> None:
    """Before it, it is zero whatever the step does."""
    algo = small(name, lr=5e-2)
    learner, rollout = rollout_of(algo, "CartPole-v1")
    after, metrics = algo.update(learner, rollout, jax.random.key(2))
    old, new = (x.params.policy(rollout.obs).log_prob(rollout.action)[::4] for x in (learner, after))
    assert metrics["kl"] > 1e-7
    np.testing.assert_allclose(metrics["kl"], k3(jnp.exp(new - old)), rtol=1e-3)


def test_the_gradient_has_no_discount_of_its_own_C12() -> None:
    """γ^t is left out of the policy gradient, on purpose: a late env step counts as much as an early one."""
    algo = VPG(num_envs=1, num_steps=6, hidden=(8,), normalise_adv=False)
    learner, rollout = rollout_of(algo, "CartPole-v1")
    zero = jnp.zeros((6, 1))

    @jax.jit
    def gradient_of(adv: jax.Array) -> Any:
        batch = Batch(rollout.obs, rollout.action, rollout.extras, adv, zero, zero)
        return jax.grad(lambda p: algo.loss(p, batch)[0])(learner.params)

    @jax.jit
    def score(obs: jax.Array, action: jax.Array) -> Any:
        return jax.grad(lambda p: -p.policy(obs).log_prob(action)[0] / 6)(learner.params)

    for t in (0, 5):
        expected = score(rollout.obs[t], rollout.action[t])
        assert_close(gradient_of(zero.at[t].set(1.0)), expected, 1e-6)


def test_actions_are_scaled_by_both_bounds_of_each_dimension_C13() -> None:
    """Not by high[0] about zero: bounds need not be symmetric, nor alike."""
    space = Box.of([-1.0, 0.0, 2.0], [3.0, 5.0, 2.5], (3,))
    for unit, expected in [(-1, [-1, 0, 2]), (0, [1, 2.5, 2.25]), (1, [3, 5, 2.5]), (9, [3, 5, 2.5])]:
        np.testing.assert_allclose(to_env(space, jnp.full(3, float(unit))), expected)


@pytest.mark.parametrize("name", ["vpg", "a2c"])
def test_many_environments_are_one_batch_C26(name: str) -> None:
    """The gradient is that of all N environments together: the mean of those of each alone, none lost."""
    algo = small(name, normalise_adv=False)
    learner, rollout = rollout_of(algo, "CartPole-v1")

    @jax.jit
    def gradient(part: Rollout) -> Any:
        batch = algo.advantages(learner, part)
        return jax.grad(lambda p: algo.loss(p, batch)[0])(learner.params)

    rows = [gradient(jax.tree.map(lambda x, i=i: x[:, i : i + 1], rollout)) for i in range(algo.num_envs)]
    assert_close(gradient(rollout), jax.tree.map(lambda *x: jnp.stack(x).mean(0), *rows), 1e-5)


@pytest.mark.parametrize("env_steps", [1, 63, 64, 65, 1000])
def test_no_env_step_is_lost_in_a_division_C26(env_steps: int) -> None:
    """A budget that iterations do not divide is rounded up."""
    algo = small("ppo")
    done = Experiment(algo, "CartPole-v1", env_steps, (0,)).iterations * algo.env_steps_per_iteration
    assert env_steps <= done < env_steps + algo.env_steps_per_iteration
