"""The final says what fresh seeds can show, and what they cannot."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from conftest import small
from swingup import statistics
from swingup.algos.ppo import PPO
from swingup.tuning import command, final
from swingup.tuning.blocks import WORST, Scores, Task
from swingup.tuning.final import START, candidates, pasted, table
from swingup.tuning.study import Trial

TASK = Task(small("ppo"), "CartPole-v1", 640, (0, 1), 3)


def test_the_best_three_that_differ_go_to_the_final() -> None:
    """Pruned trials, and those that diverged, do not; settings that are there twice go once."""

    def trial(number: int, lr: float, score: float, pruned: bool = False, diverged: str = "") -> Trial:
        return Trial(number, {"lr": lr}, Scores([score], pruned, [score], diverged))

    trials = [
        trial(0, 1e-3, 50.0),
        trial(1, 2e-3, 90.0, pruned=True),
        trial(2, 3e-3, 70.0),
        trial(3, 3e-3, 70.0),
        trial(4, 4e-3, 60.0),
        trial(5, 5e-3, 99.0, diverged="NaN"),
        trial(6, 6e-3, WORST),
        trial(7, 7e-3, 40.0),
    ]
    found = candidates(TASK, trials)
    assert [one.name for one in found] == [START, "trial-002", "trial-004", "trial-000"]
    assert [one.algo.lr for one in found] == [TASK.algo.lr, 3e-3, 4e-3, 1e-3]
    assert found[1].about == "--lr 0.003"
    assert [one.name for one in candidates(TASK, [])] == [START]


def test_the_table_concludes_what_ranks_allow() -> None:
    low, high = np.arange(10.0), np.arange(10.0) + 100
    scores = {START: low, "a": high, "b": low + 0.5, "c": low - 100}
    abouts = dict.fromkeys(scores, "--lr 1")
    lines = table(scores, abouts)
    assert [line.split()[0] for line in lines[1:]] == ["a", "b", START, "c"]
    assert "higher: it wins 100% of pairs, p = " in lines[1]
    assert "not told apart, p = " in lines[2]
    assert "lower: it wins 0% of pairs" in lines[4]
    assert lines[1].split()[:4] == ["a", "10", "104.5", "100.0"]


def test_a_candidate_is_not_told_apart_because_there_are_many() -> None:
    """One alone would be; each of several that are as high is not."""
    low = np.arange(10.0)
    shift = next(d for d in np.arange(0.5, 10) if statistics.mann_whitney(low, low + d) < statistics.LEVEL)
    alone = {START: low, "a": low + shift}
    several = {START: low} | dict.fromkeys("abcd", low + shift)
    for scores, told in ((alone, 1), (several, 0)):
        lines = table(scores, dict.fromkeys(scores, ""))
        assert sum("higher: it wins" in line for line in lines) == told


def test_the_final_is_on_seeds_that_no_trial_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    met: list[list[int]] = []
    monkeypatch.setattr(command.journal, "optuna", lambda: None)
    monkeypatch.setattr(command, "search", lambda plan, *_: met.append([*plan.task.seeds]) or [])
    monkeypatch.setattr(final, "compare", lambda task, trials, out, seeds, say: met.append([*seeds]) or [])
    monkeypatch.setattr(final, "report", lambda *_: [])
    how: dict[str, Any] = {"search": "", "seeds": 3, "looks": 2, "trials": 4, "together": 2, "seed": 0}
    command.run(
        small("ppo"), "CartPole-v1", 640, SimpleNamespace(**how, fresh=5), tmp_path / "t", lambda _: None
    )
    chose, judged = met
    assert (len(chose), len(judged)) == (3, 5)
    assert not {*chose} & {*judged}


@pytest.mark.parametrize("seeds", [1, 2, 3, 4])
def test_few_seeds_conclude_nothing(seeds: int) -> None:
    """Three comparisons of four seeds each cannot reach 5 % after Holm's correction."""
    scores = {START: np.arange(seeds) * 1.0}
    scores |= dict.fromkeys("abc", scores[START] + 100)
    assert sum("too few seeds to say" in line for line in table(scores, dict.fromkeys(scores, ""))) == 3


def test_what_is_pasted_is_the_setting() -> None:
    algo = PPO(lr=1.25e-3, hidden=(32, 32), normalise_obs=True, target_kl=0.02)
    made = eval(pasted(algo).removeprefix("swingup."), {"PPO": PPO})
    assert made == algo
    assert pasted(PPO()) == "swingup.PPO()"
