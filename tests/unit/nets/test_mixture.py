"""Mixture density networks against scipy, and their draws against what they should be distributed like."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from swingup.nets.mixture import Mixture, draw

Z, K = 3, 4


def made(seed: int = 0, lead: tuple[int, ...] = (2,)) -> Mixture:
    outputs = np.random.default_rng(seed).normal(size=(*lead, 3 * Z * K))
    return Mixture.of(jnp.asarray(outputs, jnp.float32), Z)


def test_the_likelihood_is_that_of_a_loop_over_gaussians() -> None:
    m, z = made(), np.random.default_rng(1).normal(size=(2, Z))
    share = scipy.special.softmax(np.asarray(m.logits, float), -1)
    for b in range(2):
        total = 0.0
        for i in range(Z):
            each = scipy.stats.norm(
                np.asarray(m.mean[b, i], float), np.exp(np.asarray(m.log_std[b, i], float))
            )
            total += np.log((share[b, i] * each.pdf(z[b, i])).sum())
        np.testing.assert_allclose(m.log_prob(jnp.asarray(z, jnp.float32))[b], total, rtol=1e-5)


def test_far_from_all_gaussians_the_likelihood_is_still_a_number() -> None:
    m = made()
    value, slope = jax.value_and_grad(lambda z: m.log_prob(z).sum())(jnp.full((2, Z), 300.0))
    assert np.isfinite(value)
    assert np.isfinite(slope).all()


@pytest.mark.parametrize("temperature", [0.3, 1.0, 1.5])
def test_draws_have_the_moments_of_the_mixture_at_a_temperature(temperature: float) -> None:
    """π(τ) = softmax(logits / τ) and variances τ σ²: mean and variance of 40,000 draws, at six standard errors."""
    m = made(2, ())
    noise = draw(jax.random.key(3), (40_000,), Z, K)
    x = np.asarray(m.from_noise(noise, temperature), float)
    share = scipy.special.softmax(np.asarray(m.logits, float) / temperature, -1)
    centre, spread = np.asarray(m.mean, float), temperature * np.exp(2 * np.asarray(m.log_std, float))
    mean = (share * centre).sum(-1)
    variance = (share * (spread + centre**2)).sum(-1) - mean**2
    assert np.all(np.abs(x.mean(0) - mean) < 6 * np.sqrt(variance / len(x)))
    squares = (x - mean) ** 2
    assert np.all(np.abs(squares.mean(0) - variance) < 6 * squares.std(0) / np.sqrt(len(x)))


def test_without_temperature_the_draw_is_the_mean_of_the_likeliest() -> None:
    m = made(4)
    best = np.argmax(m.logits, -1)
    noise = draw(jax.random.key(5), (2,), Z, K)
    expected = np.take_along_axis(np.asarray(m.mean), best[..., None], -1)[..., 0]
    np.testing.assert_allclose(m.from_noise(noise, 1e-10), expected, atol=1e-4)
