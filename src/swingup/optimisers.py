"""Every algorithm makes a few calls of optax: here they return the types that they were given.

optax takes any tree of arrays, and its annotations do not say that parameters come back as the tree they were: here a
network stays the network that it is.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import jax
import jax.numpy as jnp
import optax
from jax import Array

Params = TypeVar("Params")


def fresh(optimizer: optax.GradientTransformation, params: Any) -> optax.OptState:
    """Return an optimiser's state before its first step."""
    return optimizer.init(params)


def copied(params: Params) -> Params:
    """Return target networks at their beginning: the same numbers in other memory, for that of `params` is reused."""
    return jax.tree.map(jnp.copy, params)


def descend(
    optimizer: optax.GradientTransformation, params: Params, opt_state: optax.OptState, grads: Any
) -> tuple[Params, optax.OptState]:
    """Take one gradient step: return the parameters after it, and the optimiser's state.

    >>> rule = optax.sgd(0.5)
    >>> float(descend(rule, 3.0, fresh(rule, 3.0), 2.0)[0])
    2.0
    """
    updates, opt_state = optimizer.update(grads, opt_state)
    return cast(Params, optax.apply_updates(cast(Any, params), updates)), opt_state


def gradient_steps(
    optimizer: optax.GradientTransformation,
    loss: Callable[..., tuple[Array, Any]],
    batch: Callable[[Array], tuple],
    begun: tuple[Params, optax.OptState],
    steps: Array | int,
    key: Array,
) -> tuple[Params, optax.OptState, Any]:
    """Take `steps` gradient steps, a number that may be traced, each on a batch of its own.

        loss     (params, *batch) -> what is minimised [], and metrics, which are floats []
        batch    (key) -> the arguments of `loss`
        begun    the parameters and the optimiser's state

    Returns these as they are then, and the metrics of the last step; NaN where none was taken.
    """

    def one(i: Array, carry: tuple) -> tuple:
        params, opt_state, _ = carry
        grads, told = jax.grad(loss, has_aux=True)(params, *batch(jax.random.fold_in(key, i)))
        return *descend(optimizer, params, opt_state, grads), told

    shapes = jax.eval_shape(one, 0, (*begun, None))[-1]
    blank = jax.tree.map(lambda x: jnp.full(x.shape, jnp.nan, x.dtype), shapes)
    return jax.lax.fori_loop(0, steps, one, (*begun, blank))


def follow(target: Params, params: Params, tau: Array | float) -> Params:
    """Move target networks towards the online ones, θ⁻ <- (1 - τ) θ⁻ + τ θ; with τ = 1 the result is a copy.

    >>> follow(1.0, 3.0, 0.25)
    1.5
    """
    return cast(Params, optax.incremental_update(cast(Any, params), cast(Any, target), tau))


def clipped_by_norm(
    max_norm: Array | float, rule: optax.GradientTransformation
) -> optax.GradientTransformation:
    """Apply `rule` to gradients that are shortened to `max_norm` where their global norm is larger.

    All parameters are laid end to end first: one vector is faster than many.
    """
    return optax.flatten(optax.chain(optax.clip_by_global_norm(max_norm), rule))
