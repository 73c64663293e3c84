"""Here stand by name the rewards and ends that are functions of what is observed.

A learned model need not learn what is known. Each function takes observations [..., D], actions [..., A] in the
environment's units and the true successors [..., D]; it returns a reward [...], or whether the episode ended there
[...]. They are what the environment computes, as `tests/unit/envs/test_known.py` compares over thousands of env steps.
What an observation does not tell is not here: the reward of Hopper and HalfCheetah is the way gone in x, which is
observed only with `exclude_current_positions_from_observation=false`.
"""

from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array

from swingup.protocols import KnownEnd, KnownReward


class Known(NamedTuple):
    """This is known of an environment; None: not that."""

    reward: KnownReward | None = None
    end: KnownEnd | None = None


def never(obs: Array, action: Array, next_obs: Array) -> Array:
    """Return False [...]: nothing ends an episode but the clock."""
    return jnp.zeros(jnp.shape(next_obs)[:-1], bool)


def pendulum(obs: Array, action: Array, next_obs: Array) -> Array:
    """Return -(θ² + 0.1 θ̇² + 0.001 u²), of the state before the action."""
    cos, sin, turning = jnp.moveaxis(obs, -1, 0)
    torque = jnp.clip(action[..., 0], -2.0, 2.0)
    return -(jnp.arctan2(sin, cos) ** 2 + 0.1 * turning**2 + 0.001 * torque**2)


def tilted(obs: Array, action: Array, next_obs: Array) -> Array:
    """Say whether InvertedPendulum's pole leans by more than 0.2 rad, or something is not finite."""
    return ~jnp.isfinite(next_obs).all(-1) | (jnp.abs(next_obs[..., 1]) > 0.2)


def upright(obs: Array, action: Array, next_obs: Array) -> Array:
    """Return 1 where InvertedPendulum's episode goes on, and 0 where it ends."""
    return jnp.where(tilted(obs, action, next_obs), 0.0, 1.0)


def one(obs: Array, action: Array, next_obs: Array) -> Array:
    """Return 1 for every env step."""
    return jnp.ones(jnp.shape(next_obs)[:-1])


def fallen(obs: Array, action: Array, next_obs: Array, first: int = 0) -> Array:
    """Say whether Hopper is down: its height, at entry `first`, is below 0.7 m, it leans by 0.2 rad, or an entry behind
    the height is 100 or more in size.
    """
    height, angle, rest = next_obs[..., first], next_obs[..., first + 1], next_obs[..., first + 1 :]
    healthy = (height > 0.7) & (jnp.abs(angle) < 0.2) & (jnp.abs(rest) < 100).all(-1)
    return ~healthy


def hopping(obs: Array, action: Array, next_obs: Array) -> Array:
    """Return Hopper's reward where x is observed: the way gone, and 1 unless it is down."""
    down = fallen(obs, action, next_obs, first=1)
    return forward(obs, action, next_obs, dt=0.008, cost=0.001) + jnp.where(down, 0.0, 1.0)


def forward(obs: Array, action: Array, next_obs: Array, dt: float = 0.05, cost: float = 0.1) -> Array:
    """Return the velocity in x over an env step of `dt` seconds, which is the first entry's, minus `cost` |a|²."""
    return (next_obs[..., 0] - obs[..., 0]) / dt - cost * jnp.square(action).sum(-1)


PENDULUM = Known(pendulum, never)
KNOWN: dict[str, Known] = {
    "gymnax:Pendulum-v1": PENDULUM,
    "gymnasium:Pendulum-v1": PENDULUM,
    "envpool:Pendulum-v1": PENDULUM,
    "gymnasium:InvertedPendulum-v5": Known(upright, tilted),
    "envpool:InvertedPendulum-v5": Known(upright, tilted),
    "brax:inverted_pendulum": Known(one, tilted),
    "gymnasium:Hopper-v5": Known(None, fallen),
    "envpool:Hopper-v5": Known(None, fallen),
    "brax:hopper": Known(None, fallen),
    "gymnasium:HalfCheetah-v5": Known(None, never),
    "envpool:HalfCheetah-v5": Known(None, never),
    "brax:halfcheetah": Known(None, never),
}
PLACED = "exclude_current_positions_from_observation"
WITH_PLACE: dict[str, Known] = {  # where x is observed
    "gymnasium:Hopper-v5": Known(hopping, partial(fallen, first=1)),
    "gymnasium:HalfCheetah-v5": Known(forward, never),
}
NEUTRAL = ("vectorization", "backend", "episode_length")  # options that change no reward and no end


def known(name: str, options: dict[str, Any]) -> Known:
    """Return what is known of an environment by its full id `suite:Name` and its options; nothing for most.

    >>> known("gymnasium:Hopper-v5", {}).end is fallen, known("gymnasium:Ant-v5", {})
    (True, Known(reward=None, end=None))

    An option that may change a reward leaves nothing known.
    """
    rest = {key: value for key, value in options.items() if key not in NEUTRAL}
    if rest == {PLACED: False}:
        return WITH_PLACE.get(name, Known())
    return Known() if rest else KNOWN.get(name, Known())
