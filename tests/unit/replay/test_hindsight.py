"""Hindsight takes goals from the same episode, not earlier, not beyond its end; rewards and ends are the new goal's."""

import itertools
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import swingup
from conftest import SEEDS, Idle, assert_close, half_of, small
from swingup.algos.dqn import DQN
from swingup.envs import Hosted, make
from swingup.envs.adapters.goals import distance_reward, goal_reward
from swingup.envs.tasks import BitFlip
from swingup.errors import ConfigError
from swingup.replay import hindsight, ring
from swingup.spaces import Box, Discrete
from swingup.testing import check_env
from swingup.training import driver
from swingup.types import Rollout, Step

SPACE = Box.of(-1e6, 1e6, (3,), goal=1)
add, interrupt, remaining = map(jax.jit, (ring.add, ring.interrupt, hindsight.remaining))


def reward_of(achieved, desired):
    """Tells which goals it was given; "terminated" for even desired goals."""
    return (1000 * achieved + desired)[..., 0], desired[..., 0] % 2 == 0


class World:
    """What is achieved is a number that no other env step achieves; the desired goal is -1; the rest counts."""

    def __init__(self, n: int, seed: int):
        self.rng, self.n = np.random.default_rng(seed), n
        self.env = Idle("world", n, SPACE, Discrete(2), reward_of)
        self.history: list[list[dict[str, Any]]] = [[] for _ in range(n)]
        self.next = 1

    def play(self, t: int) -> Rollout:
        obs, next_obs = np.full((2, t, self.n, 3), -1, np.float32)
        done = self.rng.random((2, t, self.n)) < 0.15
        terminated, truncated = done[0], done[1] & ~done[0]
        for i in range(t):
            for j in range(self.n):
                obs[i, j, 0], next_obs[i, j, 0], obs[i, j, 2] = -2, self.next, len(self.history[j])
                ends = bool(terminated[i, j] or truncated[i, j])
                self.history[j].append({"achieved": self.next, "done": ends})
                self.next += 1
        zero = np.zeros((t, self.n), np.float32)
        fields: Any = obs, next_obs, zero + 7, terminated, truncated, zero, zero.astype(np.int32)
        return Rollout(obs, zero.astype(np.int32), (), Step(*fields))

    def restart(self) -> None:
        for one in self.history:
            one[-1]["done"] = True

    def future(self, j: int, start: int) -> list[int]:
        """What may be a goal of the transition."""
        out = []
        for x in self.history[j][start:]:
            out.append(x["achieved"])
            if x["done"]:
                break
        return out


def filled(seed: int, pieces: list[int], capacity: int = 22) -> tuple[World, Any]:
    """A ring that is overwritten, and now and then interrupted."""
    world = World(2, seed)
    memory = ring.empty(world.env, capacity)
    for i, t in enumerate(pieces):
        memory = add(memory, world.play(t))
        if i % 5 == 3:
            memory = interrupt(memory)
            world.restart()
    return world, memory


@given(seed=st.integers(0, 2**31), pieces=st.lists(st.sampled_from([1, 4]), min_size=1, max_size=12))
@settings(max_examples=10, deadline=None)
def test_an_episodes_rest_is_known_to_the_row(seed: int, pieces: list[int]) -> None:
    world, memory = filled(seed, pieces)
    total, rows = sum(pieces), memory.words.shape[0]
    stored = [(j, start) for j in range(2) for start in range(max(0, total - rows), total)]
    index = np.array([start % rows * 2 + j for j, start in stored])
    wanted = [len(world.future(j, start)) - 1 for j, start in stored]
    places = np.resize(index, 2 * rows)  # one shape, one compilation
    assert remaining(memory, places).tolist() == np.resize(wanted, 2 * rows).tolist()


@pytest.mark.parametrize("k", [1, 4])
def test_goals_come_uniformly_from_the_rest_of_the_episode(k: int) -> None:
    """Every goal is one that the list allows; the counts of one transition's goals have a chi-square that is
    exceeded with probability below 1e-6, and so have the counts of those that keep their own."""
    for seed in itertools.count(3):  # until an episode in it is long enough to choose from
        world, memory = filled(seed, [4] * 10)
        held = ((j, i) for j, rows in enumerate(world.history) for i in range(len(rows))[-11:])
        if max(len(world.future(j, i)) for j, i in held) > 3:
            break
    count = 20_000
    b = jax.jit(ring.sample, static_argnums=(2, 5))(memory, jax.random.key(k), count, 0.9, 1, k)
    goal = np.asarray(b.next_obs[:, 1])
    np.testing.assert_array_equal(b.obs[:, 1], goal)
    start, env = np.asarray(b.obs[:, 2]).astype(int), np.asarray(b.index) % 2
    achieved = np.array([world.history[j][i]["achieved"] for j, i in zip(env, start, strict=True)])
    own = goal == -1
    np.testing.assert_array_equal(b.next_obs[:, 0], achieved)
    np.testing.assert_array_equal(b.obs[:, 0], -2)
    # Reward and termination are those of the new goal, and the old ones where the goal is the old one.
    np.testing.assert_allclose(b.reward, np.where(own, 7, 1000 * achieved + goal), rtol=1e-6)
    np.testing.assert_array_equal(np.asarray(b.terminated)[~own], goal[~own] % 2 == 0)
    assert abs(own.sum() - count / (k + 1)) < 5 * np.sqrt(count * k) / (k + 1)
    seen = 0
    for j, i in {(j, i) for j, i in zip(env.tolist(), start.tolist(), strict=True)}:
        options = world.future(j, i)
        mine = goal[(env == j) & (start == i) & ~own]
        assert set(mine) <= set(options)
        expected = len(mine) / len(options)
        square = sum((np.sum(mine == o) - expected) ** 2 / expected for o in options)
        assert square < 24 + 6 * len(options)  # chi-square with len - 1 degrees of freedom, beyond 1e-6
        seen = max(seen, len(options))
    assert seen > 3


def test_without_hindsight_the_batch_is_the_same_as_ever() -> None:
    _, memory = filled(5, [4] * 4)
    key = jax.random.key(0)
    plain = ring.take(memory, ring.draw(memory, key, 32), 0.9)
    same = ring.sample(memory, key, 32, 0.9, goals=0)
    assert all(
        np.array_equal(x, y) for x, y in zip(jax.tree.leaves(plain), jax.tree.leaves(same), strict=True)
    )


@pytest.mark.parametrize("seed", range(4))
def test_bits_flip_until_they_are_the_goal(seed: int) -> None:
    """Against three lines of NumPy: with actions that put right one bit after another, and with random ones."""
    env, rng = BitFlip(4), np.random.default_rng(seed)
    state, obs = env.reset(jax.random.key(seed))
    now, goal = np.array(obs[:4]), np.array(obs[4:])
    for time in range(1, 5):
        wrong = np.flatnonzero(now != goal)
        action = int(wrong[0]) if seed % 2 and len(wrong) else int(rng.integers(4))
        now[action] = 1 - now[action]
        there = bool((now == goal).all())
        state, t = env.step(state, jnp.int32(action), jax.random.key(0))
        np.testing.assert_array_equal(t.obs, [*now, *goal])
        assert (float(t.reward), bool(t.terminated)) == (there - 1, there)
        assert bool(t.truncated) == (time == 4 and not there)


@pytest.mark.parametrize("options", ["?bits=0", "?bits=2.5", "?size=3"])
def test_a_wrong_size_is_refused(options: str) -> None:
    with pytest.raises(ConfigError, match=r"bits|size"):
        make(f"task:BitFlip{options}", 1)


class Reach(gymnasium.Env):
    """A point that moves towards a goal; observations are a dictionary, as Gymnasium-Robotics has them."""

    vector = gymnasium.spaces.Box(-2, 2, (2,), np.float64)
    observation_space = gymnasium.spaces.Dict(
        {"observation": vector, "achieved_goal": vector, "desired_goal": vector}
    )
    action_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place, self.goal = self.np_random.uniform(-1, 1, (2, 2))
        self.time = 0
        return self.observe(), {}

    def observe(self):
        return {"observation": self.place / 2, "achieved_goal": self.place.copy(), "desired_goal": self.goal}

    def step(self, action):
        self.place = np.clip(self.place + 0.1 * action, -2, 2)
        self.time += 1
        reward = float(self.compute_reward(self.place, self.goal, {}))
        terminated = bool(self.compute_terminated(self.place, self.goal, {}))
        return self.observe(), reward, terminated, self.time >= 20, {}

    def compute_reward(self, achieved, desired, info):
        return -np.abs(achieved - desired).sum(-1)

    def compute_terminated(self, achieved, desired, info):
        return np.abs(achieved - desired).sum(-1) < 0.1


class Sparse(Reach):
    """With the rewards of the Fetch environments."""

    distance_threshold, reward_type = 0.3, "sparse"

    def compute_reward(self, achieved, desired, info):
        return -(np.linalg.norm(achieved - desired, axis=-1) > self.distance_threshold).astype(np.float32)

    def compute_terminated(self, achieved, desired, info):
        return False


class Deceiving(Sparse):
    """It has their attributes, and other rewards."""

    def compute_reward(self, achieved, desired, info):
        return 1 + super().compute_reward(achieved, desired, info)


class Silent(Reach):
    """Its rewards are not those that it says goals have."""

    def step(self, action):
        obs, reward, *rest = super().step(action)
        return obs, reward + 0.5, *rest


@pytest.mark.parametrize("kind", [Reach, Sparse, Deceiving])
def test_rewards_of_a_gymnasium_environment_are_computed_anew(kind: type) -> None:
    """Under jit and vmap, as the compiled update asks for them."""
    env = kind()
    rng = np.random.default_rng(0)
    achieved, desired = rng.uniform(-0.4, 0.4, (2, 3, 50, 2)).astype(np.float32)
    reward, terminated = jax.jit(jax.vmap(goal_reward(env, 2)))(achieved, desired)
    np.testing.assert_allclose(reward, env.compute_reward(achieved, desired, {}), atol=1e-6)
    np.testing.assert_array_equal(
        terminated, np.broadcast_to(env.compute_terminated(achieved, desired, {}), (3, 50))
    )
    asks = "pure_callback" in str(jax.make_jaxpr(goal_reward(env, 2))(achieved, desired))
    assert asks == (kind is not Sparse)


def test_an_environment_without_rewards_of_goals_has_none() -> None:
    assert goal_reward(object(), 2) is None


@pytest.mark.parametrize("kind", ["sparse", "dense"])
def test_distances_are_gymnasium_robotics(kind: str) -> None:
    fetch = pytest.importorskip("gymnasium_robotics.envs.fetch.fetch_env")
    rng = np.random.default_rng(1)
    achieved, desired = rng.uniform(0, 0.06, (2, 100, 3))
    theirs = SimpleNamespace(reward_type=kind, distance_threshold=0.05)
    reward, terminated = distance_reward(0.05, kind)(jnp.asarray(achieved), jnp.asarray(desired))
    want = fetch.get_base_fetch_env(object).compute_reward(theirs, achieved, desired, {})
    np.testing.assert_allclose(reward, want, atol=1e-6)
    assert not np.any(terminated)


def test_a_dictionary_of_goals_becomes_one_vector() -> None:
    env = make(Reach, 2)
    assert env.observation_space.goal == 2
    assert env.observation_space.shape == (6,)
    _, obs = env.reset(jax.random.key(0))
    np.testing.assert_allclose(obs[:, 4:], obs[:, :2] / 2, rtol=1e-6)
    flat = gymnasium.wrappers.FlattenObservation(Reach())
    wanted = flat.reset(seed=3)[0]
    np.testing.assert_allclose(env.pool.reset(0, [3])[0], wanted, rtol=1e-6)


@pytest.mark.parametrize("env", [Reach, "task:BitFlip?bits=4"])
def test_goal_environments_pass_the_check(env: Any) -> None:
    assert [f.code for f in check_env(env, env_steps=200) if not f.note] == []


@pytest.mark.parametrize("name", ["envpool:FetchReach-v4", "gymnasium:FetchReach-v4"])
def test_fetch_has_goals(name: str) -> None:
    """Its rewards, while random actions are played, are what we compute from its goals."""
    pytest.importorskip("envpool" if name.startswith("envpool") else "gymnasium_robotics")
    env = make(name, 2)
    try:
        assert env.observation_space.goal == 3
        assert env.observation_space.shape == (16,)
        env.reset(jax.random.key(0))
        rng = np.random.default_rng(0)
        for _ in range(55):
            _, step = env.step((), rng.uniform(-1, 1, (2, 4)).astype(np.float32))
            reward, terminated = env.goal_reward(step.next_obs[:, :3], step.next_obs[:, 3:6])
            np.testing.assert_array_equal(reward, step.reward)
            np.testing.assert_array_equal(terminated, step.terminated)
    finally:
        env.close()


def test_hindsight_on_the_host_asks_the_environment() -> None:
    """Two seeds, rewards from a callback inside the compiled update."""
    algo = small("ddpg", hindsight=4, warmup=40)
    env = make(Reach, 2 * algo.num_envs)
    state = driver.run(algo, env, driver.begin(algo, env, [0, 1]), 3)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(state.learner.params))


def test_hindsight_needs_goals() -> None:
    with pytest.raises(ConfigError, match="goals"):
        swingup.train(small("dqn", hindsight=4), "CartPole-v1", env_steps=100)
    for option in ({"n_step": 3}, {"prioritised": True}):
        with pytest.raises(ConfigError, match="hindsight"):
            small("dqn", hindsight=4, **option)
    with pytest.raises(ConfigError, match="warmup_hold"):
        small("dqn", warmup_hold=0)


@pytest.mark.slow
def test_both_loops_learn_the_same_with_hindsight() -> None:
    """The compiled loop and the one on the host see the same batches, goals included."""
    algo = small("dqn", hindsight=4, num_envs=2)
    device = make("task:BitFlip?bits=4", 2)
    states = []
    for env in (device, Hosted(device)):
        state = driver.init(algo, env, [0])
        states.append(driver.run(algo, env, state, 3).learner.params)
    assert_close(*states, 1e-4)


@pytest.mark.slow
@pytest.mark.everything  # `benchmarks/goals.py` shows it, and more
def test_bits_are_solved_with_hindsight_and_not_without() -> None:
    """Six flips are needed on average, and the last is free; without hindsight the goal is hardly ever met."""
    assert half_of(-flipped(4, SEEDS)) < 8
    assert half_of(flipped(0, SEEDS)) < -10


def flipped(k: int, seeds: Sequence[int]) -> np.ndarray:
    """The final return of each seed on 12 bits, with k goals of hindsight for each that was meant: [S]."""
    algo = DQN(
        hindsight=k,
        num_steps=16,
        replay_ratio=0.5,
        batch_size=64,
        hidden=(64,),
        lr=1e-3,
        target_period=1,
        tau=0.05,
        gamma=0.98,
        epsilon_decay=1e4,
    )
    run = swingup.train(algo, "task:BitFlip?bits=12", env_steps=30_000, seeds=seeds, episodes=50)
    return run.final_return
