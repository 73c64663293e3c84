"""The two parts of a VAE's bound are compared with exact answers."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from swingup.distributions import Normal
from swingup.nets.layers import Conv
from swingup.nets.vae import VAE, Spread, bound, divergence
from swingup.spaces import Box, Discrete


def test_the_divergence_is_its_integral_and_that_of_two_gaussians() -> None:
    mean, log_std = np.array([0.7, -1.2, 0.0]), np.array([-0.5, 0.3, 0.0])
    total = 0.0
    for m, s in zip(mean, np.exp(log_std), strict=True):
        q = scipy.stats.norm(m, s)
        total += scipy.integrate.quad(
            lambda z, q=q: q.pdf(z) * (q.logpdf(z) - scipy.stats.norm.logpdf(z)), -12, 12
        )[0]
    q = Normal(jnp.asarray(mean, jnp.float32), jnp.asarray(log_std, jnp.float32))
    np.testing.assert_allclose(divergence(q), total, rtol=1e-5)
    np.testing.assert_allclose(divergence(q), q.kl(Normal(jnp.zeros(3), jnp.zeros(3))), rtol=1e-5)


W = np.array([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]])  # columns at right angles: the posterior is diagonal
B, VARIANCE = np.array([0.5, -1.0, 0.3]), 0.4
X = np.array([1.2, 0.4, -0.5])


def linear(mean: np.ndarray, std: np.ndarray, draws: int = 20_000) -> tuple[np.ndarray, float]:
    """Return the bound's draws for x̂ = W z + b, constant included, and what it is exactly."""
    q = Normal(jnp.asarray(mean, jnp.float32), jnp.log(jnp.asarray(std, jnp.float32)))
    many = Normal(jnp.tile(q.mean, (draws, 1)), jnp.tile(q.log_std, (draws, 1)))
    noise = jax.random.normal(jax.random.key(0), (draws, 2))
    weight, bias = jnp.asarray(W, jnp.float32), jnp.asarray(B, jnp.float32)
    likelihood, kl = bound(jnp.asarray(X, jnp.float32), many, lambda z: z @ weight.T + bias, noise, VARIANCE)
    constant = -1.5 * np.log(2 * np.pi * VARIANCE)
    squares = np.sum((X - W @ mean - B) ** 2) + np.trace(W @ np.diag(std**2) @ W.T)
    exact = constant - squares / (2 * VARIANCE) - 0.5 * np.sum(mean**2 + std**2 - 1 - 2 * np.log(std))
    return np.asarray(likelihood - kl, float) + constant, exact


def test_the_bound_of_a_linear_model_is_estimated_without_bias() -> None:
    """Mean of 20,000 draws against the exact expectation, at six standard errors: a false alarm in 10^9."""
    drawn, exact = linear(np.array([0.1, 0.9]), np.array([0.8, 0.3]))
    assert abs(drawn.mean() - exact) < 6 * drawn.std() / np.sqrt(len(drawn))


def test_the_bound_lies_below_the_likelihood_and_reaches_it_at_the_posterior() -> None:
    marginal = scipy.stats.multivariate_normal(B, W @ W.T + VARIANCE * np.eye(3)).logpdf(X)
    precision = np.diag(W.T @ W) / VARIANCE + 1
    mean, std = W.T @ (X - B) / VARIANCE / precision, precision**-0.5
    np.testing.assert_allclose(linear(mean, std)[1], marginal, rtol=1e-9)
    for shift, factor in ((0.3, 1.0), (0.0, 1.5), (-0.5, 0.5)):
        assert linear(mean + shift, std * factor)[1] < marginal - 1e-3


def test_gradients_flow_through_the_draw() -> None:
    """d/dμ and d/dlog σ of E[z²] are 2 μ and 2 σ²: from 20,000 draws, at six standard errors."""
    noise = jax.random.normal(jax.random.key(1), (20_000,))
    mean, log_std = 0.6, -0.4

    def each(mean: jax.Array, log_std: jax.Array) -> jax.Array:
        return jnp.square(Normal(mean, log_std).from_noise(noise))

    slopes = jax.jvp(each, (mean, log_std), (1.0, 0.0))[1], jax.jvp(each, (mean, log_std), (0.0, 1.0))[1]
    for slope, exact in zip(slopes, (2 * mean, 2 * np.exp(2 * log_std)), strict=True):
        assert abs(slope.mean() - exact) < 6 * slope.std() / np.sqrt(20_000)


@pytest.mark.parametrize(
    "space, flat",
    [
        (Box.of(0, 255, (32, 32, 1), "uint8"), 512),
        (Box.of(0, 1, (10, 10, 4), "bool"), 128),
        (Box.of(-1, 1, (3,)), 3),
        (Discrete(5), 5),
    ],
    ids=["frames", "small frames", "vectors", "numbers"],
)
def test_what_is_decoded_has_the_shape_of_what_is_seen(space: Box | Discrete, flat: int) -> None:
    vae = jax.eval_shape(lambda key: VAE(space, 6, 16, key=key), jax.random.key(0))
    assert vae.narrow.weight.shape == (flat, 16)
    obs = jax.ShapeDtypeStruct(
        (2, 3, *space.shape), jnp.int32 if isinstance(space, Discrete) else space.dtype
    )
    x = jax.eval_shape(vae.see, obs)
    q = jax.eval_shape(VAE.encode, vae, x)
    assert q.mean.shape == q.log_std.shape == (2, 3, 6)
    assert jax.eval_shape(VAE.decode, vae, q.mean).shape == x.shape


def with_weight(shapes: Any, weight: jax.Array) -> Any:
    """A layer of these shapes, with a weight and no bias."""
    layer = jax.tree.map(lambda x: jnp.zeros(x.shape), shapes)
    return eqx.tree_at(lambda x: x.dense.weight, layer, weight)


def test_spreading_is_the_transpose_of_a_convolution_without_overlap() -> None:
    """With transposed weights <conv(x), y> = <x, spread(y)> for any x and y."""
    rng = np.random.default_rng(0)
    weight = jnp.asarray(rng.normal(size=(18, 5)), jnp.float32)
    conv = with_weight(jax.eval_shape(lambda: Conv(2, 5, 3, 3, key=jax.random.key(0))), weight)
    back = with_weight(jax.eval_shape(lambda: Spread(5, 2, 3, key=jax.random.key(0))), weight.T)
    x, y = (jnp.asarray(rng.normal(size=s), jnp.float32) for s in ((6, 9, 2), (2, 3, 5)))
    np.testing.assert_allclose((conv(x) * y).sum(), (x * back(y)).sum(), rtol=1e-4)
