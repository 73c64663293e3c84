"""Running statistics: of observations, and of the discounted return that scales rewards.

The statistics are part of the learner's state. They change once per collected sample; evaluation only reads them.
On-policy algorithms change them after the update that used them, so that the policy which acted and the policy in the
loss see the same numbers. Those with a replay change them when it takes the rollout, because a batch is normalised when
it is drawn. Statistics that are None are switched off: every function here then leaves values as they are.
"""

from typing import NamedTuple, overload

import jax
import jax.numpy as jnp
from jax import Array

COUNT_LIMIT = 2**30  # beyond a billion samples the mean becomes an exponential one, rather than overflow


class Moments(NamedTuple):
    """Mean and variance per entry of all samples so far."""

    count: Array  # int32: a float32 would stop counting at 2^24
    mean: Array  # [*shape]
    var: Array  # [*shape]


def moments(shape: tuple[int, ...]) -> Moments:
    """Statistics of no samples yet: they leave values as they are."""
    return Moments(jnp.int32(0), jnp.zeros(shape), jnp.ones(shape))


@overload
def merge(m: None, batch: Array) -> None: ...
@overload
def merge(m: Moments, batch: Array) -> Moments: ...
def merge(m: Moments | None, batch: Array) -> Moments | None:
    """Statistics of all samples seen and those of `batch` [..., *shape] (Chan et al. 1979), by weights:

        w = n / (count + n),  δ = mean(batch) - mean
        mean <- mean + w δ,   var <- (1 - w) var + w var(batch) + w (1 - w) δ²

    >>> m = merge(moments(()), jnp.array([1.0, 3.0]))
    >>> int(m.count), float(m.mean), float(m.var)
    (2, 2.0, 1.0)
    """
    if m is None:
        return m
    batch = batch.reshape(-1, *m.mean.shape)
    n = batch.shape[0]
    w = n / (m.count + n).astype(jnp.float32)
    delta = batch.mean(0) - m.mean
    var = (1 - w) * m.var + w * batch.var(0) + w * (1 - w) * delta**2
    return Moments(jnp.minimum(m.count + n, COUNT_LIMIT), m.mean + w * delta, var)


def normalise(m: Moments | None, x: Array, limit: float = 10.0) -> Array:
    """(x - mean) / sqrt(var + 1e-8), clipped to ±`limit`."""
    if m is None:
        return x
    return jnp.clip((x - m.mean) * jax.lax.rsqrt(m.var + 1e-8), -limit, limit)


class RewardScale(NamedTuple):
    """Divides rewards by the standard deviation of the running discounted return; takes no mean off."""

    moments: Moments
    running: Array  # [N] each environment's discounted return so far


def reward_scale(num_envs: int) -> RewardScale:
    return RewardScale(moments(()), jnp.zeros(num_envs))


def merge_rewards(
    s: RewardScale | None, reward: Array, done: Array, gamma: float | Array
) -> RewardScale | None:
    """Add a rollout [T, N]. The running return restarts after an episode ends, for whichever reason.

    R_t = r_t + γ (1 - done_{t-1}) R_{t-1}
    """
    if s is None:
        return s

    def forward(before, now):
        reward, done = now
        current = reward + gamma * before
        return jnp.where(done, 0.0, current), current

    running, all_returns = jax.lax.scan(forward, s.running, (reward, done))
    return RewardScale(merge(s.moments, all_returns), running)


def scale_rewards(s: RewardScale | None, reward: Array, limit: float = 10.0) -> Array:
    """r / sqrt(var + 1e-8), clipped to ±`limit`."""
    if s is None:
        return reward
    return jnp.clip(reward * jax.lax.rsqrt(s.moments.var + 1e-8), -limit, limit)
