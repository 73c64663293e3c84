"""DQN, C51 and QR-DQN have the losses of NumPy loops and rlax on frozen batches; schedules and an exact MDP follow."""

import dataclasses
import warnings
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

with warnings.catch_warnings():  # its own dependencies' deprecations
    warnings.simplefilter("ignore")
    import rlax

from conftest import SEEDS, half_of, late, same_bits, small
from swingup.counters import counter
from swingup.distributions import epsilon_greedy
from swingup.envs import Vec, make
from swingup.errors import ConfigError
from swingup.nets.value_networks import QNetwork
from swingup.replay.ring import Batch
from swingup.returns import project_categorical, quantile_huber
from swingup.schedules import epsilon
from swingup.spaces import Box, Discrete
from swingup.training import driver
from swingup.types import Transition

B, A = 16, 3
OBS = Box.of(-9.0, 9.0, (4,))
FAMILY = ("dqn", "c51", "qr_dqn")


def networks(algo: Any, space: Any = OBS) -> tuple[QNetwork, QNetwork]:
    """An online and another target network, with parameters of a size at which everything matters."""

    class Env:
        observation_space, action_space = space, Discrete(A)

    env: Any = Env()
    params, target = (algo.network(env, jax.random.key(i)) for i in range(2))
    noise = jax.random.key(2)
    return jax.tree.map(lambda x: x + 0.3 * jax.random.normal(noise, x.shape), params), target


def batch(rng: np.random.Generator) -> Batch:
    """Some terminated, some of fewer env steps than others, all of different weights."""
    obs, next_obs = rng.normal(size=(2, B, 4)).astype(np.float32)
    terminated = np.arange(B) % 4 == 0
    discount = 0.9 ** rng.integers(1, 4, B)
    fields: Any = (
        obs,
        rng.integers(0, A, B),
        rng.normal(size=B),
        next_obs,
        terminated,
        discount,
        rng.random(B),
    )
    floats = [x.astype(np.float32) if x.dtype == np.float64 else x for x in fields]
    return Batch(*map(jnp.asarray, floats), jnp.arange(B))


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("dueling", [False, True])
def test_dqns_loss_is_the_papers(double: bool, dueling: bool) -> None:
    """Mnih et al. 2015, algorithm 1; van Hasselt et al. 2016, eq. 4: a loop over the batch in float64."""
    algo = small("dqn", double=double, dueling=dueling)
    params, target = networks(algo)
    b = batch(np.random.default_rng(0))
    q, next_q, next_online = (
        np.asarray(f(x), np.float64) for f, x in ((params, b.obs), (target, b.next_obs), (params, b.next_obs))
    )
    total, errors = 0.0, []
    for i in range(B):
        best = int(np.argmax(next_online[i] if double else next_q[i]))
        y = float(b.reward[i]) + (0 if b.terminated[i] else float(b.discount[i]) * next_q[i, best])
        e = y - q[i, int(b.action[i])]
        total += float(b.weight[i]) * (0.5 * e * e if abs(e) <= 1 else abs(e) - 0.5)
        errors.append(e)
    loss, (td, metrics) = jax.jit(algo.loss)(params, target, b)
    np.testing.assert_allclose(loss, total / B, rtol=1e-4)
    np.testing.assert_allclose(td, errors, rtol=1e-3, atol=1e-4)
    assert metrics["loss/q"] == loss
    assert any(abs(e) > 1 for e in errors)
    assert any(abs(e) < 1 for e in errors)


def test_td_errors_are_rlaxs() -> None:
    b = batch(np.random.default_rng(1))
    for double in (False, True):
        algo = small("dqn", double=double)
        params, target = networks(algo)
        td = algo.loss(params, target, b)[1][0]
        discount = b.discount * ~b.terminated
        q, next_q = params(b.obs), target(b.next_obs)
        if double:
            theirs = jax.vmap(rlax.double_q_learning)(
                q, b.action, b.reward, discount, next_q, params(b.next_obs)
            )
        else:
            theirs = jax.vmap(rlax.q_learning)(q, b.action, b.reward, discount, next_q)
        np.testing.assert_allclose(td, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning:rlax")
@pytest.mark.filterwarnings("ignore:jax.numpy.clip:DeprecationWarning")
@pytest.mark.parametrize("double", [False, True])
def test_c51s_loss_is_rlaxs(double: bool) -> None:
    algo = small("c51", double=double, v_min=-3.0, v_max=3.0)
    params, target = networks(algo)
    b = batch(np.random.default_rng(2))
    discount = b.discount * ~b.terminated
    online = algo.q_values(params if double else target, b.next_obs)
    theirs = jax.vmap(rlax.categorical_double_q_learning, in_axes=(None, 0, 0, 0, 0, None, 0, 0))(
        algo.support, params(b.obs), b.action, b.reward, discount, algo.support, target(b.next_obs), online
    )
    np.testing.assert_allclose(algo.loss(params, target, b)[0], jnp.mean(b.weight * theirs), rtol=1e-4)


@pytest.mark.parametrize("double", [False, True])
def test_qr_dqns_loss_is_rlaxs(double: bool) -> None:
    algo = small("qr_dqn", double=double)
    params, target = networks(algo)
    b = batch(np.random.default_rng(3))
    m, discount = algo.quantiles, b.discount * ~b.terminated
    chooser = (params if double else target)(b.next_obs).swapaxes(1, 2)
    tau = jnp.broadcast_to((jnp.arange(m) + 0.5) / m, (B, m))
    theirs = jax.vmap(partial(rlax.quantile_q_learning, huber_param=1.0))(
        params(b.obs).swapaxes(1, 2),
        tau,
        b.action,
        b.reward,
        discount,
        chooser,
        target(b.next_obs).swapaxes(1, 2),
    )
    np.testing.assert_allclose(algo.loss(params, target, b)[0], jnp.mean(b.weight * theirs), rtol=1e-4)


@given(seed=st.integers(0, 2**31), atoms=st.sampled_from([2, 7, 51]))
@settings(max_examples=20, deadline=None)
def test_projection_keeps_mass_and_mean(seed: int, atoms: int) -> None:
    """Bellemare et al. 2017, algorithm 1, as printed, with the case l = u that the print forgets."""
    rng = np.random.default_rng(seed)
    support = np.linspace(-2, 3, atoms)
    spacing = support[1] - support[0]
    value = rng.uniform(-2, 3, (4, atoms))
    value[0] = rng.choice(support, atoms)  # exactly on atoms
    value[1] *= 3  # clipped
    p = rng.dirichlet(np.ones(atoms), 4)
    expected = np.zeros((4, atoms))
    for row in range(4):
        for j in range(atoms):
            place = (np.clip(value[row, j], -2, 3) + 2) / spacing
            place = round(place) if abs(place - round(place)) < 1e-9 else place
            lower, upper = int(np.floor(place)), int(np.ceil(place))
            if lower == upper:
                expected[row, lower] += p[row, j]
            else:
                expected[row, lower] += p[row, j] * (upper - place)
                expected[row, upper] += p[row, j] * (place - lower)
    m = np.asarray(jax.jit(project_categorical)(*(x.astype(np.float32) for x in (value, p, support))))
    np.testing.assert_allclose(m, expected, atol=2e-5)
    np.testing.assert_allclose(m.sum(1), 1, atol=1e-5)
    inside = [0, 2, 3]
    np.testing.assert_allclose((m @ support)[inside], (p * value).sum(1)[inside], atol=2e-4)


def test_a_terminal_state_puts_all_mass_at_the_clipped_reward() -> None:
    algo = small("c51", v_min=-1.0, v_max=1.0, atoms=5)
    params, target = networks(algo)
    b = batch(np.random.default_rng(4))
    b = b._replace(terminated=jnp.ones(B, bool), reward=jnp.full(B, 7.0), weight=jnp.ones(B))
    log_p = jax.nn.log_softmax(params(b.obs)[jnp.arange(B), b.action])
    np.testing.assert_allclose(algo.loss(params, target, b)[0], -log_p[:, -1].mean(), rtol=1e-5)


def test_quantile_huber_loops() -> None:
    rng = np.random.default_rng(5)
    quantile, target = rng.normal(size=(3, 5)) * 2, rng.normal(size=(3, 4)) * 2
    expected = np.zeros(3)
    for row in range(3):
        for i in range(5):
            tau = (2 * i + 1) / 10
            for j in range(4):
                u = target[row, j] - quantile[row, i]
                h = 0.5 * u * u if abs(u) <= 0.7 else 0.7 * (abs(u) - 0.35)
                expected[row] += abs(tau - (u < 0)) * h / 0.7 / 4
    got = quantile_huber(quantile.astype(np.float32), target.astype(np.float32), 0.7)  # pyright: ignore
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_qr_dqn_0_is_plain_quantile_regression() -> None:
    """κ = 0: Σ_i mean_j |τ_i - 1(u < 0)| |u| (eq. 8), with its gradient, in a loop; and the limit of small κ."""
    rng = np.random.default_rng(5)
    quantile, target = (rng.normal(size=(3, n)).astype(np.float32) for n in (5, 4))
    target[0, 0] = quantile[0, 0]  # u = 0, where the slope is taken to be 0
    expected, slope = np.zeros(3), np.zeros((3, 5))
    for row in range(3):
        for i in range(5):
            for j in range(4):
                u = target[row, j] - quantile[row, i]
                weight = abs((2 * i + 1) / 10 - (u < 0))
                expected[row] += weight * abs(u) / 4
                slope[row, i] -= weight * np.sign(u) / 4

    def loss(quantile, kappa):
        return quantile_huber(quantile, jnp.asarray(target), kappa)

    for kappa, close in ((0.0, 1e-5), (1e-6, 1e-4)):
        np.testing.assert_allclose(loss(jnp.asarray(quantile), kappa), expected, rtol=close)
        grad = jax.grad(lambda q, kappa=kappa: loss(q, kappa).sum())(jnp.asarray(quantile))
        np.testing.assert_allclose(grad, slope, rtol=close, atol=1e-6)
    assert np.isfinite(jax.grad(lambda kappa: loss(jnp.asarray(quantile), kappa).sum())(0.0))


def test_quantiles_go_to_the_quantiles() -> None:
    """The minimum of the loss over samples is at their quantiles, for κ -> 0 (section 3.2)."""
    samples = jnp.sort(jax.random.normal(jax.random.key(0), (1, 999)))
    levels = (jnp.arange(5) + 0.5) / 5
    right = jnp.quantile(samples[0], levels)[None]

    def loss(q):
        return quantile_huber(q, samples, 1e-3).sum()

    assert jnp.abs(jax.grad(loss)(right)).max() < 2e-2
    for shift in (-0.3, 0.3):
        for i in range(5):
            assert loss(right.at[0, i].add(shift)) > loss(right)


@pytest.mark.parametrize("name", FAMILY)
def test_targets_carry_no_gradient(name: str) -> None:
    """M39: not to the target network, nor through the online network's choice, nor through s'."""
    algo = small(name, double=True)
    params, target = networks(algo)
    b = batch(np.random.default_rng(6))
    to_target = jax.grad(lambda t: algo.loss(params, t, b)[0])(target)
    assert all(not np.any(x) for x in jax.tree.leaves(to_target))
    to_next = jax.grad(lambda o: algo.loss(params, target, b._replace(next_obs=o))[0])(b.next_obs)
    assert not np.any(to_next)
    to_params = jax.grad(lambda p: algo.loss(p, target, b)[0])(params)
    assert all(np.any(x) for x in jax.tree.leaves(to_params))


def test_truncation_does_not_stop_the_bootstrap() -> None:
    """C1: a batch knows nothing of time limits; without terminations every error holds γ^k max Q⁻(s'), with them none.

    `test_updates_replay.py` shows the same through the replay, for the whole family.
    """
    assert "done" not in Batch._fields
    assert "truncated" not in Batch._fields
    algo = small("dqn")
    params, target = networks(algo)
    b = batch(np.random.default_rng(7))
    goes_on, ends = (
        algo.loss(params, target, b._replace(terminated=jnp.full(B, x)))[1][0] for x in (False, True)
    )
    bootstrap = np.asarray(b.discount) * np.asarray(target(b.next_obs)).max(-1)
    np.testing.assert_allclose(goes_on - ends, bootstrap, rtol=1e-4, atol=1e-5)
    assert np.abs(bootstrap).min() > 1e-3


def test_dueling_is_identifiable() -> None:
    """Wang et al. 2016, eq. 9: the mean over actions of Q is V, for numbers and for distributions."""
    for atoms in (None, 6):
        q = QNetwork(OBS, Discrete(A), (8,), "relu", dueling=True, atoms=atoms, key=jax.random.key(0))
        q = jax.tree.map(lambda x: x + 0.2, q)
        obs = jax.random.normal(jax.random.key(1), (5, 4))
        assert q.value is not None
        value = q.value(obs)
        np.testing.assert_allclose(q(obs).mean(1), value if atoms else value[:, 0], rtol=1e-4, atol=1e-5)


def test_epsilon_greedy_has_its_probabilities() -> None:
    """1 - ε + ε/A for the best action, ε/A for the others; at ε = 0 and 1 too."""
    value = jnp.array([0.0, 5.0, 1.0])
    for eps in (0.0, 0.3, 1.0):
        p = jnp.exp(jax.nn.log_softmax(epsilon_greedy(value, eps).logits))
        np.testing.assert_allclose(p, [eps / 3, 1 - eps * 2 / 3, eps / 3], atol=1e-6)
    always = epsilon_greedy(jnp.broadcast_to(value, (500, 3)), 0.0).sample(jax.random.key(0))
    assert (always == 1).all()


def test_epsilon_decays_in_env_steps_exactly() -> None:
    algo = small("dqn", epsilon_start=0.9, epsilon_end=0.1, epsilon_decay=100.0)
    for env_steps, wanted in ((0, 0.9), (25, 0.7), (50, 0.5), (100, 0.1), (101, 0.1), (10**6, 0.1)):
        np.testing.assert_allclose(epsilon(algo, counter(env_steps)), wanted, rtol=1e-6)


@pytest.mark.parametrize("num_envs", late([1, 4], 4))
def test_epsilon_counts_all_environments_and_the_warmup(num_envs: int) -> None:
    algo = small("dqn", num_envs=num_envs, num_steps=4, warmup=16, epsilon_decay=160.0)
    state = driver.run(algo, env := make("CartPole-v1", num_envs), driver.init(algo, env, [0]), 3)
    assert int(state.learner.env_steps.low[0]) == 16 + 3 * 4 * num_envs


@pytest.mark.parametrize("name", FAMILY)
def test_the_learning_rate_falls_in_env_steps_exactly(name: str) -> None:
    """Adam's first step is as long as the learning rate: whole at 0, half at half the horizon, nothing beyond."""
    moved = []
    for env_steps in (0, 500, 1000, 2000):
        algo = small(name, lr=0.01, lr_decay=True, lr_horizon=1000.0)
        optimizer = algo.optimizer(jnp.int32(env_steps))
        updates, _ = optimizer.update(jnp.ones(3), optimizer.init(jnp.zeros(3)))
        moved.append(float(-updates[0]))
    np.testing.assert_allclose(moved, [0.01, 0.005, 0, 0], rtol=1e-5)


@pytest.mark.parametrize("period", [1, 3])
@pytest.mark.parametrize("tau", [1.0, 0.25])
def test_target_network_is_renewed_on_time(period: int, tau: float) -> None:
    """θ⁻ moves by τ towards θ after each `target_period` gradient steps, and is bit for bit still in between."""
    algo = small("dqn", target_period=period, tau=tau, num_steps=4, num_envs=1, replay_ratio=0.25)
    env = make("CartPole-v1", 1)
    state = jax.jit(lambda key: algo.init(env, key))(jax.random.key(0))
    assert same_bits(state.learner.params, state.learner.target)
    for i in range(1, 7):
        before = state.learner
        state = algo.step(env, state)[0]
        after = state.learner
        assert int(after.gradient_steps) == i
        if i % period:
            assert same_bits(before.target, after.target)
        else:
            wanted = jax.tree.map(lambda x, y: tau * x + (1 - tau) * y, after.params, before.target)
            jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-6), after.target, wanted)
            assert tau < 1 or same_bits(after.target, after.params)


class Chain:
    """Five states in a row, right or left; reward 1 and the end at the right, 0.3 for going left at the left end."""

    name, observation_space, action_space = "Chain", Discrete(5), Discrete(2)

    def reset(self, key):
        place = jax.random.randint(key, (), 0, 4)
        return (place, jnp.int32(0)), place

    def step(self, state, action, key):
        place, time = state
        at_left = (place == 0) & (action == 0)
        place = jnp.clip(place + 2 * action - 1, 0, 4).astype(jnp.int32)
        reward = jnp.where(place == 4, 1.0, jnp.where(at_left, 0.3, 0.0))
        return (place, time + 1), Transition(place, reward, place == 4, time + 1 >= 7)


def optimal(gamma: float) -> np.ndarray:
    """Q* of the chain by value iteration, in float64."""
    q = np.zeros((5, 2))
    for _ in range(500):
        for s in range(4):
            for a in range(2):
                to = min(max(s + 2 * a - 1, 0), 4)
                reward = 1.0 if to == 4 else 0.3 if (s, a) == (0, 0) else 0.0
                q[s, a] = reward + (0 if to == 4 else gamma * q[to].max())
    return q[:4]


@pytest.mark.slow  # the fast tests have those of test_exact_answers.py
@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("dqn", {}),
        ("dqn", {"double": True, "dueling": True, "n_step": 1, "prioritised": True}),
        ("c51", {"v_min": 0.0, "v_max": 2.0, "atoms": 101}),
        ("qr_dqn", {"quantiles": 8}),
    ],
    ids=["dqn", "options", "c51", "qr_dqn"],
)
def test_one_hot_states_reach_the_optimal_values(name: str, option: dict[str, Any]) -> None:
    """Q* within 1e-2 under random actions, with time limits in most episodes (which must not matter)."""
    assert half_of(distances(name, option, SEEDS)) < 1e-2


def distances(name: str, option: dict[str, Any], seeds: Sequence[int]) -> np.ndarray:
    """How far the values of each seed are from Q* at most: [S]."""
    algo = small(
        name,
        **{
            "num_envs": 8,
            "num_steps": 4,
            "replay_ratio": 0.25,
            "gamma": 0.8,
            "lr": 1e-3,
            "batch_size": 64,
            "replay_size": 8_000,
            "warmup": 4_000,
            "epsilon_end": 1.0,
            "target_period": 50,
            "hidden": (64,),
        }
        | option,
    )
    env: Any = Vec(Chain(), 8)
    state = driver.run(algo, env, driver.init(algo, env, seeds), 500)
    q = jax.vmap(lambda params: algo.q_values(params, jnp.arange(4)))(state.learner.params)
    return np.abs(np.asarray(q) - optimal(0.8)).max((1, 2))


def test_actions_that_are_not_discrete_are_refused() -> None:
    algo = small("dqn")
    with pytest.raises(ConfigError, match="discrete actions"):
        driver.init(algo, make("Pendulum-v1", algo.num_envs), [0])


def test_the_familys_files_differ_where_the_papers_do() -> None:
    """`dqn -> c51, qr_dqn`: same hyperparameters in the same order, and their own in between."""
    names = {n: [f.name for f in dataclasses.fields(small(n))] for n in FAMILY}
    for name, own in (("c51", {"atoms", "v_min", "v_max"}), ("qr_dqn", {"quantiles", "kappa"})):
        assert [f for f in names[name] if f not in own] == names["dqn"]
