"""Conclusions are tested: rules, sentences, files of scores, and all that can be wrong with runs."""

import json
import re
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from matplotlib.figure import Figure

from swingup import conclusions, statistics
from swingup.conclusions import coverage, judge, words
from swingup.conclusions.figure import profiles
from swingup.conclusions.scores import Scores, repeat, scores
from swingup.errors import ConfigError
from swingup.plots.settings import Setting

ROWS = "seed,iteration,env_steps,seconds,ep/return\n"


def made(label, values, env="Env", seeds=None, env_steps=1000):
    """Scores that no run was needed for."""
    values = np.array(values, float)
    setting = Setting(env, label.partition(",")[0], {"env_steps": env_steps}, [])
    return Scores(label, env, tuple(seeds or range(len(values))), values, setting)


def write(path, values, *, algo="ppo", env="Env", first=0, env_steps=1000, command="", **settings):
    """A run directory as far as `compare` reads it; a score None: the seed diverged. Its log falls to its score."""
    path.mkdir(parents=True)
    seeds = list(range(first, first + len(values)))
    config = {"algo": {"name": algo, **settings}, "env": env, "env_steps": env_steps, "command": command}
    (path / "config.json").write_text(json.dumps(config | {"seeds": seeds}))
    (path / "result.json").write_text(json.dumps({"seeds": seeds, "final_return": values}))
    rows = [
        f"{s},{i},{100 * i},{i},{v + 2 - i if v is not None else ''}"
        for i in (1, 2)
        for s, v in zip(seeds, values, strict=True)
    ]
    (path / "metrics.csv").write_text(ROWS + "\n".join(rows) + "\n")
    return path


def test_three_against_three_concludes_nothing_whatever_the_scores():
    (pair,) = judge([made("a", [101, 102, 103]), made("b", [1, 2, 3])]).pairs
    assert not pair.possible
    assert not pair.apart
    assert words.sentence(pair) == (
        "Nothing can be concluded about a and b: 3 seeds each cannot give a p below 0.1, whatever the scores. 4 seeds "
        "each can."
    )


def test_four_seeds_are_enough_for_two_but_not_for_three_settings():
    far = [made(name, 100 * i + np.arange(4)) for i, name in enumerate("abc")]
    (pair,) = judge(far[:2]).pairs
    assert pair.apart
    assert words.sentence(pair) == "b is higher than a: it wins every pair of seeds, p = 0.029, 4 seeds each."
    found = judge(far)
    assert [p.possible for p in found.pairs] == [False] * 3
    assert "cannot give a p below 0.086 among 3 comparisons" in words.told(found)
    only = judge(far, against="a")
    assert len(only.pairs) == 2
    assert not any(p.possible for p in only.pairs)
    assert words.needed(3) == 5


@pytest.mark.parametrize("sizes", [(5, 5, 5), (4, 9, 12)])
def test_p_values_are_scipys_corrected_by_a_slow_holm(sizes):
    rng = np.random.default_rng(sum(sizes))
    found = [made(name, rng.normal(i, size=n)) for i, (name, n) in enumerate(zip("abc", sizes, strict=True))]
    result = judge(found)
    raw = {
        frozenset((a.label, b.label)): scipy.stats.mannwhitneyu(a.scores, b.scores, method="exact").pvalue
        for a, b in combinations(found, 2)
    }
    order = sorted(raw, key=lambda key: raw[key])
    for pair in result.pairs:
        key = frozenset((pair.first.label, pair.second.label))
        want = min(1.0, max((3 - i) * raw[k] for i, k in enumerate(order[: order.index(key) + 1])))
        assert pair.p == pytest.approx(want, rel=1e-9)
        wins = np.mean([x > y for x in pair.first.scores for y in pair.second.scores])
        assert pair.wins == pytest.approx(wins)
        assert pair.wins >= 0.5
        assert pair.low <= pair.wins <= pair.high


def test_a_sentence_that_does_not_tell_apart_says_that_it_does_not_show_equality():
    found = judge([made("a", range(0, 20, 2)), made("b", range(1, 21, 2))])
    text = words.sentence(found.pairs[0])
    assert text.startswith("These seeds do not tell b and a apart (p = 0.")
    assert text.endswith("10 seeds each); that does not show them equal.")


def test_a_seed_that_diverged_is_the_worst_and_not_missing():
    scores_ = [9, 9.5, 10, 10.5, 11]
    whole, lost = made("a", scores_), made("b", [*scores_[1:], -np.inf])
    (row,) = [row for row in judge([whole, lost]).rows if row.scores.label == "b"]
    assert row.iqm == pytest.approx(10.0)  # the mean of 9.5, 10 and 10.5: a fifth is cut off on either side
    assert np.isnan(row.low)
    text = words.told(judge([whole, lost]))
    assert (
        "A seed that diverged counts as the worst, and takes the interval away: 1 of 5 seeds of b in Env."
        in text
    )
    assert re.search(r"b +5 +10 +none +diverged \(seed 4\) +1$", text, re.M)
    two = judge([whole, made("b", [10, -np.inf, -np.inf, -np.inf, -np.inf])])
    assert re.search(r"b +5 +diverged +none +diverged \(seed 1\) +4$", words.told(two), re.M)


def test_environments_are_tasks():
    rng = np.random.default_rng(0)
    tasks = {
        env: (rng.normal(k, size=6), rng.normal(size=6)) for k, env in [(0.5, "A"), (1.0, "B"), (2.0, "C")]
    }
    found = [
        made(name, x, env)
        for env, both in tasks.items()
        for name, x in zip(("new", "old"), both, strict=True)
    ]
    result = judge(found)
    assert len(result.pairs) == 3
    (over,) = result.overall
    assert result.family == 4
    want = np.mean([np.mean([a > b for a in x for b in y]) for x, y in tasks.values()])
    assert (over.first.label, over.second.label, over.first.env) == ("new", "old", "3 environments")
    sides = [np.stack([both[i] for both in tasks.values()], axis=1) for i in (0, 1)]
    raw = [statistics.mann_whitney(a, b) for a, b in [*tasks.values(), sides]]
    assert sorted(p.p for p in [*result.pairs, over]) == pytest.approx(sorted(statistics.holm(raw)))
    assert over.wins == pytest.approx(want)
    assert over.low < over.wins < over.high
    assert "over 3 environments" in words.told(result)
    assert all(", Holm over 4" in words.sentence(p, 4) for p in [*result.pairs, over])
    assert (
        judge(found[:-1] + [made("old", rng.normal(size=5), "C")]).overall == []
    )  # unequal numbers of seeds


def test_the_highest_of_many_is_called_a_selection(tmp_path):
    command = "swingup train ppo Env --lr {} --seeds 5 --out x --seed=0 --json"
    rng = np.random.default_rng(1)
    runs = [
        write(tmp_path / f"{lr}", list(rng.normal(lr, size=5)), lr=lr, command=command.format(lr))
        for lr in range(4)
    ]
    text = words.told(conclusions.compare(runs))
    assert "ppo, lr=3 is the highest of 4 on the seeds that chose it, which is optimistic." in text
    assert "fresh seeds: swingup train ppo Env --lr 3 --seed 5 --seeds 5" in text
    assert repeat(scores(runs[:1])[0], 2) == "swingup train ppo Env --lr 0 --seed 5 --seeds 2"


def test_one_seed_has_no_interval_and_the_command_for_more(tmp_path):
    a = write(tmp_path / "a", [1.0], algo="ppo", command="swingup train ppo Env --seeds 1")
    b = write(tmp_path / "b", [2.0, 3.0], algo="dqn")
    text = words.told(conclusions.compare([a, b]))
    assert (
        "ppo in Env: 1 seed, so no interval; add seeds with: swingup train ppo Env --seed 1 --seeds 4" in text
    )
    assert "dqn in Env: 2 seeds, so no interval; train 3 more seeds." in text
    assert "1 against 2 seeds" in text or "2 against 1 seeds" in text
    assert "claim 95 %" not in text


def test_budgets_that_differ_are_told(tmp_path):
    runs = [write(tmp_path / str(n), [1, 2, 3, 4, 5], env_steps=n) for n in (1000, 2000)]
    text = words.told(conclusions.compare(runs))
    assert "Budgets differ in Env, in env steps per seed: ppo, env_steps=" in text


def test_repeats_of_one_setting_are_pooled_and_repeated_seeds_are_not(tmp_path):
    a = write(tmp_path / "a", [1, 2, 3])
    b = write(tmp_path / "b", [9, 4, 5], first=2)
    with pytest.warns(UserWarning, match="b: seed 2 given twice, counted once"):
        (one,) = scores([a, b])
    assert (one.seeds, one.scores.tolist()) == ((0, 1, 2, 3, 4), [1, 2, 3, 4, 5])


def test_a_column_of_the_log_in_place_of_the_evaluation(tmp_path):
    a, b = write(tmp_path / "a", [1, 2, None]), write(tmp_path / "b", [4, 5, 6], algo="dqn")
    (a / "outcome.json").write_text(json.dumps({"kind": "finished", "seed": None, "diverged": [2]}))
    (a / "result.json").unlink()
    with pytest.warns(UserWarning, match="seed 2 has no finite ep/return"):
        found = conclusions.compare([a, b], metric="ep/return")
    assert [row.scores.scores.tolist() for row in found.rows] == [[4, 5, 6], [1, 2, -np.inf]]
    with pytest.raises(ConfigError, match="unknown metric 'ep/retrun'; did you mean 'ep/return'"):
        conclusions.compare([a, b], metric="ep/retrun")


def test_a_run_that_divergence_ended_has_its_one_seed(tmp_path):
    a, b = write(tmp_path / "a", [1, 2, 3]), write(tmp_path / "b", [4, 5, 6], algo="dqn")
    (a / "result.json").unlink()
    (a / "outcome.json").write_text(json.dumps({"kind": "diverged", "seed": 1}))
    with pytest.warns(UserWarning, match="seed 1 diverged, which ended the run: its other seeds"):
        found = conclusions.compare([a, b])
    assert found.rows[-1].scores.seeds == (1,)
    assert np.isneginf(found.rows[-1].scores.scores).all()
    (a / "outcome.json").write_text(json.dumps({"kind": "diverged", "seed": 1, "diverged": [0, 1, 2]}))
    assert sorted(conclusions.compare([a, b]).rows[-1].scores.seeds) == [0, 1, 2]  # without a warning


def test_what_cannot_be_compared(tmp_path):
    a, b = write(tmp_path / "a", [1, 2, 3]), write(tmp_path / "b", [4, 5, 6], env="Other")
    with pytest.raises(ConfigError, match="nothing to compare: these runs are ppo in Env, ppo in Other"):
        conclusions.compare([a, b])
    with pytest.raises(ConfigError, match=r"old=RUN new=RUN"):
        conclusions.compare([a])
    with pytest.raises(ConfigError, match="unknown label 'sac'"):
        conclusions.compare([f"x={a}", f"y={a}"], against="sac")
    (b / "result.json").unlink()
    with pytest.raises(ConfigError, match="b has no final evaluation: finish it with `swingup resume"):
        conclusions.compare([a, b])
    (b / "result.json").write_text('{"seeds": [1], "final_return": [1, 2]}')
    with pytest.raises(ConfigError, match=r"b/result\.json: needs seeds"):
        conclusions.compare([a, b])


def test_json_has_no_number_that_json_has_not(tmp_path):
    a, b = write(tmp_path / "a", [1, 2, None]), write(tmp_path / "b", [4, 5, 6], algo="dqn")
    data = words.to_json(conclusions.compare([a, b]))
    again = json.loads(json.dumps(data, allow_nan=False))
    assert again["rows"][1]["scores"] == [1, 2, None]
    assert again["rows"][1]["low"] is None
    assert again["pairs"][0]["apart"] is False
    assert set(again["pairs"][0]) >= {
        "env",
        "first",
        "second",
        "wins",
        "low",
        "high",
        "p",
        "least_p",
        "sentence",
    }


def test_the_pages_python_runs(tmp_path):
    """In a process of its own, warnings as errors."""
    page = (Path(__file__).parents[3] / "docs" / "comparing.md").read_text()
    (code,) = re.findall(r"^```python\n(.*?)^```", page, re.M | re.S)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=250
    )
    assert done.returncode == 0, done.stderr


def test_what_was_measured_keeps_the_promises():
    """At most 7 % wrong conclusions among equals in 1,000 trials, none at three seeds; coverage as it is told."""
    path = Path(__file__).parents[3] / "benchmarks" / "results" / "conclusions.json"
    stored = json.loads(path.read_text())
    assert stored["trials"] >= 1000
    equal = [row for row in stored["rules"] if re.fullmatch(r"`compare`, \d settings", row["rule"])]
    assert len(equal) == 6
    for row in equal:
        assert row["different"]["3"] == 0
        assert max(row["different"].values()) <= 0.07
    assert stored["coverage"].keys() == {str(n) for n in conclusions.COVERAGE}
    for n, told in conclusions.COVERAGE.items():
        assert 100 * stored["coverage"][str(n)]["iqm"] == pytest.approx(told, abs=4)


def test_the_line_of_a_profile_lies_in_its_band():
    """At every threshold: the share of seeds above it is within the interval of that share."""
    one = made("a", np.random.default_rng(7).normal(size=15))
    axes = Figure().subplots()
    profiles(axes, [one], {"a": {"color": "black"}})
    (line,), (band,) = axes.lines, axes.collections
    taus, shares = line.get_data()
    np.testing.assert_allclose(shares, [(one.scores > tau).mean() for tau in taus])
    edge = band.get_paths()[0].vertices
    for tau, share in zip(taus, shares, strict=True):
        at = edge[np.isclose(edge[:, 0], tau), 1]
        assert at.min() <= share <= at.max()


def test_coverage_never_promises_more_for_fewer_seeds():
    assert [coverage(n) for n in range(3, 200)] == sorted(coverage(n) for n in range(3, 200))
