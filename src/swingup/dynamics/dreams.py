"""Policies are played in what an ensemble has learnt: here is where such dreams begin, what they earn, and how that
differs from what came.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from swingup.distributions import noise
from swingup.dynamics.ensemble import Ensemble
from swingup.dynamics.errors import errors
from swingup.dynamics.fit import Rows
from swingup.dynamics.learned import Learned
from swingup.envs.imagined import Imagined, Likeness
from swingup.envs.vec import VecState
from swingup.replay import ring
from swingup.replay.ring import Ring
from swingup.rollout import RECENT, Draw, collect
from swingup.spaces import to_env
from swingup.types import Act, Actor, Recent, Rollout


def rows(learnt: Ensemble, replay: Ring) -> Rows:
    """Return all transitions of the replay by their places, with actions in the environment's units."""
    b, there = ring.everything(replay)
    return Rows(b.obs, to_env(learnt.action_space, b.action), b.reward, b.next_obs, b.terminated, there)


def dreams(
    learnt: Ensemble, like: Likeness, replay: Ring, num_envs: int, limit: Array | int | None
) -> Imagined:
    """Make imagined environments whose episodes begin where the agent has been, and are cut after `limit` env steps.

    A first observation is one of the replay's, each equally likely. In each env step every row asks a member drawn
    anew.
    """

    def begin(key: Array) -> tuple[Array, Array]:
        obs = ring.take(replay, ring.draw(replay, key, 1), 1.0).obs[0]
        return obs, obs

    return Imagined(Learned(learnt), begin, num_envs, like, limit)


def earned(
    learnt: Ensemble,
    like: Likeness,
    act: Act,
    first: Array,
    num_steps: int,
    key: Array,
    draw: Draw = noise,
) -> Array:
    """Return what a policy earns in each member alone, env step by env step: [T, E, K], zeros once a dream has ended.

    act          the policy, (Seen, noise) -> Choice
    first        observations [K, D] from which every member takes it on
    num_steps    env steps, T
    key          what the policy's noise comes from, and that of Gaussian members: the same key, the same dreams
    draw         the policy's noise, if it is not the usual one
    """
    e, k = learnt.size, len(first)
    obs = jnp.tile(first, (e, 1))  # member by member, as `Learned` shares rows
    dream = Imagined(Learned(learnt, shuffled=False), lambda _: (first[0], first[0]), e * k, like)
    state = VecState(obs, jnp.zeros(e * k), jnp.zeros(e * k, jnp.int32))
    actor = Actor(state, obs, Recent(jnp.zeros(RECENT), jnp.int32(0)))
    step = collect(dream, act, actor, key, num_steps, draw=draw, unroll=1)[1].step
    return jnp.where(earlier(step.done), 0.0, step.reward).reshape(num_steps, e, k)


def gap(
    learnt: Ensemble, like: Likeness, act: Act, rollout: Rollout, key: Array, draw: Draw = noise
) -> Array:
    """Return by how much a policy earns more in the model than it did in the rollout [T, N], []:

        E_n[ Σ_t r̂_t - Σ_t r_t ]

    Dreams begin at the rollout's first observations, in each member. A real end stops the second sum alone, because a
    model that dreams on is wrong; a time limit stops both, because nobody knows what would have come.
    """
    step = rollout.step
    ended = earlier(step.done)
    cut = earlier(step.truncated & ~ended)
    dreamt = earned(learnt, like, act, rollout.obs[0], len(ended), key, draw)
    promised = jnp.where(cut[:, None], 0.0, dreamt).sum(0).mean()
    return promised - jnp.where(ended, 0.0, step.reward).sum(0).mean()


def earlier(flag: Array) -> Array:
    """Say where a flag [T, ...] was up in an earlier row.

    >>> earlier(jnp.array([False, True, False, False])).tolist()
    [False, False, True, True]
    """
    count = jnp.cumsum(flag, 0) - flag
    return count > 0


def told(
    learnt: Ensemble,
    like: Likeness,
    act: Act,
    rollout: Rollout,
    k: int,
    key: Array,
    draw: Draw = noise,
) -> dict[str, Array]:
    """Return the metrics of a model on a rollout [T, N] that it has not learnt from: `errors` one env step and k ahead,
    and the `gap` of the policy that acted. They are NaN before the model has learnt anything.
    """
    one, many = errors(learnt, rollout, k)
    found = {"error_1": one, "error_k": many, "gap": gap(learnt, like, act, rollout, key, draw)}
    fitted = jnp.isfinite(learnt.error).any()
    given: dict[str, Any] = {"given_reward": learnt.reward, "given_end": learnt.end}
    metrics = {name: jnp.where(fitted, x, jnp.nan) for name, x in found.items()}
    metrics |= {name: jnp.float32(known is not None) for name, known in given.items()}
    return {f"model/{name}": x for name, x in metrics.items()}


def begins(replay: Ring, key: Array, count: int) -> Array:
    """Draw observations [K, D] of the replay, each equally likely."""
    return ring.take(replay, ring.draw(replay, key, count), 1.0).obs


def chosen(condition: Array, on_true: Any, on_false: Any) -> Any:
    """Return one of two trees, whole: `jnp.where` with one condition, []."""
    return jax.tree.map(lambda x, y: jnp.where(condition, x, y), on_true, on_false)
