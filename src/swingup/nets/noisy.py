"""Noisy networks have weights that are drawn, so a greedy agent explores (Fortunato et al. 2018, arXiv:1706.10295).

    y = x (μ + σ ⊙ ε) + μ_b + σ_b ⊙ ε_b        μ, σ learnt;  ε drawn anew, never learnt (eq. 9)

ε is factorised, so that a layer of p inputs and q outputs draws p + q numbers, not p q (eq. 10 and 11):

    ε_ij = f(e_i) f(e'_j),    ε_b,j = f(e'_j),    f(x) = sign(x) √|x|,    e, e' ~ N(0, 1)

A network with such layers is the network of its means, until `perturb` puts noise into it.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from swingup.nets.layers import matmul, orthogonal

SIGMA = 0.5  # σ of every weight and bias at the beginning, times √inputs (section 3.2)


class NoisyDense(eqx.Module):
    """A dense layer [..., inputs] -> [..., outputs] whose weights have means and deviations, both learnt.

    The means begin as those of `Dense`, the deviations at 0.5 / √inputs.
    """

    weight: Array  # μ [inputs, outputs]
    bias: Array  # μ_b [outputs]
    weight_sigma: Array  # σ [inputs, outputs]
    bias_sigma: Array  # σ_b [outputs]
    noise: tuple[Array, Array] | None  # f(e) [*lead, inputs] and f(e') [*lead, outputs]; None: the means

    def __init__(self, inputs: int, outputs: int, scale: float, *, key: Array):
        self.weight, self.bias = orthogonal(key, inputs, outputs, scale), jnp.zeros(outputs)
        sigma = SIGMA / inputs**0.5
        # With a dtype: a weak type would be gone after one update, and the loop be compiled twice.
        self.weight_sigma = jnp.full((inputs, outputs), sigma, jnp.float32)
        self.bias_sigma = jnp.full(outputs, sigma, jnp.float32)
        self.noise = None

    def __call__(self, x: Array) -> Array:
        if self.noise is None:
            return matmul(x, self.weight) + self.bias
        before, after = self.noise
        if before.ndim == 1:  # one ε for the whole batch: one product with weights that are written out
            weight = self.weight + self.weight_sigma * before[:, None] * after
            return matmul(x, weight) + self.bias + self.bias_sigma * after
        # One for each row: ε is never written out, because x (σ ⊙ ε) is (x ⊙ f(e)) σ, times f(e').
        noise = matmul(x * before, self.weight_sigma) + self.bias_sigma
        return matmul(x, self.weight) + self.bias + noise * after


def perturb(networks: Any, key: Array | None, lead: tuple[int, ...] = ()) -> Any:
    """Return networks with fresh noise in each of their noisy layers; what has none, or gets no key, is returned as it
    is.

    By default one ε serves a whole batch. With `lead`, such as [N], each of N rows of the input has its own.
    Gradients reach μ and σ through it.

    >>> layer = NoisyDense(2, 3, 1.0, key=jax.random.key(0))
    >>> perturb(layer, jax.random.key(1), (5,)).noise[0].shape
    (5, 2)
    """

    def is_noisy(x: Any) -> bool:
        return isinstance(x, NoisyDense)

    leaves, tree = jax.tree.flatten(networks, is_leaf=is_noisy)
    count = sum(map(is_noisy, leaves))
    if key is None or not count:
        return networks
    keys = iter(jax.random.split(key, count))

    def fresh(layer: NoisyDense) -> NoisyDense:
        (inputs, outputs), (k_before, k_after) = layer.weight.shape, jax.random.split(next(keys))
        noise = (
            root(jax.random.normal(k_before, (*lead, inputs))),
            root(jax.random.normal(k_after, (*lead, outputs))),
        )
        return eqx.tree_at(lambda x: x.noise, layer, noise, is_leaf=lambda x: x is None)

    return jax.tree.unflatten(tree, [fresh(x) if is_noisy(x) else x for x in leaves])


def with_noise(networks: Any, key: Array | None, noise: Array | None) -> Any:
    """Return networks that act: with noise [N, ...] each of N rows has its own ε, without it they are the means."""
    return networks if noise is None else perturb(networks, key, noise.shape[:1])


def root(x: Array) -> Array:
    """f(x) = sign(x) √|x|.

    >>> root(jnp.array([-4.0, 9.0]))
    Array([-2.,  3.], dtype=float32)
    """
    return jnp.sign(x) * jnp.sqrt(jnp.abs(x))
