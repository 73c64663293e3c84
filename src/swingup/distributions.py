"""Distributions over actions, each a pytree of its parameters: sample, log_prob, entropy, kl, mode.

Parameters have any leading axes; the last axis is the action's own (categories, or dimensions, which are
independent: log-probabilities and entropies are summed over it).
"""

import abc
import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from swingup.spaces import Discrete, Space

LOG_2PI = math.log(2 * math.pi)


def noise(action_space: Space, key: Array, lead: tuple[int, ...]) -> Array:
    """What `from_noise` of a policy for this space turns into actions, for `lead` of them: [*lead, A or D].

    Gumbel for categories, standard normal for vectors. It depends on no parameter, so a whole rollout's is
    drawn at once: thousands of tiny draws in a loop cost more than the policy.
    """
    if isinstance(action_space, Discrete):
        return jax.random.gumbel(key, (*lead, action_space.n))
    return jax.random.normal(key, (*lead, *action_space.shape))


def uniform(action_space: Space, noise: Array) -> Array:
    """Random actions made of a policy's noise: all actions alike, or all of the box [-1, 1]^D."""
    if isinstance(action_space, Discrete):
        return jnp.argmax(noise, -1)
    return 2 * jax.scipy.stats.norm.cdf(noise) - 1


def epsilon_greedy(value: Array, epsilon: Array | float) -> "Categorical":
    """The best of A actions by `value` [..., A] with probability 1 - ε, else any, itself included."""
    actions = value.shape[-1]
    best = jax.nn.one_hot(jnp.argmax(value, -1), actions)
    return Categorical(jnp.log((1 - epsilon) * best + epsilon / actions))


class Distribution(eqx.Module):
    """What a policy returns for a batch of observations."""

    @abc.abstractmethod
    def sample(self, key: Array) -> Array: ...

    @abc.abstractmethod
    def from_noise(self, noise: Array) -> Array:
        """The sample that this `noise` makes; `sample` draws the noise itself."""

    @abc.abstractmethod
    def log_prob(self, action: Array) -> Array: ...

    @abc.abstractmethod
    def mode(self) -> Array: ...

    @abc.abstractmethod
    def entropy(self) -> Array: ...


class Categorical(Distribution):
    """P(a) = softmax(logits)_a over actions 0 .. A-1; `logits` is [..., A].

    An action is forbidden by a large negative logit (such as -1e9), which also removes it from the entropy.
    """

    logits: Array

    def sample(self, key: Array) -> Array:
        return self.from_noise(jax.random.gumbel(key, self.logits.shape, self.logits.dtype))

    def from_noise(self, noise: Array) -> Array:
        """argmax(logits + noise), which is distributed like the softmax if the noise is Gumbel."""
        return jnp.argmax(self.logits + noise, -1)

    def log_prob(self, action: Array) -> Array:
        # A sum over a one-hot, not a gather: its gradient is a product, where a gather's is a slow scatter.
        chosen = jax.nn.one_hot(action, self.logits.shape[-1], dtype=self.logits.dtype)
        return jnp.sum(jax.nn.log_softmax(self.logits) * chosen, -1)

    def mode(self) -> Array:
        return jnp.argmax(self.logits, -1)

    def entropy(self) -> Array:
        return -jnp.sum(jax.nn.softmax(self.logits) * jax.nn.log_softmax(self.logits), -1)

    def kl(self, other: "Categorical") -> Array:
        """KL(self || other)."""
        log_ratio = jax.nn.log_softmax(self.logits) - jax.nn.log_softmax(other.logits)
        return jnp.sum(jax.nn.softmax(self.logits) * log_ratio, -1)


class Normal(Distribution):
    """Independent Gaussians: N(mean_i, exp(log_std_i)^2); both are [..., D], or `log_std` is [D]."""

    mean: Array
    log_std: Array

    def sample(self, key: Array) -> Array:
        return self.from_noise(jax.random.normal(key, self.mean.shape, self.mean.dtype))

    def from_noise(self, noise: Array) -> Array:
        """mean + std * noise, with the gradient through both (the reparameterisation)."""
        return self.mean + jnp.exp(self.log_std) * noise

    def log_prob(self, action: Array) -> Array:
        z = (action - self.mean) * jnp.exp(-self.log_std)
        return jnp.sum(-0.5 * z**2 - self.log_std - 0.5 * LOG_2PI, -1)

    def mode(self) -> Array:
        return self.mean

    def entropy(self) -> Array:
        per_dimension = jnp.broadcast_to(self.log_std, self.mean.shape) + 0.5 * (1 + LOG_2PI)
        return jnp.sum(per_dimension, -1)

    def kl(self, other: "Normal") -> Array:
        """KL(self || other)."""
        ratio = jnp.exp(2 * (self.log_std - other.log_std))
        distance = ((self.mean - other.mean) * jnp.exp(-other.log_std)) ** 2
        return jnp.sum(0.5 * (ratio + distance - 1) + other.log_std - self.log_std, -1)


class TanhNormal(Distribution):
    """a = tanh(u) with u ~ N(mean, exp(log_std)^2), so every |a_i| < 1.

    log p(a) = log N(u) - sum_i log(1 - tanh(u_i)^2)      (Haarnoja et al. 2018, appendix C)

    with log(1 - tanh(u)^2) = 2 (log 2 - u - softplus(-2u)), which stays exact where tanh saturates.
    """

    mean: Array
    log_std: Array

    def sample_and_log_prob(self, key: Array) -> tuple[Array, Array]:
        """An action and its log-probability from the pre-tanh sample: never through an inverse tanh."""
        u = Normal(self.mean, self.log_std).sample(key)
        return jnp.tanh(u), self._log_prob_of(u)

    def sample(self, key: Array) -> Array:
        return self.sample_and_log_prob(key)[0]

    def from_noise(self, noise: Array) -> Array:
        """tanh(mean + std * noise), reparameterised."""
        return jnp.tanh(Normal(self.mean, self.log_std).from_noise(noise))

    def log_prob(self, action: Array) -> Array:
        """For actions from elsewhere; exact to float precision only away from the borders."""
        limit = 1 - jnp.finfo(action.dtype).eps
        return self._log_prob_of(jnp.arctanh(jnp.clip(action, -limit, limit)))

    def _log_prob_of(self, u: Array) -> Array:
        log_det = 2 * (math.log(2) - u - jax.nn.softplus(-2 * u))
        return Normal(self.mean, self.log_std).log_prob(u) - jnp.sum(log_det, -1)

    def mode(self) -> Array:
        """The image of the Gaussian's mean: the greedy action, by the field's convention."""
        return jnp.tanh(self.mean)

    def entropy(self) -> Array:
        """Has no closed form: raises. Estimate it by -log_prob of samples."""
        raise NotImplementedError("the entropy of a TanhNormal has no closed form; use -log_prob of samples")


class MultiBinary(Distribution):
    """Independent coins: P(a_i = 1) = sigmoid(logits_i); `logits` is [..., D]."""

    logits: Array

    def sample(self, key: Array) -> Array:
        return self.from_noise(jax.random.logistic(key, self.logits.shape, self.logits.dtype))

    def from_noise(self, noise: Array) -> Array:
        """1 where logits + noise > 0, which has probability sigmoid(logits) if the noise is logistic."""
        return (self.logits + noise > 0).astype(jnp.int32)

    def log_prob(self, action: Array) -> Array:
        on, off = jax.nn.log_sigmoid(self.logits), jax.nn.log_sigmoid(-self.logits)
        return jnp.sum(jnp.where(action == 1, on, off), -1)

    def mode(self) -> Array:
        return (self.logits > 0).astype(jnp.int32)

    def entropy(self) -> Array:
        on, off = jax.nn.log_sigmoid(self.logits), jax.nn.log_sigmoid(-self.logits)
        return -jnp.sum(jnp.exp(on) * on + jnp.exp(off) * off, -1)
