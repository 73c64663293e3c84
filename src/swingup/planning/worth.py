"""A model tells what plans are worth; afterwards it shows by how much they promised more than came."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from swingup.protocols import Model
from swingup.spaces import Space, to_env


def returns(
    model: Model, space: Space, state: Any, plans: Array, noise: Any, gamma: Array | float = 1.0
) -> Array:
    """Return what plans earn in a model, [C]: the mean over P particles of the discounted sum of rewards,

        G = Σ_t γ^t alive_t r_t,      alive_0 = 1,  alive_{t+1} = alive_t (1 - terminated_t)

    so the reward that comes with an end counts, and nothing after it. A time limit ends nothing.

        model    what happens next
        space    of the actions, whose bounds [-1, 1] spans
        state    the model's states to start from, [P, ...]: one state P times
        plans    [C, H, A]
        noise    the model's, `model.draw(key, (H, P * C))`
        gamma    γ

    Rows of the model are particle by particle, and of each particle plan by plan: B = P C.
    """
    count, particles = len(plans), len(jax.tree.leaves(state)[0])
    rows = jax.tree.map(lambda x: jnp.repeat(x, count, 0), state)
    actions = jnp.tile(plans, (particles, 1, 1)).swapaxes(0, 1)  # [H, P C, A]

    def ahead(carry, now):
        rows, alive, weight, total = carry
        action, noise = now
        rows, t = model.step(rows, to_env(space, action), noise)
        total = total + weight * jnp.where(alive, t.reward, 0.0)
        return (rows, alive & ~t.terminated, weight * gamma, total), None

    first = rows, jnp.ones(particles * count, bool), jnp.float32(1), jnp.zeros(particles * count)
    total = jax.lax.scan(ahead, first, (actions, noise))[0][3]
    return total.reshape(particles, count).mean(0)


def gap(
    value: Array, reward: Array, terminated: Array, done: Array, horizon: int, gamma: Array | float
) -> Array:
    """Return by how much plans promised more than came: the mean of `value` minus what H env steps earned, [].

    All are [T, N]: `value` is what the plan of each env step was said to be worth. An env step counts if its next H
    are in the rollout, or the MDP ended before; NaN if there is none. The agent plans anew in each env step, so it
    may do better than its plan: with an exact model the gap is mostly below 0.

    >>> cut = jnp.zeros((3, 1), bool)
    >>> gap(jnp.array([[2.5], [2.0], [9.0]]), jnp.ones((3, 1)), cut, cut, horizon=2, gamma=1.0)
    Array(0.25, dtype=float32)
    """
    t = len(reward)

    def ahead(carry, h):
        total, going, whole = carry
        later = jnp.minimum(jnp.arange(t) + h, t - 1)
        there = (jnp.arange(t) + h < t)[:, None]
        whole = whole & (there | ~going)
        total = total + jnp.where(going & there, gamma**h * reward[later], 0.0)
        whole = whole & ~(going & done[later] & ~terminated[later] & (h < horizon - 1))
        return (total, going & ~terminated[later], whole), None

    first = jnp.zeros_like(reward), jnp.ones(reward.shape, bool), jnp.ones(reward.shape, bool)
    (total, _, whole), _ = jax.lax.scan(ahead, first, jnp.arange(horizon))
    count = whole.sum()
    mean = jnp.where(whole, value - total, 0.0).sum() / jnp.maximum(count, 1)
    return jnp.where(count > 0, mean, jnp.nan)
