"""Ranks say whether two samples of runs can be told apart, whatever the scores' distribution.

Sources: Mann and Whitney 1947, "On a test of whether one of two random variables is stochastically larger than the
other"; Holm 1979, "A simple sequentially rejective multiple test procedure".
"""

import math
from collections.abc import Sequence
from functools import lru_cache, reduce

import numpy as np
from numpy.typing import ArrayLike

from swingup.statistics.aggregates import as_pair

LEVEL = 0.05  # the share of false alarms that we accept, over all comparisons of one table
EXACT = 120  # runs of both sides together up to which the distribution is counted out


def mann_whitney(x: ArrayLike, y: ArrayLike) -> float:
    """Return the two-sided p-value of the hypothesis that x and y are from one distribution, in each task its own.

        x, y    [n] and [m], or [n, tasks] and [m, tasks]

    Every way to call n of the n + m scores x is equally likely then. The p-value is the share of ways whose sum of
    ranks is as far from its mean as what was seen, or further. Ties share their mean rank. Up to `EXACT` scores all
    ways are counted: W[k, s], in how many ways k of the scores so far have ranks that sum to s, grows with each
    score of rank r by

        W[k, s] += W[k-1, s-r].

    Beyond that the normal approximation, with ties and continuity corrected, is as good. The ranks of several tasks
    are dealt out task by task, and their sums added: W is then the convolution of the tasks' own. A NaN gives NaN;
    -inf is a score below all others.

    >>> mann_whitney([5.0, 6.0, 7.0], [1.0, 2.0, 3.0])
    0.1
    """
    if np.size(x) == 0 or np.size(y) == 0:
        return float("nan")
    x, y = sorted(as_pair(x, y), key=len)
    if np.isnan(x).any() or np.isnan(y).any():
        return float("nan")
    (n, tasks), m = x.shape, len(y)
    off, all_ties = 0, []
    for column in np.concatenate([x, y]).T:
        _, place, ties = np.unique(column, return_inverse=True, return_counts=True)
        off += int(_twice_ranks(ties)[place.ravel()[:n]].sum()) - n * (n + m + 1)
        all_ties.append(ties)
    if n + m > EXACT:
        return _normal(abs(off) / 2, n, m, all_ties)
    ways = reduce(np.convolve, (_ways(n, tuple(ties.tolist())) for ties in all_ties))
    far = abs(np.arange(len(ways)) - tasks * n * (n + m + 1)) >= abs(off)
    return float(min(1.0, ways[far].sum()))


def smallest_p(n: int, m: int, tasks: int = 1) -> float:
    """Return the smallest p-value that `mann_whitney` can give for n against m runs: 2 / C(n+m, n)^tasks.

    >>> smallest_p(3, 3), round(smallest_p(4, 4), 4), smallest_p(3, 3, tasks=2)
    (0.1, 0.0286, 0.005)
    """
    return min(1.0, 2 / math.comb(n + m, n) ** tasks)


def holm(p: ArrayLike) -> np.ndarray:
    """Return Holm's adjusted p-values [k] of k comparisons: those below 5 % hold with 5 % false alarms over all k.

    The smallest counts k times, the next one k - 1 times, and so on; none is smaller than one before it.

    >>> holm([0.04, 0.01, 0.03]).tolist()
    [0.06, 0.03, 0.06]
    """
    p = np.asarray(p, float)
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1.0, steps)
    return adjusted


def _twice_ranks(ties: np.ndarray) -> np.ndarray:
    """Return twice the mean rank of each distinct score, a whole number; the lowest first."""
    return 2 * np.cumsum(ties) - ties + 1


@lru_cache(maxsize=64)
def _ways(n: int, ties: tuple[int, ...]) -> np.ndarray:
    """Return the share of ways in which n of the scores have ranks that sum to s / 2, for each s."""
    ranks = np.repeat(_twice_ranks(np.array(ties)), ties)
    ways = np.zeros((n + 1, int(ranks[len(ranks) - n :].sum()) + 1))
    ways[0, 0] = 1
    for r in ranks:
        ways[1:, r:] += ways[:-1, :-r]
    return ways[n] / ways[n].sum()


def _normal(off: float, n: int, m: int, all_ties: Sequence[np.ndarray]) -> float:
    """Return the p-value of a sum of ranks that is `off` its mean by the normal approximation."""
    total = n + m
    tied = sum((ties.astype(float) ** 3 - ties).sum() for ties in all_ties)
    variance = n * m / 12 * (len(all_ties) * (total + 1) - tied / (total * (total - 1)))
    return math.erfc(max(0.0, off - 0.5) / math.sqrt(2 * variance)) if variance > 0 else 1.0
