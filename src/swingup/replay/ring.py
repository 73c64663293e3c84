"""Replay: the transitions of the last env steps in a ring over time x environments, inside compiled code.

A transition is one row of 32-bit words, so that writing and reading it are one operation each. Images are kept
apart, each frame once: an observation is stacked again from its frames, its successor from the next row's.
What is read is exact at the write head and at every end of an episode:

    row t holds s_t, a_t, r_t, terminated_t, done_t      (and s'_t itself, unless it is an image)
    s'_t is s_{t+1}, but at a time limit the true last observation, whose frame is kept in a second, small ring
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from swingup.counters import around, cycle
from swingup.protocols import VecEnv
from swingup.replay import hindsight
from swingup.replay.packing import pack, unpack, width_of
from swingup.spaces import drawn, is_image, zeros
from swingup.types import Rollout

ONE_IN = 128  # of so many rows, one may end in a time limit without losing its last frame


class Row(NamedTuple):
    """What is kept of a transition beside its images; every field is [..., *]."""

    obs: Any  # None for images
    next_obs: Any  # the true successor; None for images
    action: Array
    reward: Array
    terminated: Array
    done: Array
    age: Any  # images: env steps since the episode began
    last: Any  # images: at a time limit, the number of its last frame
    episode: Any  # goals: the episode's number in its environment


class Batch(NamedTuple):
    """`B` transitions, of one or of several env steps."""

    obs: Any  # [B, ...]
    action: Array
    reward: Array  # [B] the discounted sum of the k rewards
    next_obs: Any  # the true successor after k env steps
    terminated: Array  # the MDP ended there: the value of `next_obs` is 0
    discount: Array  # [B] γ^k
    weight: Array  # [B] of its loss; 0 for the few whose last frame is lost
    index: Array  # [B] where they lie


class Memory(eqx.Module):
    """The ring of `C` rows for each of `N` environments."""

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
    def size(self) -> Array:
        """Rows of each environment that can be drawn. A stack's older frames and the newest successor take room."""
        room = self.words.shape[0] - (self.stack if self.frames is not None else 0)
        return jnp.minimum(self.pushed, room)


def in_memories(f: Callable[[Memory], Any], tree: Any) -> Any:
    """A tree, such as a learner, with `f` of each replay in it in the replay's place."""
    return jax.tree.map(
        lambda x: f(x) if isinstance(x, Memory) else x, tree, is_leaf=lambda x: isinstance(x, Memory)
    )


def without(tree: Any) -> Any:
    """A tree, such as a learner, without the replays in it."""
    return in_memories(lambda _: None, tree)


def memory(env: VecEnv, capacity: int, num_envs: int | None = None) -> Memory:
    """An empty ring for `capacity` transitions over all environments, rounded up to a whole row.

    `num_envs` is how many of these environments it is for, if not for all.
    """
    n = num_envs or env.num_envs
    space: Any = env.observation_space
    rows, goals = -(-capacity // n), space.goal
    images, stack = is_image(space), space.shape[-1] if env.stacked else 1
    obs = None if images else zeros(space)
    number, episode = jnp.int32(0) if images else None, jnp.int32(0) if goals else None
    ends = jnp.bool_(0), jnp.bool_(0)
    row = Row(obs, obs, drawn(env.action_space), jnp.float32(0), *ends, number, number, episode)
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
    return Memory(words, frames, lasts, jnp.int32(0), jnp.int32(0), episodes, layout, stack, goal)


def add(memory: Memory, rollout: Rollout) -> Memory:
    """Write a rollout [T, N] over the oldest rows. T must not exceed the ring's rows."""
    step, (rows, n, _) = rollout.step, memory.words.shape
    t = step.reward.shape[0]
    at = (memory.pushed + jnp.arange(t)) % rows
    images = memory.frames is not None
    outcome = rollout.action, step.reward, step.terminated, step.done
    row = Row(rollout.obs, step.next_obs, *outcome, None, None, None)
    episodes = memory.episodes
    if episodes is not None:
        episodes, number = hindsight.follow(episodes, step.done, memory.pushed)
        row = row._replace(episode=number)
    if images:
        limit = step.truncated.ravel()
        number = (memory.ended + jnp.cumsum(limit) - 1) % cycle(memory.lasts.shape[0])
        row = row._replace(
            obs=None, next_obs=None, age=step.ep_length - 1, last=number.reshape(t, n).astype(jnp.int32)
        )
    words = memory.words.at[at].set(pack(row, memory.layout, 2))
    pushed = around(memory.pushed + t, rows)
    if not images:
        return replace(memory, words=words, pushed=pushed, episodes=episodes)
    size = memory.frames.shape[-1]
    obs, following = rollout.obs[..., -size:], step.obs[-1:, ..., -size:]
    frames = memory.frames.at[(memory.pushed + jnp.arange(t + 1)) % rows].set(
        jnp.concatenate([obs, following])
    )
    keep = memory.lasts.shape[0]
    newest = step.next_obs[..., -size:].reshape(t * n, *memory.frames.shape[2:])
    lasts = memory.lasts.at[jnp.where(limit, number % keep, keep)].set(newest, mode="drop")
    ended = (memory.ended + limit.sum().astype(jnp.int32)) % cycle(keep)
    return replace(memory, words=words, frames=frames, lasts=lasts, pushed=pushed, ended=ended)


def written(memory: Memory, t: int) -> tuple[Array, Array]:
    """The places of the newest T rows, and those that nothing can be drawn from because they lie at the head."""
    rows, n, _ = memory.words.shape
    ahead = memory.stack if memory.frames is not None else 0
    slots = (memory.pushed - t + jnp.arange(t + ahead)) % rows
    places = slots[:, None] * n + jnp.arange(n)
    return places[:t].ravel(), places[t:].ravel()


def interrupt(memory: Memory) -> Memory:
    """The running episodes go on no further, as if by a time limit: for environments that are opened anew."""
    rows, _n, _ = memory.words.shape
    at = (memory.pushed - 1) % rows
    row = unpack(memory.words[at], memory.layout)
    cut, lasts, ended = ~row.done & (memory.pushed > 0), memory.lasts, memory.ended
    if memory.frames is not None:
        keep = lasts.shape[0]
        number = (ended + jnp.cumsum(cut) - 1) % cycle(keep)
        row = row._replace(last=jnp.where(cut, number, row.last).astype(jnp.int32))
        newest = memory.frames[memory.pushed % rows]
        lasts = lasts.at[jnp.where(cut, number % keep, keep)].set(newest, mode="drop")
        ended = (ended + cut.sum().astype(jnp.int32)) % cycle(keep)
    words = memory.words.at[at].set(pack(row._replace(done=row.done | cut), memory.layout, 1))
    episodes = memory.episodes
    if episodes is not None:
        episodes, _ = hindsight.follow(episodes, cut[None], memory.pushed - 1)
    return replace(memory, words=words, lasts=lasts, ended=ended, episodes=episodes)


def draw(memory: Memory, key: Array, count: int) -> Array:
    """`count` places, uniform over all transitions and with replacement: [B] of slot * N + environment."""
    rows, n, _ = memory.words.shape
    chosen = jax.random.randint(key, (count,), 0, memory.size * n)
    slot = (memory.pushed - memory.size + chosen // n) % rows  # counted from the oldest
    return slot * n + chosen % n


def take(memory: Memory, index: Array, gamma: Any, n_step: int = 1) -> Batch:
    """The transitions at `index` [B], each of up to `n_step` env steps.

        R = r_t + γ r_{t+1} + ... + γ^{k-1} r_{t+k-1},      discount γ^k,      next_obs s'_{t+k-1}

    with k = n_step, or fewer where the episode ends or the newest row is reached: a time limit ends the sum
    but not the bootstrap, which `terminated` of the last of these env steps alone decides. Off-policy returns
    of more than one env step are not corrected for the policy that has changed since.
    """
    rows, n, width = memory.words.shape
    slot, env = index // n, index % n
    if n_step == 1:
        row = unpack(memory.words.reshape(-1, width)[index], memory.layout)
        first, end, reward, discount = row, slot, row.reward, jnp.broadcast_to(gamma, index.shape)
    else:
        ahead = jnp.arange(n_step)
        many = unpack(memory.words[(slot[:, None] + ahead) % rows, env[:, None]], memory.layout)
        newest = (memory.pushed - 1 - slot) % rows  # so many rows are newer
        known = ahead <= newest[:, None]
        before = jnp.concatenate([jnp.zeros_like(many.done[:, :1]), many.done[:, :-1]], 1)
        within = known & (jnp.cumsum(before, 1) == 0)
        k = within.sum(1)
        reward = jnp.sum(jnp.where(within, many.reward * jnp.power(gamma, ahead), 0), 1)
        discount, end = jnp.power(gamma, k), (slot + k - 1) % rows
        first = jax.tree.map(lambda x: x[:, 0], many)
        row = jax.tree.map(lambda x: x[jnp.arange(len(k)), k - 1], many)
    weight = jnp.ones(index.shape)
    if memory.frames is None:
        obs, next_obs = first.obs, row.next_obs
    else:
        obs = _stacked(memory, slot, env, first.age)
        limit = row.done & ~row.terminated
        keep = memory.lasts.shape[0]
        ends = limit.reshape(-1, *[1] * (memory.frames.ndim - 2))
        newest = jnp.where(ends, memory.lasts[row.last % keep], memory.frames[(end + 1) % rows, env])
        older = _stacked(memory, end, env, row.age)[..., memory.frames.shape[-1] :]
        next_obs = jnp.concatenate([older, newest], -1)
        since = (memory.ended - row.last) % cycle(keep)  # time limits, its own included
        weight = jnp.where(limit & (since > keep), 0.0, weight)
    return Batch(obs, first.action, reward, next_obs, row.terminated, discount, weight, index)


def sample(memory: Memory, key: Array, count: int, gamma: Any, n_step: int = 1, goals: int = 0) -> Batch:
    """`count` transitions, drawn uniformly; with `goals` k, of k + 1 of them k have goals of hindsight."""
    if not goals:
        return take(memory, draw(memory, key, count), gamma, n_step)
    k_draw, k_goal = jax.random.split(key)
    return hindsight.relabel(memory, take(memory, draw(memory, k_draw, count), gamma), k_goal, goals)


def _stacked(memory: Memory, slot: Array, env: Array, age: Array) -> Array:
    """Observations [B, H, W, K F]: frames before the episode's first are its first again."""
    back = jnp.minimum(jnp.arange(memory.stack - 1, -1, -1), age[:, None])
    frames = memory.frames[(slot[:, None] - back) % memory.words.shape[0], env[:, None]]
    return jnp.concatenate([frames[:, i] for i in range(memory.stack)], -1)
