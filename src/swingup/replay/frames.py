"""Stacks of frames are kept in single frames, so Atari's observations [..., H, W, K] need a K-th of the memory.

Within an episode, each stack is the one before it, moved on by a frame. An episode's first stack is its first
frame K times, so EnvPool and our Gymnasium games begin.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from swingup.types import Rollout


class Frames(NamedTuple):
    """The observations of T env steps in N environments are kept with each frame once."""

    frames: Array  # [K-1 + T, N, H, W] the older frames of the first observations, then the newest of each
    first: Array  # [T, N] of each observation: where the frames of its episode begin


def pack(obs: Array, done: Array) -> Frames:
    """Keep observations [T, N, H, W, K] as single frames; `done` [T, N] says where episodes end.

    `obs[t]` is what was acted on in env step t, so that where `done[t]`, `obs[t + 1]` is another episode's first.
    """
    return _packed(obs[0], obs[..., -1], done)


def _packed(start: Array, newest: Array, done: Array) -> Frames:
    """Pack the first observations [N, H, W, K] and the newest frame of each later one [T, N, H, W]."""
    t, k = newest.shape[0], start.shape[-1]
    frames = jnp.concatenate([jnp.moveaxis(start[..., :-1], -1, 0), newest])
    begins = jnp.concatenate([jnp.zeros_like(done[:1]), done[:-1]])
    where = jnp.arange(k - 1, k - 1 + t)[:, None]
    return Frames(frames, jax.lax.cummax(jnp.where(begins, where, 0)))


def stacks(packed: Frames, time: Array, row: Array) -> Array:
    """Return the observations [B, H, W, K] of env steps `time` [B] in environments `row` [B].

    Raises nothing: as everywhere in JAX, an index out of range is moved to the nearest one within.
    """
    k = packed.frames.shape[0] - packed.first.shape[0] + 1
    index = jnp.maximum(time[:, None] + jnp.arange(k), packed.first[time, row][:, None])
    return jnp.moveaxis(packed.frames[index, row[:, None]], 1, -1)


def successors(packed: Frames, time: Array, row: Array, newest: Array) -> Array:
    """Return the true successors [B, H, W, K] of the same env steps, given their newest frames [B, H, W].

    Where no episode ends, that frame is the next observation's newest; at an end it belongs to the last one.
    """
    return jnp.concatenate([stacks(packed, time, row)[..., 1:], newest[..., None]], -1)


def newest(rollout: Rollout) -> Rollout:
    """Keep only the newest frame of each observation of a rollout: the older ones stand in the observations
    before it.
    """
    step = rollout.step._replace(obs=rollout.step.obs[..., -1], next_obs=rollout.step.next_obs[..., -1])
    return rollout._replace(obs=rollout.obs[..., -1], step=step)


def restore(rollout: Rollout, start: Array) -> Rollout:
    """Restore the observations [T, N, H, W, K] of a rollout of newest frames that began at `start` [N, H, W, K]."""
    packed = _packed(start, rollout.obs, rollout.step.done)
    time, row = (x.ravel() for x in jnp.indices(rollout.obs.shape[:2]))
    flat = rollout.step.next_obs.reshape(-1, *start.shape[1:-1])
    shape = *rollout.obs.shape, start.shape[-1]
    next_obs = successors(packed, time, row, flat).reshape(shape)
    begun = jnp.broadcast_to(
        rollout.step.obs[..., None], shape
    )  # where an episode ended, the next one's first
    done = rollout.step.done.reshape(*rollout.obs.shape[:2], *[1] * (len(shape) - 2))
    step = rollout.step._replace(obs=jnp.where(done, begun, next_obs), next_obs=next_obs)
    return rollout._replace(obs=stacks(packed, time, row).reshape(shape), step=step)
