"""A variational auto-encoder makes a few numbers of what is seen (Kingma & Welling 2014, arXiv:1312.6114).

An encoder says of x where in the latent space it may lie, q(z|x) = N(μ, σ²), and a decoder says of z what is seen, x̂.
Both learn to raise a lower bound of the likelihood of x,

    log p(x) >= E_q[ log p(x|z) ] - KL(q(z|x) ‖ N(0, I))

whose expectation is estimated by one draw z = μ + σ ε, through which gradients flow: the reparameterisation.
"""

import math
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from swingup.distributions import Normal
from swingup.nets.layers import Conv, Dense
from swingup.nets.observations import features, image_shape, role
from swingup.spaces import Discrete, Space

SIDES = 4, 2  # of the squares that the two convolutions see, without overlap
FILTERS = 16, 32


def divergence(q: Normal) -> Array:
    """Return KL(q ‖ N(0, I)) in nats, [...]: Σ (μ² + σ² - 1 - log σ²) / 2 over the latents (Kingma & Welling, B).

    >>> float(divergence(Normal(jnp.array([2.0, 0.0]), jnp.zeros(2))))
    2.0
    """
    return 0.5 * jnp.sum(jnp.square(q.mean) + jnp.exp(2 * q.log_std) - 1 - 2 * q.log_std, -1)


def bound(
    x: Array, q: Normal, decode: Callable[[Array], Array], noise: Array, variance: float = 0.5
) -> tuple[Array, Array]:
    """Estimate the two parts of the bound for x [..., *shape], each [...]: E_q[log p(x|z)], and the KL.

    Pixels are Gaussian around x̂ with a fixed variance; with ½ their log-likelihood is minus the squared error, up to a
    constant that is left out. `noise` [..., z] is standard normal.
    """
    z = q.from_noise(noise)
    squares = jnp.square(x - decode(z)).reshape(*z.shape[:-1], -1).sum(-1)
    return -squares / (2 * variance), divergence(q)


class Spread(eqx.Module):
    """A spread makes a square of side x side of each place: a convolution without overlap, undone (Shi et al. 2016).

    [..., h, w, inputs] -> [..., side h, side w, outputs]
    """

    dense: Dense
    side: int = eqx.field(static=True)

    def __init__(self, inputs: int, outputs: int, side: int, *, key: Array):
        self.dense, self.side = Dense(inputs, side**2 * outputs, math.sqrt(2), key=key), side

    def __call__(self, x: Array) -> Array:
        *lead, high, wide, inputs = x.shape
        y = self.dense(x.reshape(-1, inputs)).reshape(*lead, high, wide, self.side, self.side, -1)
        y = jnp.swapaxes(y, -3, -4)
        return y.reshape(*lead, high * self.side, wide * self.side, y.shape[-1])


class VAE(eqx.Module):
    """This one reads images by two convolutions and a dense layer, and draws them by the same in reverse.

    Images are padded with zeros to sides that are multiples of 8. What is no image is read and said by dense layers
    alone.
    """

    convs: tuple[Conv, ...]
    narrow: Dense  # to the hidden layer
    latent: Dense  # to μ and log σ
    widen: Dense  # back to the hidden layer
    said: Dense  # and to what the spreads begin with, or to x̂ itself
    spreads: tuple[Spread, ...]
    space: Space = eqx.field(static=True)
    latents: int = eqx.field(static=True)  # Z

    def __init__(self, space: Space, latents: int, width: int, *, key: Array):
        keys = jax.random.split(key, 8)
        self.space, self.latents, kind = space, latents, role(space)
        self.convs, self.spreads = (), ()
        if kind in ("vector", "one-hot"):
            flat = space.n if isinstance(space, Discrete) else math.prod(space.shape)
        else:
            high, wide, channels = image_shape(space, kind)
            (first, second), (few, many) = SIDES, FILTERS
            self.convs = (
                Conv(channels, few, first, first, key=keys[0]),
                Conv(few, many, second, second, key=keys[1]),
            )
            self.spreads = (
                Spread(many, few, second, key=keys[2]),
                Spread(few, channels, first, key=keys[3]),
            )
            flat = padded(high) * padded(wide) * many // math.prod(SIDES) ** 2
        self.narrow = Dense(flat, width, math.sqrt(2), key=keys[4])
        self.latent = Dense(width, 2 * latents, 0.1, key=keys[5])
        self.widen = Dense(latents, width, math.sqrt(2), key=keys[6])
        self.said = Dense(width, flat, 1.0, key=keys[7])

    def see(self, obs: Array) -> Array:
        """Turn observations into what is encoded: floats [..., d], or images [..., height, width, channels]."""
        return features(self.space, obs, role(self.space))

    def encode(self, x: Array) -> Normal:
        """Return q(z|x), of what `see` gives: means and log σ are [..., z]."""
        if self.convs:
            high, wide, _ = x.shape[-3:]
            margins = (0, padded(high) - high), (0, padded(wide) - wide), (0, 0)
            x = jnp.pad(x, [(0, 0)] * (x.ndim - 3) + list(margins))
            for conv in self.convs:
                x = jax.nn.relu(conv(x))
            x = x.reshape(*x.shape[:-3], -1)
        mean, log_std = jnp.split(self.latent(jax.nn.relu(self.narrow(x))), 2, -1)
        return Normal(mean, log_std)

    def decode(self, z: Array) -> Array:
        """Return x̂ for latents [..., z]: what `see` would have given."""
        y = self.said(jax.nn.relu(self.widen(z)))
        if not self.spreads:
            return y
        high, wide, _ = image_shape(self.space, role(self.space))
        y = y.reshape(*y.shape[:-1], padded(high) // 8, padded(wide) // 8, FILTERS[1])
        first, last = self.spreads
        return last(jax.nn.relu(first(jax.nn.relu(y))))[..., :high, :wide, :]


def padded(side: int) -> int:
    """Return the next multiple of 8, the pixels along a side of what one place of the last map sees.

    >>> padded(32), padded(10)
    (32, 16)
    """
    return -(-side // 8) * 8
