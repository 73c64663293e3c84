"""A mixture density network says where a number may lie when there are several ways on (Bishop 1994).

For each of Z numbers it gives K Gaussians and how likely each of them is,

    p(z) = Σ_k π_k N(z; μ_k, σ_k²)

so that it can say "here or there", where a mean would lie in between. Drawn at a temperature τ (Ha & Schmidhuber 2018)
the logits of π are divided by τ and the σ multiplied by √τ: below 1 the likely is likelier, above 1 dreams get wilder.
"""

from typing import Self

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from swingup.distributions import LOG_2PI

Noise = tuple[Array, Array]


class Mixture(eqx.Module):
    """These are Z numbers that are independent of each other, each with a mixture of K Gaussians."""

    logits: Array  # [..., Z, K] of π
    mean: Array  # [..., Z, K]
    log_std: Array  # [..., Z, K]

    @classmethod
    def of(cls, outputs: Array, latents: int) -> Self:
        """Read the outputs of a network, [..., 3 Z K]: first all logits, then all means, then all log σ."""
        return cls(*(x.reshape(*x.shape[:-1], latents, -1) for x in jnp.split(outputs, 3, -1)))

    def log_prob(self, z: Array) -> Array:
        """Return log p of z [..., Z], summed over the numbers: [...]."""
        apart = (z[..., None] - self.mean) * jnp.exp(-self.log_std)
        each = jax.nn.log_softmax(self.logits) - 0.5 * jnp.square(apart) - self.log_std - 0.5 * LOG_2PI
        return jax.nn.logsumexp(each, -1).sum(-1)

    def from_noise(self, noise: Noise, temperature: Array | float = 1.0) -> Array:
        """Return the draw z [..., Z] that this noise makes, of `draw`, at a temperature τ above 0.

        The component is argmax(logits / τ + Gumbel noise), and z = μ_k + σ_k √τ ε.

        >>> two = Mixture(jnp.array([[0.0, 1.0]]), jnp.array([[-5.0, 5.0]]), jnp.zeros((1, 2)))
        >>> round(float(two.from_noise(draw(jax.random.key(0), (), 1, 2), 1e-9)[0]), 3)
        5.0
        """
        gumbel, normal = noise
        which = jnp.argmax(self.logits / temperature + gumbel, -1)
        chosen = jax.nn.one_hot(which, self.mean.shape[-1])
        mean, log_std = (jnp.sum(x * chosen, -1) for x in (self.mean, self.log_std))
        return mean + jnp.exp(log_std) * jnp.sqrt(temperature) * normal


def draw(key: Array, lead: tuple[int, ...], latents: int, mixtures: int) -> Noise:
    """Draw what `from_noise` needs: Gumbel [*lead, Z, K], and standard normal [*lead, Z]."""
    k_which, k_where = jax.random.split(key)
    gumbel = jax.random.gumbel(k_which, (*lead, latents, mixtures))
    return gumbel, jax.random.normal(k_where, (*lead, latents))
