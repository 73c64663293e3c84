"""A future is imagined for each of an agent's actions: the first action is forced, all later ones are guessed.

    for a = 0 .. A-1:    s_1 = model(s_0, a);   s_{h+1} = model(s_h, a_h)  with  a_h ~ π̂(·|s_h)

(Racanière et al. 2017, arXiv:1707.06203, section 3.1). Rows are ordered observation by observation: row b
A + a is that of action a in observation b, for states and for actions.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from swingup.distributions import Categorical
from swingup.nets.imagination import Future
from swingup.protocols import Model
from swingup.types import Seen


def imagine(model: Model, guess: Callable[[Array], Categorical], obs: Array, chance: Any) -> Future:
    """Return what is imagined from observations [B, ...], [B, A, L, ...]: the observations after 1 .. L env steps, and
    the rewards on the way there. No gradient flows back through it.

        model      what happens next
        guess      π̂: observations [B, ...] to a policy
        chance     what `draw` drew for each row alone, [B, L, A, ...]: it says how deep the rollouts are

    The observation with which the MDP ends is the last that is seen: behind it are zeros.
    """
    n, depth, actions, _ = chance[1].shape

    def rows(x: Array) -> Array:
        return jnp.moveaxis(x, 1, 0).reshape(depth, -1, *x.shape[3:])  # [B, L, A, ...] to [L, B A, ...]

    def ahead(carry: Any, noise: Any) -> Any:
        state, action, alive = carry
        drawn, gumbel = noise
        state, t = model.step(state, action, drawn)
        shown = alive.reshape(-1, *[1] * (t.obs.ndim - 1))
        seen = Future(jnp.where(shown, t.obs, 0).astype(t.obs.dtype), jnp.where(alive, t.reward, 0.0))
        return (state, guess(t.obs).from_noise(gumbel), alive & ~t.terminated), seen

    first = model.start(Seen(jnp.repeat(obs, actions, 0))), jnp.tile(jnp.arange(actions), n)
    alive = jnp.ones(n * actions, bool)
    _, seen = jax.lax.scan(ahead, (*first, alive), jax.tree.map(rows, chance))
    return jax.lax.stop_gradient(
        jax.tree.map(lambda x: jnp.moveaxis(x, 0, 1).reshape(n, actions, depth, *x.shape[2:]), seen)
    )


def draw(model: Model, actions: int, depth: int, key: Array) -> Any:
    """Draw all that is random in the futures of one observation, [L, A, ...]: the model's, and Gumbel noise of π̂."""
    k_model, k_guess = jax.random.split(key)
    gumbel = jax.random.gumbel(k_guess, (depth, actions, actions))
    return model.draw(k_model, (depth, actions)), gumbel


def keys_of(obs: Array) -> Array:
    """Return a key for each observation [B, ...], which it alone decides: [B].

    So who must not be random imagines the same in the same place, and something else in another.
    """
    flat = obs.reshape(len(obs), -1).astype(jnp.uint32)
    odd = 2 * jnp.arange(flat.shape[-1], dtype=jnp.uint32) + 1
    mixed = (flat * (odd * jnp.uint32(0x9E3779B1))).sum(-1, dtype=jnp.uint32)
    return jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(0), mixed)
