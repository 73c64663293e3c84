"""The final says what fresh seeds can show, and what they cannot."""

import numpy as np
import pytest

from conftest import small
from swingup.algos.ppo import PPO
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
