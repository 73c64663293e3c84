"""A user takes part in the loop: `swingup.train(..., callbacks=[...])` takes functions, and the four classes here.

    any function      is called with a `Progress` after each chunk of iterations, whose size depends on the machine
    Every(n, f)       calls it every n iterations, with the metrics of all iterations since it was called before
    Measure(name, f)  makes what it returns a column of metrics.csv
    Schedule(name, f) sets a float hyperparameter while training goes on
    StopTraining      is raised by any of them to end training early

A number that a run computes depends on no callback, but for what `Schedule` sets and where `StopTraining` ends it.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from swingup import ranges
from swingup.errors import ConfigError, unknown
from swingup.protocols import Algorithm, env_steps
from swingup.training.driver import Callback, Metrics, Progress


class StopTraining(Exception):
    """A callback raises this to end training after the chunk that it sees: `StopTraining("return is above 450")`.

    The chunk is logged and saved, then the run is evaluated and finishes as others do; its outcome tells the reason.
    """

    def __init__(self, reason: str = "a callback stopped it"):
        super().__init__(reason)
        self.reason = reason
        self.progress: Progress | None = None

    def at(self) -> Progress:
        """Return where training has ended. Raises `ConfigError` if it was raised outside of training."""
        if self.progress is None:
            raise ConfigError("StopTraining was raised, but not by a callback")
        return self.progress


class Every:
    """This callback calls another one at each multiple of `iterations` of the run, and after the last iteration.

    What it shows as metrics [S, n] are all iterations since its last call, or since the session began: whatever the
    chunks were, so what depends on it alone is the same on every machine.
    """

    def __init__(self, iterations: int, call: Callback):
        self.interval, self.call = at_least_one(iterations), call
        self.metrics: Metrics = {}

    def __call__(self, p: Progress) -> None:
        new = p.metrics
        joined = {name: np.concatenate([self.metrics[name], new[name]], 1) for name in self.metrics}
        self.metrics = joined or dict(new)
        if p.iteration % self.interval == 0 or p.iteration == p.iterations:
            seen, self.metrics = self.metrics, {}
            self.call(p._replace(metrics=seen))


class Measure:
    """This callback makes a column of metrics.csv: every so often `measure(p)`, one number or one per seed [S].

        name       of the column
        measure    takes a `Progress`
        every      iterations between two measurements

    The column's cells are blank at log points without a measurement; where there are several, they are averaged.
    """

    def __init__(self, name: str, measure: Callable[[Progress], Any], *, every: int):
        if not name or name.startswith("nonfinite/") or any(c in name for c in ',"\n'):
            raise ConfigError(f"{name!r} cannot be the name of a metric: choose one such as own/entropy")
        self.name, self.measure, self.interval = name, measure, at_least_one(every)

    def __call__(self, p: Progress) -> None:
        if self.name in p.metrics:
            raise ConfigError(f"metrics.csv has a column {self.name} already: choose another name")
        column = np.full(p.metrics["ep/count"].shape, np.nan)
        if p.iteration % self.interval == 0 or p.iteration == p.iterations:
            value = np.asarray(self.measure(p), np.float64)
            if value.shape not in ((), column.shape[:1]):
                raise ConfigError(
                    f"{self.name} must be one number, or one per seed [{len(column)}], not {value.shape}"
                )
            column[:, -1] = value
        p.metrics[self.name] = column


class Schedule:
    """A schedule sets a float hyperparameter: `value(env_steps)` holds from there on for `every` iterations.

        name     of the hyperparameter; the algorithm is compiled once for all of its values
        value    a function of the env steps of each seed: a number, or one per seed [S] where the setting is an array
        every    iterations between two calls of it

    A resumed run asks it again for the interval in which it goes on, so it continues exactly if the function depends
    on nothing else. The files of a run keep what the hyperparameter was at the beginning.
    """

    def __init__(self, name: str, value: Callable[[int], Any], *, every: int):
        self.name, self.value, self.interval = name, value, at_least_one(every)

    def settings(self, algo: Algorithm, iteration: int) -> Algorithm:
        """Return the settings that hold after `iteration` iterations. Raises `ConfigError` if they cannot."""
        fields = list(ranges.kinds(type(algo)))
        if self.name not in fields:
            raise ConfigError(unknown("hyperparameter", self.name, fields))
        value = self.value(env_steps(algo, iteration - iteration % self.interval))
        value = np.asarray(value, np.float64) if np.ndim(value) else float(value)
        new = replaced(algo, {self.name: value})
        same = [np.shape(x) for x in jax.tree.leaves(new)] == [np.shape(x) for x in jax.tree.leaves(algo)]
        if jax.tree.structure(new) != jax.tree.structure(algo) or not same:
            raise ConfigError(
                f"{self.name} cannot change while a run trains: only a float setting can, and it keeps its shape"
            )
        return new


Callbacks = Callback | Schedule | Sequence[Callback | Schedule]


class Own:
    """The callbacks of a user are called as one, in their order, before the log is written.

    What one of them raises waits until all others have seen the chunk, and it is logged and saved: `Halt` raises it.
    """

    def __init__(self, callbacks: Callbacks = ()):
        several: Any = callbacks if isinstance(callbacks, list | tuple) else [callbacks]
        for callback in several:
            if not callable(callback) and not isinstance(callback, Schedule):
                raise ConfigError(f"a callback must be a function of a Progress, not {callback!r}")
        self.schedules = [c for c in several if isinstance(c, Schedule)]
        self.callbacks: list[Callback] = [c for c in several if not isinstance(c, Schedule)]
        self.columns = [c.name for c in self.callbacks if isinstance(c, Measure)]
        if len(set(self.columns)) < len(self.columns):
            raise ConfigError(f"two of the columns {', '.join(self.columns)} have the same name")
        kinds = Every, Measure, Schedule
        self.intervals = [c.interval for c in several if isinstance(c, kinds)]
        self.raised: Exception | None = None

    def __call__(self, p: Progress) -> None:
        try:
            for callback in self.callbacks:
                callback(p)
        except Exception as error:
            self.raised = error
            for name in set(self.columns) - p.metrics.keys():  # the log has the same columns in each row
                p.metrics[name] = np.full(p.metrics["ep/count"].shape, np.nan)

    def settings(self, algo: Algorithm, iteration: int) -> Algorithm:
        """Return the settings with which the next iterations are trained."""
        for schedule in self.schedules:
            algo = schedule.settings(algo, iteration)
        return algo


class Halt:
    """The last callback of all raises what a user's callback has raised, once the chunk is saved."""

    def __init__(self, own: Own, save: Callable[[Progress], None]):
        self.own, self.save = own, save

    def __call__(self, p: Progress) -> None:
        error = self.own.raised
        if error is None:
            return
        self.save(p)
        if isinstance(error, StopTraining):
            error.progress = p
        raise error


def replaced(algo: Any, values: dict[str, Any]) -> Any:
    """Return settings with other values of some fields."""
    return dataclasses.replace(algo, **values)


def at_least_one(iterations: int) -> int:
    """Return a number of iterations. Raises `ConfigError` if it is none."""
    if isinstance(iterations, bool) or not isinstance(iterations, int | np.integer) or iterations < 1:
        raise ConfigError(
            f"iterations between two calls must be a whole number from 1 on, not {iterations!r}"
        )
    return int(iterations)
