"""The replay is compared with a list of everything that ever happened: at the write head, at ends, with stacks of
frames.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import Idle, late
from swingup.algos.dqn import DQN
from swingup.envs import make
from swingup.errors import ConfigError
from swingup.replay import capacity, priorities, ring
from swingup.spaces import Box, Discrete
from swingup.training import driver
from swingup.types import Rollout, Step

VECTOR, FRAMES = Box.of(-9.0, 9.0, (3,)), Box.of(0, 255, (2, 2, 4), "uint8")
add, take = jax.jit(ring.add), jax.jit(ring.take, static_argnames="n_step")


class World:
    """Environments that do nothing but end at random, and a list of all their transitions."""

    def __init__(self, n: int, kind: str, seed: int, ends: float = 0.3):
        self.rng, self.n, self.kind, self.ends = np.random.default_rng(seed), n, kind, ends
        space = VECTOR if kind == "vector" else FRAMES
        self.env = Idle("world", n, space, Discrete(5), stacked=kind == "stack")
        self.history: list[list[dict[str, Any]]] = [[] for _ in range(n)]
        self.length = np.zeros(n, np.int32)
        self.obs = np.stack([self.first(i) for i in range(n)])

    def new(self) -> np.ndarray:
        if self.kind == "vector":
            return self.rng.normal(size=3).astype(np.float32)
        shape = (2, 2, 1) if self.kind == "stack" else (2, 2, 4)
        return self.rng.integers(0, 256, shape, np.uint8)

    def first(self, i: int) -> np.ndarray:
        self.length[i] = 0
        return np.repeat(self.new(), 4, -1) if self.kind == "stack" else self.new()

    def next(self, obs: np.ndarray) -> np.ndarray:
        return np.concatenate([obs[..., 1:], self.new()], -1) if self.kind == "stack" else self.new()

    def restart(self) -> None:
        """As after a resume: new episodes, though the old ones had not ended."""
        for i in range(self.n):
            if self.history[i]:
                self.history[i][-1]["done"] = True
            self.obs[i] = self.first(i)

    def play(self, t: int) -> Rollout:
        rows = []
        for _ in range(t):
            row = []
            for i in range(self.n):
                self.length[i] += 1
                terminated = bool(self.rng.random() < self.ends / 2)
                truncated = not terminated and bool(self.rng.random() < self.ends / 2)
                x = {
                    "obs": self.obs[i].copy(),
                    "next_obs": self.next(self.obs[i]),
                    "action": int(self.rng.integers(5)),
                    "reward": np.float32(self.rng.normal()),
                    "terminated": terminated,
                    "done": terminated or truncated,
                    "length": self.length[i],
                }
                self.history[i].append(x)
                self.obs[i] = self.first(i) if x["done"] else x["next_obs"]
                row.append(x | {"after": self.obs[i].copy()})
            rows.append(row)

        def column(name: str) -> np.ndarray:
            return np.array([[x[name] for x in row] for row in rows])

        terminated, done = column("terminated"), column("done")
        rest = column("reward"), column("length").astype(np.int32)
        step = Step(
            column("after"), column("next_obs"), rest[0], terminated, done & ~terminated, rest[0], rest[1]
        )
        return Rollout(column("obs"), column("action").astype(np.int32), (), step)

    def expected(self, i: int, start: int, gamma: float, n_step: int) -> dict[str, Any]:
        """The n-step transition that begins at the env step `start` of environment `i`, by its definition."""
        reward, k = 0.0, 0
        while True:
            x = self.history[i][start + k]
            reward += gamma**k * float(x["reward"])
            k += 1
            if k == n_step or x["done"] or start + k == len(self.history[i]):
                break
        first = self.history[i][start]
        return {
            "obs": first["obs"],
            "action": first["action"],
            "reward": reward,
            "next_obs": x["next_obs"],
            "terminated": x["terminated"],
            "discount": gamma**k,
        }


def check(world: World, memory: ring.Ring, n_step: int) -> None:
    """Everything that can be drawn is what happened, and it is the newest part of it."""
    rows, n = memory.words.shape[:2]
    pushed, size = len(world.history[0]), int(memory.size)
    assert (pushed - int(memory.pushed)) % rows == 0
    assert size == min(pushed, rows - (memory.stack if memory.frames is not None else 0))
    starts = range(pushed - size, pushed)
    index = np.array([(p % rows) * n + i for p in starts for i in range(n)], np.int32)
    index = np.resize(index, rows * n)  # of one length, so that one program serves
    batch = jax.device_get(take(memory, index, 0.9, n_step=n_step))
    expected = [world.expected(i, p, 0.9, n_step) for p in starts for i in range(n)]
    for j, wanted in enumerate(expected):
        if batch.weight[j] == 0:  # a last frame that is lost; rare by design, tested below
            assert wanted["discount"]
            assert not wanted["terminated"]
            continue
        for name, value in wanted.items():
            if name == "next_obs" and wanted["terminated"] and world.kind != "vector":
                continue  # its value is not asked for, and its frame not kept
            got = getattr(batch, name)[j]
            if name in ("reward", "discount"):
                np.testing.assert_allclose(got, value, rtol=1e-5, atol=1e-5)
            else:
                np.testing.assert_array_equal(got, value, err_msg=name)


@pytest.mark.parametrize("kind", ["vector", "image", "stack"])
@pytest.mark.parametrize("n_step", [1, 3])
@given(seed=st.integers(0, 2**31), pieces=st.lists(st.sampled_from([1, 4]), min_size=1, max_size=12))
@settings(max_examples=8, deadline=None)
def test_what_is_drawn_is_what_happened(kind: str, n_step: int, seed: int, pieces: list[int]) -> None:
    """A whole history in a list; rings of 11 rows that are overwritten many times."""
    world = World(2, kind, seed)
    memory = ring.empty(world.env, 22)
    lasts = None if memory.lasts is None else jnp.zeros((40, *memory.lasts.shape[1:]), jnp.uint8)
    memory = dataclasses.replace(memory, lasts=lasts)
    for t in pieces:
        memory = add(memory, world.play(t))
        check(world, memory, n_step)
        if t == 4 and len(pieces) % 2:
            world.restart()
            memory = jax.jit(ring.interrupt)(memory)
            check(world, memory, n_step)


def test_a_lost_last_frame_has_no_weight() -> None:
    """Where more time limits fall into the ring than it keeps last frames for, the oldest of them teach nothing."""
    world = World(1, "stack", 0, ends=0.0)
    memory = ring.empty(world.env, 8)
    assert memory.lasts is not None
    assert len(memory.lasts) == 1
    for _ in range(2):
        rollout = world.play(3)
        truncated = rollout.step.truncated.copy()
        truncated[-1] = True
        for x in world.history[0][-1:]:
            x["done"] = True
        world.obs[0] = world.first(0)
        after = rollout.step.obs.copy()
        after[-1] = world.obs
        memory = add(memory, rollout._replace(step=rollout.step._replace(truncated=truncated, obs=after)))
    batch = take(memory, jnp.arange(6), 0.9)
    np.testing.assert_array_equal(batch.weight, [1, 1, 0, 1, 1, 1])
    check(world, memory, 1)


def test_draws_are_uniform_over_what_is_there() -> None:
    """Chi-square over all places: false alarm rate 1e-4, with a ring that has wrapped and one that has not."""
    from scipy import stats

    world = World(3, "stack", 1)
    memory = ring.empty(world.env, 60)
    for t in (5, 30):
        memory = add(memory, world.play(t))
        places = int(memory.size) * 3
        drawn = np.asarray(jax.jit(ring.draw, static_argnums=2)(memory, jax.random.key(t), 50_000))
        index, counts = np.unique(drawn, return_counts=True)
        assert len(index) == places
        assert stats.chisquare(counts).pvalue > 1e-4
        rows = memory.words.shape[0]
        newest = (int(memory.pushed) - 1 - index // 3) % rows
        assert newest.max() == memory.size - 1  # and none lies at the head


def test_frames_are_stored_once() -> None:
    """One byte per pixel and env step: not a stack, nor a successor, of each."""
    world = World(2, "stack", 0)
    memory = ring.empty(world.env, 10_000)
    assert memory.frames is not None
    assert memory.lasts is not None
    assert memory.frames.nbytes <= 2 * 2 * (10_000 + 2 * 4)
    assert memory.lasts.nbytes <= memory.frames.nbytes / 100


def test_bits_are_kept() -> None:
    """Words are the fields' own bits: also of NaN, infinities, -0, the smallest number and large integers."""
    world = World(1, "vector", 0)
    memory = ring.empty(world.env, 4)
    rollout = world.play(1)
    odd = np.array([[[np.float32(-0.0), np.inf, 1e-45]]], np.float32)
    big = np.array([[2**31 - 1]], np.int32)
    batch = take(add(memory, rollout._replace(obs=odd, action=big)), jnp.array([0]), 0.9)
    assert np.asarray(batch.obs).tobytes() == odd.tobytes()
    assert int(batch.action[0]) == 2**31 - 1


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"num_envs": 4, "num_steps": 1, "replay_ratio": 0.1}, "such as replay_ratio=0.25"),
        ({"num_steps": 10, "replay_ratio": 0.25}, "whole number"),
        ({"replay_size": 10, "warmup": 50}, "must hold the 50 env steps"),
    ],
)
def test_impossible_settings_are_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        DQN(**changes)


@pytest.mark.parametrize("num_envs", late([1, 2, 8], 2))
def test_replay_ratio_is_the_same_for_any_number_of_environments(num_envs: int) -> None:
    """Gradient steps per env step, not per step of the whole vector."""
    algo = DQN(num_envs=num_envs, num_steps=8, replay_ratio=0.5, warmup=32, hidden=(4,), replay_size=256)
    env = make("CartPole-v1", num_envs)
    state = jax.jit(lambda key: algo.init(env, key))(jax.random.key(0))
    state, _ = jax.jit(lambda state: algo.step(env, state))(state)
    assert int(state.learner.env_steps) == 32 + 8 * num_envs
    assert int(state.learner.gradient_steps) == 4 * num_envs
    assert int(state.learner.replay.pushed) * num_envs == int(state.learner.env_steps)


@pytest.mark.parametrize("kind", ["vector", "image", "stack"])
def test_memory_is_reckoned_before_it_is_taken(kind: str) -> None:
    """Within 5 % of what is allocated (it is exact), and so is the size that is said to fit."""
    world = World(2, kind, 0)
    algo = DQN(num_envs=2, replay_size=50_000)
    reckoned = capacity.replay_bytes(algo, world.env)
    taken = sum(x.nbytes for x in jax.tree.leaves(ring.empty(world.env, 50_000)))
    assert abs(reckoned - taken) <= 0.05 * taken


def test_a_replay_that_does_not_fit_is_refused_with_what_would(monkeypatch: pytest.MonkeyPatch) -> None:
    env = make("CartPole-v1", 4)
    algo = DQN(num_envs=4, replay_size=1_000_000)
    size = capacity.replay_bytes(algo, env)
    monkeypatch.setattr(capacity, "free_bytes", lambda: 2 * size)
    capacity.check_room(algo, env, 1)
    with pytest.raises(ConfigError, match=r"What fits: --replay-size (\d+), or 1 seed") as error:
        driver.init(algo, env, [0, 1, 2, 3])
    fits = int(str(error.value).split("--replay-size ")[1].split(",")[0])
    capacity.check_room(dataclasses.replace(algo, replay_size=fits), env, 4)
    with pytest.raises(ConfigError):
        capacity.check_room(dataclasses.replace(algo, replay_size=int(fits * 1.01)), env, 4)


# ------------------------------------------------------------------------------------------------------ priorities


@given(seed=st.integers(0, 2**31), size=st.sampled_from([5, 33, 1500]))
@settings(max_examples=20, deadline=None)
def test_sum_tree_finds_what_a_cumulative_sum_finds(seed: int, size: int) -> None:
    """Leaves set in several batches, many of them empty; masses anywhere, the borders included."""
    rng = np.random.default_rng(seed)
    tree, value = priorities.sum_tree(size), np.zeros(size)
    for _ in range(3):
        index = rng.choice(size, max(1, size // 2), replace=False)
        value[index] = rng.integers(0, 4, len(index))  # small integers: their sums are exact
        tree = jax.jit(priorities.put)(tree, index, value[index].astype(np.float32))
    if not value.sum():
        return
    assert float(tree.total) == value.sum()
    mass = np.concatenate([rng.uniform(0, value.sum(), 500), np.arange(value.sum())])[:500]
    found = np.asarray(jax.jit(priorities.find)(tree, mass.astype(np.float32)))
    upto = np.cumsum(value)
    np.testing.assert_array_equal(found, np.searchsorted(upto, mass.astype(np.float32), side="right"))


def test_sum_tree_never_finds_an_empty_leaf() -> None:
    """Whatever rounding does: real priorities over eight orders of magnitude, masses up to the total."""
    rng = np.random.default_rng(0)
    value = (10 ** rng.uniform(-6, 2, 40_000) * (rng.random(40_000) < 0.01)).astype(np.float32)
    tree = priorities.put(priorities.sum_tree(40_000), np.arange(40_000), value)
    mass = np.concatenate([np.linspace(0, float(tree.total), 9_999), [float(tree.total)]])
    assert (value[np.asarray(priorities.find(tree, mass.astype(np.float32)))] > 0).all()


def test_prioritised_draws_and_weights_follow_the_paper() -> None:
    """P(i) = p_i^α / Σ p^α, w_i = (size P(i))^-β / max w; and the weights undo the bias when β = 1."""
    errors = np.array([0.1, 0.5, 1.0, 4.0], np.float32)
    p = priorities.empty(4)
    p = priorities.enter(p, jnp.arange(4), jnp.zeros(0, jnp.int32))
    p = priorities.update(p, jnp.arange(4), errors, 0.6)
    chance = (errors + 1e-6) ** 0.6 / ((errors + 1e-6) ** 0.6).sum()
    drawn = priorities.draw(p, jax.random.key(0), 40_000)
    share = np.bincount(np.asarray(drawn), minlength=4) / 40_000
    np.testing.assert_allclose(share, chance, atol=2e-3)  # stratified: far closer than independent draws
    w = priorities.weights(p, jnp.arange(4), jnp.float32(4), 0.5)
    np.testing.assert_allclose(w, (4 * chance) ** -0.5 / ((4 * chance) ** -0.5).max(), rtol=1e-5)
    full = np.asarray(priorities.weights(p, drawn, jnp.float32(4), 1.0))
    corrected = (full * errors[np.asarray(drawn)]).mean() / full.mean()
    np.testing.assert_allclose(corrected, errors.mean(), rtol=1e-2)


def test_new_transitions_get_the_highest_priority_and_the_head_none() -> None:
    """Against a dictionary: what was learnt from has |δ| + 1e-6 to the α, what is new the highest of all so far."""
    world, rng = World(2, "stack", 0), np.random.default_rng(1)
    memory = ring.empty(world.env, 20)
    rows = memory.words.shape[0]
    p = priorities.empty(rows * 2)
    expected: dict[int, float] = {}
    highest, pushed = 1.0, 0
    for t in (3, 7, 7):
        memory = add(memory, world.play(t))
        p = priorities.enter(p, *ring.written(memory, t))
        pushed += t
        new = {(q % rows) * 2 + i: highest for q in range(pushed - t, pushed) for i in range(2)}
        kept = [(q % rows) * 2 + i for q in range(pushed - int(memory.size), pushed) for i in range(2)]
        expected = {place: x for place, x in (expected | new).items() if place in kept}
        index = rng.permutation(kept)[:4]
        error = rng.normal(0, 3, 4).astype(np.float32)
        p = priorities.update(p, jnp.asarray(index), jnp.asarray(error), 0.7)
        values = (np.abs(error) + 1e-6) ** 0.7
        expected |= dict(zip(index.tolist(), values.tolist(), strict=True))
        highest = max(highest, values.max())
        leaves = np.asarray(p.tree.levels[0])[: rows * 2]
        np.testing.assert_allclose(leaves, [expected.get(i, 0.0) for i in range(rows * 2)], rtol=1e-5)
        np.testing.assert_allclose(float(p.highest), highest, rtol=1e-5)
    assert len(set(expected.values())) > 4


def test_the_replay_under_vmap_is_each_seeds_own() -> None:
    """Two seeds side by side equal each alone, to the bit: writing, drawing, priorities."""
    worlds = [World(2, "vector", s) for s in range(2)]
    rollouts = [w.play(4) for w in worlds]
    empty = ring.empty(worlds[0].env, 12)

    def use(rollout, key):
        memory = ring.add(empty, rollout)
        p = priorities.empty(empty.places).admit(memory, 4)
        index = priorities.draw(p, key, 5)
        return ring.take(memory, index, 0.9, 2), ring.sample(memory, key, 5, 0.9)

    keys = jax.random.split(jax.random.key(0), 2)
    both = jax.vmap(use)(jax.tree.map(lambda *x: jnp.stack(x), *rollouts), keys)
    for i in range(2):
        alone = use(rollouts[i], keys[i])
        jax.tree.map(lambda x, y, i=i: np.testing.assert_array_equal(x[i], y), both, alone)
