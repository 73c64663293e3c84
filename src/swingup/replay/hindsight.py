"""Hindsight experience replay puts reached states in the place of goals (Andrychowicz et al. 2017, arXiv:1707.01495).

An episode that missed its goal reached other states: learn from it as if one of those had been the goal. In a batch,
k of k + 1 transitions get another goal: what their own episode achieved at an env step drawn uniformly from theirs
to its end. Reward and termination are those of the new goal. Goals are drawn anew with each batch, so
nothing is stored twice. It is for observations that `Box.goal` describes: achieved goal, desired goal, the rest.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from swingup.counters import cycle
from swingup.replay.packing import unpack


class Episodes(NamedTuple):
    """This table knows where the episodes of a ring of `C` rows for each of `N` environments end."""

    count: Array  # [N] episodes that have ended, modulo the `cycle` of C: the number of the one that runs
    ends: Array  # [C, N] by number modulo C: where in the ring the episode's last row is


def episodes(rows: int, num_envs: int) -> Episodes:
    """None has ended yet."""
    return Episodes(jnp.zeros(num_envs, jnp.int32), jnp.zeros((rows, num_envs), jnp.int32))


def follow(known: Episodes, done: Array, pushed: Array) -> tuple[Episodes, Array]:
    """After new rows that did or did not end an episode, [T, N], the first of them row `pushed`; and their numbers.

    >>> known, number = follow(episodes(4, 1), jnp.array([[False], [True], [False]]), jnp.int32(0))
    >>> number.ravel().tolist(), known.ends.ravel().tolist()
    ([0, 0, 1], [1, 0, 0, 0])
    """
    t, n = done.shape
    rows = known.ends.shape[0]
    number = (known.count + (jnp.cumsum(done, 0) - done).astype(jnp.int32)) % cycle(rows)
    where = jnp.where(done, number % rows, rows)  # rows: out of bounds, dropped
    last = jnp.broadcast_to(((pushed + jnp.arange(t, dtype=jnp.int32)) % rows)[:, None], (t, n))
    ends = known.ends.at[where, jnp.arange(n)].set(last, mode="drop")
    return Episodes((known.count + done.sum(0).astype(jnp.int32)) % cycle(rows), ends), number


def remaining(ring: Any, index: Array) -> Array:
    """Count the rows of the same episode that follow each of the rows at `index` [B]: [B], 0 for an episode's last."""
    rows, n, width = ring.words.shape
    slot, env = index // n, index % n
    number = unpack(ring.words.reshape(-1, width)[index], ring.layout).episode
    runs = number == ring.episodes.count[env]
    return (jnp.where(runs, ring.pushed - 1, ring.episodes.ends[number % rows, env]) - slot) % rows


def relabel(ring: Any, batch: Any, key: Array, k: int) -> Any:
    """Draw a batch of single env steps, in which k / (k + 1) of the goals, in expectation, are goals of hindsight.

        g ~ uniform of { achieved(s'_t), achieved(s'_{t+1}), ..., achieved(s'_T) },    (r, terminated) of (s'_t, g)

    with T the last env step of the episode, or the newest if it goes on: whether it ended in a time limit or not,
    nothing beyond it is a goal. What keeps its own goal keeps its reward.
    """
    rows, n, _ = ring.words.shape
    count, (size, goal_reward) = len(batch.index), ring.goal
    k_which, k_when = jax.random.split(key)
    ahead = jax.random.randint(k_when, (count,), 0, remaining(ring, batch.index) + 1)
    later = (batch.index // n + ahead) % rows * n + batch.index % n
    future = unpack(ring.words.reshape(rows * n, -1)[later], ring.layout).next_obs[:, :size]
    changed = jax.random.uniform(k_which, (count,)) < k / (k + 1)

    def aim(obs: Array) -> Array:
        return obs.at[:, size : 2 * size].set(jnp.where(changed[:, None], future, obs[:, size : 2 * size]))

    reward, terminated = goal_reward(batch.next_obs[:, :size], future)
    return batch._replace(
        obs=aim(batch.obs),
        next_obs=aim(batch.next_obs),
        reward=jnp.where(changed, reward, batch.reward),
        terminated=jnp.where(changed, terminated, batch.terminated),
    )
