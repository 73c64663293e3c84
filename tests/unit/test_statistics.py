"""Statistics equal slow loops, SciPy and rliable's numbers, and keep their own promise: coverage."""

import doctest
import subprocess
import sys

import numpy as np
import pytest
import scipy.stats

from swingup import statistics as st
from swingup.statistics import aggregates, bootstrap, ranks

# Numbers of rliable 1.2.0 (arch 7.2.0, NumPy 2.4.6, SciPy 1.17.1). X and Y are gamma draws rounded to three
# digits, Y[0, 0] set to X[0, 0] to have a tie; intervals: np.random.seed(1) for each statistic, then
# library.get_interval_estimates({"a": X}, lambda s: np.array([metrics.aggregate_...(s)]), reps=200000).
X = np.array([[2.056, 0.895, 2.171], [0.279, 0.615, 0.902], [1.142, 0.731, 0.923], [0.854, 1.774, 0.566],
              [0.026, 1.064, 2.66]])  # fmt: skip
Y = np.array([[2.056, 1.36, 1.312], [0.229, 0.058, 1.144], [1.125, 0.194, 0.127], [0.327, 0.349, 0.099]])
GOLDEN_CI = {
    st.iqm: (0.7214444444444444, 1.4417777777777776),
    np.mean: (0.7846, 1.4586),
    st.optimality_gap: (0.0862, 0.3536),
}


def quantile_error(low: float, high: float, reps: float) -> float:
    """Five standard errors of a 2.5% quantile from `reps` draws of a normal whose 95% interval is given.

    √(p (1 - p) / reps) / φ(z_p) = 2.67 σ / √reps, and high - low = 3.92 σ.
    """
    return 5 * 2.67 * (high - low) / 3.92 / np.sqrt(reps)


@pytest.mark.parametrize("module", [aggregates, bootstrap, ranks], ids=["aggregates", "bootstrap", "ranks"])
def test_doctests(module):
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize("n", [1, 7, 200])
def test_wilsons_interval_is_scipys(n):
    for k in {0, 1, n // 3, n}:
        theirs = scipy.stats.binomtest(k, n).proportion_ci(method="wilson")
        np.testing.assert_allclose(st.wilson(k, n, scipy.stats.norm.ppf(0.975)), theirs, atol=1e-12)
    assert st.wilson(0, 0) == (0.0, 1.0)


def test_numpy_only():
    code = "import sys, swingup.statistics; sys.exit('jax' in sys.modules or 'scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


@pytest.mark.parametrize("n", range(1, 14))
def test_iqm_is_the_trimmed_mean(n):
    x = np.random.default_rng(n).normal(size=(n, 3))
    assert st.iqm(x) == pytest.approx(scipy.stats.trim_mean(x.ravel(), 0.25), abs=1e-12)
    np.testing.assert_allclose(st.iqm(x, axis=0), scipy.stats.trim_mean(x, 0.25, axis=0), atol=1e-12)
    np.testing.assert_allclose(st.iqm(x, axis=-1), scipy.stats.trim_mean(x, 0.25, axis=-1), atol=1e-12)
    kept = sorted(x[:, 0])[n // 4 : n - n // 4]
    assert st.iqm(x[:, 0]) == pytest.approx(sum(kept) / len(kept), abs=1e-12)


def test_point_estimates_of_rliable():
    assert st.iqm(X) == pytest.approx(0.9888888888888892, abs=1e-12)
    assert st.optimality_gap(X) == pytest.approx(0.2139333333333333, abs=1e-12)
    assert st.probability_of_improvement(X, Y) == pytest.approx(0.6583333333333333, abs=1e-12)
    profile = [1.0, 0.9333333333333333, 0.8666666666666667, 0.4, 0.26666666666666666]
    np.testing.assert_allclose(st.performance_profile(X, [0.0, 0.25, 0.5, 1.0, 1.5]), profile, atol=1e-12)


@pytest.mark.parametrize("statistic", GOLDEN_CI)
def test_intervals_of_rliable(statistic):
    golden, reps = GOLDEN_CI[statistic], 50_000
    got = st.bootstrap_ci(X, statistic, reps=reps)
    # Our error and theirs are independent; the resampled IQM is close enough to normal for this bound.
    error = quantile_error(*golden, reps=1 / (1 / reps + 1 / 200_000))
    assert got == pytest.approx(golden, abs=error)
    assert error < 0.05 * (golden[1] - golden[0])


def test_strata_are_resampled_apart():
    # Two tasks with opposite scores: resampling whole rows would give the mean 0 always, and no interval.
    scores = np.array([[1.0, -1.0], [-1.0, 1.0]] * 5)
    low, high = st.bootstrap_ci(scores, reps=4000)
    assert (low, high) == pytest.approx((-1.96 / np.sqrt(20), 1.96 / np.sqrt(20)), abs=0.06)
    # Tasks on different scales are never mixed: each has one score, so nothing varies.
    assert st.bootstrap_ci(np.tile([0.0, 1000.0], (6, 1))) == (500.0, 500.0)


@pytest.mark.parametrize("level", [0.5, 0.95])
@pytest.mark.parametrize("statistic", [np.mean, np.median, st.iqm])
def test_interval_of_scipy(statistic, level):
    x, reps = np.random.default_rng(3).gamma(2.0, size=40), 20_000
    theirs = scipy.stats.bootstrap(
        (x,),
        statistic,
        n_resamples=reps,
        confidence_level=level,
        method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval
    wide = st.bootstrap_ci(x, statistic, reps=reps, seed=7)
    got = st.bootstrap_ci(x, statistic, level=level, reps=reps)
    assert got == pytest.approx(tuple(theirs), abs=np.sqrt(2) * quantile_error(*wide, reps))


def test_interval_by_a_slow_loop():
    rng, means = np.random.default_rng(5), []
    for _ in range(20_000):
        means.append(np.mean([rng.choice(X[:, task], len(X)).mean() for task in range(X.shape[1])]))
    slow = np.quantile(means, [0.025, 0.975])
    got = st.bootstrap_ci(X, reps=20_000)
    assert got == pytest.approx(tuple(slow), abs=np.sqrt(2) * quantile_error(*got, 20_000))


@pytest.mark.parametrize("n", [3, 10, 30])
def test_coverage(n):
    """The share of intervals that hold the true mean is what the docstring says; false alarms: 1 in 10^6.

    n = 3 normal scores: one resample in 27 is all-minimum, more than 2.5%, so the interval is [min, max]; it
    misses the median if all three lie on one side: coverage 1 - 2/8. Larger n: the interval is
    mean ± 1.96 s √((n-1)/n) / √n, so coverage is P(|t_{n-1}| < 1.96 √((n-1)/n)). For the skew of the
    resamples and the quantile error of 1000 of them 0.015 is allowed.
    """
    trials, rng = 1500, np.random.default_rng(n)
    hits = 0
    for trial in range(trials):
        low, high = st.bootstrap_ci(rng.normal(size=n), reps=1000, seed=trial)
        hits += low <= 0 <= high
    t = scipy.stats.norm.ppf(0.975) * np.sqrt((n - 1) / n)
    expected = 0.75 if n == 3 else 1 - 2 * scipy.stats.t.sf(t, n - 1)
    low = scipy.stats.binom.ppf(5e-7, trials, expected - 0.015)
    high = scipy.stats.binom.isf(5e-7, trials, expected + 0.015)
    assert low <= hits <= high


def test_interval_is_deterministic_and_moves_with_the_seed():
    x = np.random.default_rng(0).normal(size=(7, 2))
    assert st.bootstrap_ci(x) == st.bootstrap_ci(x.copy())
    assert st.bootstrap_ci(x) != st.bootstrap_ci(x, seed=1)
    np.random.seed(0)  # noqa: NPY002  the global generator plays no part, neither way
    before = np.random.get_state()[1].copy()  # type: ignore[index]  # noqa: NPY002
    st.bootstrap_ci(x)
    assert (np.random.get_state()[1] == before).all()  # type: ignore[index]  # noqa: NPY002


def test_chunks_do_not_change_the_interval(monkeypatch):
    x = np.random.default_rng(0).normal(size=(6, 4))
    whole = st.bootstrap_ci(x, reps=500), st.bootstrap_band(x, reps=500)
    monkeypatch.setattr(bootstrap, "_chunks", lambda total, size: (range(i, i + 1) for i in range(total)))
    pieces = st.bootstrap_ci(x, reps=500), st.bootstrap_band(x, reps=500)
    assert whole[0] == pieces[0]
    np.testing.assert_array_equal(whole[1], pieces[1])


def test_chunks_cover_everything_within_the_memory_bound():
    parts = list(bootstrap._chunks(10, 2**21))
    assert [i for part in parts for i in part] == list(range(10))
    assert max(map(len, parts)) * 2**21 <= 2**22


@pytest.mark.parametrize("statistic", [np.mean, st.iqm])
def test_band_is_the_interval_at_every_point(statistic):
    curves, reps = np.random.default_rng(2).normal(size=(8, 5)).cumsum(1), 20_000
    low, high = st.bootstrap_band(curves, statistic, reps=reps)
    for i in range(5):
        want = st.bootstrap_ci(curves[:, i], statistic, reps=reps, seed=9)
        assert (low[i], high[i]) == pytest.approx(want, abs=np.sqrt(2) * quantile_error(*want, reps))


def test_band_draws_whole_runs():
    # Every curve is a constant, so each resample is one, and all points must have the very same band.
    low, high = st.bootstrap_band(np.repeat(np.arange(6.0)[:, None], 50, axis=1))
    assert len(set(low)) == len(set(high)) == 1


def test_band_leaves_out_missing_values_and_needs_three():
    curves = np.random.default_rng(4).normal(size=(5, 4))
    curves[:2, 1] = np.nan  # three runs left
    curves[:3, 2] = np.nan  # two
    curves[0, 3] = np.inf
    low, high = st.bootstrap_band(curves)
    np.testing.assert_array_equal(np.isnan(low), [False, False, True, False])
    np.testing.assert_array_equal(np.isnan(high), np.isnan(low))
    assert (low[1], high[1]) == (curves[2:, 1].min(), curves[2:, 1].max())
    only = st.bootstrap_band(curves[1:, 3:])
    assert (low[3], high[3]) == (only[0][0], only[1][0])
    assert np.isnan(st.bootstrap_band(curves[:2])).all()


def test_mean_ci():
    assert np.isnan(st.mean_ci([1.0])).all()
    assert np.isnan(st.mean_ci([1.0, 2.0])).all()
    assert st.mean_ci([1.0, 2.0, 6.0]) == (1.0, 6.0) == st.bootstrap_ci([1.0, 2.0, 6.0])
    assert st.mean_ci([4.0] * 5) == (4.0, 4.0)


def test_profile_and_improvement_by_slow_loops():
    taus = np.linspace(-1, 3, 9)
    slow = [sum(bool(s > t) for s in X.flat) / X.size for t in taus]
    np.testing.assert_allclose(st.performance_profile(X, taus), slow)
    total = 0.0
    for task in range(X.shape[1]):
        for x in X[:, task]:
            for y in Y[:, task]:
                total += 1.0 if x > y else 0.5 if x == y else 0.0
    assert st.probability_of_improvement(X, Y) == pytest.approx(total / (3 * 5 * 4))
    u = scipy.stats.mannwhitneyu(X[:, 0], Y[:, 0], alternative="greater").statistic
    assert st.probability_of_improvement(X[:, 0], Y[:, 0]) == pytest.approx(u / 20)
    assert st.probability_of_improvement(X, X) == 0.5
    assert st.probability_of_improvement(X, Y) + st.probability_of_improvement(Y, X) == pytest.approx(1.0)


def test_profile_interval_as_documented():
    low, high = st.bootstrap_ci(X > 0.8)
    assert 0 <= low < st.performance_profile(X, [0.8])[0] < high <= 1


def test_nan_is_never_dropped_in_silence():
    bad = X.copy()
    bad[0, 0] = np.nan
    assert np.isnan(st.iqm(bad))
    np.testing.assert_array_equal(np.isnan(st.iqm(bad, axis=0)), [True, False, False])
    assert np.isnan(st.optimality_gap(bad))
    assert np.isnan(st.bootstrap_ci(bad)).all()
    assert np.isnan(st.bootstrap_ci(bad, st.iqm)).all()
    assert np.isnan(st.mean_ci([1.0, 2.0, np.inf])).all()
    assert np.isnan(st.probability_of_improvement(bad, Y))
    assert np.isnan(st.probability_of_improvement(Y, bad))
    assert st.performance_profile(bad, [-1e9])[0] == pytest.approx(14 / 15)


@pytest.mark.parametrize(
    "call",
    [
        lambda: st.bootstrap_ci([]),
        lambda: st.bootstrap_ci(np.zeros((2, 2, 2))),
        lambda: st.bootstrap_ci(X, level=1.0),
        lambda: st.bootstrap_ci(X, reps=0),
        lambda: st.bootstrap_band(X, level=0.0),
        lambda: st.mean_ci([]),
        lambda: st.performance_profile([], [0.0]),
        lambda: st.probability_of_improvement(X, Y[:, :2]),
    ],
)
def test_impossible_input(call):
    with pytest.raises(ValueError):
        call()
