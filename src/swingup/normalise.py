"""Running statistics are kept of observations, and of the discounted return that scales rewards.

The statistics are part of the learner's state. They change once per collected sample; evaluation only reads them.
On-policy algorithms change them after the update that used them, so that the policy which acted and the policy in the
loss see the same numbers. Those with a replay change them when it takes the rollout, because a batch is normalised when
it is drawn. `Off` stands where nothing is normalised: it has the same methods, and leaves values as they are.
"""

from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax import Array

from swingup.types import Rollout

COUNT_LIMIT = 2**30  # beyond a billion samples the mean becomes an exponential one, rather than overflow


class Off(NamedTuple):
    """There are no statistics: nothing is counted, nothing is changed."""

    def merge(self, *_: object) -> "Off":
        """Return the same: there are still none."""
        return self

    def normalise(self, x: Array) -> Array:
        """`x` as it is."""
        return x

    def scale(self, reward: Array) -> Array:
        """Rewards as they are."""
        return reward


class Moments(NamedTuple):
    """These are mean and variance per entry of all samples so far."""

    count: Array  # int32: a float32 would stop counting at 2^24
    mean: Array  # [*shape]
    var: Array  # [*shape]

    def merge(self, batch: Array) -> "Moments":
        """Merge the statistics of all samples seen with those of `batch` [..., *shape] (Chan et al. 1979), by weights:

            w = n / (count + n),  δ = mean(batch) - mean
            mean <- mean + w δ,   var <- (1 - w) var + w var(batch) + w (1 - w) δ²

        >>> m = moments(()).merge(jnp.array([1.0, 3.0]))
        >>> int(m.count), float(m.mean), float(m.var)
        (2, 2.0, 1.0)
        """
        batch = batch.reshape(-1, *self.mean.shape)
        n = batch.shape[0]
        w = n / (self.count + n).astype(jnp.float32)
        delta = batch.mean(0) - self.mean
        var = (1 - w) * self.var + w * batch.var(0) + w * (1 - w) * delta**2
        return Moments(jnp.minimum(self.count + n, COUNT_LIMIT), self.mean + w * delta, var)

    def normalise(self, x: Array, limit: float = 10.0) -> Array:
        """Return (x - mean) / sqrt(var + 1e-8), clipped to ±`limit`."""
        return jnp.clip((x - self.mean) * jax.lax.rsqrt(self.var + 1e-8), -limit, limit)


def moments(shape: tuple[int, ...]) -> Moments:
    """Return the statistics of no samples yet: they leave values as they are."""
    return Moments(jnp.int32(0), jnp.zeros(shape), jnp.ones(shape))


class RewardScale(NamedTuple):
    """Rewards are divided by the standard deviation of the running discounted return; no mean is taken off."""

    moments: Moments
    running: Array  # [N] each environment's discounted return so far

    def merge(self, reward: Array, done: Array, gamma: float | Array) -> "RewardScale":
        """Add a rollout [T, N]. The running return restarts after an episode ends, for whichever reason.

        R_t = r_t + γ (1 - done_{t-1}) R_{t-1}
        """

        def forward(before, now):
            reward, done = now
            current = reward + gamma * before
            return jnp.where(done, 0.0, current), current

        running, all_returns = jax.lax.scan(forward, self.running, (reward, done))
        return RewardScale(self.moments.merge(all_returns), running)

    def scale(self, reward: Array, limit: float = 10.0) -> Array:
        """Return r / sqrt(var + 1e-8), clipped to ±`limit`."""
        return jnp.clip(reward * jax.lax.rsqrt(self.moments.var + 1e-8), -limit, limit)


def reward_scale(num_envs: int) -> RewardScale:
    """The scale of rewards before any is known."""
    return RewardScale(moments(()), jnp.zeros(num_envs))


class Normalising(Protocol):
    """This learner has both kinds of statistics."""

    @property
    def obs_moments(self) -> Moments | Off: ...
    @property
    def reward_scale(self) -> RewardScale | Off: ...


def statistics(
    learner: Normalising, rollout: Rollout, gamma: float | Array
) -> tuple[Moments | Off, RewardScale | Off]:
    """Merge a rollout's samples into a learner's running statistics, for the *next* rollout."""
    scale = learner.reward_scale.merge(rollout.step.reward, rollout.step.done, gamma)
    return learner.obs_moments.merge(rollout.obs), scale
