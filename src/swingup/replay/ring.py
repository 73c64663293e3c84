"""A replay keeps the transitions of the last env steps in a ring over time x environments, inside compiled code.

A transition is one row of 32-bit words, so that writing and reading it are one operation each. Images are kept
apart, each frame once: an observation is stacked again from its frames, its successor from the next row's.
What is read is exact at the write head and at every end of an episode:

    row t holds s_t, a_t, r_t, terminated_t, done_t      (and s'_t itself, unless it is an image)
    s'_t is s_{t+1}, but at a time limit the true last observation, whose frame is kept in a second, small ring
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from swingup.counters import around, cycle
from swingup.normalise import Moments, Off
from swingup.protocols import VecEnv
from swingup.replay import hindsight
from swingup.replay.packing import pack, unpack, width_of
from swingup.replay.transitions import Batch, Row
from swingup.returns import n_step_sum
from swingup.sharing import parted, whole
from swingup.spaces import choices, drawn, is_image, zeros
from swingup.types import Rollout

ONE_IN = 128  # rows, of which one may end in a time limit: then no last frame is lost


class Ring(eqx.Module):
    """The ring has `C` rows for each of `N` environments."""

    words: Array  # [C, N, W] uint32
    frames: Any  # None or [C, N, H, W, F] of images: the newest frame of each row's observation
    lasts: Any  # None or [L, H, W, F] the last frames of episodes that time limits ended
    pushed: Array  # env steps written per environment; from 2^30 on their place in the ring (`around`)
    ended: Array  # time limits so far, over all environments, modulo the `cycle` of `lasts`
    episodes: Any  # None or `hindsight.Episodes`, for observations with goals
    layout: tuple = eqx.field(static=True)  # how words become a `Row`
    stack: int = eqx.field(static=True)  # frames in an observation
    goal: Any = eqx.field(static=True)  # None or, with goals, their size and the environment's `goal_reward`

    @property
    def places(self) -> int:
        """Return C N, the number of places."""
        return self.words.shape[0] * self.words.shape[1]

    @property
    def masked(self) -> bool:
        """Say whether it keeps which actions were allowed."""
        tree, leaves = self.layout
        return jax.tree.unflatten(tree, leaves).legal is not None

    @property
    def size(self) -> Array:
        """Count an environment's rows that can be drawn: a stack's older frames and the newest successor cannot."""
        room = self.words.shape[0] - (self.stack if self.frames is not None else 0)
        return jnp.minimum(self.pushed, room)


def in_rings(f: Callable[[Ring], Any], tree: Any) -> Any:
    """Return a tree, such as a learner, with `f` of each replay in it in the replay's place."""
    return jax.tree.map(
        lambda x: f(x) if isinstance(x, Ring) else x, tree, is_leaf=lambda x: isinstance(x, Ring)
    )


def rings(tree: Any) -> list[Ring]:
    """List the replays in a tree."""
    return [x for x in jax.tree.leaves(tree, is_leaf=lambda x: isinstance(x, Ring)) if isinstance(x, Ring)]


def without(tree: Any) -> Any:
    """Return a tree, such as a learner, without the replays in it."""
    return in_rings(lambda _: None, tree)


def empty(env: VecEnv, capacity: int, num_envs: int | None = None) -> Ring:
    """Make an empty ring for `capacity` transitions over all environments, rounded up to a whole row.

    `num_envs` is how many of these environments it is for, if not for all.
    """
    n = num_envs or env.num_envs
    space: Any = env.observation_space
    rows, goals = -(-capacity // n), space.goal
    images, stack = is_image(space), space.shape[-1] if env.stacked else 1
    obs = None if images else zeros(space)
    number, episode = jnp.int32(0) if images else None, jnp.int32(0) if goals else None
    ends = jnp.bool_(0), jnp.bool_(0)
    legal = jnp.zeros(choices(env.action_space), bool) if env.masked else None
    row = Row(obs, obs, drawn(env.action_space), jnp.float32(0), *ends, number, number, episode, legal, legal)
    leaves, tree = jax.tree.flatten(row)
    layout = tree, tuple((x.shape, x.dtype.name) for x in leaves)
    frames = lasts = None
    if images:
        frame = (*space.shape[:-1], space.shape[-1] // stack)
        rows += stack
        frames = jnp.zeros((rows, n, *frame), space.dtype)
        lasts = jnp.zeros((max(n, rows * n // ONE_IN), *frame), space.dtype)
    words = jnp.zeros((rows, n, width_of(layout)), jnp.uint32)
    episodes = hindsight.episodes(rows, n) if goals else None
    goal = (goals, env.goal_reward) if goals else None
    return Ring(words, frames, lasts, jnp.int32(0), jnp.int32(0), episodes, layout, stack, goal)


def add(ring: Ring, rollout: Rollout) -> Ring:
    """Write a rollout [T, N] over the oldest rows. T must not exceed the ring's rows."""
    rollout = whole(rollout)
    step, (rows, n, _) = rollout.step, ring.words.shape
    t = step.reward.shape[0]
    at = (ring.pushed + jnp.arange(t)) % rows
    images = ring.frames is not None
    outcome = rollout.action, step.reward, step.terminated, step.done
    row = Row(rollout.obs, step.next_obs, *outcome, None, None, None, rollout.legal, step.next_legal)
    episodes = ring.episodes
    if episodes is not None:
        episodes, number = hindsight.follow(episodes, step.done, ring.pushed)
        row = row._replace(episode=number)
    if images:
        limit = step.truncated.ravel()
        number = (ring.ended + jnp.cumsum(limit) - 1) % cycle(ring.lasts.shape[0])
        row = row._replace(
            obs=None, next_obs=None, age=step.ep_length - 1, last=number.reshape(t, n).astype(jnp.int32)
        )
    words = ring.words.at[at].set(pack(row, ring.layout, 2))
    pushed = around(ring.pushed + t, rows)
    if not images:
        return replace(ring, words=words, pushed=pushed, episodes=episodes)
    size = ring.frames.shape[-1]
    obs, following = rollout.obs[..., -size:], step.obs[-1:, ..., -size:]
    frames = ring.frames.at[(ring.pushed + jnp.arange(t + 1)) % rows].set(jnp.concatenate([obs, following]))
    keep = ring.lasts.shape[0]
    newest = step.next_obs[..., -size:].reshape(t * n, *ring.frames.shape[2:])
    lasts = ring.lasts.at[jnp.where(limit, number % keep, keep)].set(newest, mode="drop")
    ended = (ring.ended + limit.sum().astype(jnp.int32)) % cycle(keep)
    return replace(ring, words=words, frames=frames, lasts=lasts, pushed=pushed, ended=ended)


def written(ring: Ring, t: int) -> tuple[Array, Array]:
    """Return the places of the newest T rows, and those that nothing can be drawn from because they lie at the head."""
    rows, n, _ = ring.words.shape
    ahead = ring.stack if ring.frames is not None else 0
    slots = (ring.pushed - t + jnp.arange(t + ahead)) % rows
    places = slots[:, None] * n + jnp.arange(n)
    return places[:t].ravel(), places[t:].ravel()


def interrupt(ring: Ring) -> Ring:
    """The running episodes go on no further, as if by a time limit: for environments that are opened anew."""
    rows, _n, _ = ring.words.shape
    at = (ring.pushed - 1) % rows
    row = unpack(ring.words[at], ring.layout)
    cut, lasts, ended = ~row.done & (ring.pushed > 0), ring.lasts, ring.ended
    if ring.frames is not None:
        keep = lasts.shape[0]
        number = (ended + jnp.cumsum(cut) - 1) % cycle(keep)
        row = row._replace(last=jnp.where(cut, number, row.last).astype(jnp.int32))
        newest = ring.frames[ring.pushed % rows]
        lasts = lasts.at[jnp.where(cut, number % keep, keep)].set(newest, mode="drop")
        ended = (ended + cut.sum().astype(jnp.int32)) % cycle(keep)
    words = ring.words.at[at].set(pack(row._replace(done=row.done | cut), ring.layout, 1))
    episodes = ring.episodes
    if episodes is not None:
        episodes, _ = hindsight.follow(episodes, cut[None], ring.pushed - 1)
    return replace(ring, words=words, lasts=lasts, ended=ended, episodes=episodes)


def draw(ring: Ring, key: Array, count: int) -> Array:
    """Draw `count` places, uniformly over all transitions and with replacement: [B] of slot * N + environment."""
    rows, n, _ = ring.words.shape
    chosen = jax.random.randint(key, (count,), 0, ring.size * n)
    slot = (ring.pushed - ring.size + chosen // n) % rows  # counted from the oldest
    return slot * n + chosen % n


def take(ring: Ring, index: Array, gamma: Any, n_step: int = 1) -> Batch:
    """Return the transitions at `index` [B], each of up to `n_step` env steps.

        R = r_t + γ r_{t+1} + ... + γ^{k-1} r_{t+k-1},      discount γ^k,      next_obs s'_{t+k-1}

    with k = n_step, or fewer where the episode ends or the newest row is reached: a time limit ends the sum
    but not the bootstrap, which `terminated` of the last of these env steps alone decides. Off-policy returns
    of more than one env step are not corrected for the policy that has changed since.
    """
    rows, n, width = ring.words.shape
    slot, env = index // n, index % n
    if n_step == 1:
        row = unpack(ring.words.reshape(-1, width)[index], ring.layout)
        first, end, reward, discount = row, slot, row.reward, jnp.broadcast_to(gamma, index.shape)
    else:
        ahead = jnp.arange(n_step)
        many = unpack(ring.words[(slot[:, None] + ahead) % rows, env[:, None]], ring.layout)
        newest = (ring.pushed - 1 - slot) % rows  # how many rows are newer
        known = ahead <= newest[:, None]
        reward, k = n_step_sum(many.reward, many.done, known, gamma)
        discount, end = jnp.power(gamma, k), (slot + k - 1) % rows
        first = jax.tree.map(lambda x: x[:, 0], many)
        row = jax.tree.map(lambda x: x[jnp.arange(len(k)), k - 1], many)
    weight = jnp.ones(index.shape)
    if ring.frames is None:
        obs, next_obs = first.obs, row.next_obs
    else:
        obs = _stacked(ring, slot, env, first.age)
        limit = row.done & ~row.terminated
        keep = ring.lasts.shape[0]
        ends = limit.reshape(-1, *[1] * (ring.frames.ndim - 2))
        newest = jnp.where(ends, ring.lasts[row.last % keep], ring.frames[(end + 1) % rows, env])
        older = _stacked(ring, end, env, row.age)[..., ring.frames.shape[-1] :]
        next_obs = jnp.concatenate([older, newest], -1)
        since = (ring.ended - row.last) % cycle(keep)  # time limits, its own included
        weight = jnp.where(limit & (since > keep), 0.0, weight)
    rest = row.terminated, discount, weight, index, first.legal, row.next_legal
    return Batch(obs, first.action, reward, next_obs, *rest)


def everything(ring: Ring) -> tuple[Batch, Array]:
    """Return all transitions by their places, [C N], and which of them are there, [C N]: what a model is fitted to.

    A transition keeps its place until it is overwritten: so its place is a number that it can be told by.
    """
    index = jnp.arange(ring.places)
    return take(ring, index, 1.0), index // ring.words.shape[1] < ring.size


def sample(ring: Ring, key: Array, count: int, gamma: Any, n_step: int = 1, goals: int = 0) -> Batch:
    """Draw `count` transitions, uniformly; with `goals` k, k of k + 1 of them get goals of hindsight."""
    if not goals:
        return parted(take(ring, draw(ring, key, count), gamma, n_step))
    k_draw, k_goal = jax.random.split(key)
    return parted(hindsight.relabel(ring, take(ring, draw(ring, k_draw, count), gamma), k_goal, goals))


def normalised(batch: Batch, moments: Moments | Off) -> Batch:
    """Scale the observations of a batch by the running statistics: the replay holds them as they came."""
    return batch._replace(obs=moments.normalise(batch.obs), next_obs=moments.normalise(batch.next_obs))


def _stacked(ring: Ring, slot: Array, env: Array, age: Array) -> Array:
    """Return observations [B, H, W, K F]: frames before the episode's first are its first again."""
    back = jnp.minimum(jnp.arange(ring.stack - 1, -1, -1), age[:, None])
    frames = ring.frames[(slot[:, None] - back) % ring.words.shape[0], env[:, None]]
    return jnp.concatenate([frames[:, i] for i in range(ring.stack)], -1)
