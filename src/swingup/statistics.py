"""Honest numbers from few runs: interquartile mean, bootstrap intervals, performance profiles.

Source: Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical Precipice",
arXiv:2108.13264, and its package rliable, with whose definitions these agree. NumPy only.

Scores are [runs] or [runs, tasks]; a run is one training seed, and every task has the same number of runs.
A NaN is never dropped in silence: it makes a statistic NaN and an interval (nan, nan). Two exceptions: in
`performance_profile` a NaN run is above no threshold, in `bootstrap_band` it has no value at that point.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

MIN_RUNS = 3  # an interval from fewer runs means nothing; we print none
Statistic = Callable[..., Any]  # called as statistic(x, axis=k), like np.mean, np.median, iqm, optimality_gap


def iqm(x: ArrayLike, axis: int | None = None) -> Any:
    """Interquartile mean: the mean of what is left without the lowest and the highest ⌊n/4⌋ of n scores.

    `axis=None` pools all scores, so [runs, tasks] gives one number (Agarwal et al. 2021, section 4.3). It
    needs fewer runs than the median and is hurt less by outliers than the mean. With n < 4 it is the mean.

    >>> iqm([0.0, 1.0, 2.0, 3.0, 1000.0])
    2.0
    """
    x = np.asarray(x, float)
    x = x.ravel() if axis is None else np.moveaxis(x, axis, -1)
    n = x.shape[-1]
    middle = np.sort(x, axis=-1)[..., n // 4 : n - n // 4].mean(-1)
    mean = np.where(np.isnan(x).any(-1), np.nan, middle)  # sort puts NaN last, where it would be cut off
    return float(mean) if mean.ndim == 0 else mean


def optimality_gap(x: ArrayLike, gamma: float = 1.0, axis: int | None = None) -> Any:
    """How far the scores fall short of the target γ on average: γ - mean(min(x, γ)); lower is better.

    Scores above γ count as γ (Agarwal et al. 2021, section 4.3); γ = 1 suits normalised scores.

    >>> float(optimality_gap([0.5, 1.0, 9.0], gamma=2.0))
    0.8333333333333333
    """
    return gamma - np.minimum(np.asarray(x, float), gamma).mean(axis)


def performance_profile(scores: ArrayLike, taus: ArrayLike) -> np.ndarray:
    """Score distribution: the fraction of all runs and tasks whose score is strictly above each τ, [taus].

    Agarwal et al. 2021, section 4.2. A NaN score is above no τ. The interval at one τ is
    `bootstrap_ci(np.asarray(scores) > tau)`.

    >>> performance_profile([[0.2, 0.9], [0.6, 1.4]], [0.0, 0.5, 1.0]).tolist()
    [1.0, 0.75, 0.25]
    """
    return (_table(scores).reshape(1, -1) > np.asarray(taus, float).reshape(-1, 1)).mean(1)


def probability_of_improvement(x: ArrayLike, y: ArrayLike) -> float:
    """P(X > Y) + ½ P(X = Y) for one random run of each algorithm, averaged over tasks.

    x is [runs_x] or [runs_x, tasks], y is [runs_y] or [runs_y, tasks]; per task it is the Mann-Whitney U
    divided by runs_x · runs_y (Agarwal et al. 2021, section 4.3).

    >>> probability_of_improvement([3.0, 2.0], [1.0, 2.0])
    0.875
    """
    a, b = _table(x), _table(y)
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"x has {a.shape[1]} tasks and y has {b.shape[1]}; they must be the same")
    if np.isnan(a).any() or np.isnan(b).any():
        return float("nan")
    wins = (a[:, None] > b[None]) + 0.5 * (a[:, None] == b[None])  # [runs_x, runs_y, tasks]
    return float(wins.mean())


def bootstrap_ci(
    scores: ArrayLike, statistic: Statistic = np.mean, *, level: float = 0.95, reps: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Stratified percentile bootstrap interval (low, high) of a statistic of the pooled scores.

    Each of `reps` resamples draws, for every task on its own, as many runs as there are with replacement
    (Agarwal et al. 2021, section 4.1); the interval spans the (1 ± level)/2 quantiles of their statistics.
    Few runs make it too narrow: the "95%" interval for the mean of n normal scores covers 75% at n = 3
    (where it is [min, max]), 85% at 5, 90% at 10, 94% at 40. A score that is not finite gives (nan, nan).

    >>> bootstrap_ci([1.0, 2.0, 3.0])
    (1.0, 3.0)
    """
    table, tails = _table(scores), _tails(level, reps)
    if not np.isfinite(table).all():
        return float("nan"), float("nan")
    rng, stats = np.random.default_rng(seed), []
    for part in _chunks(reps, table.size):
        pick = rng.integers(len(table), size=(len(part), *table.shape))
        sample = np.take_along_axis(table[None], pick, axis=1)
        stats.append(statistic(sample.reshape(len(part), -1), axis=-1))
    low, high = np.quantile(np.concatenate(stats), tails)
    return float(low), float(high)


def bootstrap_band(
    curves: ArrayLike, statistic: Statistic = np.mean, *, level: float = 0.95, reps: int = 2000, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Pointwise percentile bootstrap band (low [points], high [points]) of curves [runs, points].

    Whole runs are drawn with replacement, so that neighbouring points share their resamples and the band is
    smooth. A run whose value is not finite at a point has none there and is left out of that point; a point
    with fewer than `MIN_RUNS` values gets NaN. The band holds for each point, not for all points at once.
    """
    curves, tails = np.asarray(curves, float), _tails(level, reps)
    band = np.full((2, curves.shape[1]), np.nan)
    present, which = np.unique(np.isfinite(curves), axis=1, return_inverse=True)  # few distinct patterns
    for i in np.flatnonzero(present.sum(0) >= MIN_RUNS):
        runs, points = np.flatnonzero(present[:, i]), np.flatnonzero(which.ravel() == i)
        pick = np.random.default_rng(seed).integers(len(runs), size=(reps, len(runs)))
        for part in _chunks(len(points), pick.size):
            sample = curves[np.ix_(runs, points[part])][pick]  # [reps, n, part]
            band[:, points[part]] = np.quantile(statistic(sample, axis=1), tails, axis=0)
    return band[0], band[1]


def mean_ci(scores: ArrayLike) -> tuple[float, float]:
    """95% `bootstrap_ci` of the mean over runs; (nan, nan) with fewer than `MIN_RUNS` runs.

    >>> mean_ci([480.0, 500.0])
    (nan, nan)
    """
    return bootstrap_ci(scores) if len(_table(scores)) >= MIN_RUNS else (float("nan"), float("nan"))


def _table(scores: ArrayLike) -> np.ndarray:
    table = np.asarray(scores, float)
    if table.ndim not in (1, 2) or table.size == 0:
        raise ValueError(f"scores must be [runs] or [runs, tasks] and not empty; got shape {table.shape}")
    return table.reshape(len(table), -1)


def _tails(level: float, reps: int) -> tuple[float, float]:
    if not 0 < level < 1 or reps < 1:
        raise ValueError(f"need 0 < level < 1 and reps >= 1; got level={level}, reps={reps}")
    return (1 - level) / 2, (1 + level) / 2


def _chunks(total: int, size: int) -> Iterator[range]:
    """Split range(total) so that a chunk of items of `size` numbers stays near 32 MB."""
    step = max(1, 2**22 // size)
    return (range(i, min(i + step, total)) for i in range(0, total, step))
