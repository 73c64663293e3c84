"""Stacks of frames kept as single frames: what Atari's observations [..., H, W, K] need, a K-th of the memory.

Within an episode, each stack is the one before it, moved on by a frame. An episode's first stack is its first
frame K times, so EnvPool and our Gymnasium games begin.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array


class Frames(NamedTuple):
    """The observations of T env steps in N environments, each frame once."""

    frames: Array  # [K-1 + T, N, H, W] the older frames of the first observations, then the newest of each
    first: Array  # [T, N] of each observation: where the frames of its episode begin


def pack(obs: Array, done: Array) -> Frames:
    """Keep observations [T, N, H, W, K] as single frames; `done` [T, N] says where episodes end.

    `obs[t]` is what was acted on in env step t, so that where `done[t]`, `obs[t + 1]` is another episode's first.
    """
    t, k = obs.shape[0], obs.shape[-1]
    frames = jnp.concatenate([jnp.moveaxis(obs[0, ..., :-1], -1, 0), obs[..., -1]])
    begins = jnp.concatenate([jnp.zeros_like(done[:1]), done[:-1]])
    where = jnp.arange(k - 1, k - 1 + t)[:, None]
    return Frames(frames, jax.lax.cummax(jnp.where(begins, where, 0)))


def stacks(packed: Frames, time: Array, row: Array) -> Array:
    """The observations [B, H, W, K] of env steps `time` [B] in environments `row` [B].

    Raises nothing: as everywhere in JAX, an index out of range is moved to the nearest one within.
    """
    k = packed.frames.shape[0] - packed.first.shape[0] + 1
    index = jnp.maximum(time[:, None] + jnp.arange(k), packed.first[time, row][:, None])
    return jnp.moveaxis(packed.frames[index, row[:, None]], 1, -1)


def successors(packed: Frames, time: Array, row: Array, newest: Array) -> Array:
    """The true successors [B, H, W, K] of the same env steps, given their newest frames [B, H, W].

    Where no episode ends, that frame is the next observation's newest; at an end it belongs to the last one.
    """
    return jnp.concatenate([stacks(packed, time, row)[..., 1:], newest[..., None]], -1)
