"""A replay is read in stretches of env steps that follow each other, for models that remember what came before.

Rows of one environment follow each other in time, over the ends of episodes: `done` says where. So a model that reads
a stretch forgets, after such a row, what it has remembered.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from swingup.replay.packing import unpack
from swingup.replay.ring import Ring
from swingup.replay.transitions import Row


class Stretch(NamedTuple):
    """These are `B` stretches of `L` env steps; every field is [B, L, ...]."""

    place: Array  # slot * N + environment: `ring.take` gives what was seen there
    action: Array
    reward: Array
    terminated: Array
    done: Array


def stretches(ring: Ring, key: Array, count: int, length: int) -> Stretch:
    """Draw stretches, each that the ring holds equally likely, and with replacement.

    What a ring of fewer than `length` rows gives begins with rows that nobody has written.
    """
    rows, n, width = ring.words.shape
    k_time, k_env = jax.random.split(key)
    first = jax.random.randint(k_time, (count, 1), 0, jnp.maximum(ring.size - length + 1, 1))
    slot = (ring.pushed - ring.size + first + jnp.arange(length)) % rows
    place = slot * n + jax.random.randint(k_env, (count, 1), 0, n)
    row: Row = unpack(ring.words.reshape(-1, width)[place], ring.layout)
    return Stretch(place, row.action, row.reward, row.terminated, row.done)


def openings(ring: Ring, key: Array, count: int) -> Array:
    """Draw places [B] where an episode begins, with replacement; of a ring in which none does, any places.

    A row begins an episode if the row before it ended one, or if it is the first that was ever written.
    """
    rows = ring.words.shape[0]
    slot = jnp.arange(rows)[:, None]
    age = (ring.pushed - 1 - slot) % rows  # 0: the newest row
    there = age < ring.size
    done = jnp.roll(unpack(ring.words, ring.layout).done, 1, 0) & (age + 1 < jnp.minimum(ring.pushed, rows))
    begins = there & (done | ((ring.pushed <= rows) & (slot == 0)))
    likely = jnp.where(begins, 0.0, jnp.where(there, -1e3, -jnp.inf)).ravel()
    return jax.random.categorical(key, likely, shape=(count,))
