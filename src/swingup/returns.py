"""Returns and advantages: the recursions over time, each with its equation. Arguments are [T, N]."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def discounted(
    reward: Float[Array, "T N"], done: Bool[Array, "T N"], gamma: float, last: Float[Array, " N"]
) -> Float[Array, "T N"]:
    """Discounted reward-to-go within each episode.

        G_t = r_t + γ (1 - done_t) G_{t+1},      G_T = last

    `last` [N] is the return after the end of the data: zeros, or a bootstrap for the running episode.

    >>> ended = jnp.array([[False], [True], [False]])
    >>> discounted(jnp.ones((3, 1)), ended, 0.5, jnp.array([8.0]))[:, 0]
    Array([1.5, 1. , 5. ], dtype=float32)
    """

    def backup(later, now):
        reward, done = now
        current = reward + gamma * jnp.where(done, 0.0, later)
        return current, current

    return jax.lax.scan(backup, last, (reward, done), reverse=True)[1]


def gae(
    reward: Float[Array, "T N"],
    value: Float[Array, "T N"],
    next_value: Float[Array, "T N"],
    terminated: Bool[Array, "T N"],
    done: Bool[Array, "T N"],
    gamma: float,
    lam: float,
) -> Float[Array, "T N"]:
    """Generalised advantage estimation (Schulman et al. 2016, eq. 16, with episode ends).

        δ_t = r_t + γ (1 - terminated_t) V(s'_t) - V(s_t)
        A_t = δ_t + γ λ (1 - done_t) A_{t+1},      A_T = 0

    `next_value` is V of the *true* successor s'_t, also where an episode ended. `terminated` stops the
    bootstrap; `done` (terminated or truncated) stops the sum: so a time limit bootstraps from s'_t but
    nothing leaks in from the next episode. λ = 0 gives the TD error, λ = 1 the return minus V.

    >>> r, v, cut = jnp.ones((2, 1)), jnp.zeros((2, 1)), jnp.zeros((2, 1), bool)
    >>> gae(r, v, 10 + v, cut, jnp.ones((2, 1), bool), gamma=0.5, lam=1.0)[:, 0]
    Array([6., 6.], dtype=float32)
    """
    delta = reward + gamma * jnp.where(terminated, 0.0, next_value) - value

    def backup(later, now):
        delta, done = now
        current = delta + gamma * lam * jnp.where(done, 0.0, later)
        return current, current

    return jax.lax.scan(backup, jnp.zeros_like(delta[0]), (delta, done), reverse=True)[1]


def explained_variance(prediction: Array, target: Array) -> Array:
    """1 - Var(target - prediction) / Var(target): 1 is perfect, 0 is no better than a constant.

    NaN-free: a target without variance gives 0.
    """
    variance = jnp.var(target)
    return jnp.where(variance > 0, 1 - jnp.var(target - prediction) / jnp.maximum(variance, 1e-12), 0.0)
