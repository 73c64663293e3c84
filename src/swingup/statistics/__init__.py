"""Few runs give honest numbers by the interquartile mean, bootstrap intervals, profiles and rank tests.

Source: Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical Precipice",
arXiv:2108.13264, and its package rliable, with whose definitions these agree. NumPy only.

Scores are [runs] or [runs, tasks]; a run is one training seed, and every task has the same number of runs.
A NaN is never dropped in silence: it makes a statistic NaN and an interval (nan, nan). Two exceptions: in
`performance_profile` a NaN run is above no threshold, in `bootstrap_band` it has no value at that point.
"""

from swingup.statistics.aggregates import (
    Statistic,
    average_profile,
    iqm,
    median,
    optimality_gap,
    performance_profile,
    probability_of_improvement,
    wins,
)
from swingup.statistics.bootstrap import (
    MIN_RUNS,
    bootstrap_band,
    bootstrap_ci,
    difference,
    mean_ci,
    sample_efficiency,
    two_sample_ci,
    wilson,
)
from swingup.statistics.ranks import LEVEL, holm, mann_whitney, smallest_p

__all__ = [
    "LEVEL",
    "MIN_RUNS",
    "Statistic",
    "average_profile",
    "bootstrap_band",
    "bootstrap_ci",
    "difference",
    "holm",
    "iqm",
    "mann_whitney",
    "mean_ci",
    "median",
    "optimality_gap",
    "performance_profile",
    "probability_of_improvement",
    "sample_efficiency",
    "smallest_p",
    "two_sample_ci",
    "wilson",
    "wins",
]
