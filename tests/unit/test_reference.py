"""DeepMind's rlax and distrax agree with us on advantages and returns, KL divergences, and TRPO's constraint."""

import warnings
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

with warnings.catch_warnings():  # their own dependencies' deprecations
    warnings.simplefilter("ignore")
    import distrax
    import rlax

from conftest import late, small
from swingup.distributions import Categorical, Normal
from swingup.envs import make
from swingup.returns import gae, n_step_advantage, reward_to_go, td_error
from swingup.training import driver

T, N, GAMMA = 40, 6, 0.97
Data = tuple[jax.Array, jax.Array, jax.Array, jax.Array]


@pytest.fixture(scope="module")
def data() -> Data:
    """Rewards, V(s), V(s') and terminations [T, N] of rollouts in which some episodes terminate."""
    keys = jax.random.split(jax.random.key(0), 3)
    reward = jax.random.normal(keys[0], (T, N))
    terminated = jax.random.bernoulli(keys[1], 0.1, (T, N))
    values = jax.random.normal(keys[2], (T + 1, N))
    return reward, values[:-1], values[1:], terminated


def per_row(f: Any, *args: jax.Array) -> jax.Array:
    """rlax's functions take one sequence [T]."""
    return jax.vmap(f, in_axes=1, out_axes=1)(*args)


@pytest.mark.parametrize("lam", [0.0, 0.5, 0.95, 1.0])
def test_gae_is_rlax(data: Data, lam: float) -> None:
    reward, value, next_value, terminated = data
    all_values = jnp.concatenate([value, next_value[-1:]])
    theirs = per_row(
        lambda r, d, v: rlax.truncated_generalized_advantage_estimation(r, d, lam, v),
        reward,
        GAMMA * ~terminated,
        all_values,
    )
    ours = gae(reward, value, next_value, terminated, terminated, GAMMA, lam)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_td_errors_are_rlax(data: Data) -> None:
    reward, value, next_value, terminated = data
    theirs = per_row(jax.vmap(rlax.td_learning), value, reward, GAMMA * ~terminated, next_value)
    np.testing.assert_allclose(td_error(reward, value, next_value, terminated, GAMMA), theirs, atol=1e-5)


def test_reward_to_go_is_rlax(data: Data) -> None:
    reward, _, next_value, terminated = data
    theirs = per_row(rlax.discounted_returns, reward, GAMMA * ~terminated, next_value)
    ours = reward_to_go(reward, next_value, terminated, terminated, GAMMA)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("n", [1, 3, 7])
def test_n_step_advantage_is_rlax(data: Data, n: int) -> None:
    reward, value, next_value, terminated = data
    theirs = per_row(
        lambda r, d, v: rlax.n_step_bootstrapped_returns(r, d, v, n), reward, GAMMA * ~terminated, next_value
    )
    ours = n_step_advantage(reward, value, next_value, terminated, terminated, GAMMA, n)
    np.testing.assert_allclose(ours, theirs - value, atol=1e-5)


def test_kl_is_distrax_in_this_direction() -> None:
    """C10: KL(old||new), and not the other way round, for both kinds of policies."""
    a, b = jax.random.normal(jax.random.key(0), (2, 50, 4))
    old, new = distrax.Categorical(a), distrax.Categorical(b)
    np.testing.assert_allclose(Categorical(a).kl(Categorical(b)), old.kl_divergence(new), atol=1e-5)
    assert np.abs(Categorical(b).kl(Categorical(a)) - old.kl_divergence(new)).max() > 0.1
    log_std = jnp.array([-1.0, 0.0, 0.5, -0.3]), jnp.array([0.2, -0.4, 0.1, -0.3])
    old, new = (
        distrax.MultivariateNormalDiag(m, jnp.broadcast_to(jnp.exp(s), m.shape))
        for m, s in zip((a, b), log_std, strict=True)
    )
    ours = Normal(a, log_std[0]).kl(Normal(b, log_std[1]))
    np.testing.assert_allclose(ours, old.kl_divergence(new), rtol=1e-5)
    assert np.abs(Normal(b, log_std[1]).kl(Normal(a, log_std[0])) - old.kl_divergence(new)).max() > 0.1


@pytest.mark.parametrize("name", late(["CartPole-v1", "Pendulum-v1"], "Pendulum-v1"))
def test_the_kl_that_trpo_reports_is_distrax_over_the_rollout(name: str) -> None:
    """C10: the mean KL(old||new) of an update, recomputed from the two networks by distrax."""
    algo = small("trpo", delta=0.05, lr=0.0)
    env = make(name, algo.num_envs)
    state = jax.tree.map(lambda x: x[0], driver.init(algo, env, [0]))
    from swingup.rollout import collect

    act = partial(algo.act, state.learner)
    _, rollout = collect(env, act, state.actor, jax.random.key(1), algo.num_steps)
    learner, metrics = algo.update(state.learner, rollout, jax.random.key(2))
    policies = [x.params.policy(rollout.obs) for x in (state.learner, learner)]
    if name == "CartPole-v1":
        old, new = (distrax.Categorical(p.logits) for p in policies)
    else:
        old, new = (
            distrax.MultivariateNormalDiag(p.mean, jnp.broadcast_to(jnp.exp(p.log_std), p.mean.shape))
            for p in policies
        )
    kl = old.kl_divergence(new).mean()
    assert 0 < kl <= 0.05
    np.testing.assert_allclose(metrics["kl"], kl, rtol=1e-3, atol=1e-6)
