"""A block of trials is trained as the rows of one compiled program: each trial has a row for each of its seeds."""

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from swingup import statistics
from swingup.envs import opened
from swingup.errors import NonFiniteError
from swingup.protocols import Algorithm
from swingup.runs.evaluation import seeds_apart
from swingup.runs.experiment import Experiment
from swingup.training import driver
from swingup.training.own import Every, Halt, Own, StopTraining

WORST = (
    -1e30
)  # the score of a seed that has diverged or ended no episode; finite, because Optuna sorts numbers
Judge = Callable[[int, list[float]], list[bool]]  # (looks done, score per trial) -> which trials are to go on


class Task(NamedTuple):
    """All trials of a study are trained on this."""

    algo: Algorithm  # the settings that are not searched
    env: Any
    env_steps: int  # of each seed
    seeds: tuple[int, ...]  # of each trial, the same for all
    looks: int  # how often scores are looked at while a block trains, the end included

    @property
    def experiment(self) -> Experiment:
        """Return the experiment of one trial with the settings that are not searched."""
        return Experiment(self.algo, self.env, self.env_steps, self.seeds)

    @property
    def iterations(self) -> int:
        """Return the iterations of a trial."""
        return self.experiment.iterations


class Scores(NamedTuple):
    """A trial has these scores: the IQM over its seeds of `ep/return_last100`, at each look until it was pruned."""

    looks: list[float]
    pruned: bool
    seeds: list[float]  # each seed's, when it was last looked at
    diverged: str = ""  # what was not finite, if anything


def train(task: Task, settings: Sequence[dict[str, float]], judge: Judge) -> list[Scores]:
    """Train a trial for each of the settings, `settings[i]` with every seed; return their scores.

    After each look but the last, `judge` says which of the trials go on. A block ends when none does. A row that
    diverges has the worst score from then on, and the others go on unchanged.
    """
    each, count = len(task.seeds), len(settings)
    algo, seeds = rows_of(task, settings), list(task.seeds) * count
    going, looks = [True] * count, [[] for _ in settings]
    last, lost = np.full((count, each), WORST), {}
    every = -(-task.iterations // task.looks)

    def mark(error: NonFiniteError) -> None:
        lost.setdefault(error.where.row, str(error).splitlines()[0])

    def look(p: driver.Progress) -> None:
        newest = np.asarray(p.metrics["ep/return_last100"][:, -1], np.float64)
        newest[list(lost)] = np.nan
        scores = np.where(np.isfinite(newest), newest, WORST).reshape(count, each)
        middle = [float(statistics.iqm(row)) for row in scores]
        for i in np.flatnonzero(going):
            looks[i].append(middle[i])
            last[i] = scores[i]
        if p.iteration < p.iterations:
            told = judge(len(max(looks, key=len)), middle)
            going[:] = [a and b for a, b in zip(going, told, strict=True)]
            if not any(going):
                raise StopTraining

    own = Own([Every(every, look)])
    callbacks = [own, Halt(own, lambda p: None)]
    envs = algo.num_envs * (len(seeds) if seeds_apart(task.env) else 1)
    with opened(task.env, envs) as env, contextlib.suppress(StopTraining):
        how: dict[str, Any] = {"every": own.intervals, "callbacks": callbacks, "diverged": mark}
        driver.run(algo, env, driver.begin(algo, env, seeds), task.iterations, **how)
    why = [
        next((lost[row] for row in range(i * each, (i + 1) * each) if row in lost), "") for i in range(count)
    ]
    return [Scores(looks[i] or [WORST], not going[i], last[i].tolist(), why[i]) for i in range(count)]


def rows_of(task: Task, settings: Sequence[dict[str, float]]) -> Algorithm:
    """Return the algorithm with the settings' value of each row."""
    values = {name: np.repeat([one[name] for one in settings], len(task.seeds)) for name in settings[0]}
    return dataclasses.replace(task.experiment.resolved(), **values)
