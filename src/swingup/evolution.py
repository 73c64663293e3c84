"""Weights are found by evolution: the CMA-ES draws candidates, is told their scores, and moves towards the best.

The covariance matrix adaptation evolution strategy (Hansen 2016, arXiv:1604.00772) knows nothing of a problem but the
order of the candidates' scores. A generation draws P of them around a mean,

    x_i = m + σ y_i,   y_i = C^½ ε_i,   ε_i ~ N(0, I)

moves m to the weighted best, stretches C along the ways that were good and shrinks it along those that were bad, and
adapts the step size σ by how far the mean has come. The root C^½ is symmetric and found by matrix products alone: a
`vmap` over seeds stays a product, where a decomposition would be called matrix by matrix. And because ε is known, no
inverse is needed: C^-½ y_i is ε_i.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from swingup.types import Rollout

ROOTS = 30  # iterations of `square_root`: enough for condition numbers up to about 10^7


class Evolution(NamedTuple):
    """This is what the CMA-ES has found out so far; n is the number of weights."""

    mean: Array  # m [n]: the best guess
    sigma: Array  # σ []
    cov: Array  # C [n, n]
    root: Array  # C^½ [n, n]
    path_sigma: Array  # p_σ [n]: the way of the mean, as if C were the identity
    path_cov: Array  # p_c [n]: the way of the mean
    fading: Array  # (1 - c_σ)^(2 g) after g generations: what is left of the beginning of p_σ


class Rates(NamedTuple):
    """These are the constants of Hansen's table 1 for P candidates of n weights."""

    weights: np.ndarray  # w [P], from the best to the worst; the worse half's are negative
    mu_eff: float  # the better half counts as many candidates
    c_sigma: float
    d_sigma: float
    c_cov: float  # c_c
    c_one: float  # c_1
    c_mu: float
    chi: float  # E ‖N(0, I)‖


def rates(population: int, n: int) -> Rates:
    """Return the constants of equations 49 to 58, whose negative weights make the adaptation "active".

    >>> rates(4, 10).weights.round(2).tolist()
    [0.8, 0.2, -0.55, -1.42]
    """
    raw = math.log((population + 1) / 2) - np.log(np.arange(1, population + 1))
    half = population // 2
    better, worse = raw[:half], raw[half:]
    mu_eff, mu_minus = (x.sum() ** 2 / np.square(x).sum() for x in (better, worse))
    c_cov = (4 + mu_eff / n) / (n + 4 + 2 * mu_eff / n)
    c_one = 2 / ((n + 1.3) ** 2 + mu_eff)
    c_mu = min(1 - c_one, 2 * (0.25 + mu_eff + 1 / mu_eff - 2) / ((n + 2) ** 2 + mu_eff))
    c_sigma = (mu_eff + 2) / (n + mu_eff + 5)
    d_sigma = 1 + 2 * max(0.0, math.sqrt((mu_eff - 1) / (n + 1)) - 1) + c_sigma
    shrink = min(1 + c_one / c_mu, 1 + 2 * mu_minus / (mu_eff + 2), (1 - c_one - c_mu) / (n * c_mu))
    positive, negative = raw[raw > 0].sum(), -raw[raw < 0].sum()
    weights = np.where(raw >= 0, raw / positive, shrink * raw / negative)
    chi = math.sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n**2))
    return Rates(weights, float(mu_eff), c_sigma, d_sigma, c_cov, c_one, c_mu, chi)


def evolution(mean: Array, sigma: Array | float) -> Evolution:
    """Begin at a guess [n], with a step size of `sigma` in each direction."""
    n = len(mean)
    zero = jnp.zeros(n)
    return Evolution(
        jnp.asarray(mean, jnp.float32),
        jnp.asarray(sigma, jnp.float32),
        jnp.eye(n),
        jnp.eye(n),
        zero,
        jnp.zeros_like(zero),
        jnp.float32(1),
    )


def candidates(now: Evolution, epsilon: Array) -> Array:
    """Return the weights x = m + σ C^½ ε that standard normal ε [..., n] make."""
    return now.mean + now.sigma * epsilon @ now.root


def evolve(now: Evolution, epsilon: Array, score: Array) -> Evolution:
    """Learn from one generation: ε [P, n] of its candidates, and their scores [P], of which more is better.

    A score that is no number is worse than all others. Equal ones count in the order of the candidates.
    """
    population, n = epsilon.shape
    r = rates(population, n)
    order = jnp.argsort(-jnp.where(jnp.isnan(score), -jnp.inf, score))
    epsilon, w = epsilon[order], jnp.asarray(r.weights, jnp.float32)
    y = epsilon @ now.root
    best = jnp.maximum(w, 0)
    path_sigma = (1 - r.c_sigma) * now.path_sigma
    path_sigma += math.sqrt(r.c_sigma * (2 - r.c_sigma) * r.mu_eff) * best @ epsilon  # C^-½ y is ε
    length, fading = jnp.linalg.norm(path_sigma), now.fading * (1 - r.c_sigma) ** 2
    sigma = now.sigma * jnp.exp(r.c_sigma / r.d_sigma * (length / r.chi - 1))
    # While σ grows fast p_c waits, or C would grow with it.
    steady = jnp.where(length / jnp.sqrt(1 - fading) < (1.4 + 2 / (n + 1)) * r.chi, 1.0, 0.0)
    path_cov = (1 - r.c_cov) * now.path_cov
    path_cov += steady * math.sqrt(r.c_cov * (2 - r.c_cov) * r.mu_eff) * best @ y
    # A bad candidate that lies far out would shrink C by much: all count as if they were as far as is usual.
    squares = jnp.square(epsilon).sum(-1)
    spread = jnp.where(w >= 0, w, w * n / jnp.maximum(squares, 1e-12))
    keep = 1 + r.c_one * (1 - steady) * r.c_cov * (2 - r.c_cov) - r.c_one - r.c_mu * float(r.weights.sum())
    cov = keep * now.cov + r.c_one * jnp.outer(path_cov, path_cov) + r.c_mu * (y.T * spread) @ y
    cov = (cov + cov.T) / 2
    mean = now.mean + now.sigma * best @ y
    return Evolution(mean, sigma, cov, square_root(cov), path_sigma, path_cov, fading)


def earned(rollout: Rollout, groups: int) -> Array:
    """Return what each of G candidates earned in its share of the environments of a rollout [T, N]: mean returns [G].

        Σ_t Σ_n r / max(number of episodes that ended, N / G)        over the N / G environments n of a candidate

    Episodes may have begun before and may end later: many rows earn, on average, as many returns as episodes end in
    them (renewals and rewards). Where fewer ended than there are rows, it is the sum of a row's rewards.
    """
    shape = len(rollout.step.done), groups, -1
    reward, ends = (x.reshape(shape).sum(0) for x in (rollout.step.reward, rollout.step.done))
    return reward.sum(-1) / jnp.maximum(ends.sum(-1), reward.shape[-1])


@jax.jit
def square_root(matrix: Array) -> Array:
    """Return the symmetric root of a symmetric, positive matrix [n, n], by Newton-Schulz iterations (Higham 1997).

        Y <- Y T,   Z <- T Z,   with T = (3 I - Z Y) / 2,   from Y = A / ‖A‖ and Z = I

    Y becomes the root of A / ‖A‖, and Z its inverse. Small eigenvalues take long: they grow by 1.5² in an iteration.

    >>> np.asarray(square_root(jnp.array([[4.0, 0.0], [0.0, 9.0]])), float).round(3).tolist()
    [[2.0, 0.0], [0.0, 3.0]]
    """
    size = jnp.linalg.norm(matrix)
    eye = jnp.eye(len(matrix), dtype=matrix.dtype)

    def improve(_: int, pair: tuple[Array, Array]) -> tuple[Array, Array]:
        y, z = pair
        t = 1.5 * eye - 0.5 * z @ y
        return y @ t, t @ z

    y, _ = jax.lax.fori_loop(0, ROOTS, improve, (matrix / size, eye))
    return jnp.sqrt(size) * (y + y.T) / 2
