"""Many scores become one number, or one profile. Agarwal et al. 2021, arXiv:2108.13264, sections 4.2 and 4.3."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

# Called as statistic(x, axis=k), like np.mean, iqm, optimality_gap; k is one axis, or those of (runs, tasks).
Statistic = Callable[..., Any]
Axis = int | tuple[int, ...] | None


def iqm(x: ArrayLike, axis: Axis = None) -> Any:
    """Return the interquartile mean: the mean of what is left without the lowest and the highest ⌊n/4⌋ of n scores.

    `axis=None` pools all scores, so [runs, tasks] gives one number (Agarwal et al. 2021, section 4.3). It
    needs fewer runs than the median and is hurt less by outliers than the mean. With n < 4 it is the mean.

    >>> iqm([0.0, 1.0, 2.0, 3.0, 1000.0])
    2.0
    """
    x = np.asarray(x, float)
    if axis is None:
        x = x.ravel()
    else:
        axes = axis if isinstance(axis, tuple) else (axis,)
        x = np.moveaxis(x, axes, range(-len(axes), 0))
        x = x.reshape(*x.shape[: x.ndim - len(axes)], -1)
    n = x.shape[-1]
    middle = np.sort(x, axis=-1)[..., n // 4 : n - n // 4].mean(-1)
    mean = np.where(np.isnan(x).any(-1), np.nan, middle)  # sort puts NaN last, where it would be cut off
    return float(mean) if mean.ndim == 0 else mean


def median(x: ArrayLike, axis: tuple[int, int] | None = None) -> Any:
    """Return the median over tasks of each task's mean over runs: not the median of all scores.

        x       [runs] or [runs, tasks], or with `axis` any shape
        axis    which axes are (runs, tasks)

    It is what papers on Atari report (Mnih et al. 2015); half the tasks may fail without its notice.

    >>> median([[0.0, 1.0, 5.0], [2.0, 1.0, 7.0], [1.0, 4.0, 9.0]])
    2.0
    """
    x = as_table(x) if axis is None else np.moveaxis(np.asarray(x, float), axis, (-2, -1))
    middle = np.median(x.mean(-2), axis=-1)
    return float(middle) if middle.ndim == 0 else middle


def optimality_gap(x: ArrayLike, gamma: float = 1.0, axis: Axis = None) -> Any:
    """Return how far the scores fall short of the target γ on average: γ - mean(min(x, γ)); lower is better.

    Scores above γ count as γ (Agarwal et al. 2021, section 4.3); γ = 1 suits normalised scores.

    >>> float(optimality_gap([0.5, 1.0, 9.0], gamma=2.0))
    0.8333333333333333
    """
    return gamma - np.minimum(np.asarray(x, float), gamma).mean(axis)


def performance_profile(scores: ArrayLike, taus: ArrayLike) -> np.ndarray:
    """Return the score distribution: the fraction of all runs and tasks whose score is strictly above each τ, [taus].

    Agarwal et al. 2021, section 4.2. A NaN score is above no τ. The interval at one τ is
    `bootstrap_ci(np.asarray(scores) > tau)`.

    >>> performance_profile([[0.2, 0.9], [0.6, 1.4]], [0.0, 0.5, 1.0]).tolist()
    [1.0, 0.75, 0.25]
    """
    return (as_table(scores).reshape(1, -1) > np.asarray(taus, float).reshape(-1, 1)).mean(1)


def average_profile(scores: ArrayLike, taus: ArrayLike) -> np.ndarray:
    """Return the average-score distribution: the fraction of tasks whose mean over runs is strictly above τ, [taus].

    Its intervals say less than those of `performance_profile`, because a task is one number here (Agarwal et
    al. 2021, section 4.2).

    >>> average_profile([[0.2, 0.9], [0.6, 1.4]], [0.0, 0.5, 1.0]).tolist()
    [1.0, 0.5, 0.5]
    """
    return (as_table(scores).mean(0) > np.asarray(taus, float).reshape(-1, 1)).mean(1)


def wins(x: ArrayLike, y: ArrayLike) -> np.ndarray:
    """Return P(X > Y) + ½ P(X = Y) for one random run of each algorithm, for each task: [..., tasks].

    x is [..., runs_x, tasks] and y is [..., runs_y, tasks]. A NaN gives NaN for its task.

    >>> wins([[3.0, 0.0], [2.0, 0.0]], [[1.0, 0.0], [2.0, 5.0]]).tolist()
    [0.875, 0.25]
    """
    a, b = np.asarray(x, float)[..., :, None, :], np.asarray(y, float)[..., None, :, :]
    won = ((a > b) + 0.5 * (a == b)).mean((-3, -2))
    return np.where(np.isnan(a).any((-3, -2)) | np.isnan(b).any((-3, -2)), np.nan, won)


def probability_of_improvement(x: ArrayLike, y: ArrayLike) -> float:
    """Return P(X > Y) + ½ P(X = Y) for one random run of each algorithm, averaged over tasks.

    x is [runs_x] or [runs_x, tasks], y is [runs_y] or [runs_y, tasks]; per task it is the Mann-Whitney U
    divided by runs_x · runs_y (Agarwal et al. 2021, section 4.3). Its interval is `two_sample_ci(x, y)`.

    >>> probability_of_improvement([3.0, 2.0], [1.0, 2.0])
    0.875
    """
    return float(wins(*as_pair(x, y)).mean())


def as_table(scores: ArrayLike) -> np.ndarray:
    table = np.asarray(scores, float)
    if table.ndim not in (1, 2) or table.size == 0:
        raise ValueError(f"scores must be [runs] or [runs, tasks] and not empty; got shape {table.shape}")
    return table.reshape(len(table), -1)


def as_pair(x: ArrayLike, y: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    a, b = as_table(x), as_table(y)
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"x has {a.shape[1]} tasks and y has {b.shape[1]}; they must be the same")
    return a, b
