"""A distribution over actions is a pytree of its parameters, with sample, log_prob, entropy, kl and mode.

Parameters have any leading axes; the last axis is the action's own (categories, or dimensions, which are
independent: log-probabilities and entropies are summed over it).
"""

import abc
import math
from typing import Self

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from swingup.spaces import Discrete, Space

FORBIDDEN = -1e9  # a logit or a value that no other reaches
LOG_2PI = math.log(2 * math.pi)


def noise(action_space: Space, key: Array, lead: tuple[int, ...]) -> Array:
    """Draw `lead` times what `from_noise` of a policy for this space turns into an action: [*lead, A or D].

    Gumbel for categories, standard normal for vectors. It depends on no parameter, so a whole rollout's is
    drawn at once: thousands of tiny draws in a loop cost more than the policy.
    """
    if isinstance(action_space, Discrete):
        return jax.random.gumbel(key, (*lead, action_space.n))
    return jax.random.normal(key, (*lead, *action_space.shape))


def masked(x: Array, legal: Array | None) -> Array:
    """Make logits or values x [..., A] -1e9 where `legal` [..., A] is False; None allows all.

    The softmax of what is left is the policy among the legal actions, its gradient does not reach the others, and no
    maximum is theirs (Huang & Ontañón 2022, arXiv:2006.14171). Nothing is infinite, so 0 times it is 0.

    >>> jax.nn.softmax(masked(jnp.array([0.0, 1.0, 0.0]), jnp.array([True, False, True]))).tolist()
    [0.5, 0.0, 0.5]
    """
    return x if legal is None else jnp.where(legal, x, FORBIDDEN)


def uniform(action_space: Space, noise: Array, legal: Array | None = None) -> Array:
    """Turn a policy's noise into uniformly random actions: any of the legal ones, or any point of the box [-1, 1]^D."""
    if isinstance(action_space, Discrete):
        return jnp.argmax(masked(noise, legal), -1)
    return 2 * jax.scipy.stats.norm.cdf(noise) - 1


def epsilon_greedy(value: Array, epsilon: Array | float, legal: Array | None = None) -> "Categorical":
    """Take the best of A actions by `value` [..., A] with probability 1 - ε, else any, the best one included.

    With `legal` [..., A] both are among the actions that are allowed.
    """
    actions = value.shape[-1]
    best = jax.nn.one_hot(jnp.argmax(masked(value, legal), -1), actions)
    other = epsilon / actions if legal is None else epsilon * legal / legal.sum(-1, keepdims=True)
    return Categorical(jnp.log((1 - epsilon) * best + other))


class Distribution(eqx.Module):
    """A distribution is what a policy returns for a batch of observations."""

    @abc.abstractmethod
    def sample(self, key: Array) -> Array: ...

    @abc.abstractmethod
    def from_noise(self, noise: Array) -> Array:
        """Return the sample that this `noise` makes; `sample` draws the noise itself."""

    @abc.abstractmethod
    def log_prob(self, action: Array) -> Array: ...

    @abc.abstractmethod
    def mode(self) -> Array: ...

    @abc.abstractmethod
    def entropy(self) -> Array: ...

    @abc.abstractmethod
    def kl(self, other: Self) -> Array:
        """Return KL(self || other) [...], in nats; both are of one class."""


class Categorical(Distribution):
    """P(a) = softmax(logits)_a over actions 0 .. A-1; `logits` is [..., A].

    An action is forbidden by a large negative logit (such as -1e9), which also removes it from the entropy.
    """

    logits: Array

    def sample(self, key: Array) -> Array:
        return self.from_noise(jax.random.gumbel(key, self.logits.shape, self.logits.dtype))

    def from_noise(self, noise: Array) -> Array:
        """Return argmax(logits + noise), which is distributed like the softmax if the noise is Gumbel."""
        return jnp.argmax(self.logits + noise, -1)

    def log_prob(self, action: Array) -> Array:
        # A sum over a one-hot, not a gather: its gradient is a product, where a gather's is a slow scatter.
        chosen = jax.nn.one_hot(action, self.logits.shape[-1], dtype=self.logits.dtype)
        return jnp.sum(jax.nn.log_softmax(self.logits) * chosen, -1)

    def mode(self) -> Array:
        return jnp.argmax(self.logits, -1)

    def entropy(self) -> Array:
        return -jnp.sum(jax.nn.softmax(self.logits) * jax.nn.log_softmax(self.logits), -1)

    def kl(self, other: Self) -> Array:
        log_ratio = jax.nn.log_softmax(self.logits) - jax.nn.log_softmax(other.logits)
        return jnp.sum(jax.nn.softmax(self.logits) * log_ratio, -1)


class Normal(Distribution):
    """The entries of the action are independent Gaussians: N(mean_i, exp(log_std_i)^2); both are [..., D], or
    `log_std` is [D].
    """

    mean: Array
    log_std: Array

    def sample(self, key: Array) -> Array:
        return self.from_noise(jax.random.normal(key, self.mean.shape, self.mean.dtype))

    def from_noise(self, noise: Array) -> Array:
        """Return mean + std * noise, with the gradient through both (the reparameterisation)."""
        return self.mean + jnp.exp(self.log_std) * noise

    def log_prob(self, action: Array) -> Array:
        z = (action - self.mean) * jnp.exp(-self.log_std)
        return jnp.sum(-0.5 * z**2 - self.log_std - 0.5 * LOG_2PI, -1)

    def mode(self) -> Array:
        return self.mean

    def entropy(self) -> Array:
        per_dimension = jnp.broadcast_to(self.log_std, self.mean.shape) + 0.5 * (1 + LOG_2PI)
        return jnp.sum(per_dimension, -1)

    def kl(self, other: Self) -> Array:
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
        """Return an action and its log-probability, taken from the pre-tanh sample: never through an inverse tanh."""
        u = Normal(self.mean, self.log_std).sample(key)
        return jnp.tanh(u), self._log_prob_of(u)

    def sample(self, key: Array) -> Array:
        return self.sample_and_log_prob(key)[0]

    def from_noise(self, noise: Array) -> Array:
        """Return tanh(mean + std * noise), reparameterised."""
        return jnp.tanh(Normal(self.mean, self.log_std).from_noise(noise))

    def log_prob(self, action: Array) -> Array:
        """Return the log-probability of actions from elsewhere; it is exact to float precision only away from the
        borders.
        """
        limit = 1 - jnp.finfo(action.dtype).eps
        return self._log_prob_of(jnp.arctanh(jnp.clip(action, -limit, limit)))

    def _log_prob_of(self, u: Array) -> Array:
        log_det = 2 * (math.log(2) - u - jax.nn.softplus(-2 * u))
        return Normal(self.mean, self.log_std).log_prob(u) - jnp.sum(log_det, -1)

    def mode(self) -> Array:
        """Return the image of the Gaussian's mean, which the field takes for the greedy action."""
        return jnp.tanh(self.mean)

    def entropy(self) -> Array:
        """Raise, because there is no closed form. Estimate it by -log_prob of samples."""
        raise NotImplementedError("the entropy of a TanhNormal has no closed form; use -log_prob of samples")

    def kl(self, other: Self) -> Array:
        """Return that of the Gaussians before tanh, because tanh maps one to one."""
        return Normal(self.mean, self.log_std).kl(Normal(other.mean, other.log_std))


class MultiBinary(Distribution):
    """The entries of the action are independent coins: P(a_i = 1) = sigmoid(logits_i); `logits` is [..., D]."""

    logits: Array

    def sample(self, key: Array) -> Array:
        return self.from_noise(jax.random.logistic(key, self.logits.shape, self.logits.dtype))

    def from_noise(self, noise: Array) -> Array:
        """Return 1 where logits + noise > 0, which has probability sigmoid(logits) if the noise is logistic."""
        return (self.logits + noise > 0).astype(jnp.int32)

    def log_prob(self, action: Array) -> Array:
        on, off = jax.nn.log_sigmoid(self.logits), jax.nn.log_sigmoid(-self.logits)
        return jnp.sum(jnp.where(action == 1, on, off), -1)

    def mode(self) -> Array:
        return (self.logits > 0).astype(jnp.int32)

    def entropy(self) -> Array:
        on, off = jax.nn.log_sigmoid(self.logits), jax.nn.log_sigmoid(-self.logits)
        return -jnp.sum(jnp.exp(on) * on + jnp.exp(off) * off, -1)

    def kl(self, other: Self) -> Array:
        on, off = jax.nn.log_sigmoid(self.logits), jax.nn.log_sigmoid(-self.logits)
        other_on, other_off = jax.nn.log_sigmoid(other.logits), jax.nn.log_sigmoid(-other.logits)
        return jnp.sum(jnp.exp(on) * (on - other_on) + jnp.exp(off) * (off - other_off), -1)
