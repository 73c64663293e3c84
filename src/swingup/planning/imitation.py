"""A policy is taught by a planner: what that said is written down, and the policy is fitted to all of it.

With dataset aggregation, DAgger (Ross, Gordon & Bagnell 2011), the policy acts and the planner says
what it would have done there. So the policy is taught in the states into which its own mistakes lead, where examples of
the planner's own way have nothing to say.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import optax
from jax import Array

from swingup.optimisers import descend, fresh

Params = TypeVar("Params")


class Examples(NamedTuple):
    """These are K pages of M states, with what the planner said there."""

    obs: Array  # [K, M, D]
    action: Array  # [K, M, A]


def blank(pages: int, size: int, obs: int, action: int) -> Examples:
    """Return pages on which nothing is written yet."""
    return Examples(jnp.zeros((pages, size, obs)), jnp.zeros((pages, size, action)))


def written(examples: Examples, page: Array, obs: Array, action: Array, when: Array) -> Examples:
    """Write states [..., D] and actions [..., A] on one page, over what was there; or nothing, unless `when` [].

    >>> book = blank(2, 1, 1, 1)
    >>> book = written(book, jnp.int32(1), jnp.ones((1, 1)), jnp.full((1, 1), 7.0), jnp.bool_(True))
    >>> written(book, jnp.int32(0), jnp.ones((1, 1)), jnp.ones((1, 1)), jnp.bool_(False)).action.ravel().tolist()
    [0.0, 7.0]
    """

    def put(old: Array, new: Array) -> Array:
        return jnp.where(when, old.at[page].set(new.reshape(old.shape[1:])), old)

    return Examples(put(examples.obs, obs), put(examples.action, action))


def imitated(
    loss: Callable[[Params, Array, Array], Array],
    params: Params,
    examples: Examples,
    pages: Array,
    key: Array,
    *,
    gradient_steps: int,
    batch_size: int,
    lr: Array | float,
) -> tuple[Params, Array]:
    """Fit parameters to the examples of the first pages by minibatch Adam, which begins anew; with the last loss, [].

    loss              (params, obs [B, D], action [B, A]) -> []
    pages             how many have been written on
    key               what the batches come from: each example is equally likely, with replacement
    gradient_steps    each on `batch_size` examples
    """
    obs, action = (x.reshape(-1, x.shape[-1]) for x in examples)
    count, rule = pages * examples.obs.shape[1], optax.flatten(optax.adam(lr))

    def gradient_step(carry: tuple, key: Array) -> tuple[tuple, Array]:
        i = jax.random.randint(key, (batch_size,), 0, count)
        params, opt_state = carry
        value, grads = jax.value_and_grad(loss)(params, obs[i], action[i])
        return descend(rule, params, opt_state, grads), value

    begun = params, fresh(rule, params)
    (params, _), losses = jax.lax.scan(gradient_step, begun, jax.random.split(key, gradient_steps))
    return params, losses[-1]
