"""Exercise a4 asks for the log-probability of an action that was squashed by tanh."""

import numpy as np

from swingup.learn.form import Case, Exercise

START = '''"""a4: the log-probability of a squashed action.

SAC draws u from a Gaussian and plays a = tanh(u), so that actions stay between -1 and 1. Squashing changes the
density: where tanh is flat, many u share almost one a. The change of variables gives, for each dimension,

    log π(a) = log N(u; μ, σ) - log(1 - tanh(u)²)

For large |u|, 1 - tanh(u)² is 0 in floating point. Find a form that is exact there, too.
"""

import numpy as np


def log_prob(u, mean, log_std):
    """Return log π(tanh(u)) for a batch of B observations.

    u       [B, D]  the Gaussian sample, before tanh
    mean    [B, D]  μ
    log_std [D]     log σ
    returns [B]

    With u = [[1, -1]], mean 0 and log_std 0 it is [-1.103].
    """
    raise NotImplementedError  # TODO
'''


def log_prob(u, mean, log_std):
    """Return log π(tanh(u)), with 1 - tanh(u)² = 4 / (e^u + e^-u)², whose logarithm never overflows."""
    gaussian = -0.5 * ((u - mean) / np.exp(log_std)) ** 2 - log_std - 0.5 * np.log(2 * np.pi)
    log_slope = 2 * (np.log(2) - np.abs(u) - np.log1p(np.exp(-2 * np.abs(u))))
    return (gaussian - log_slope).sum(-1)


def cases() -> dict[str, Case]:
    """Return the cases: the shown one, saturated actions, and random ones."""
    rng = np.random.default_rng(0)
    return {
        "shown": {"u": np.array([[1.0, -1.0]]), "mean": np.zeros((1, 2)), "log_std": np.zeros(2)},
        "u = 10": {"u": np.full((1, 1), 10.0), "mean": np.full((1, 1), 10.0), "log_std": np.zeros(1)},
        "u = -30": {"u": np.full((1, 1), -30.0), "mean": np.full((1, 1), -29.0), "log_std": np.zeros(1)},
        "five of two": {
            "u": rng.normal(size=(5, 2)),
            "mean": rng.normal(size=(5, 2)),
            "log_std": rng.uniform(-1, 0.5, 2),
        },
    }


def _gaussian(u, mean, log_std):
    return -0.5 * ((u - mean) / np.exp(log_std)) ** 2 - log_std - 0.5 * np.log(2 * np.pi)


def _log_slope(u):
    return 2 * (np.log(2) - np.abs(u) - np.log1p(np.exp(-2 * np.abs(u))))


def _clipped(u, mean, log_std):
    back = np.arctanh(np.clip(np.tanh(u), -1 + 1e-6, 1 - 1e-6))
    return (_gaussian(back, mean, log_std) - _log_slope(back)).sum(-1)


EXERCISE = Exercise(
    title="the log-probability of a squashed action",
    page="algorithms/sac#derivation",
    start=START,
    answer=log_prob,
    cases=cases,
    wrong={
        "this is the Gaussian's log-density alone; the correction for tanh is missing": lambda u, mean, log_std: (
            _gaussian(u, mean, log_std).sum(-1)
        ),
        "the correction is added; it is subtracted, because a flat tanh packs more density together": (
            lambda u, mean, log_std: (_gaussian(u, mean, log_std) + _log_slope(u)).sum(-1)
        ),
        "a small number inside log(1 - a² + 1e-6) is wrong for saturated actions; use softplus": (
            lambda u, mean, log_std: (_gaussian(u, mean, log_std) - np.log(1 - np.tanh(u) ** 2 + 1e-6)).sum(
                -1
            )
        ),
        "log(1 - a²) is infinite where tanh rounds to 1; use softplus of u": lambda u, mean, log_std: (
            _gaussian(u, mean, log_std) - np.log(1 - np.tanh(u) ** 2)
        ).sum(-1),
        "u is recovered by atanh of a clipped action, which loses a large u": _clipped,
        "the Gaussian is evaluated at a = tanh(u); it is the density of u": lambda u, mean, log_std: (
            _gaussian(np.tanh(u), mean, log_std) - _log_slope(u)
        ).sum(-1),
        "the correction has half its size: the slope of tanh is 1 - a², not its root": lambda u, mean, log_std: (
            (_gaussian(u, mean, log_std) - 0.5 * _log_slope(u)).sum(-1)
        ),
        "nothing is summed over the dimensions, so the result is [B, D] and not [B]": lambda u, mean, log_std: (
            _gaussian(u, mean, log_std) - _log_slope(u)
        ),
    },
    hints=(
        "What is 1 - tanh(u)² in terms of e^u and e^-u? Does its logarithm need that difference at all?",
        "The density is that of u, the correction is subtracted, and the sum over dimensions comes last.",
        "log(1 - tanh(u)²) = 2 (log 2 - u - softplus(-2u)), with softplus(x) = np.logaddexp(0, x).",
    ),
)
