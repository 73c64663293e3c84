"""A plan says which settings are trained side by side in which block, before anything is compiled.

Settings of one structure share one compiled program, because all of their blocks have as many rows. On a CPU many rows
in one program are slower than few rows in several calls of it, so blocks stay small there: `benchmarks/grid.py`
measures it. On an accelerator a block takes what fits in memory. Environments on the host, each of which is stepped
alone, have one setting per block.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from swingup import ranges
from swingup.errors import ConfigError
from swingup.replay.capacity import SHARE, free_bytes
from swingup.runs import outline
from swingup.runs.block import Block, structure
from swingup.runs.evaluation import seeds_apart
from swingup.runs.experiment import Experiment

PER_DEVICE = 8  # rows of a block for each CPU device, at most, if a single setting has no more


class Part(NamedTuple):
    """One block is planned."""

    runs: tuple[int, ...]  # the settings' numbers
    rows: int  # of the program, with those that only fill it up
    varied: tuple[str, ...]  # the floats that have a value per row

    def block(self, experiments: Sequence[Experiment]) -> Block:
        """Return the block of a grid's experiments."""
        return Block(tuple(experiments[i] for i in self.runs), self.rows, self.varied)


class Plan(NamedTuple):
    """All blocks are planned; those of one program come one after the other."""

    parts: tuple[Part, ...]
    devices: int  # that share the rows of each block
    programs: int  # how many have to be compiled: one for each structure

    def to_json(self) -> dict[str, Any]:
        """Return it as grid.json holds it."""
        return {
            "devices": self.devices,
            "programs": self.programs,
            "blocks": [{"runs": list(p.runs), "rows": p.rows, "varied": list(p.varied)} for p in self.parts],
        }

    @staticmethod
    def from_json(data: Any) -> "Plan":
        """Undo `to_json`. Raises `ConfigError` for anything else."""
        try:
            parts = [Part(tuple(b["runs"]), b["rows"], tuple(b["varied"])) for b in data["blocks"]]
            numbers = [data["devices"], data["programs"], *(n for p in parts for n in (p.rows, *p.runs))]
            if not all(type(n) is int and n >= 0 for n in numbers):
                raise TypeError("a number is no whole number")
            if not all(isinstance(name, str) for p in parts for name in p.varied):
                raise TypeError("a name is no text")
            return Plan(tuple(parts), data["devices"], data["programs"])
        except (KeyError, TypeError) as error:
            raise ConfigError(f"grid.json is damaged: its plan cannot be read ({error})") from None


def plan(experiments: Sequence[Experiment], devices: int) -> Plan:
    """Plan blocks of whole settings for a number of devices.

    The settings of one structure are dealt out evenly, in their order. Where these do not fill the devices equally,
    copies of the first row do, and are dropped.
    """
    groups: dict[Any, list[int]] = {}
    for i, e in enumerate(experiments):
        groups.setdefault(structure(e), []).append(i)
    parts = [part for group in groups.values() for part in _parts(group, experiments, devices)]
    return Plan(tuple(parts), devices, len(groups))


def _parts(group: list[int], experiments: Sequence[Experiment], devices: int) -> list[Part]:
    """Plan the blocks of one structure."""
    first, seeds = experiments[group[0]], max(len(experiments[i].seeds) for i in group)
    varied = differing([experiments[i] for i in group])
    if seeds_apart(first.env):
        return [Part((i,), len(experiments[i].seeds), varied) for i in group]
    together = max(1, most_rows(first, devices) // seeds)
    count = math.ceil(len(group) / together)
    cuts = [len(group) * k // count for k in range(count + 1)]
    pieces = [group[a:b] for a, b in itertools.pairwise(cuts)]
    rows = max(sum(len(experiments[i].seeds) for i in piece) for piece in pieces)
    share = min(devices, rows)
    rows = math.ceil(rows / share) * share
    return [Part(tuple(piece), rows, varied) for piece in pieces]


def differing(experiments: Sequence[Experiment]) -> tuple[str, ...]:
    """Return the names of the traced floats in which algorithms of one structure differ."""
    algos = [vars(e.resolved()) for e in experiments]
    kinds = ranges.kinds(type(experiments[0].algo))
    traced = [name for name, kind in kinds.items() if ranges.is_traced(kind)]
    return tuple(n for n in traced if not all(np.array_equal(a[n], algos[0][n]) for a in algos))


def most_rows(e: Experiment, devices: int) -> int:
    """Return how many rows a block may have: by memory, and on a CPU by speed."""
    free = free_bytes()
    fits = int(SHARE * free / row_bytes(e)) if free else 2**31
    return fits if jax.default_backend() != "cpu" else min(fits, PER_DEVICE * devices)


def row_bytes(e: Experiment) -> int:
    """Estimate the bytes that one row takes while it trains: its state twice, and a rollout."""
    one = Experiment(type(e.algo)(**_scalars(e.algo)), e.env, e.env_steps, (0,), e.episodes)
    state = outline.shapes(one)
    whole = sum(math.prod(x.shape) * _size(x) for x in jax.tree.leaves(state))
    obs = sum(math.prod(x.shape[2:]) * _size(x) for x in jax.tree.leaves(state.actor.obs))
    rollout = e.algo.env_steps_per_iteration * (2 * obs + 64)  # two observations, and some numbers
    return 2 * whole + rollout


def _size(x: Any) -> int:
    return 8 if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key) else x.dtype.itemsize


def _scalars(algo: Any) -> dict[str, Any]:
    """Return hyperparameters with the first value of those that have one per seed."""
    return {n: float(x[0]) if isinstance(x, np.ndarray) else x for n, x in ranges.values(algo).items()}
