"""Every number that rliable 1.2.0 computes of the same scores is ours too: points exactly, intervals within the
bootstrap's own error, which is independent in both.

The numbers of rliable-1.2.0.json were made by running that package; it says with which versions.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from test_statistics import quantile_error

from swingup import statistics as st

GOLDEN = json.loads(Path(__file__).with_name("rliable-1.2.0.json").read_text())
X, Y, CURVES = (np.array(GOLDEN[name]) for name in ("X", "Y", "curves"))
OURS = {"mean": np.mean, "median": st.median, "iqm": st.iqm, "optimality_gap": st.optimality_gap}
REPS = 20_000


def close(got, golden, reps, atom=0.0):
    """Compare two intervals. `atom` is the step between the values that a statistic can take at all."""
    both = 1 / (1 / REPS + 1 / reps)
    error = quantile_error(*golden, reps=both)
    assert got == pytest.approx(tuple(golden), abs=error + atom)
    assert error < 0.12 * (golden[1] - golden[0])


@pytest.mark.parametrize("name", OURS)
def test_points_and_intervals(name):
    assert float(OURS[name](X)) == pytest.approx(GOLDEN["point"][name], abs=1e-12)
    close(st.bootstrap_ci(X, OURS[name], reps=REPS), GOLDEN["interval"][name], GOLDEN["reps"])


@pytest.mark.parametrize("name", OURS)
def test_intervals_for_tasks_like_these(name):
    got = st.bootstrap_ci(X, OURS[name], reps=REPS, tasks=True)
    golden = GOLDEN["interval_task_bootstrap"]
    close(got, golden[name], golden["reps"])


def test_the_median_is_that_of_the_tasks_means():
    assert np.median(X) == GOLDEN["median_of_pooled_scores_is_not_rliables_median"]
    assert st.median(X) == pytest.approx(GOLDEN["point"]["median"])
    assert st.optimality_gap(X, 2.0) == pytest.approx(GOLDEN["optimality_gap_gamma_2"])


def test_probability_of_improvement_and_its_interval():
    golden = GOLDEN["probability_of_improvement"]
    assert st.probability_of_improvement(X, Y) == pytest.approx(golden["x_over_y"], abs=1e-12)
    assert st.probability_of_improvement(Y, X) == pytest.approx(golden["y_over_x"], abs=1e-12)
    close(st.two_sample_ci(X, Y, reps=REPS), golden["interval_x_over_y"], golden["reps"], atom=1 / 120)
    low, high = st.two_sample_ci(Y, X, reps=REPS)
    close((1 - high, 1 - low), golden["interval_x_over_y"], golden["reps"], atom=1 / 120)
    assert st.probability_of_improvement(np.ones((3, 2)), np.ones((4, 2))) == golden["all_tied"]
    assert st.probability_of_improvement(X, X[::-1]) == golden["same_values_other_order"]


def test_profiles():
    golden = GOLDEN["profile"]
    taus = golden["taus"]
    np.testing.assert_allclose(st.performance_profile(X, taus), golden["score_distribution"], atol=1e-12)
    np.testing.assert_allclose(st.average_profile(X, taus), golden["average_score_distribution"], atol=1e-12)
    for tau, low, high in zip(taus, *golden["interval"], strict=True):
        # A share of 15 scores moves in steps of 1/15, and a quantile that lies on a step may fall to either side.
        assert st.bootstrap_ci(np.greater(X, tau), reps=20_000) == pytest.approx(
            (low, high), abs=1 / 15 + 1e-9
        )


def test_sample_efficiency():
    golden = GOLDEN["sample_efficiency_iqm"]
    value, low, high = st.sample_efficiency(CURVES, reps=REPS)
    np.testing.assert_allclose(value, golden["point"], atol=1e-12)
    for ours, theirs in zip(np.transpose([low, high]), np.transpose(golden["interval"]), strict=True):
        close(tuple(ours), tuple(theirs), golden["reps"])


@pytest.mark.parametrize("n", ["1", "2", "3", "4"])
def test_few_runs_of_one_task(n):
    golden = GOLDEN["few_runs_one_task"][n]
    for name in ("mean", "iqm"):
        assert OURS[name](golden["scores"]) == pytest.approx(golden[name], abs=1e-12)
        got = st.bootstrap_ci(golden["scores"], OURS[name], reps=REPS)
        # Few runs have few resamples: with 4 a quantile may lie between two of 35, so the bound is their distance.
        gap = np.ptp(golden["scores"]) / 4 if n == "4" and name == "mean" else 0.0
        assert got == pytest.approx(tuple(golden[f"{name}_interval"]), abs=1e-12 + 0.1 * gap)
