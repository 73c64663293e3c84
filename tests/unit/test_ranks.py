"""The rank test equals SciPy's, and where there are ties the count of every way to deal out the scores."""

from itertools import combinations
from math import comb

import numpy as np
import pytest
import scipy.stats

from swingup import statistics as st
from swingup.statistics import ranks


def every_way(x, y):
    """The share of all ways to call n of the scores x whose U is as far from its mean, by enumeration."""
    pooled, n = [*x, *y], len(x)

    def off(chosen):
        rest = [v for i, v in enumerate(pooled) if i not in chosen]
        u = sum((pooled[i] > v) + 0.5 * (pooled[i] == v) for i in chosen for v in rest)
        return abs(u - n * len(rest) / 2)

    seen = off(tuple(range(n)))
    ways = [off(chosen) >= seen - 1e-9 for chosen in combinations(range(len(pooled)), n)]
    return sum(ways) / len(ways)


@pytest.mark.parametrize("n, m", [(1, 1), (2, 5), (4, 4), (7, 3), (5, 4)])
def test_ties_by_enumeration(n, m):
    rng = np.random.default_rng(10 * n + m)
    for _ in range(3):
        x, y = rng.integers(4, size=n), rng.integers(1, 5, size=m)
        assert st.mann_whitney(x, y) == pytest.approx(every_way(x, y), abs=1e-12)
        assert st.mann_whitney(y, x) == pytest.approx(every_way(x, y), abs=1e-12)


@pytest.mark.parametrize("n, m", [(3, 3), (5, 5), (10, 8), (20, 20), (4, 60)])
def test_without_ties_it_is_scipys_exact_test(n, m):
    rng = np.random.default_rng(n + m)
    for shift in (0.0, 0.7, 3.0):
        x, y = rng.normal(shift, size=n), rng.normal(size=m)
        theirs = scipy.stats.mannwhitneyu(x, y, method="exact").pvalue
        assert st.mann_whitney(x, y) == pytest.approx(theirs, rel=1e-9)


def test_many_runs_by_scipys_approximation():
    rng = np.random.default_rng(0)
    for x, y in [
        (rng.normal(0.2, size=90), rng.normal(size=70)),
        (rng.integers(9, size=80), rng.integers(8, size=90)),
    ]:
        theirs = scipy.stats.mannwhitneyu(x, y, method="asymptotic").pvalue
        assert st.mann_whitney(x, y) == pytest.approx(theirs, rel=1e-9)
    assert st.mann_whitney(np.ones(100), np.ones(100)) == 1.0


def test_at_the_border_the_two_ways_agree(monkeypatch):
    x, y = np.random.default_rng(1).normal(size=(2, 40)) + [[0.4], [0.0]]
    exact = st.mann_whitney(x, y)
    monkeypatch.setattr(ranks, "EXACT", 10)
    assert st.mann_whitney(x, y) == pytest.approx(exact, abs=5e-4)


def test_diverged_is_below_all_and_nan_is_no_score():
    assert st.mann_whitney([1.0, 2.0, -np.inf], [5.0, 6.0, 7.0]) == pytest.approx(0.1)
    assert st.mann_whitney([-np.inf] * 4, [-np.inf] * 4) == 1.0
    assert np.isnan(st.mann_whitney([1.0, np.nan], [2.0, 3.0]))
    assert np.isnan(st.mann_whitney([], [2.0, 3.0]))


@pytest.mark.parametrize("n, m", [(1, 1), (3, 3), (4, 4), (3, 8)])
def test_the_smallest_p_is_that_of_samples_that_do_not_overlap(n, m):
    assert st.smallest_p(n, m) == pytest.approx(min(1.0, 2 / comb(n + m, n)))
    assert st.mann_whitney(np.arange(n), 100 + np.arange(m)) == pytest.approx(st.smallest_p(n, m))


def test_tasks_by_enumeration():
    """Every way to deal out the scores of one task meets every way for the other."""
    rng = np.random.default_rng(5)
    for n, m in [(2, 3), (3, 3)]:
        x, y = rng.integers(4, size=(n, 2)), rng.integers(1, 5, size=(m, 2))
        sums = []
        for task in (0, 1):
            pooled = [*x[:, task], *y[:, task]]
            sums.append([])
            for chosen in combinations(range(n + m), n):
                rest = [v for i, v in enumerate(pooled) if i not in chosen]
                sums[-1].append(
                    sum((pooled[i] > v) + 0.5 * (pooled[i] == v) - 0.5 for i in chosen for v in rest)
                )
        seen = abs(sums[0][0] + sums[1][0])
        want = np.mean([abs(a + b) >= seen - 1e-9 for a in sums[0] for b in sums[1]])
        assert st.mann_whitney(x, y) == pytest.approx(want, abs=1e-12)


def test_one_task_in_a_table_is_the_task_alone(monkeypatch):
    x, y = np.random.default_rng(6).normal(size=(2, 9, 3))
    assert st.mann_whitney(x[:, :1], y[:, :1]) == st.mann_whitney(x[:, 0], y[:, 0])
    exact = st.mann_whitney(x, y)
    monkeypatch.setattr(ranks, "EXACT", 5)
    assert st.mann_whitney(x, y) == pytest.approx(exact, abs=0.01)
    assert st.smallest_p(3, 4, tasks=2) == pytest.approx(st.smallest_p(3, 4) ** 2 / 2)


def test_p_is_below_a_level_no_more_often_than_it_says():
    """All ways to deal out ten different scores: the share with p <= a is at most a, for every a."""
    p = [st.mann_whitney(list(x), sorted(set(range(10)) - set(x))) for x in combinations(range(10), 5)]
    assert max(np.mean(np.array(p) <= a + 1e-12) - a for a in set(p)) <= 1e-12


def slow_holm(p):
    """Holm's steps, as printed: reject while p_(i) <= a / (k - i + 1); the smallest such a is the adjusted one."""
    k = len(p)
    order = sorted(range(k), key=lambda i: p[i])
    return [min(1.0, max((k - j) * p[order[j]] for j in range(order.index(i) + 1))) for i in range(k)]


def test_holm_by_its_definition():
    rng = np.random.default_rng(3)
    for k in (1, 2, 5, 9):
        p = rng.uniform(size=k) ** 3
        np.testing.assert_allclose(st.holm(p), slow_holm(list(p)), atol=1e-12)
    assert len(st.holm([])) == 0
