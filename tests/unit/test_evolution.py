"""CMA-ES against a slow one with an eigendecomposition, and the symmetries that it must have."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from swingup.evolution import candidates, earned, evolution, evolve, rates, square_root
from swingup.types import Rollout, Step

N, P = 4, 8


class Slow:
    """Hansen's tutorial (2016), figure 6, in float64, with C^-½ from eigenvalues; the constants are its table 1's."""

    def __init__(self, mean: Any, sigma: float):
        self.m, self.sigma, self.c = np.array(mean, float), sigma, np.eye(N)
        self.ps, self.pc, self.g = np.zeros(N), np.zeros(N), 0

    def root(self, power: float) -> Any:
        values, vectors = np.linalg.eigh(self.c)
        return (vectors * values**power) @ vectors.T

    def tell(self, x: Any, score: Any) -> None:
        mu, prime = P // 2, np.array([math.log((P + 1) / 2) - math.log(i + 1) for i in range(P)])
        mu_eff = sum(prime[:mu]) ** 2 / sum(prime[:mu] ** 2)
        mu_eff_minus = sum(prime[mu:]) ** 2 / sum(prime[mu:] ** 2)
        cc = (4 + mu_eff / N) / (N + 4 + 2 * mu_eff / N)
        c1 = 2 / ((N + 1.3) ** 2 + mu_eff)
        cmu = min(1 - c1, 2 * (1 / 4 + mu_eff + 1 / mu_eff - 2) / ((N + 2) ** 2 + 2 * mu_eff / 2))
        least = min(1 + c1 / cmu, 1 + 2 * mu_eff_minus / (mu_eff + 2), (1 - c1 - cmu) / (N * cmu))
        plus, minus = prime[prime > 0].sum(), -prime[prime < 0].sum()
        w = np.where(prime >= 0, prime / plus, least * prime / minus)
        cs = (mu_eff + 2) / (N + mu_eff + 5)
        ds = 1 + 2 * max(0, math.sqrt((mu_eff - 1) / (N + 1)) - 1) + cs
        chi = math.sqrt(N) * (1 - 1 / (4 * N) + 1 / (21 * N**2))
        y = (x[np.argsort(-np.asarray(score), kind="stable")] - self.m) / self.sigma
        inverse = self.root(-0.5)
        yw = sum(w[i] * y[i] for i in range(mu))
        self.m = self.m + self.sigma * yw
        self.ps = (1 - cs) * self.ps + math.sqrt(cs * (2 - cs) * mu_eff) * inverse @ yw
        self.g += 1
        limit = (1.4 + 2 / (N + 1)) * chi
        h = float(np.linalg.norm(self.ps) / math.sqrt(1 - (1 - cs) ** (2 * self.g)) < limit)
        self.pc = (1 - cc) * self.pc + h * math.sqrt(cc * (2 - cc) * mu_eff) * yw
        circle = [w[i] if w[i] >= 0 else w[i] * N / np.sum((inverse @ y[i]) ** 2) for i in range(P)]
        self.c = (1 + c1 * (1 - h) * cc * (2 - cc) - c1 - cmu * w.sum()) * self.c
        self.c += c1 * np.outer(self.pc, self.pc) + cmu * sum(
            circle[i] * np.outer(y[i], y[i]) for i in range(P)
        )
        self.sigma *= math.exp(cs / ds * (np.linalg.norm(self.ps) / chi - 1))


def bowl(x: Any) -> Any:
    return -(np.square(np.asarray(x)) * np.array([1.0, 5.0, 25.0, 125.0])).sum(-1)


def test_generations_are_those_of_a_slow_one_with_eigenvalues() -> None:
    """Mean, step, matrix and both paths, for twenty generations that go through both cases of h_σ."""
    rng = np.random.default_rng(0)
    slow, fast = Slow(np.full(N, 3.0), 0.2), evolution(jnp.full(N, 3.0), 0.2)
    for _ in range(20):
        epsilon = jnp.asarray(rng.normal(size=(P, N)), jnp.float32)
        np.testing.assert_allclose(fast.root, slow.root(0.5), rtol=2e-3, atol=2e-4)
        x = slow.m + slow.sigma * np.asarray(epsilon, float) @ slow.root(0.5)
        score = bowl(x)
        slow.tell(x, score)
        fast = evolve(fast, epsilon, jnp.asarray(score))
        for mine, theirs in zip(
            (fast.mean, fast.sigma, fast.cov, fast.path_sigma, fast.path_cov),
            (slow.m, slow.sigma, slow.c, slow.ps, slow.pc),
            strict=True,
        ):
            np.testing.assert_allclose(mine, theirs, rtol=5e-3, atol=5e-3)


def test_only_the_order_of_scores_counts_and_no_number_is_the_worst() -> None:
    now = evolution(jnp.zeros(N), 0.5)
    epsilon = jax.random.normal(jax.random.key(0), (P, N))
    score = jnp.asarray(bowl(candidates(now, epsilon)))
    plain, bent = evolve(now, epsilon, score), evolve(now, epsilon, -7 * jnp.sqrt(-score) - 3)
    for x, y in zip(plain, bent, strict=True):
        np.testing.assert_array_equal(x, y)
    worst = int(jnp.argmin(score))
    for x, y in zip(evolve(now, epsilon, score.at[worst].set(jnp.nan)), plain, strict=True):
        np.testing.assert_array_equal(x, y)


def test_a_rotated_problem_is_solved_by_rotated_steps() -> None:
    turn, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(N, N)))
    turn, rng = jnp.asarray(turn, jnp.float32), np.random.default_rng(2)
    straight, turned = evolution(jnp.ones(N), 0.3), evolution(jnp.ones(N) @ turn, 0.3)
    for _ in range(5):
        epsilon = jnp.asarray(rng.normal(size=(P, N)), jnp.float32)
        score = jnp.asarray(bowl(candidates(straight, epsilon)))
        straight, turned = evolve(straight, epsilon, score), evolve(turned, epsilon @ turn, score)
    np.testing.assert_allclose(straight.mean @ turn, turned.mean, atol=1e-4)
    np.testing.assert_allclose(turn.T @ straight.cov @ turn, turned.cov, atol=1e-4)


@pytest.mark.parametrize("condition", [1e2, 1e5])
def test_the_root_of_a_matrix_is_that_of_its_eigenvalues(condition: float) -> None:
    q, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(6, 6)))
    values = np.geomspace(1, condition, 6)
    found = np.asarray(square_root(jnp.asarray((q * values) @ q.T, jnp.float32)))
    np.testing.assert_allclose(found, (q * np.sqrt(values)) @ q.T, atol=2e-6 * condition)


def test_weights_sum_as_the_tutorial_says() -> None:
    for population, n in ((4, 3), (9, 10), (32, 200)):
        r = rates(population, n)
        assert math.isclose(r.weights[: population // 2].sum(), 1)
        assert 0 < r.c_one + r.c_mu <= 1
        # C stays positive: what is kept of it outweighs what the bad half takes away.
        assert 1 - r.c_one - r.c_mu * r.weights.sum() >= -n * r.c_mu * r.weights[r.weights < 0].sum() - 1e-9


def test_candidates_are_paid_by_the_episode() -> None:
    """Three candidates with two rows each: whole episodes, one that ends early, and none that ends."""
    done = np.zeros((4, 6), bool)
    done[3, 0:2] = True
    done[1, 2], done[3, 2:4] = True, True
    reward = np.arange(24.0).reshape(4, 6)
    blank = [None] * 6
    step = Step._make(blank + [None, None])._replace(reward=jnp.asarray(reward), terminated=jnp.asarray(done))
    step = step._replace(truncated=jnp.zeros((4, 6), bool))
    found = earned(Rollout(None, None, None, step), 3)
    sums = reward.sum(0)
    np.testing.assert_allclose(found, [sums[:2].sum() / 2, sums[2:4].sum() / 3, sums[4:].sum() / 2])
