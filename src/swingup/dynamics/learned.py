"""An ensemble becomes a `Model`: what a planner looks ahead in, and a policy acts in."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from swingup.dynamics.ensemble import Ensemble
from swingup.errors import ConfigError
from swingup.rollout import permutation
from swingup.types import Seen, Transition


class Learned(eqx.Module):
    """This model says what an ensemble has learnt; its states are observations, and each row asks one member.

        shuffled    which member a row asks is drawn anew in each step: a permutation of the rows in E equal groups, so
                    each member answers B / E of them, and no row is evaluated E times (Janner et al. 2019 draw a member
                    for each row). If not, the first B / E rows ask the first member, and so on, in every step: rows of
                    one particle keep their member (TS∞ of Chua et al. 2018).

    A Gaussian member's answer is drawn from its distribution; so `draw` holds the noise of that, and the permutations.
    An end that is learnt is one where it is more likely than not.
    """

    ensemble: Ensemble
    shuffled: bool = eqx.field(static=True, default=True)

    def start(self, seen: Seen) -> Array:
        """Return the observations [B, D]."""
        return seen.obs

    def draw(self, key: Array, lead: tuple[int, ...]) -> Any:
        """Draw who answers which of `lead` = (..., B) rows, and the noise of the answers. Raises `ConfigError` unless E
        divides B.
        """
        rows, size = lead[-1], self.ensemble.size
        if rows % size:
            raise ConfigError(f"{size} models cannot share {rows} rows equally: take a multiple of {size}")
        k_order, k_noise = jax.random.split(key)
        order = noise = ()
        if self.shuffled:
            keys = jax.random.split(k_order, math.prod(lead[:-1]))
            order = jax.vmap(lambda k: permutation(k, rows))(keys).reshape(lead)
        if self.ensemble.gaussian:
            noise = jax.random.normal(k_noise, (*lead, len(self.ensemble.targets.mean)))
        return order, noise

    def step(self, state: Array, action: Array, noise: Any) -> tuple[Array, Transition]:
        """Return the states after actions [B, ...] in the environment's units, and the transitions [B, ...]."""
        e, (order, drawn) = self.ensemble, noise
        x = e.features(state, action)
        x = x[order] if self.shuffled else x
        raw = e.raw(x.reshape(e.size, -1, x.shape[-1]))
        raw = jax.tree.map(lambda y: y.reshape(len(x), *y.shape[2:]), raw)
        if self.shuffled:
            raw = jax.tree.map(lambda y: jnp.zeros_like(y).at[order].set(y, unique_indices=True), raw)
        target = raw.mean + jnp.exp(0.5 * raw.log_var) * drawn if e.gaussian else raw.mean
        next_obs, reward, end = e.outcome(state, action, target, raw.end)
        return next_obs, Transition(next_obs, reward, end > 0.5, jnp.zeros(len(x), bool))
