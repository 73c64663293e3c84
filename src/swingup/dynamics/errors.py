"""The errors of a model are measured one env step ahead and k, on a rollout that it has not learnt from."""

import jax
import jax.numpy as jnp
from jax import Array

from swingup.dynamics.ensemble import Ensemble
from swingup.spaces import to_env
from swingup.types import Rollout


def errors(ensemble: Ensemble, rollout: Rollout, k: int) -> tuple[Array, Array]:
    """Return the errors of predictions one env step and k env steps ahead, [] each, as shares of what there is to say.

        sqrt( mean over entries d of  E[(ŝ_d - s_d)²] / Var[s_d - s_d,before] )

    over all members and all windows of the rollout [T, N] in which no episode ends before the last env step. 0 is
    exact, 1 no better than the mean change. Over k env steps each member goes on from its own predictions, with the
    actions that were taken; Gaussian members go on from their means. NaN where there is no window.
    """
    action, done = to_env(ensemble.action_space, rollout.action), rollout.step.done
    return error(ensemble, rollout, action, done, 1), error(ensemble, rollout, action, done, k)


def error(ensemble: Ensemble, rollout: Rollout, action: Array, done: Array, k: int) -> Array:
    """Return the error k env steps ahead, []; `action` is [T, N, ...] in the environment's units."""
    starts = len(done) - k + 1
    if starts < 1:
        return jnp.float32(jnp.nan)

    def ahead(carry, h):
        obs, whole = carry  # [E, starts N, D], [starts, N]
        now = jax.lax.dynamic_slice_in_dim(action, h, starts).reshape(-1, *action.shape[2:])
        obs = jax.vmap(lambda i, o: one(ensemble, i, o, now))(jnp.arange(ensemble.size), obs)
        ended = jax.lax.dynamic_slice_in_dim(done, h, starts)
        return (obs, whole & ~(ended & (h < k - 1))), None

    first = rollout.obs[:starts].reshape(-1, rollout.obs.shape[-1])
    begun = jnp.broadcast_to(first, (ensemble.size, *first.shape)), jnp.ones((starts, done.shape[1]), bool)
    (said, whole), _ = jax.lax.scan(ahead, begun, jnp.arange(k))
    came = rollout.step.next_obs[k - 1 :].reshape(first.shape)
    weight = whole.ravel().astype(jnp.float32)[:, None]
    share = weight / jnp.maximum(weight.sum(), 1)
    change = came - first
    variance = (share * jnp.square(change - (share * change).sum(0))).sum(0)
    wrong = (share * jnp.square(said - came)).sum(1).mean(0)
    moves = variance > 1e-12
    ratio = jnp.where(moves, wrong / jnp.where(moves, variance, 1.0), 0.0).sum() / jnp.maximum(moves.sum(), 1)
    return jnp.where(weight.sum() > 0, jnp.sqrt(ratio), jnp.nan)


def one(ensemble: Ensemble, i: Array, obs: Array, action: Array) -> Array:
    """Return the mean successors [B, D] that member i says of rows [B, D]."""
    member = jax.tree.map(lambda x: x[i], ensemble.members)
    raw = member(ensemble.features(obs, action))
    return ensemble.outcome(obs, action, raw.mean, raw.end)[0]
