"""Noisy networks are compared with NumPy, by exact sums and by moments.

Moments are compared within 6 standard errors in fewer than 100 places: false alarms below 1e-6.
"""

import importlib
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from conftest import late, small
from swingup import counters
from swingup.envs import make
from swingup.nets.layers import MLP
from swingup.nets.noisy import NoisyDense, perturb
from swingup.nets.value_networks import QNetwork
from swingup.replay.ring import Batch
from swingup.spaces import Box, Discrete
from swingup.types import Seen

P, Q, B = 4, 3, 5


def layer() -> NoisyDense:
    """With random means and deviations, all different."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(lambda key: NoisyDense(P, Q, 1.0, key=key), jax.random.key(0))
    return jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape), jnp.float32), shapes)


def by_hand(net: NoisyDense, x: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Equations 9 to 11 with the noise of every weight written out."""
    epsilon = np.outer(before, after)
    weight = np.asarray(net.weight) + np.asarray(net.weight_sigma) * epsilon
    return x @ weight + np.asarray(net.bias) + np.asarray(net.bias_sigma) * after


def test_a_noisy_layer_is_the_papers() -> None:
    """One sample for the batch, and one for each row, are x (μ + σ ⊙ ε) + μ_b + σ_b ⊙ ε_b."""
    net, x = layer(), np.random.default_rng(1).normal(size=(B, P)).astype(np.float32)
    shared = perturb(net, jax.random.key(1))
    before, after = map(np.asarray, shared.noise)
    np.testing.assert_allclose(shared(jnp.asarray(x)), by_hand(net, x, before, after), rtol=1e-4, atol=1e-5)
    own = perturb(net, jax.random.key(1), (B,))
    before, after = map(np.asarray, own.noise)
    assert (before.shape, after.shape) == ((B, P), (B, Q))
    rows = [by_hand(net, x[i], before[i], after[i]) for i in range(B)]
    np.testing.assert_allclose(own(jnp.asarray(x)), rows, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        net(jnp.asarray(x)), x @ np.asarray(net.weight) + np.asarray(net.bias), rtol=1e-4, atol=1e-5
    )


def test_mean_and_variance_of_the_output() -> None:
    """E[y] = x μ + μ_b and Var[y_j] = Σ_i x_i² σ_ij² E[f²]² + σ_b,j² E[f²], with E[f²] = √(2/π).

    f(e)² = |e|, whose mean is √(2/π); f is odd, so that products of different inputs' noise have mean 0, as has
    that of a weight's and the bias's.
    """
    net, x = layer(), np.random.default_rng(1).normal(size=P).astype(np.float32)
    count = 200_000
    y = np.asarray(perturb(net, jax.random.key(2), (count,))(jnp.broadcast_to(x, (count, P))), np.float64)
    mean = x @ np.asarray(net.weight) + np.asarray(net.bias)
    square = np.sqrt(2 / np.pi)
    variance = (x**2) @ (np.asarray(net.weight_sigma) ** 2) * square**2 + np.asarray(
        net.bias_sigma
    ) ** 2 * square
    np.testing.assert_array_less(np.abs(y.mean(0) - mean), 6 * y.std(0) / np.sqrt(count))
    error = ((y - mean) ** 2).std(0) / np.sqrt(count)
    np.testing.assert_array_less(np.abs(((y - mean) ** 2).mean(0) - variance), 6 * error)


def test_it_begins_as_the_paper_says() -> None:
    """σ = 0.5 / √inputs everywhere; the means are those of a dense layer with the same key."""
    net = NoisyDense(16, 3, 1.0, key=jax.random.key(0))
    np.testing.assert_allclose(net.weight_sigma, np.full((16, 3), 0.125))
    np.testing.assert_allclose(net.bias_sigma, np.full(3, 0.125))
    np.testing.assert_allclose(np.asarray(net.weight).T @ np.asarray(net.weight), np.eye(3), atol=1e-4)


def test_gradients_reach_means_and_deviations() -> None:
    """d y_j / d σ_ij = x_i f(e_i) f(e'_j): the score of the reparameterised weights."""
    net, x = layer(), np.random.default_rng(1).normal(size=P).astype(np.float32)
    key = jax.random.key(3)
    grads = jax.grad(lambda net: perturb(net, key)(x).sum())(net)
    before, after = map(np.asarray, perturb(net, key).noise)
    np.testing.assert_allclose(grads.weight_sigma, np.outer(x * before, after), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(grads.bias_sigma, after, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(grads.weight, np.outer(x, np.ones(Q)), rtol=1e-5)
    assert grads.noise is None


def test_every_layer_has_its_own_noise_and_other_networks_are_left_alone() -> None:
    build: Any = partial(MLP, (P, P, P), "tanh", 1.0)
    net = build(dense=NoisyDense, key=jax.random.key(0))
    first, second = perturb(net, jax.random.key(1)).layers
    assert not np.allclose(first.noise[0], second.noise[0])
    again = perturb(net, jax.random.key(2)).layers[0]
    assert not np.allclose(first.noise[0], again.noise[0])
    plain = build(key=jax.random.key(0))
    assert perturb(plain, jax.random.key(1)) is not None
    for a, b in zip(jax.tree.leaves(plain), jax.tree.leaves(perturb(plain, jax.random.key(1))), strict=True):
        assert a is b


@pytest.mark.parametrize("shape", [(3,), (6, 6, 2)], ids=str)
def test_all_dense_layers_of_a_q_network_are_noisy(shape: tuple[int, ...]) -> None:
    """Those of the body, of V and of A, as in Rainbow; convolutions are not."""
    space = Box.of(0.0, 1.0, shape)
    build = partial(QNetwork, space, Discrete(2), (8, 4), "relu", dueling=True, noisy=True)
    net = jax.eval_shape(lambda key: build(key=key), jax.random.key(0))
    dense = [*net.advantage.layers, *net.value.layers] + ([net.body.dense] if net.body is not None else [])
    assert all(isinstance(x, NoisyDense) for x in dense)
    assert len(dense) == (6 if len(shape) == 1 else 5)


def test_no_parameter_is_weakly_typed() -> None:
    """Else the first state would have another type than all that follow, and the loop be compiled twice."""
    layer = NoisyDense(P, Q, 1.0, key=jax.random.key(0))
    assert not any(x.weak_type for x in jax.tree.leaves(layer))


# --- In DQN, C51 and QR-DQN

FAMILY = ("dqn", "c51", "qr_dqn")
OPTIONS: dict[str, dict[str, Any]] = {"dqn": {}, "c51": {"atoms": 5}, "qr_dqn": {"quantiles": 5}}


def agent(name: str) -> tuple[Any, Any]:
    """A small algorithm with all of Rainbow's parts, and a learner with random parameters that can act."""
    parts = {"double": True, "dueling": True, "n_step": 2, "prioritised": True, "noisy": True}
    parts |= {"epsilon_start": 0.0, "epsilon_end": 0.0}
    algo = small(name, num_envs=4, num_steps=2, replay_ratio=0.25, warmup=8, **parts, **OPTIONS[name])
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(partial(algo.network, make("CartPole-v1", 4)), jax.random.key(0))
    params, target = (
        jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape), x.dtype), shapes) for _ in range(2)
    )
    kind = importlib.import_module(f"swingup.algos.{name}").Learner
    none = dict.fromkeys(kind._fields)
    return algo, kind(**none | {"params": params, "target": target, "noise_key": jax.random.key(5)})


@pytest.mark.parametrize("name", late(FAMILY, "dqn"))
def test_the_loss_is_that_of_two_networks_with_their_own_noise(name: str) -> None:
    """Online and target networks are perturbed apart; gradients reach the deviations of the first alone."""
    algo, learner = agent(name)
    params, target, rng = learner.params, learner.target, np.random.default_rng(0)
    fields: Any = rng.normal(size=(B, 4)), np.arange(B) % 2, rng.normal(size=B), rng.normal(size=(B, 4))
    obs, action, reward, next_obs = (
        jnp.asarray(x, jnp.int32 if x.dtype == int else jnp.float32) for x in fields
    )
    ones = jnp.ones(B)
    b = Batch(obs, action, reward, next_obs, ones < 0, 0.9 * ones, ones, jnp.arange(B))
    key = jax.random.key(1)
    online, other = perturb((params, target), key)
    one, two = (np.asarray(x.advantage.layers[0].noise[0]) for x in (online, other))
    assert not np.allclose(one, two)

    @jax.jit
    def value(params, target, key):
        return jax.value_and_grad(lambda *both: algo.loss(*both, b, key)[0], (0, 1))(params, target)

    (loss, grads), means = value(params, target, key), algo.loss(params, target, b)[0]
    np.testing.assert_allclose(loss, algo.loss(online, other, b)[0], rtol=1e-4)
    assert not np.isclose(float(loss), float(means))
    assert np.any(np.asarray(grads[0].advantage.layers[0].weight_sigma))
    assert not any(np.any(np.asarray(x)) for x in jax.tree.leaves(grads[1]))


@pytest.mark.parametrize("name", late(FAMILY, "c51"))
def test_noise_in_the_weights_explores_and_evaluation_uses_the_means(name: str) -> None:
    """Each environment has its own noise; with ε at 0 nothing else explores, and without noise the means decide."""
    algo, learner = agent(name)
    obs, gumbel = jnp.ones((64, 4)), jnp.zeros((64, 2))
    learner = learner._replace(env_steps=counters.counter())
    actions = np.asarray(algo.act(learner, Seen(obs), gumbel)[0])
    wanted = algo.q_values(perturb(learner.params, learner.noise_key, (64,)), obs).argmax(-1)
    np.testing.assert_array_equal(actions, wanted)
    assert 0 < actions.mean() < 1  # the same observation in all of them
    np.testing.assert_array_equal(
        algo.act(learner, Seen(obs))[0], algo.q_values(learner.params, obs).argmax(-1)
    )


@pytest.mark.slow
def test_an_iteration_draws_new_noise_and_learns_its_size() -> None:
    algo, _ = agent("dqn")
    env = make("CartPole-v1", 4)
    before = jax.jit(lambda key: algo.init(env, key))(jax.random.key(0)).learner
    state = jax.jit(lambda key: algo.step(env, algo.init(env, key)))(jax.random.key(0))
    after, metrics = state[0].learner, state[1]
    assert float(metrics["epsilon"]) == 0
    old, new = (jax.random.key_data(x.noise_key) for x in (before, after))
    assert not np.array_equal(old, new)
    assert np.any(
        np.asarray(before.params.value.layers[0].weight_sigma != after.params.value.layers[0].weight_sigma)
    )


@pytest.mark.parametrize("name", FAMILY)
def test_without_the_option_there_is_no_noise(name: str) -> None:
    algo, env = small(name, num_envs=2, **OPTIONS[name]), make("CartPole-v1", 2)
    state = jax.eval_shape(partial(algo.init, env), jax.random.key(0))
    assert state.learner.noise_key is None
    names = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_flatten_with_path(state.learner)[0]]
    assert not [x for x in names if "sigma" in x or "noise" in x]
