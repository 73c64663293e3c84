"""An ensemble of networks predicts what an action changes: the model of PETS, ME-TRPO, MBPO, MVE and STEVE.

Each of E members is a network of its own, which says of (s, a) by how much s will change and, where the environment
does not give them as functions, the reward and whether the episode ends. Members differ in their first weights and in
the rows they learn from (`swingup.dynamics.fit`), so they agree where there are data, and elsewhere need not.

A deterministic member says one change; it learns by mean squared error. A Gaussian one says a mean and a variance for
each entry, and learns by likelihood (Chua et al. 2018). Inputs and targets are standardised, so no entry, be it a
reward in thousands, outweighs another.
"""

import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from swingup.envs.pure import check_given
from swingup.errors import ConfigError
from swingup.nets.layers import MLP
from swingup.protocols import KnownEnd, KnownReward, VecEnv
from swingup.spaces import Box, Discrete, Space

FAR = 10.0  # standard deviations beyond which an input is taken for no farther


class Scale(NamedTuple):
    """A scale holds mean and standard deviation, by which numbers [..., n] are standardised."""

    mean: Array  # [n]
    std: Array  # [n], 1 where an entry is constant

    def to(self, x: Array) -> Array:
        return (x - self.mean) / self.std

    def back(self, x: Array) -> Array:
        return x * self.std + self.mean


def scale_of(x: Array, weight: Array) -> Scale:
    """Return the scale of rows x [M, n] of weight 0 or 1 [M]. An entry that is constant but for rounding keeps std 1.

    >>> scale_of(jnp.array([[1.0, 5.0], [3.0, 5.0], [9.0, 9.0]]), jnp.array([1.0, 1.0, 0.0]))
    Scale(mean=Array([2., 5.], dtype=float32), std=Array([1., 1.], dtype=float32))
    """
    share = (weight / jnp.maximum(weight.sum(), 1))[:, None]
    mean = jnp.sum(share * x, 0)
    std = jnp.sqrt(jnp.sum(share * jnp.square(x - mean), 0))
    return Scale(mean, jnp.where(std > 1e-5 * jnp.abs(mean) + 1e-8, std, 1.0))


class Raw(NamedTuple):
    """This is what networks say, in standardised units."""

    mean: Array  # [..., n]: n is D, or D + 1 where the reward is learnt
    log_var: Array  # [..., n], or [..., 0] if the members are deterministic
    end: Array  # [...] log odds that the episode ends; 0 where ends are given


class Member(eqx.Module):
    """A member is one network of an ensemble. A Gaussian one learns the bounds between which its log variances stay."""

    mlp: MLP
    high: Array  # [n] of log σ²; [0] if it is deterministic
    low: Array
    targets: int = eqx.field(static=True)  # n

    def __call__(self, x: Array) -> Raw:
        """Return what it says of inputs [..., i].

        The bounds are soft (Chua et al. 2018, appendix A.1): log σ² = high - softplus(high - x), and so from below.
        """
        out, n, bounded = self.mlp(x), self.targets, len(self.high)
        log_var = self.high - jax.nn.softplus(self.high - out[..., n : n + bounded])
        log_var = self.low + jax.nn.softplus(log_var - self.low)
        return Raw(out[..., :n], log_var, out[..., n + bounded :].sum(-1))


class Prediction(NamedTuple):
    """This is what every member says of each row; every field is [E, B, ...], in the environment's units."""

    next_obs: Array  # [E, B, D] the mean
    std: Array  # [E, B, D] the standard deviation that Gaussian members give; 0 of deterministic ones
    reward: Array  # [E, B] given or learnt
    end: Array  # [E, B] the probability that the episode ends there; 0 or 1 where ends are given


class Ensemble(eqx.Module):
    """An ensemble is E members side by side, with the scales of their inputs and targets."""

    members: Member  # every leaf [E, ...]
    inputs: Scale  # of [s, a]
    targets: Scale  # of [s' - s], or of [s' - s, r]
    error: (
        Array  # [E] mean squared error on rows held out, in standardised units; infinite before the first fit
    )
    action_space: Space = eqx.field(static=True)
    reward: KnownReward | None = eqx.field(static=True)  # None: learnt
    end: KnownEnd | None = eqx.field(static=True)  # None: learnt
    gaussian: bool = eqx.field(static=True)

    @property
    def size(self) -> int:
        """Return E."""
        return len(self.error)

    def features(self, obs: Array, action: Array) -> Array:
        """Return inputs [..., i], standardised; `action` is in the environment's units.

        Beyond ten standard deviations an input is taken for no farther, so that an entry that hardly moved in training
        cannot blow up a prediction.
        """
        x = jnp.concatenate([obs, flat(self.action_space, action)], -1)
        return jnp.clip(self.inputs.to(x), -FAR, FAR)

    def raw(self, x: Array) -> Raw:
        """Return what the members say of inputs [E, B, i], each of its own rows."""
        return jax.vmap(lambda member, x: member(x))(self.members, x)

    def outcome(self, obs: Array, action: Array, target: Array, end: Array) -> tuple[Array, Array, Array]:
        """Return successors [..., D], rewards [...] and probabilities of ends [...]: what is given is, the rest learnt.

        `target` [..., n] is standardised, `end` [...] are log odds.
        """
        change = self.targets.back(target)
        next_obs = obs + change[..., : obs.shape[-1]]
        reward = change[..., -1] if self.reward is None else self.reward(obs, action, next_obs)
        if self.end is None:
            return next_obs, reward, jax.nn.sigmoid(end)
        return next_obs, reward, self.end(obs, action, next_obs).astype(jnp.float32)

    def predict(self, obs: Array, action: Array) -> Prediction:
        """Return what every member says of rows [B, D] and actions [B, ...]."""
        obs, action = (jnp.broadcast_to(x, (self.size, *x.shape)) for x in (obs, action))
        raw = self.raw(self.features(obs, action))
        next_obs, reward, end = self.outcome(obs, action, raw.mean, raw.end)
        std = jnp.zeros_like(next_obs)
        if self.gaussian:
            d = obs.shape[-1]
            std = jnp.exp(0.5 * raw.log_var[..., :d]) * self.targets.std[:d]
        return Prediction(next_obs, std, reward, end)

    def best(self, count: int) -> "Ensemble":
        """Return the `count` members with the smallest error on the rows held out: the elites."""
        order = jnp.argsort(self.error)[:count]
        members = jax.tree.map(lambda x: x[order], self.members)
        return eqx.tree_at(lambda e: (e.members, e.error), self, (members, self.error[order]))


def flat(space: Space, action: Array) -> Array:
    """Return actions as vectors of floats [..., A]: integers as one-hot."""
    return jax.nn.one_hot(action, space.n) if isinstance(space, Discrete) else action


def ensemble(
    env: VecEnv,
    key: Array,
    members: int,
    hidden: tuple[int, ...],
    activation: str = "silu",
    *,
    gaussian: bool = False,
    known: bool = True,
    high: float = 0.5,
    low: float = -10.0,
) -> Ensemble:
    """Make E members with weights of their own, which have learnt nothing.

        env         the environments that are to be modelled
        known       use their `known_reward` and `known_end` where they have these; what is not given is learnt
        gaussian    do members say variances too? `high` and `low` bound log σ² at the beginning, standardised

    Raises `ConfigError` for observations that are no vectors, and `EnvironmentFault` for a function that compiled code
    cannot call.
    """
    space, actions = env.observation_space, env.action_space
    if not isinstance(space, Box) or len(space.shape) != 1:
        raise ConfigError(f"a model of dynamics needs observations that are vectors; {env.name} has {space}")
    d, a = space.shape[0], actions.n if isinstance(actions, Discrete) else math.prod(actions.shape)
    if known:
        check_given(env)
    reward, end = (env.known_reward, env.known_end) if known else (None, None)
    n = d + (reward is None)
    outputs = n + (end is None)

    def one(key: Array) -> Member:
        mlp = MLP((d + a, *hidden, outputs + n * gaussian), activation, 1.0, key=key)
        bounds = [jnp.full(n * gaussian, x, jnp.float32) for x in (high, low)]
        return Member(mlp, bounds[0], bounds[1], n)

    inputs, targets = (Scale(jnp.zeros(k), jnp.ones(k)) for k in (d + a, n))
    stacked = jax.vmap(one)(jax.random.split(key, members))
    return Ensemble(
        stacked, inputs, targets, jnp.full(members, jnp.inf, jnp.float32), actions, reward, end, gaussian
    )
