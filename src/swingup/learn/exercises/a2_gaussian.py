"""Exercise a2 asks for the log-probability and the entropy of a Gaussian policy."""

import numpy as np

from swingup.learn.form import Case, Exercise

START = '''"""a2: the log-probability and the entropy of a Gaussian policy.

For actions with D dimensions, most policies are D independent Gaussians. Their densities multiply, so their
log-densities add up:

    log N(x; μ, σ) = -(x - μ)² / 2σ² - log σ - ½ log 2π       for each dimension
    H(N(μ, σ))     = ½ + ½ log 2π + log σ                     for each dimension
"""

import numpy as np


def log_prob_and_entropy(x, mean, log_std):
    """Return log π(x) and the entropy, for a batch of B observations.

    x       [B, D]  actions
    mean    [B, D]  μ
    log_std [D]     log σ, the same for all observations
    returns [B] and [B], as a tuple

    With x = mean and log_std = [½, ½] they are -2.838 and 3.838.
    """
    raise NotImplementedError  # TODO
'''


def log_prob_and_entropy(x, mean, log_std):
    """Return log π(x) and the entropy: both are sums over the dimensions."""
    z = (x - mean) / np.exp(log_std)
    log_prob = (-0.5 * z**2 - log_std - 0.5 * np.log(2 * np.pi)).sum(-1)
    entropy = (0.5 + 0.5 * np.log(2 * np.pi) + log_std).sum()
    return log_prob, np.full(len(mean), entropy)


def cases() -> dict[str, Case]:
    """Return the cases: the shown one, one dimension, and random ones."""
    rng = np.random.default_rng(0)
    return {
        "shown": {"x": np.ones((1, 2)), "mean": np.ones((1, 2)), "log_std": np.array([0.5, 0.5])},
        "one dimension": {
            "x": np.array([[3.0], [0.0]]),
            "mean": np.zeros((2, 1)),
            "log_std": np.array([1.0]),
        },
        "four of three": {
            "x": rng.normal(size=(4, 3)),
            "mean": rng.normal(size=(4, 3)),
            "log_std": rng.uniform(-1.5, -0.2, 3),
        },
    }


C = 0.5 * np.log(2 * np.pi)


def _terms(x, mean, log_std, log_sigma=1.0, half=1.0, constant=C):
    z = (x - mean) / np.exp(log_std)
    return -0.5 * half * z**2 - log_sigma * log_std - constant


def _entropy(mean, log_std):
    return np.full(len(mean), (0.5 + C + log_std).sum())


EXERCISE = Exercise(
    title="the log-probability and the entropy of a Gaussian policy",
    page="course/key_concepts#policies",
    start=START,
    answer=log_prob_and_entropy,
    cases=cases,
    wrong={
        "this is a mean over the dimensions; log-densities of independent dimensions add up": (
            lambda x, mean, log_std: (_terms(x, mean, log_std).mean(-1), _entropy(mean, log_std))
        ),
        "the term -log σ is missing; without it a wider Gaussian has no lower density": (
            lambda x, mean, log_std: (_terms(x, mean, log_std, log_sigma=0).sum(-1), _entropy(mean, log_std))
        ),
        "log_std is used as σ itself; take its exponential first": lambda x, mean, log_std: (
            (-0.5 * ((x - mean) / log_std) ** 2 - np.log(log_std) - C).sum(-1),
            _entropy(mean, log_std),
        ),
        "the ½ before log 2π is missing": lambda x, mean, log_std: (
            _terms(x, mean, log_std, constant=2 * C).sum(-1),
            _entropy(mean, log_std),
        ),
        "the ½ before the square is missing": lambda x, mean, log_std: (
            _terms(x, mean, log_std, half=2.0).sum(-1),
            _entropy(mean, log_std),
        ),
        "the entropy's constant is counted once; each dimension has its own": lambda x, mean, log_std: (
            _terms(x, mean, log_std).sum(-1),
            np.full(len(mean), 0.5 + C + log_std.sum()),
        ),
        "nothing is summed over the dimensions, so the result is [B, D] and not [B]": lambda x, mean, log_std: (
            _terms(x, mean, log_std),
            np.broadcast_to(0.5 + C + log_std, mean.shape),
        ),
    },
    hints=(
        "How does the logarithm of a product of D densities look? What happens to the constant?",
        "Both results are sums over the last axis; the entropy does not depend on x, but has one entry per row.",
        "log π = Σ_d [-½ ((x - μ)/σ)² - log σ - ½ log 2π], H = Σ_d [½ + ½ log 2π + log σ], with σ = exp(log_std).",
    ),
)
