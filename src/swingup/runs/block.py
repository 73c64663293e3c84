"""A block is a list of experiments that one compiled program trains side by side; a single run is a block of one.

Its rows are the seeds of the first experiment, then those of the second, and so on. The keys of a row depend on its
seed alone, so equal seeds of two settings meet the same random numbers.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

import jax
import numpy as np

from swingup import ranges
from swingup.errors import ConfigError
from swingup.runs.experiment import Experiment


def structure(e: Experiment) -> Any:
    """Return what a compiled program depends on: experiments for which it is equal can share one.

    It is all but seeds and the floats that JAX traces. What JAX compiles for two equal structures is the same program
    if the number of rows is the same too, and the same floats have a value per row.
    """
    env = e.env if isinstance(e.env, str) else id(e.env)
    intervals = e.log_interval, e.checkpoint_interval, e.eval_interval, e.eval_limit
    return jax.tree.structure(e.algo), env, e.env_steps, e.episodes, intervals


@dataclass(frozen=True)
class Block:
    """A block has experiments of one structure, and `size` rows. Raises `ConfigError` for several structures."""

    experiments: tuple[Experiment, ...]
    rows: int = 0  # that it is filled up to, by copies of the first row that are dropped; 0: none are needed
    varied: tuple[str, ...] = ()  # floats that have a value per row, even where it is the same in all rows

    def __post_init__(self):
        if len({structure(e) for e in self.experiments}) != 1:
            raise ConfigError(
                "the experiments of a block may differ in seeds and in traced floats alone: give those of another "
                "structure a block of their own"
            )

    @property
    def size(self) -> int:
        """Return the number of rows."""
        return max(self.rows, self.slices[-1].stop)

    @cached_property
    def slices(self) -> list[slice]:
        """Return the rows of each experiment."""
        ends = list(accumulate(len(e.seeds) for e in self.experiments))
        return [slice(start, stop) for start, stop in zip([0, *ends], ends, strict=False)]

    def without_copies(self, shown: Callable[[Any], None] | None) -> Callable[[Any], None] | None:
        """Return a callback that sees what the runs have logged, [rows without copies, chunk]."""
        last = self.slices[-1].stop
        if shown is None or last == self.size:
            return shown
        return lambda p: shown(p._replace(metrics={name: x[:last] for name, x in p.metrics.items()}))

    @property
    def seeds(self) -> tuple[int, ...]:
        """Return the seed of each row."""
        return tuple(self._filled([s for e in self.experiments for s in e.seeds]))

    def resolved(self) -> Any:
        """Return `Experiment.resolved` of all: a float that differs, or is `varied`, has a value per row."""
        algos, given = [e.resolved() for e in self.experiments], {}
        settings = [ranges.values(algo) for algo in algos]
        for name, kind in ranges.kinds(type(algos[0])).items():
            values = [one[name] for one in settings]
            if not ranges.is_traced(kind):
                continue
            if name in self.varied or any(np.ndim(x) or x != values[0] for x in values):
                each = zip(values, self.experiments, strict=True)
                rows = np.concatenate([np.broadcast_to(np.float32(x), len(e.seeds)) for x, e in each])
                given[name] = np.array(self._filled(list(rows)))
        return dataclasses.replace(algos[0], **given) if given else algos[0]

    def to_json(self) -> dict[str, Any]:
        """Return the settings of all: those of the only experiment, or `{"block": [settings, ...]}`."""
        all_ = [e.to_json() for e in self.experiments]
        return all_[0] if len(all_) == 1 else {"block": all_}

    def _filled(self, rows: list) -> list:
        return [*rows, *[rows[0]] * (self.size - len(rows))]

    # What is the same for all experiments:

    @property
    def algo(self) -> Any:
        """Return the first experiment's algorithm; the others' differ in floats alone."""
        return self.experiments[0].algo

    @property
    def env(self) -> Any:
        """Return the environment."""
        return self.experiments[0].env

    @property
    def episodes(self) -> int:
        """Return the episodes of the final evaluation, per row."""
        return self.experiments[0].episodes

    @property
    def eval_interval(self) -> int:
        """Return the iterations between evaluations in training."""
        return self.experiments[0].eval_interval

    @property
    def eval_limit(self) -> int | None:
        """Return the env steps after which evaluations cut an episode."""
        return self.experiments[0].eval_limit

    @property
    def iterations(self) -> int:
        """Return the iterations of training."""
        return self.experiments[0].iterations

    @property
    def checkpoint_every(self) -> int:
        """Return the iterations between checkpoints."""
        return self.experiments[0].checkpoint_every


Trainable = (
    Experiment | Block
)  # of both it is known what to train, in which environments, and with which seeds
