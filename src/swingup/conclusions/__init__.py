"""What may be concluded from runs: a table with honest intervals, and sentences that seeds can carry.

The rules. Seeds are the repeats. An interval needs three seeds, and its true coverage is said. A difference is claimed
by the rank test of Mann and Whitney alone, corrected by Holm over all comparisons of the table, and never by intervals
that do not overlap: two sides of 3 seeds from one distribution "differ" by a bootstrap of their means in 21 % of cases.
Where the test could not reach 5 % whatever the scores, nothing is concluded, and how many seeds it takes is said.
"""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np

from swingup import statistics
from swingup.conclusions.scores import FINAL, Scores, scores
from swingup.errors import ConfigError, unknown

# How often the "95 %" interval of the IQM of n normal scores holds the true one, in %: benchmarks/conclusions.py.
COVERAGE = {3: 75, 4: 86, 5: 89, 6: 91, 8: 93, 10: 93, 20: 94, 40: 95}


class Row(NamedTuple):
    """This is said of one setting in one environment."""

    scores: Scores
    iqm: float  # -inf if more seeds diverged than it leaves out
    low: float  # its 95 % bootstrap interval; NaN under three seeds, or where a seed diverged
    high: float


class Pair(NamedTuple):
    """Two settings are compared in one environment, or over all; the first one is the one that wins more often."""

    first: Scores
    second: Scores
    wins: float  # the probability of improvement: how often a seed of the first is above one of the second
    low: float  # its 95 % bootstrap interval; NaN with fewer than three seeds on a side
    high: float
    p: float  # of the rank test, after Holm over all pairs
    least: float  # the smallest p that this many seeds can give, after Holm over all pairs

    @property
    def apart(self) -> bool:
        """Say whether the seeds tell the two apart."""
        return self.p <= statistics.LEVEL

    @property
    def possible(self) -> bool:
        """Say whether this many seeds could tell any two apart."""
        return self.least <= statistics.LEVEL


class Comparison(NamedTuple):
    """This is all that was compared, the best of each environment first."""

    metric: str
    rows: list[Row]
    pairs: list[Pair]
    overall: list[Pair]  # over environments; their scores are [S, environments]

    @property
    def family(self) -> int:
        """Return how many comparisons Holm's correction is over."""
        return len(self.pairs) + len(self.overall)


def compare(runs: Sequence[str | Path], *, metric: str = FINAL, against: str = "") -> Comparison:
    """Compare runs by one score per seed.

        runs       run directories, those of one setting being repeats; directories that hold some; NAME=RUN
        metric     "final_return", or a column of metrics.csv, whose last value counts; higher is taken for better
        against    the label of the setting that all others are compared with, chosen before the scores were seen;
                   by default all pairs are compared, which costs the test more of its power

    Raises `ConfigError` for fewer than two settings, and what `scores` raises.
    """
    if not runs:
        raise ConfigError("there is nothing to compare: name run directories")
    found = scores(runs, metric)
    return judge(found, metric=metric, against=against)


def judge(found: Sequence[Scores], *, metric: str = FINAL, against: str = "") -> Comparison:
    """Compare scores that were read or made already."""
    known = dict.fromkeys(one.label for one in found)
    if against and against not in known:
        raise ConfigError(unknown("label", against, known))
    rows = sorted(map(_row, found), key=lambda row: (row.scores.env, -row.iqm, -np.mean(row.scores.scores)))
    pairs = [
        (a.scores, b.scores)
        for a, b in combinations(rows, 2)
        if a.scores.env == b.scores.env and (not against or against in (a.scores.label, b.scores.label))
    ]
    if not pairs:
        shown = ", ".join(f"{one.label} in {one.env}" for one in found)
        raise ConfigError(
            f"there is nothing to compare: these runs are {shown}. Give runs of two settings in one environment; runs "
            "of equal settings are told apart by names, such as old=RUN new=RUN"
        )
    over = _overall(found, pairs)
    p, least = verdicts([(a.scores, b.scores) for a, b in [*pairs, *over]])
    judged = [_pair(*two, float(x), float(y)) for two, x, y in zip([*pairs, *over], p, least, strict=True)]
    return Comparison(metric, rows, judged[: len(pairs)], judged[len(pairs) :])


def verdicts(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Return what decides: the p-value of each pair, and the smallest that it could have had, both after Holm.

    >>> p, least = verdicts([(np.array([5.0, 6.0, 7.0]), np.array([1.0, 2.0, 6.0]))])
    >>> p.round(2).tolist(), least.tolist()
    ([0.3], [0.1])
    """
    p = statistics.holm([statistics.mann_whitney(x, y) for x, y in pairs])
    tasks = [x.size // len(x) for x, _ in pairs]
    least = [statistics.smallest_p(len(x), len(y), t) for (x, y), t in zip(pairs, tasks, strict=True)]
    return p, statistics.holm(least)


def _row(one: Scores) -> Row:
    interval = float("nan"), float("nan")
    if len(one.seeds) >= statistics.MIN_RUNS:
        interval = statistics.bootstrap_ci(one.scores, statistics.iqm)
    return Row(one, statistics.iqm(one.scores), *interval)


def _pair(a: Scores, b: Scores, p: float, least: float) -> Pair:
    wins = statistics.probability_of_improvement(a.scores, b.scores)
    if wins < 0.5:
        a, b, wins = b, a, 1 - wins
    interval = float("nan"), float("nan")
    if min(len(a.seeds), len(b.seeds)) >= statistics.MIN_RUNS:
        interval = statistics.two_sample_ci(a.scores, b.scores)
    return Pair(a, b, wins, *interval, p, least)


def _overall(found: Sequence[Scores], pairs: Sequence[tuple[Scores, Scores]]) -> list[tuple[Scores, Scores]]:
    """Return those pairs that have equally many seeds in each environment, with scores [S, environments]."""
    envs = list(dict.fromkeys(one.env for one in found))
    whole = {}
    for label in dict.fromkeys(one.label for one in found):
        mine = [one for env in envs for one in found if (one.label, one.env) == (label, env)]
        if len(envs) > 1 and len(mine) == len(envs) and len({len(one.seeds) for one in mine}) == 1:
            table = np.stack([one.scores for one in mine], axis=1)
            whole[label] = mine[0]._replace(env=f"{len(envs)} environments", scores=table)
    both = {frozenset((a.label, b.label)) for a, b in pairs}
    return [(a, b) for a, b in combinations(whole.values(), 2) if frozenset((a.label, b.label)) in both]


def coverage(seeds: int) -> int:
    """Return how often, in %, a "95 %" interval of that many seeds holds the truth, if their scores are normal.

    >>> coverage(3), coverage(12), coverage(1000)
    (75, 93, 95)
    """
    return 95 if seeds > 2 * max(COVERAGE) else COVERAGE[max(n for n in COVERAGE if n <= seeds)]
