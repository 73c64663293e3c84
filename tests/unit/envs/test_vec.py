"""Auto-reset and episode statistics, seen through an environment that counts; and the seeding of C21."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from swingup.envs import Hosted, Vec
from swingup.spaces import Box, Discrete
from swingup.training import driver
from swingup.types import Transition


class Count(NamedTuple):
    id: jax.Array  # drawn anew at each reset: tells episodes apart
    time: jax.Array
    total: jax.Array  # [2] of all actions in this episode: must not survive it


class Counting:
    """Episode `id` lasts 1 + id mod 4 env steps and ends by bit 4 (MDP), bit 8 (clock) or both; reward = action.

    The observation is (id, time, total), so every one says which episode it belongs to.
    """

    name = "Counting"
    observation_space = Box.of(-np.inf, np.inf, (3,))
    action_space = Discrete(5)

    def reset(self, key):
        state = Count(jax.random.randint(key, (), 0, 2**20), jnp.int32(0), jnp.zeros(2))
        return state, self.observe(state)

    def step(self, state, action, key):
        state = Count(state.id, state.time + 1, state.total + action)
        over, how = state.time >= length(state.id), (state.id // 4) % 4
        terminated, truncated = over & (how != 1), over & ((how == 1) | (how == 3))
        return state, Transition(self.observe(state), action.astype(jnp.float32), terminated, truncated)

    def observe(self, state):
        return jnp.stack([state.id, state.time, state.total[0]]).astype(jnp.float32)


def length(id):
    return 1 + id % 4


T, N = 60, 8


@pytest.fixture(scope="module")
def play():
    """(obs before, action, Step) of T env steps: [T, N, ...], as NumPy arrays."""
    env = Vec(Counting(), N)

    @jax.jit
    def run(key):
        state, obs = env.reset(key)
        actions = jax.random.randint(key, (T, N), 0, 5)

        def body(carry, x):
            state, obs = carry
            action, noise = x
            state, step = env.step(state, action, noise)
            return (state, step.obs), (obs, action, step)

        return jax.lax.scan(body, (state, obs), (actions, env.draw(key, T)))[1]

    return jax.tree.map(np.asarray, run(jax.random.key(0)))


def test_the_run_shows_every_kind_of_end(play):
    """So that the tests below say something: many episodes, ended in each way and at each length."""
    obs, _, step = play
    ends = step.terminated | step.truncated
    assert ends.sum() > 100
    ids = obs[..., 0].astype(int)[ends]
    assert set((ids // 4 % 4).tolist()) == set((ids % 4).tolist()) == {0, 1, 2, 3}


def test_next_obs_is_the_true_successor_and_obs_the_new_episodes_first(play):
    """At an end `next_obs` is the ended episode's last observation, `obs` the reset one."""
    obs, action, step = play
    done = step.terminated | step.truncated
    np.testing.assert_array_equal(step.next_obs[..., 0], obs[..., 0])  # the same episode
    np.testing.assert_array_equal(step.next_obs[..., 1], obs[..., 1] + 1)  # one env step later
    np.testing.assert_array_equal(step.next_obs[..., 2], obs[..., 2] + action)
    np.testing.assert_array_equal(step.obs[~done], step.next_obs[~done])
    assert np.all(step.obs[done][:, 0] != step.next_obs[done][:, 0])
    np.testing.assert_array_equal(step.obs[1:][done[1:]][:, 1:], 0)
    np.testing.assert_array_equal(obs[1:], step.obs[:-1])


def test_no_state_leaks_into_the_next_episode(play):
    """Time and the sum of actions start from zero: recomputed here from the actions alone."""
    obs, action, step = play
    done = step.terminated | step.truncated
    for n in range(N):
        time = total = 0
        for t in range(T):
            np.testing.assert_array_equal(obs[t, n, 1:], [time, total])
            time, total = time + 1, total + action[t, n]
            assert done[t, n] == (time == length(int(obs[t, n, 0])))
            time, total = (0, 0) if done[t, n] else (time, total)


def test_episodes_end_as_the_environment_says_and_termination_wins(play):
    """`truncated` is never true together with `terminated`, also where the environment says both."""
    obs, _, step = play
    done = step.terminated | step.truncated
    np.testing.assert_array_equal(step.done, done)
    assert not np.any(step.terminated & step.truncated)
    how = (obs[..., 0].astype(int) // 4 % 4)[done]
    np.testing.assert_array_equal(step.truncated[done], how == 1)
    np.testing.assert_array_equal(step.terminated[done], how != 1)


def test_episode_return_and_length_include_the_last_reward_and_restart(play):
    _, action, step = play
    done = step.terminated | step.truncated
    np.testing.assert_array_equal(step.reward, action)
    for n in range(N):
        ep_return = ep_length = 0
        for t in range(T):
            ep_return, ep_length = ep_return + step.reward[t, n], ep_length + 1
            assert (step.ep_return[t, n], step.ep_length[t, n]) == (ep_return, ep_length)
            ep_return, ep_length = (0, 0) if done[t, n] else (ep_return, ep_length)
    assert step.ep_length.dtype == np.int32


def test_every_new_episode_is_another_one(play):
    """Resets do not repeat over time or environments. Ids of 20 bits: few coincide among some hundred."""
    obs, _, step = play
    done = step.terminated | step.truncated
    first = np.concatenate([obs[0, :, 0], step.obs[done][:, 0]])
    assert len(set(first.tolist())) > len(first) - 20  # 400²/2 / 2^20 < 0.1 coincidences expected


def test_hosted_environments_give_the_same_answers():
    """The host interface steps the same dynamics with the same noise."""
    device = Vec(Counting(), 4)
    host = Hosted(device)
    assert (host.num_envs, host.name, host.jittable) == (4, "Counting", False)
    assert (host.observation_space, host.action_space) == (device.observation_space, device.action_space)
    (a, obs_a), (b, obs_b) = device.reset(jax.random.key(0)), host.reset(jax.random.key(0))
    np.testing.assert_array_equal(obs_a, obs_b)
    noise = host.draw(jax.random.key(1), 6)
    for t in range(6):
        now = jax.tree.map(lambda x, t=t: x[t], noise)
        (a, step_a), (b, step_b) = (
            jax.jit(device.step)(a, jnp.arange(4), now),
            host.step(b, jnp.arange(4), now),
        )
        for x, y in zip(jax.tree.leaves((a, step_a)), jax.tree.leaves((b, step_b)), strict=True):
            np.testing.assert_array_equal(x, y)


# --- Seeds


class Bits:
    """Observes 64 random bits of its reset and of each step's key: two equal streams would show."""

    name = "Bits"
    observation_space = Box.of(0.0, 2.0**32, (2,))
    action_space = Discrete(2)

    def reset(self, key):
        return jnp.int32(0), jax.random.bits(key, (2,))

    def step(self, state, action, key):
        no = jnp.bool_(False)
        return state, Transition(jax.random.bits(key, (2,)), jnp.float32(0), no, no)


def distinct(bits) -> int:
    """How many different 64-bit numbers there are in an array [..., 2] of 32-bit ones."""
    words = np.asarray(bits).reshape(-1, 2).astype(np.uint64)
    return len(np.unique(words[:, 0] << np.uint64(32) | words[:, 1]))


def test_1000_seeds_with_64_environments_give_64000_reset_streams_C21():
    """No `seed + i`: neighbouring seeds share no environment. Chance alone: 64000²/2 / 2^64 = 1e-10."""
    env = Vec(Bits(), 64)
    keys = jax.vmap(lambda seed: driver.root_key(seed, "train"))(jnp.arange(1000))
    assert distinct(jax.jit(jax.vmap(lambda key: env.reset(key)[1]))(keys)) == 64_000


def test_training_draws_distinct_numbers_for_every_seed_environment_and_step_C21():
    """Resets, step keys and fresh starts of a rollout all differ from each other."""
    env = Vec(Bits(), 16)

    @jax.jit
    def numbers(key):
        k_reset, k_draw = jax.random.split(key)
        state, first = env.reset(k_reset)
        noise = env.draw(k_draw, 8)
        steps = jax.lax.scan(lambda s, x: env.step(s, jnp.zeros(16, int), x), state, noise)[1]
        return jnp.concatenate([x.reshape(-1, 2) for x in (first, noise[1][1], steps.next_obs)])

    keys = jnp.stack([driver.root_key(seed, "train") for seed in range(100)])
    assert distinct(jax.vmap(numbers)(keys)) == 100 * 16 * (1 + 8 + 8)


def test_purposes_and_seeds_have_their_own_root_keys_C21():
    """Evaluation never replays training's numbers, and a vmapped seed is the seed itself."""
    purposes = (
        "train",
        "warm-up",
        "final evaluation",
    )  # that these are all, test_keys.py reads from the source
    keys = [driver.root_key(seed, p) for p in purposes for seed in range(100)]
    assert distinct(jnp.stack([jax.random.key_data(k) for k in keys])) == 300
    together = jax.vmap(lambda seed: driver.root_key(seed, "train"))(jnp.arange(3))
    for seed in range(3):
        np.testing.assert_array_equal(
            jax.random.key_data(together[seed]), jax.random.key_data(driver.root_key(seed, "train"))
        )
