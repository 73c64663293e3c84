"""Environments on the host are tested with several seeds in one process, against single runs and against the device."""

from functools import partial
from types import SimpleNamespace
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import swingup
from conftest import small
from swingup import PPO
from swingup.envs import Hosted, make
from swingup.episodes import evaluate
from swingup.errors import ConfigError
from swingup.replay.packing import unpack
from swingup.rollout import collect
from swingup.runs import episodes
from swingup.training import driver, host_loop
from swingup.training.clock import Clock

SMALL: dict[str, Any] = {"num_envs": 2, "num_steps": 8, "epochs": 2, "num_minibatches": 2, "hidden": (8,)}


def close(a, b, atol=1e-4):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            x, y = jax.random.key_data(x), jax.random.key_data(y)
        np.testing.assert_allclose(x, y, atol=atol, rtol=1e-3)


@pytest.mark.parametrize("name", ["Pendulum-v1", pytest.param("CartPole-v1", marks=pytest.mark.slow)])
def test_three_seeds_on_the_host_are_three_seeds_on_the_device(name):
    algo, seeds = PPO(**SMALL, normalise_obs=True, normalise_reward=True), [0, 1, 7]
    device = make(name, 2)
    states = [
        driver.run(algo, env, driver.init(algo, env, seeds), 2)
        for env in (device, Hosted(device))  # type: ignore[arg-type]
    ]
    close(*states)


@pytest.mark.slow
def test_a_seed_among_others_equals_its_single_run():
    """Same streams of the environments, same keys, same learner; only rounding may differ."""
    algo = PPO(**SMALL)
    both = swingup.train(algo, "gymnasium:CartPole-v1", env_steps=32, seeds=[3, 5], episodes=2)
    for i, seed in enumerate((3, 5)):
        alone = swingup.train(algo, "gymnasium:CartPole-v1", env_steps=32, seeds=[seed], episodes=2)
        close(jax.tree.map(lambda x, i=i: x[i], both.state), jax.tree.map(lambda x: x[0], alone.state))
        assert both.result["final_return"][i] == alone.result["final_return"][0]


@pytest.mark.slow
def test_a_learning_rate_for_each_seed_is_the_run_with_that_rate():
    rates = np.array([1e-2, 1e-4], np.float32)
    env = Hosted(make("CartPole-v1", 2))  # type: ignore[arg-type]
    both = PPO(**SMALL, lr=rates)  # type: ignore[arg-type]
    states = driver.run(both, env, driver.init(both, env, [4, 4]), 2)
    for i, rate in enumerate(rates):
        algo = PPO(**SMALL, lr=float(rate))
        alone = driver.run(algo, env, driver.init(algo, env, [4]), 2)
        close(jax.tree.map(lambda x, i=i: x[i], states), jax.tree.map(lambda x: x[0], alone))


def test_evaluation_of_several_seeds_is_that_of_the_device():
    algo, seeds = PPO(**SMALL), [0, 1]
    device = make("CartPole-v1", 5)
    learner = driver.init(algo, make("CartPole-v1", 2), seeds).learner
    keys = jnp.stack([driver.root_key(seed, "test") for seed in seeds])
    # A policy that balances the pole for hundreds of env steps makes of two roundings two games: so they are cut.
    got, lengths, cut = episodes.on_host(algo, Hosted(device), learner, keys, limit=40)  # type: ignore[arg-type]
    on_device = episodes.on_device(algo, device, learner, keys, limit=40)
    for x, y in zip((got, lengths, cut), on_device, strict=True):
        np.testing.assert_array_equal(x, y)
    for i in range(2):
        one = jax.tree.map(lambda x, i=i: x[i], learner)
        expected = evaluate(device, lambda seen, _, one=one: algo.act(one, seen), keys[i], 40)[0]
        np.testing.assert_array_equal(got[i], expected)


class Counted(gymnasium.Env):
    """Counts the calls of all its copies; episodes of five env steps."""

    observation_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)
    calls = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        Counted.calls += 1
        self.t += 1
        return np.full(1, self.t / 5, np.float32), 1.0, self.t == 5, False, {}


def test_compiling_steps_no_environment():
    Counted.calls = 0
    run = swingup.train(PPO(**SMALL), Counted, env_steps=32, seeds=2, episodes=1)
    played = 2 * 2 * 5  # the final evaluation, greedy and with the policy's noise
    assert Counted.calls == 2 * 32 + played
    np.testing.assert_array_equal(run.final_return, [5.0, 5.0])


def test_the_seconds_on_the_host_are_told_apart():
    env, algo, clock = Hosted(make("CartPole-v1", 2)), PPO(**SMALL), Clock()  # type: ignore[arg-type]
    driver.run(algo, env, driver.init(algo, env, [0]), 2, clock=clock)
    parts = clock.split()
    assert set(parts) == {"env_seconds", "act_seconds", "update_seconds"}
    assert 0 < sum(parts.values()) <= clock.run_seconds


def test_a_stopwatch_adds_up(monkeypatch):
    """Each chunk of a run is measured by itself."""
    now = iter([1.0, 3.0, 10.0, 15.0])
    monkeypatch.setattr("swingup.training.clock.time", SimpleNamespace(perf_counter=lambda: next(now)))
    clock = Clock()
    for _ in range(2):
        with clock.running:
            pass
    assert clock.run_seconds == 7.0


def test_a_run_resumes_with_fresh_environments(tmp_path):
    """The learner is what it was, bit for bit; the environments begin anew, because they cannot be saved."""
    algo = PPO(**SMALL)
    train = partial(swingup.train, algo, "gymnasium:CartPole-v1", seeds=2, episodes=2)
    first = train(env_steps=64, out=tmp_path / "run")
    loaded = swingup.load(tmp_path / "run")
    close(first.state.learner, loaded.state.learner, atol=0)
    after = swingup.runs.resume(tmp_path / "run", env_steps=128)
    assert after.result["env_steps"] == 128
    assert np.all(np.asarray(after.state.learner.iteration.low) == 8)
    assert after.rows[-1]["iteration"] == 8


def test_what_acts_is_one_update_behind_and_nothing_else_differs():
    """The loop with its thread, against one that does everything in turn."""
    # Greedy, with gradient steps so long that an action tells which parameters chose it.
    algo = small("dqn", num_envs=2, replay_size=80, epsilon_start=0.0, epsilon_end=0.0, lr=0.3)
    env = make("gymnasium:CartPole-v1", 2)
    state = driver.begin(algo, env, [0])
    actor, key = jax.tree.map(lambda x: x[0], (state.actor, state.key))
    learner = before = jax.tree.map(lambda x: jnp.copy(x[0]), state.learner)
    first = state.actor.obs.copy()
    for _ in range(9):
        key, k_run, k_learn = jax.random.split(key, 3)
        actor, rollout = collect(env, partial(algo.act, before), actor, k_run, algo.num_steps)
        before, learner = learner, algo.update(learner, rollout, k_learn)[0]
    env = make("gymnasium:CartPole-v1", 2)
    fresh = driver.begin(algo, env, [0])
    np.testing.assert_array_equal(fresh.actor.obs, first)
    loop = host_loop.Loop(algo, env, fresh, Clock())
    for n in (1, 1, 2, 5):
        fresh, metrics = loop(fresh, n)
        assert metrics["loss/q"].shape == (1, n)
    close(jax.tree.map(lambda x: x[0], fresh.learner), learner)
    np.testing.assert_array_equal(jax.random.key_data(fresh.key[0]), jax.random.key_data(key))


def test_a_resumed_replay_knows_that_its_episodes_were_cut():
    """The environments begin anew, so the newest row of before is the last of its episode: a time limit's."""
    algo, env = small("ddpg", num_envs=2, warmup=10), make("gymnasium:Pendulum-v1", 4)
    found = driver.begin(algo, env, [0, 1])
    before = jax.tree.map(np.array, found.learner.replay)
    after = driver.restart(env, found, [0, 1], done=7)
    assert not np.array_equal(after.actor.obs, found.actor.obs)
    rows = [unpack(m.words[:, :5], m.layout) for m in (before, after.learner.replay)]
    assert not np.any(rows[0].done)
    assert np.all(rows[1].done[:, -1])
    assert not np.any(rows[1].done[:, :-1])
    assert not np.any(rows[1].terminated)


def test_each_seed_is_reset_with_its_own_key():
    """So its episodes are those that it has alone, whatever stands beside it; an evaluation begins like this."""
    keys = driver.root_keys([3, 5, 7], "test")
    _, all_ = host_loop.rows(make("gymnasium:CartPole-v1", 6), 3, 2).reset(keys)
    for row in range(3):
        _, alone = host_loop.rows(make("gymnasium:CartPole-v1", 2), 1, 2).reset(keys[row : row + 1])
        np.testing.assert_array_equal(all_[row], alone[0])


def test_environments_that_are_not_seeds_times_num_envs_are_refused():
    env = make("gymnasium:CartPole-v1", 3)
    with pytest.raises(ConfigError, match=r"2 seeds of 2 environments are 4; .* has 3"):
        host_loop.rows(env, 2, 2)
