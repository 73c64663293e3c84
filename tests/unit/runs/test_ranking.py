"""The table of a grid says no more than its seeds do."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from swingup import statistics
from swingup.runs.experiment import Experiment
from swingup.runs.ranking import Row, confirming, judged, ranking


def rows(*scores: list[float]) -> list[Row]:
    return [Row(i, np.array(x), 0.0, 0.0, 0.0, np.nan, "") for i, x in enumerate(scores)]


def test_verdicts() -> None:
    high, low = list(range(100, 110)), list(range(10))
    found = judged(rows(high, [x - 0.5 for x in high], low))
    assert [row.verdict for row in found] == ["the best", "not told apart", "lower"]
    assert np.isnan(found[0].p)
    assert found[1].p > 0.5 > 0.05 > found[2].p


def test_the_best_was_chosen_among_all_pairs() -> None:
    """So its p-values are multiplied by their number; over those with the best alone too much is concluded."""
    draws = np.random.default_rng(0).normal(size=(6, 10))
    found = judged(rows(*(list(x) for x in draws)))
    for row in found[1:]:
        assert row.p == pytest.approx(min(1.0, 15 * statistics.mann_whitney(draws[0], row.scores)))


def test_a_seed_that_diverged_is_below_all_others() -> None:
    high = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    assert judged(rows(high, [-np.inf] * 6))[1].verdict == "lower"


def test_the_best_stands_first_and_who_diverged_still_counts(tmp_path: Path) -> None:
    """From results on disk: seeds that diverged are worse than any return, and a setting without a result is left."""
    finals = [[1.0, 2.0, 3.0], [9.0, 8.0, 7.0], [50.0, None, None], None, [-5.0, -6.0, -7.0]]
    paths = [tmp_path / str(i) for i in range(len(finals))]
    for path, final in zip(paths, finals, strict=True):
        path.mkdir()
        if final:
            (path / "result.json").write_text(json.dumps({"final_return": final}))
    found = ranking(SimpleNamespace(paths=paths))  # type: ignore[arg-type]
    assert [row.run for row in found] == [1, 0, 4, 2]
    assert [len(row.scores) for row in found] == [3, 3, 3, 3]
    assert np.isneginf(found[-1].scores).tolist() == [False, True, True]
    assert [row.iqm for row in found[:3]] == [8.0, 2.0, -6.0]


@pytest.mark.parametrize(("seeds", "settings"), [(3, 2), (1, 5), (4, 3)])
def test_too_few_seeds_for_so_many_settings_say_nothing(seeds: int, settings: int) -> None:
    """3 against 3 cannot be below 5 %; 4 against 4 can, but not for two comparisons."""
    scores = [[100.0 * (settings - i) + k for k in range(seeds)] for i in range(settings)]
    found = judged(rows(*scores))
    assert {row.verdict for row in found[1:]} == {"too few seeds to say"}


def test_one_setting_is_the_best_of_one() -> None:
    assert [row.verdict for row in judged(rows([1.0]))] == ["the best"]


def test_the_best_is_confirmed_on_fresh_seeds() -> None:
    """With the flags in which it differs from what the two names stand for."""
    from swingup.presets import defaults
    from swingup.protocols import Algorithm

    known = defaults("ppo", "CartPole-v1")
    algo: Algorithm = type(known.algo)(
        **{**vars(known.algo), "lr": 0.5, "hidden": (8, 8), "clip_value": True}
    )
    e = Experiment(algo, "CartPole-v1", known.env_steps, (0, 1, 4))
    words = confirming(e).split()
    assert words[:4] == ["swingup", "train", "ppo", "CartPole-v1"]
    assert {"--lr", "--hidden", "--clip-value"} <= set(words)
    assert "--gamma" not in words
    assert " ".join(words).endswith("--seed 5 --seeds 3")
