"""DDPG, TD3 and SAC are compared with NumPy on frozen batches; schedules, a bandit and a linear regulator are tested
too.
"""

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from conftest import SEEDS, half_of, late, same_bits, small
from swingup import counters
from swingup.envs import Vec, make
from swingup.errors import ConfigError
from swingup.nets.value_networks import ActorNetwork, each
from swingup.normalise import Off
from swingup.protocols import env_steps
from swingup.replay import ring
from swingup.replay.ring import Batch, take
from swingup.runs.experiment import Experiment
from swingup.spaces import Box, Discrete, to_env
from swingup.training import driver
from swingup.types import Seen, Transition

B, D = 32, 2
FAMILY = ("ddpg", "td3", "sac")


class Spaces:
    observation_space, action_space = Box.of(-9.0, 9.0, (4,)), Box.of([-1.0, 0.0], [3.0, 0.5], (D,))


def networks(algo: Any) -> tuple[Any, Any]:
    """Online and other target networks, with parameters of a size at which everything matters."""
    env: Any = Spaces()

    def noisy(seed: int) -> Any:
        params, key = algo.networks(env, jax.random.key(seed)), jax.random.key(seed + 9)
        return jax.tree.map(lambda x: x + 0.2 * jax.random.normal(key, x.shape), params)

    return noisy(0), noisy(1)


def batch(seed: int = 0) -> Batch:
    rng = np.random.default_rng(seed)
    obs, next_obs = rng.normal(size=(2, B, 4)).astype(np.float32)
    action = rng.uniform(-1, 1, (B, D)).astype(np.float32)
    reward, weight = rng.normal(size=B).astype(np.float32), rng.random(B).astype(np.float32)
    discount = (0.9 ** rng.integers(1, 3, B)).astype(np.float32)
    fields = obs, action, reward, next_obs, np.arange(B) % 4 == 0, discount, weight, np.arange(B)
    return Batch(*map(jnp.asarray, fields))


def mlp(m: Any, x: np.ndarray) -> np.ndarray:
    """A relu MLP in float64."""
    for i, layer in enumerate(m.layers):
        x = x @ np.asarray(layer.weight, np.float64) + np.asarray(layer.bias, np.float64)
        x = np.maximum(x, 0) if i < len(m.layers) - 1 else x
    return x


def q_of(critic: Any, obs: Any, action: Any) -> np.ndarray:
    both = [np.asarray(obs, np.float64), np.asarray(action, np.float64)]
    return mlp(critic.mlp, np.concatenate(both, -1))[..., 0]


def one(critics: Any, i: int) -> Any:
    return jax.tree.map(lambda x: x[i], critics)


def bellman(b: Batch, bootstrap: np.ndarray) -> np.ndarray:
    """r + γ^k (1 - terminated) bootstrap."""
    y = [
        float(b.reward[i]) + (0 if b.terminated[i] else float(b.discount[i]) * bootstrap[i]) for i in range(B)
    ]
    return np.array(y)


def test_ddpgs_losses_are_the_papers() -> None:
    """Lillicrap et al. 2016, algorithm 1."""
    algo = small("ddpg")
    params, target = networks(algo)
    b = batch()
    a = np.tanh(mlp(target.actor.mlp, np.asarray(b.next_obs, np.float64)))
    error = bellman(b, q_of(target.critic, b.next_obs, a)) - q_of(params.critic, b.obs, b.action)
    loss = algo.critic_loss(params.critic, target, b)[0]
    np.testing.assert_allclose(loss, 0.5 * np.mean(np.asarray(b.weight) * error**2), rtol=1e-4)
    mu = np.tanh(mlp(params.actor.mlp, np.asarray(b.obs, np.float64)))
    expected = -q_of(params.critic, b.obs, mu).mean()
    np.testing.assert_allclose(algo.actor_loss(params.actor, params.critic, b), expected, rtol=1e-4)


def test_td3s_losses_are_the_papers() -> None:
    """Fujimoto et al. 2018, algorithm 1: the smaller of two targets; the actor through Q_1 alone."""
    algo = small("td3", smoothing=0.4, smoothing_clip=0.3)
    params, target = networks(algo)
    b, key = batch(), jax.random.key(3)
    epsilon = np.clip(0.4 * np.asarray(jax.random.normal(key, (B, D)), np.float64), -0.3, 0.3)
    assert (np.abs(epsilon) == 0.3).any()
    a = np.clip(np.tanh(mlp(target.actor.mlp, np.asarray(b.next_obs, np.float64))) + epsilon, -1, 1)
    bootstrap = np.minimum(*(q_of(one(target.critic, i), b.next_obs, a) for i in (0, 1)))
    expected = 0.0
    for i in (0, 1):
        error = bellman(b, bootstrap) - q_of(one(params.critic, i), b.obs, b.action)
        expected += 0.5 * np.mean(np.asarray(b.weight) * error**2)
    loss = algo.critic_loss(params.critic, target, b, key)[0]
    np.testing.assert_allclose(loss, expected, rtol=1e-4)
    mu = np.tanh(mlp(params.actor.mlp, np.asarray(b.obs, np.float64)))
    expected = -q_of(one(params.critic, 0), b.obs, mu).mean()
    np.testing.assert_allclose(algo.actor_loss(params.actor, params.critic, b), expected, rtol=1e-4)


@pytest.mark.parametrize("name", late(FAMILY, "sac"))
def test_noise_and_entropy_are_in_normalised_units_C13_C14_C15(name: str) -> None:
    """The same noise moves the action by the same share of its range, whatever that is; so log π and H̄ mean the
    same. What the environment gets lies between bounds that need not be symmetric."""
    algo = small(name)

    class Wide(Spaces):
        action_space = Box.of(-100.0, 300.0, (D,))

    params = [algo.networks(env(), jax.random.key(0)) for env in (Spaces, Wide)]
    assert same_bits(*params)
    env: Any = Vec(Regulator(), 2)
    learner = jax.jit(lambda key: algo.init(env, key))(jax.random.key(0)).learner
    noise = 9 * jax.random.normal(jax.random.key(1), (200, 1))
    action = algo.act(learner, Seen(jnp.zeros((200, 1))), noise)[0]
    for low, high in ((-2.0, 2.0), (1.0, 7.0)):
        sent = to_env(Box.of(low, high, (1,)), action)
        np.testing.assert_allclose((sent - low) / (high - low), (action + 1) / 2, atol=1e-6)
    if name != "sac":
        louder = dataclasses.replace(algo, noise=0.3).act(learner, Seen(jnp.zeros((200, 1))), noise / 90)[0]
        greedy = algo.act(learner, Seen(jnp.zeros((200, 1))))[0]
        np.testing.assert_allclose(louder, jnp.clip(greedy + 0.3 * noise / 90, -1, 1), atol=1e-6)


def log_prob(u: np.ndarray, mean: np.ndarray, log_std: np.ndarray) -> np.ndarray:
    """log π of tanh(u), by scipy's normal and the derivative of tanh, 1 / cosh²."""
    normal = stats.norm.logpdf(u, mean, np.exp(log_std)).sum(-1)
    return normal + 2 * (np.logaddexp(u, -u) - np.log(2)).sum(-1)


def test_sacs_losses_are_the_papers() -> None:
    """Haarnoja et al. 2018, eq. 5, 7 and 17: with log π of the very sample, in float64."""
    algo = small("sac")
    params, target = networks(algo)
    target, alpha = target.critic, 0.3
    b, key = batch(), jax.random.key(3)

    def sample(obs: Any) -> tuple[np.ndarray, np.ndarray]:
        mean, log_std = np.split(mlp(params.actor.mlp, np.asarray(obs, np.float64)), 2, -1)
        log_std = np.clip(log_std, -20, 2)  # which random weights reach with some seeds
        u = mean + np.exp(log_std) * np.asarray(jax.random.normal(key, (B, D)), np.float64)
        return np.tanh(u), log_prob(u, mean, log_std)

    a, logp = sample(b.next_obs)
    bootstrap = np.minimum(*(q_of(one(target, i), b.next_obs, a) for i in (0, 1))) - alpha * logp
    expected = 0.0
    for i in (0, 1):
        error = bellman(b, bootstrap) - q_of(one(params.critic, i), b.obs, b.action)
        expected += 0.5 * np.mean(np.asarray(b.weight) * error**2)
    loss = algo.critic_loss(params.critic, target, params.actor, jnp.float32(alpha), b, key)[0]
    np.testing.assert_allclose(loss, expected, rtol=1e-3)
    a, logp = sample(b.obs)
    q = np.minimum(*(q_of(one(params.critic, i), b.obs, a) for i in (0, 1)))
    loss, entropy = algo.actor_loss(params.actor, params.critic, jnp.float32(alpha), b, key)
    np.testing.assert_allclose(loss, np.mean(alpha * logp - q), rtol=1e-3)
    np.testing.assert_allclose(entropy, -logp.mean(), rtol=1e-3)


def test_sacs_temperature_goes_towards_the_entropy_aimed_at() -> None:
    """dL/d log α = H - H̄ per batch: log α falls while there is more entropy than that, and rises below."""
    algo = small("sac", target_entropy=-0.5)
    grad = jax.grad(algo.alpha_loss)
    for entropy, wanted in ((0.0, 1.0), (-3.0, -2.0), (-1.0, 0.0)):
        got = grad(jnp.float32(0.7), jnp.float32(entropy), D)
        np.testing.assert_allclose(got, wanted, atol=1e-6)


def test_a_fixed_temperature_stays() -> None:
    algo = small("sac", alpha=0.2, alpha_lr=0.0)
    env = make("Pendulum-v1", algo.num_envs)
    state = driver.run(algo, env, driver.init(algo, env, [0]), 3)
    np.testing.assert_allclose(jnp.exp(state.learner.params.log_alpha), 0.2, rtol=1e-6)


@pytest.mark.parametrize("name", FAMILY)
def test_losses_move_only_what_they_are_for_C17(name: str) -> None:
    """M39: no gradient through the target, to target networks or to s'; the actor's loss leaves the critic."""
    algo = small(name)
    params, other = networks(algo)
    b, key = batch(), jax.random.key(0)
    if name == "sac":
        target, alpha = other.critic, jnp.float32(0.2)

        def critic_loss(critic, target, actor, b):
            return algo.critic_loss(critic, target, actor, alpha, b, key)[0]

        def actor_loss(actor):
            return algo.actor_loss(actor, params.critic, alpha, b, key)[0]
    else:
        target = other
        extra = (key,) if name == "td3" else ()

        def critic_loss(critic, target, actor, b):
            return algo.critic_loss(critic, target, b, *extra)[0]

        def actor_loss(actor):
            return algo.actor_loss(actor, params.critic, b)

    zero = jax.grad(critic_loss, (1, 2))(params.critic, target, params.actor, b)
    assert all(not np.any(x) for x in jax.tree.leaves(zero))
    through = jax.grad(lambda o: critic_loss(params.critic, target, params.actor, b._replace(next_obs=o)))
    assert not np.any(through(b.next_obs))
    for grads in (
        jax.grad(critic_loss)(params.critic, target, params.actor, b),
        jax.grad(actor_loss)(params.actor),
    ):
        assert all(np.any(x) for x in jax.tree.leaves(grads))


@pytest.mark.slow  # test_updates_replay.py has delays that divide the gradient steps and one that does not
@pytest.mark.parametrize(("steps", "delay"), [(1, 1), (2, 2), (1, 2), (3, 2)])
def test_td3_delays_in_gradient_steps_C16(steps: int, delay: int) -> None:
    """The critics take every gradient step; the actor one of `delay`, counted on across iterations."""
    algo = small("td3", num_envs=1, num_steps=steps, replay_ratio=1.0, delay=delay)
    env = make("Pendulum-v1", 1)
    state = jax.jit(lambda key: algo.init(env, key))(jax.random.key(0))
    step = jax.jit(lambda state: algo.step(env, state)[0])
    for i in range(1, 5):
        before, state = state.learner, step(state)
        actor, critic = state.learner.opt_state
        assert int(critic[0].count) == i * steps
        assert int(actor[0].count) == i * steps // delay
        moves = int(before.opt_state[0][0].count) < int(actor[0].count)
        still = (before.params.actor, before.target), (state.learner.params.actor, state.learner.target)
        assert same_bits(*still) != moves


@pytest.mark.slow
def test_td3_one_by_one_is_td3_in_blocks() -> None:
    """The same gradient steps from the same keys, whichever way they are compiled."""
    algo = small("td3", num_envs=2, num_steps=2, replay_ratio=1.0, delay=2)
    env = make("Pendulum-v1", 2)

    @jax.jit
    def both(key):
        learner = algo.init(env, key).learner
        return algo.in_blocks(learner, key)[0], algo.one_by_one(learner, key)[0]

    blocks, single = both(jax.random.key(0))
    for a, b in zip(jax.tree.leaves(blocks), jax.tree.leaves(single), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [*FAMILY, "sac_discrete"])
def test_learning_rates_fall_in_env_steps_exactly(name: str) -> None:
    """Adam's first step is as long as the learning rate: whole at 0, half at half the horizon, nothing beyond."""
    algo, moved = small(name, lr_decay=True, lr_horizon=1e10), []
    for count in (0, 5 * 10**9, 10**10, 2 * 10**10):
        optimizer = algo.optimizer(0.01, counters.counter(count))
        updates, _ = optimizer.update(jnp.ones(3), optimizer.init(jnp.zeros(3)))
        moved.append(float(-updates[0]))
    np.testing.assert_allclose(moved, [0.01, 0.005, 0, 0], rtol=1e-5)


@pytest.mark.parametrize("name", late([*FAMILY, "sac_discrete"], "sac"))
def test_the_learning_rate_of_a_run_falls_to_0(name: str) -> None:
    """Beyond the horizon an iteration moves nothing, and the count of env steps has the warm-up in it."""
    algo = small(name, num_envs=2, num_steps=2, replay_ratio=0.5, lr_decay=True, lr_horizon=1.0)
    env = make("CartPole-v1" if name == "sac_discrete" else "Pendulum-v1", 2)

    @jax.jit
    def run(key):
        state = algo.init(env, key)
        return state.learner, algo.step(env, state)[0].learner

    before, after = run(jax.random.key(0))
    # A step of Adam at its whole rate is near 1e-3; one program may round the same numbers in two ways.
    for x, y in zip(jax.tree.leaves(before.params), jax.tree.leaves(after.params), strict=True):
        np.testing.assert_allclose(x, y, atol=1e-6)
    assert int(before.env_steps) == algo.warmup_env_steps
    assert int(after.env_steps) == algo.warmup_env_steps + 4


@pytest.mark.parametrize("name", late([*FAMILY, "sac_discrete"], "sac"))
def test_observations_are_normalised_when_drawn_and_kept_as_they_came(name: str) -> None:
    """The statistics are those of every collected observation, once each; acting and learning see them normalised."""
    algo = small(
        name, num_envs=2, num_steps=2, replay_ratio=0.5, warmup=8, replay_size=64, normalise_obs=True
    )
    env = make("CartPole-v1" if name == "sac_discrete" else "Pendulum-v1", 2)

    @jax.jit
    def run(key):
        state, _ = algo.step(env, algo.init(env, key))
        index = jnp.arange(2 * 6)  # all of the replay: 4 rows of the warm-up, 2 of the iteration
        return (
            state,
            take(state.learner.replay, index, algo.gamma),
            algo.sample(state.learner, jax.random.key(7)),
        )

    state, raw, drawn = run(jax.random.key(0))
    moments, obs = state.learner.obs_moments, np.asarray(raw.obs, np.float64)
    assert int(moments.count) == 12
    np.testing.assert_allclose(moments.mean, obs.mean(0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(moments.var, obs.var(0), rtol=1e-3, atol=1e-6)

    def normal(x):
        return np.clip(
            (np.asarray(x) - np.asarray(moments.mean)) / np.sqrt(np.asarray(moments.var) + 1e-8), -10, 10
        )

    np.testing.assert_allclose(drawn.obs, normal(raw.obs)[drawn.index], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(drawn.next_obs, normal(raw.next_obs)[drawn.index], rtol=1e-3, atol=1e-4)
    plain = state.learner._replace(obs_moments=Off())
    seen = algo.act(plain, Seen(jnp.asarray(normal(raw.obs), jnp.float32)))[0]
    np.testing.assert_allclose(algo.act(state.learner, Seen(raw.obs))[0], seen, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", [*FAMILY, "sac_discrete"])
def test_integers_and_images_are_not_normalised(name: str) -> None:
    id_ = "tabular:FrozenLake" if name == "sac_discrete" else "tabular:Chain?mix=true"
    algo = small(name, num_envs=2, normalise_obs=True)
    assert jax.eval_shape(partial(algo.init, make(id_, 2)), jax.random.key(0)).learner.obs_moments == Off()


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILY)
def test_targets_follow_by_polyak(name: str) -> None:
    algo = small(name, num_envs=2, num_steps=1 if name != "td3" else 2, replay_ratio=0.5, tau=0.25)
    env = make("Pendulum-v1", 2)
    before = jax.jit(lambda key: algo.init(env, key))(jax.random.key(0)).learner
    online = before.params.critic if name == "sac" else before.params
    assert same_bits(online, before.target)  # equal at the beginning
    state = jax.jit(lambda key: algo.init(env, key))(jax.random.key(0))
    after = algo.step(env, state)[0].learner
    online = after.params.critic if name == "sac" else after.params
    wanted = jax.tree.map(lambda x, y: 0.25 * x + 0.75 * y, online, before.target)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-6), after.target, wanted)


@pytest.mark.parametrize("name", FAMILY)
def test_exploration_stays_within_the_bounds_and_the_greedy_action_has_no_noise(name: str) -> None:
    algo = small(name, **({"noise": 5.0} if name != "sac" else {}))
    env = make("Pendulum-v1", 2)
    learner = jax.jit(lambda key: algo.init(env, key))(jax.random.key(0)).learner
    obs = jax.random.normal(jax.random.key(1), (500, 3))
    action = algo.act(learner, Seen(obs), 3 * jax.random.normal(jax.random.key(2), (500, 1)))[0]
    assert jnp.abs(action).max() <= 1
    assert jnp.std(action) > 0.3
    first, again = algo.act(learner, Seen(obs))[0], algo.act(learner, Seen(obs))[0]
    assert same_bits(first, again)


@pytest.mark.parametrize("env", ["CartPole-v1", "unbounded"])
@pytest.mark.parametrize("name", FAMILY)
def test_actions_that_are_no_bounded_vector_are_refused(name: str, env: str) -> None:
    algo = small(name)
    if env == "unbounded":

        class Free(Regulator):
            action_space = Box.of(-np.inf, np.inf, (1,))

        vec: Any = Vec(Free(), algo.num_envs)
    else:
        vec = make(env, algo.num_envs)
    with pytest.raises(ConfigError, match="finite bounds"):
        driver.init(algo, vec, [0])


class Regulator:
    """x' = 0.9 x + 0.5 u, reward -(x² + u²) / 4, |u| <= 2: linear and quadratic, so the best u is -k x."""

    name, observation_space, action_space = "Regulator", Box.of(-9.0, 9.0, (1,)), Box.of(-2.0, 2.0, (1,))

    def reset(self, key):
        x = jax.random.uniform(key, (1,), minval=-1.5, maxval=1.5)
        return (x, jnp.int32(0)), x

    def step(self, state, action, key):
        (x, time), no = state, jnp.bool_(False)
        reward = -0.25 * (x[0] ** 2 + action[0] ** 2)
        x = 0.9 * x + 0.5 * action
        return (x, time + 1), Transition(x, reward, no, time + 1 >= 5)


def gain(gamma: float) -> float:
    """k of u = -k x, by iterating the discounted Riccati equation."""
    p = 0.25
    for _ in range(1000):
        k = gamma * p * 0.9 * 0.5 / (0.25 + gamma * p * 0.25)
        p = 0.25 + 0.25 * k**2 + gamma * p * (0.9 - 0.5 * k) ** 2
    return k


REGULATE = {
    "num_envs": 8,
    "num_steps": 4,
    "replay_ratio": 0.5,
    "gamma": 0.9,
    "lr": 1e-3,
    "actor_lr": 1e-3,
    "batch_size": 128,
    "replay_size": 20_000,
    "warmup": 2_000,
    "tau": 0.02,
    "hidden": (64, 64),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("ddpg", {"noise": 0.5}),
        ("td3", {"noise": 0.5, "smoothing": 0.05}),
        # SAC is exact on a bandit and on the probes too, and this takes a minute.
        pytest.param("sac", {"alpha": 0.01, "alpha_lr": 0.0}, marks=pytest.mark.everything),
    ],
    ids=FAMILY,
)
def test_a_linear_regulator_reaches_riccatis_gain(name: str, option: dict[str, Any]) -> None:
    """The greedy action falls by k = 0.56 per unit of x, within 0.1, though every episode ends in a time limit after 5.

    If that were taken for a death, the best k would be 0, 0.33, 0.48, 0.53 and 0.55 with 0 to 4 env steps left.
    """
    assert half_of(off_riccati(name, option, SEEDS)) < 0.1


def off_riccati(name: str, option: dict[str, Any], seeds: Sequence[int]) -> np.ndarray:
    """How far the slope of each seed's greedy action over |x| <= 1, by least squares, is from -k: [S]."""
    algo = small(name, **REGULATE, **option)
    env: Any = Vec(Regulator(), 8)
    state = driver.run(algo, env, driver.init(algo, env, seeds), 600)
    x = jnp.linspace(-1, 1, 9)[:, None]
    action = jax.vmap(lambda learner: algo.act(learner, Seen(x)).action)(state.learner)
    slope = (2 * np.asarray(action) * x).sum((1, 2)) / (x**2).sum()
    return np.abs(slope + gain(0.9))


class Bandit:
    """One env step, reward -4 (a - 0.3)²."""

    name, observation_space, action_space = "Bandit", Box.of(-1.0, 1.0, (1,)), Box.of(-1.0, 1.0, (1,))

    def reset(self, key):
        return jnp.int32(0), jnp.zeros(1)

    def step(self, state, action, key):
        yes = jnp.bool_(True)
        return state, Transition(jnp.zeros(1), -4 * (action[0] - 0.3) ** 2, yes, ~yes)


@pytest.mark.slow
def test_sacs_policy_on_a_bandit_is_the_boltzmann_distribution() -> None:
    """π(a) ∝ exp(r(a) / α), here almost a Gaussian: its mean 0.3 and deviation √(α / 8) = 0.1 within 0.03."""
    assert half_of(off_boltzmann(SEEDS)).max() < 0.03


def off_boltzmann(seeds: Sequence[int]) -> np.ndarray:
    """How far mean and deviation of each seed's actions are from these: [S, 2]."""
    algo = small("sac", **(REGULATE | {"warmup": 4_000, "alpha": 0.08, "alpha_lr": 0.0}))
    env: Any = Vec(Bandit(), 8)
    state = driver.run(algo, env, driver.init(algo, env, seeds), 250)

    def drawn(actor: ActorNetwork) -> jax.Array:
        return algo.policy(actor, jnp.zeros((4000, 1))).sample(jax.random.key(0))

    a = np.asarray(jax.vmap(drawn)(state.learner.params.actor))[..., 0]
    return np.abs(np.stack([a.mean(1) - 0.3, a.std(1) - 0.1], 1))


def test_sac_has_no_target_actor_C18() -> None:
    algo, env = small("sac"), make("Pendulum-v1", 2)
    learner = jax.jit(lambda key: algo.init(env, key))(jax.random.key(0)).learner
    assert jax.tree.structure(learner.target) == jax.tree.structure(learner.params.critic)


@pytest.mark.parametrize("name", late(FAMILY, "ddpg"))
def test_the_warmup_is_as_long_as_it_says_C18(name: str) -> None:
    """The replay holds `warmup` random env steps, uniform over the box; counts and budgets include them."""
    algo = small(name, warmup=4_000, replay_size=5_000)
    env = make("Pendulum-v1", 2)
    memory = jax.jit(lambda key: algo.init(env, key))(jax.random.key(0)).learner.replay
    assert int(memory.pushed) * 2 == 4_000 == env_steps(algo, 0)
    action = ring.take(memory, jnp.arange(4_000), 0.9).action[:, 0]
    assert stats.kstest(np.asarray(action), "uniform", (-1, 2)).pvalue > 1e-4
    assert Experiment(algo, "Pendulum-v1", 5_000, (0,)).iterations == 1_000 // (2 * algo.num_steps)
    with pytest.raises(ConfigError, match="would end in the warm-up of 4000"):
        Experiment(algo, "Pendulum-v1", 4_000, (0,))


def test_discrete_sacs_losses_are_the_papers() -> None:
    """Christodoulou 2019, eq. 10 to 12: sums over actions, in float64."""
    algo = small("sac_discrete", target_entropy=0.5)

    class Env(Spaces):
        action_space = Discrete(3)

    def noisy(seed: int) -> Any:
        params, key = algo.networks(Env(), jax.random.key(seed)), jax.random.key(seed + 9)
        return jax.tree.map(lambda x: x + 0.2 * jax.random.normal(key, x.shape), params)

    params, other = noisy(0), noisy(1)
    target, alpha = other.critic, 0.3
    b = batch()._replace(action=jnp.arange(B) % 3)

    def judge(critics: Any, obs: Any) -> list[np.ndarray]:
        return [mlp(one(critics, i).advantage, np.asarray(obs, np.float64)) for i in (0, 1)]

    def log_pi(obs: Any) -> np.ndarray:
        logits = mlp(params.actor.advantage, np.asarray(obs, np.float64))
        return logits - np.log(np.exp(logits).sum(-1, keepdims=True))

    logp = log_pi(b.next_obs)
    bootstrap = (np.exp(logp) * (np.minimum(*judge(target, b.next_obs)) - alpha * logp)).sum(-1)
    y, expected = bellman(b, bootstrap), 0.0
    for q in judge(params.critic, b.obs):
        expected += 0.5 * np.mean(np.asarray(b.weight) * (y - q[np.arange(B), np.asarray(b.action)]) ** 2)
    loss = algo.critic_loss(params.critic, target, params.actor, jnp.float32(alpha), b)[0]
    np.testing.assert_allclose(loss, expected, rtol=1e-4)
    logp = log_pi(b.obs)
    expected = (np.exp(logp) * (alpha * logp - np.minimum(*judge(params.critic, b.obs)))).sum(-1).mean()
    loss, entropy = algo.actor_loss(params.actor, params.critic, jnp.float32(alpha), b)
    np.testing.assert_allclose(loss, expected, rtol=1e-4)
    np.testing.assert_allclose(entropy, -(np.exp(logp) * logp).sum(-1).mean(), rtol=1e-4)
    grad = jax.grad(algo.alpha_loss)(jnp.float32(0), entropy, 3)
    np.testing.assert_allclose(grad, entropy - 0.5 * np.log(3), rtol=1e-5)


class Arms:
    """One env step; the reward of each of three actions is fixed."""

    name, observation_space, action_space = "Arms", Box.of(-1.0, 1.0, (1,)), Discrete(3)
    rewards = jnp.array([0.2, 1.0, 0.6])

    def reset(self, key):
        return jnp.int32(0), jnp.zeros(1)

    def step(self, state, action, key):
        yes = jnp.bool_(True)
        return state, Transition(jnp.zeros(1), self.rewards[action], yes, ~yes)


@pytest.mark.slow
def test_discrete_sacs_policy_on_a_bandit_is_softmax_of_r_over_alpha() -> None:
    """π(a) = softmax(r / α) within 0.01."""
    assert half_of(off_softmax(SEEDS)) < 0.01


def off_softmax(seeds: Sequence[int]) -> np.ndarray:
    """How far the probabilities of each seed are from these at most: [S]."""
    algo = small("sac_discrete", **(REGULATE | {"warmup": 4_000, "alpha": 0.5, "alpha_lr": 0.0}))
    env: Any = Vec(Arms(), 8)
    state = driver.run(algo, env, driver.init(algo, env, seeds), 150)
    found = jax.vmap(lambda actor: jax.nn.softmax(actor(jnp.zeros((1, 1))))[0])(state.learner.params.actor)
    return np.abs(np.asarray(found) - np.asarray(jax.nn.softmax(Arms.rewards / 0.5))).max(1)


def test_critics_judge_each_on_its_own() -> None:
    params, _ = networks(small("td3"))
    b = batch()
    both = each(params.critic, b.obs, b.action)
    for i in (0, 1):
        np.testing.assert_allclose(both[i], one(params.critic, i)(b.obs, b.action), rtol=1e-5)
    assert not np.allclose(both[0], both[1])


def test_the_familys_files_differ_where_the_papers_do() -> None:
    """`ddpg -> td3, sac`: same hyperparameters in the same order, and their own in between."""
    names = {n: [f.name for f in dataclasses.fields(small(n))] for n in FAMILY}
    own = {"delay", "smoothing", "smoothing_clip", "alpha", "alpha_lr", "target_entropy"}
    assert [f for f in names["td3"] if f not in own] == names["ddpg"]
    assert [f for f in names["sac"] if f not in own] == [f for f in names["ddpg"] if f != "noise"]
