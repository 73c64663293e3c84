"""Exercise f1 asks for normalised values whose outputs do not jump."""

import numpy as np

from swingup.learn.form import Case, Exercise

START = '''"""f1: normalised values whose outputs do not jump.

Targets of a value function may be of any size. So one learns (y - μ) / σ with running mean and variance. Merge
a batch of n' targets into statistics of n, with k = n' / (n + n') and δ = mean(batch) - μ:

    μ_new  = μ + k δ
    σ²_new = (1 - k) σ² + k var(batch) + k (1 - k) δ²

When μ and σ change, so would every value that the last layer's weight w and bias b give. Choose new ones such that
σ (w h + b) + μ is the same as before for every h.
"""

import numpy as np


def merge(mean, variance, count, batch, w, b):
    """Return the new mean, variance, weight and bias, four numbers, as a tuple.

    mean, variance  float, the running statistics so far
    count           int    n, how many targets they have seen
    batch           [n']
    w, b            float, weight and bias of the last layer

    With mean 0, variance 1, count 2, batch [4, 4], w = 1 and b = 0 they are 2, 4.5, 0.471, -0.943.
    """
    raise NotImplementedError  # TODO
'''


def merge(mean, variance, count, batch, w, b):
    """Return merged statistics, and the weight and the bias that keep all outputs."""
    k = len(batch) / (count + len(batch))
    delta = batch.mean() - mean
    new_mean = mean + k * delta
    new_variance = (1 - k) * variance + k * batch.var() + k * (1 - k) * delta**2
    old, new = np.sqrt(variance), np.sqrt(new_variance)
    return new_mean, new_variance, old * w / new, (old * b + mean - new_mean) / new


def cases() -> dict[str, Case]:
    """Return the cases: the shown one, and random ones."""
    rng = np.random.default_rng(0)
    return {
        "shown": {
            "mean": 0.0,
            "variance": 1.0,
            "count": 2,
            "batch": np.array([4.0, 4.0]),
            "w": 1.0,
            "b": 0.0,
        },
        "seven more": {
            "mean": 1.0,
            "variance": 4.0,
            "count": 5,
            "batch": rng.normal(3, 2, 7),
            "w": 0.5,
            "b": -1.0,
        },
        "one more": {
            "mean": -2.0,
            "variance": 0.5,
            "count": 100,
            "batch": np.array([3.0]),
            "w": -1.5,
            "b": 0.3,
        },
    }


def _wrong(mean_of=None, variance_of=None, w_of=None, b_of=None):
    def answer(mean, variance, count, batch, w, b):
        m, v, nw, nb = merge(mean, variance, count, batch, w, b)
        k = len(batch) / (count + len(batch))
        if mean_of:
            m = mean_of(mean, batch, count)
        if variance_of:
            v = variance_of(variance, batch, k)
        old, new = np.sqrt(variance), np.sqrt(v)
        nw = w_of(w, old, new) if w_of else old * w / new
        nb = b_of(b, old, new) if b_of else (old * b + mean - m) / new
        return m, v, nw, nb

    return answer


EXERCISE = Exercise(
    title="normalised values whose outputs do not jump",
    page="design#running-statistics",
    start=START,
    answer=merge,
    cases=cases,
    wrong={
        "the variances are averaged; the distance of the two means adds to the spread": _wrong(
            variance_of=lambda v, x, k: (1 - k) * v + k * x.var()
        ),
        "the batch replaces the old statistics; merge them by their counts": _wrong(
            lambda m, x, n: x.mean(), lambda v, x, k: max(x.var(), 1e-12)
        ),
        "the whole batch counts as one sample": _wrong(lambda m, x, n: (n * m + x.mean()) / (n + 1)),
        "the weight stays, so all outputs jump when σ changes": _wrong(w_of=lambda w, old, new: w),
        "the weight is scaled the wrong way round: by σ_old / σ_new": _wrong(
            w_of=lambda w, old, new: w * new / old
        ),
        "the bias is scaled, but not moved by the change of the mean": _wrong(
            b_of=lambda b, old, new: old * b / new
        ),
        "variances scale the weight; standard deviations must": _wrong(
            w_of=lambda w, old, new: w * old**2 / new**2
        ),
        "old and new statistics count alike, whatever their numbers of samples": _wrong(
            lambda m, x, n: (m + x.mean()) / 2
        ),
    },
    hints=(
        "Two groups of equal numbers, all 0 and all 4: is the variance of the whole 0?",
        "First μ and σ², then solve σ (w h + b) + μ = σ' (w' h + b') + μ' for w' and b': compare what stands before h.",
        "w' = σ w / σ',  b' = (σ b + μ - μ') / σ'",
    ),
)
