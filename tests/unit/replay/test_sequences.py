"""Stretches of a replay follow each other in time, whatever the write head does."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from swingup.replay import ring, sequences
from swingup.replay.packing import pack, unpack
from swingup.spaces import Box
from swingup.types import Rollout, Step

ROWS, N = 10, 2


class Env:
    """What a ring asks of environments."""

    num_envs, stacked, masked, goal_reward = N, False, False, None
    observation_space, action_space = Box.of(-1e6, 1e6, (1,)), Box.of(-1.0, 1.0, (1,))


def written(count: int) -> Any:
    """A ring after `count` rows, one at a time: row t of environment n says 100 n + t; each fourth ends an episode."""
    kept = ring.empty(Env(), ROWS * N)  # pyright: ignore[reportArgumentType]
    for t in range(count):
        obs = jnp.array([[[t], [100 + t]]], jnp.float32)
        end = jnp.full((1, N), t % 4 == 3)
        number = jnp.full((1, N), t, jnp.float32)
        step = Step(obs + 1, obs + 1, number, end, jnp.zeros_like(end), number, number)
        kept = ring.add(kept, Rollout(obs, obs / 1000, (), step))
    return kept


@pytest.mark.parametrize("count", [6, 10, 17])
def test_a_stretch_is_of_one_environment_and_follows_in_time(count: int) -> None:
    kept, oldest = written(count), max(0, count - ROWS)
    found = sequences.stretches(kept, jax.random.key(0), 200, 4)
    obs = np.asarray(ring.take(kept, found.place.ravel(), 1.0).obs).reshape(200, 4)
    assert (np.diff(obs, axis=1) == 1).all()
    t = obs % 100
    np.testing.assert_array_equal(found.reward, t)
    np.testing.assert_array_equal(found.done, t % 4 == 3)
    np.testing.assert_array_equal(found.terminated, t % 4 == 3)
    np.testing.assert_allclose(found.action[..., 0], obs / 1000, rtol=1e-5)
    # Each that there is comes up: one of at most 14 is missed by 200 draws in less than one case of 10^5.
    starts = {(n, t) for n in range(N) for t in range(oldest, count - 3)}
    assert {(int(x) // 100, int(x) % 100) for x in obs[:, 0]} == starts


@pytest.mark.parametrize("count, first", [(3, {0}), (10, {0, 4, 8}), (17, {8, 12, 16})])
def test_an_opening_is_the_first_row_of_an_episode(count: int, first: set[int]) -> None:
    """Once the head has passed it, the very first row is none; nor is the oldest, whose row before is gone."""
    kept = written(count)
    place = sequences.openings(kept, jax.random.key(1), 200)
    obs = np.asarray(ring.take(kept, place, 1.0).obs)[:, 0]
    assert {int(x) % 100 for x in obs} == first
    assert {int(x) // 100 for x in obs} == {0, 1}


def test_where_no_episode_begins_any_row_will_do() -> None:
    kept = written(17)
    row = unpack(kept.words, kept.layout)
    none = replace(kept, words=pack(row._replace(done=jnp.zeros_like(row.done)), kept.layout, 2))
    obs = np.asarray(ring.take(none, sequences.openings(none, jax.random.key(1), 400), 1.0).obs)[:, 0]
    assert {int(x) % 100 for x in obs} == set(range(7, 17))
