"""A block of trials is one program, whose rows are what they would be without the others."""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from conftest import small
from swingup import statistics
from swingup.algos.q_learning import QLearning
from swingup.envs import make
from swingup.training import driver
from swingup.tuning.blocks import WORST, Scores, Task, rows_of, train

ALGO = small("ppo")  # 64 env steps per iteration
TASK = Task(ALGO, "CartPole-v1", 9 * 64, (5, 6), 3)
SETTINGS = [{"lr": 1e-3, "gamma": 0.9}, {"lr": 3e-3, "gamma": 0.99}]


def all_go_on(look: int, scores: list[float]) -> list[bool]:
    return [True] * len(scores)


@pytest.fixture(scope="module")
def scores() -> list[Scores]:
    return train(TASK, SETTINGS, all_go_on)


def test_each_row_has_the_values_of_its_trial() -> None:
    algo = rows_of(TASK, SETTINGS)
    np.testing.assert_array_equal(algo.lr, np.float32([1e-3, 1e-3, 3e-3, 3e-3]))
    np.testing.assert_array_equal(algo.gamma, np.float32([0.9, 0.9, 0.99, 0.99]))
    assert algo.clip == ALGO.clip


def test_a_seed_that_diverges_is_worse_than_any_return(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever its sign; and its trial says why."""
    target = QLearning.target

    def poisoned(self: QLearning, q: Any, t: Any) -> Any:
        return target(self, q, t) + jnp.where(self.lr == 1.0, jnp.nan, 0.0)

    monkeypatch.setattr(QLearning, "target", poisoned)
    algo = small("q_learning")
    steps = 4 * algo.env_steps_per_iteration
    task = Task(algo, "tabular:Grid", steps, (5, 6), 2)
    lost, sound = train(task, [{"lr": 1.0}, {"lr": 0.5}], all_go_on)
    assert lost.looks[-1] == WORST
    assert lost.seeds == [WORST, WORST]
    assert "NaN or infinity" in lost.diverged
    assert not sound.diverged


@pytest.mark.slow
def test_scores_are_of_training(scores: list[Scores]) -> None:
    """The looks are at thirds of training, and each is the IQM over the seeds of the last hundred episodes."""
    algo = dataclasses.replace(
        ALGO, lr=np.float32([1e-3, 1e-3, 3e-3, 3e-3]), gamma=np.float32([0.9, 0.9, 0.99, 0.99])
    )
    env = make("CartPole-v1", ALGO.num_envs)
    seen = {}
    driver.run(
        algo,
        env,
        driver.init(algo, env, [5, 6, 5, 6]),
        9,
        every=[3],
        callbacks=[lambda p: seen.update({p.iteration: p.metrics["ep/return_last100"][:, -1]})],
    )
    for i, one in enumerate(scores):
        rows = [seen[k][2 * i : 2 * i + 2] for k in (3, 6, 9)]
        np.testing.assert_allclose(one.looks, [float(statistics.iqm(np.float64(x))) for x in rows])
        np.testing.assert_allclose(one.seeds, rows[-1])
        assert not one.pruned
        assert not one.diverged


@pytest.mark.slow
def test_what_is_given_up_counts_no_more(scores: list[Scores]) -> None:
    """The other trial's numbers stay the same; the block ends when nothing is left to train."""
    asked: list[int] = []

    def first_falls(look: int, found: list[float]) -> list[bool]:
        asked.append(look)
        return [False, look < 2]

    got = train(TASK, SETTINGS, first_falls)
    assert asked == [1, 2]
    assert (got[0].looks, got[0].pruned) == (scores[0].looks[:1], True)
    assert (got[1].looks, got[1].pruned) == (scores[1].looks[:2], True)


@pytest.mark.slow
def test_a_trial_that_diverges_is_the_worst_and_no_other_changes(scores: list[Scores]) -> None:
    got = train(TASK, [SETTINGS[0], {"lr": 1e30, "gamma": 0.99}], all_go_on)
    assert got[0] == scores[0]
    assert got[1].looks[-1] == WORST
    assert "NaN or infinity" in got[1].diverged
