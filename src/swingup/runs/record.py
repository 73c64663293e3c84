"""A record is what is written of a block of runs while it is trained, and what a later session goes on from."""

import contextlib
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from swingup import protocols
from swingup.errors import ConfigError, EnvironmentFault, NonFinite, NonFiniteError
from swingup.protocols import env_steps
from swingup.replay import ring
from swingup.runs import checkpoint, outcome, outline
from swingup.runs.block import Block, Trainable
from swingup.runs.experiment import Experiment, read_config, versions, write_config
from swingup.runs.log import CSVLog, Logs, read_rows
from swingup.runs.outcome import Outcome
from swingup.training import driver
from swingup.training.callbacks import Stopped
from swingup.types import State

Ending = Stopped | NonFiniteError | EnvironmentFault  # the errors that are an outcome
Errors = dict[int, NonFiniteError]  # by row


class Saved(NamedTuple):
    """A session goes on from this, the newest checkpoint of the block."""

    state: State
    iteration: int  # iterations that are done
    seconds: float  # of training until then
    window: dict[str, np.ndarray]  # {metric: [S, n]} the iterations since the log's last row
    config: dict[str, Any]  # the settings with which it was saved, as JSON
    diverged: Errors = {}  # noqa: RUF012  the rows that have, while others went on; nobody changes it


class Record:
    """A record writes what must be kept of a block, and knows how far it has come.

    `paths` are the directories of its runs, and `home` that of the checkpoints, which hold all rows. A block of one
    run has its home in the run's own directory. Where there are no directories everything is kept in memory.
    """

    def __init__(
        self,
        block: Block,
        paths: Sequence[Path | None],
        home: Path | None,
        saved: Saved | None = None,
        tolerant: bool = False,
    ):
        self.block, self.paths, self.home, self.clock = block, paths, home, driver.Clock()
        self.done, self.seconds = (saved.iteration, saved.seconds) if saved else (0, 0.0)
        self.saved = env_steps(block.algo, self.done) if saved else None
        self.diverged: Errors = dict(saved.diverged) if saved else {}
        self.tolerant = tolerant
        files = [path / "metrics.csv" if path else None for path in paths]
        logs = [
            CSVLog(file, e.seeds, e.log_every, self.seconds)
            for e, file in zip(block.experiments, files, strict=True)
        ]
        self.log = Logs(logs, block.slices)
        self.early = ""  # why a callback has ended training early

    @property
    def iteration(self) -> int:
        """Return how many iterations are done."""
        return max(self.done, self.log.iteration)

    def claim(self, saved: Saved | None, columns: Sequence[str] = ()) -> None:
        """Make the directories these runs', as they were when they were saved; `columns` are the user's in metrics.csv.

        Raises `OutputError` if one is another's, and `ConfigError` for a column that it was not begun with.
        """
        for e, path, log, rows in zip(
            self.block.experiments, self.paths, self.log.logs, self.log.rows, strict=True
        ):
            if not path:
                continue
            if not saved:
                write_config(e, path, new=True)
            else:
                window = {name: x[rows] for name, x in saved.window.items()}
                log.restore(_continued(read_rows(path, self.done), window, columns), window)
                if saved.config != self.block.to_json():
                    write_config(e, path)
            outcome.forget(path)

    def disclaim(self) -> None:
        """Give the directories back, if nothing was trained: settings that do not fit an environment leave no run."""
        for path in self.paths:
            if path and self.saved is None and not self.log.iteration:
                (path / "config.json").unlink(missing_ok=True)
                with contextlib.suppress(OSError):  # it holds something else
                    path.rmdir()

    def save(self, p: driver.Progress) -> None:
        """Write a checkpoint of the block, if it has a directory."""
        if self.home:
            seconds = self.seconds + p.clock.run_seconds
            about = p.iteration, seconds, self.log.window, self.diverged
            save_state(self.block, self.home, p.state, *about)
            self.saved = env_steps(p.algo, p.iteration)

    def keep(self, p: driver.Progress | None) -> None:
        """Keep what was trained before a fault: log and save it."""
        if p is not None and p.iteration > self.log.iteration:
            self.log(p)
        if p is not None:
            self.save(p)

    def mark(self, error: NonFiniteError) -> None:
        """Note that a row has diverged, so that the others can go on; raise the error where they must not."""
        if error.where.row not in self.diverged:
            if not self.tolerant:
                raise error
            self.diverged[error.where.row] = error

    def lost(self, i: int) -> Errors:
        """Return what has diverged of the i-th run, by the place of the seed in it."""
        rows, found = self.block.slices[i], {}
        for row, error in sorted(self.diverged.items()):
            own = row - rows.start
            if 0 <= own < rows.stop - rows.start:
                seed = self.block.experiments[i].seeds[own]
                text = str(error).replace(f"(row {row} of the seeds)", f"(seed {seed})")
                found[own] = NonFiniteError(text, error.where._replace(row=own))
        return found

    def part(self, state: State, i: int) -> State:
        """Return the i-th run's rows of the block's state."""
        rows = self.block.slices[i]
        return (
            state
            if len(self.block.seeds) == rows.stop - rows.start
            else jax.tree.map(lambda x: x[rows], state)
        )

    def save_part(self, state: State, i: int) -> None:
        """Write a checkpoint of the i-th run alone, at the end of training, in its own directory."""
        e, path = self.block.experiments[i], self.paths[i]
        if path:
            seconds = self.seconds + self.clock.run_seconds
            save_state(e, path, state, self.iteration, seconds, self.log.logs[i].window, self.lost(i))

    def outcome(self, i: int, error: Ending | None) -> Outcome:
        """Say how the i-th run ended: with an error, or without one."""
        seeds, lost = self.block.experiments[i].seeds, self.lost(i)
        done = env_steps(self.block.algo, self.iteration) if self.iteration else 0
        names = tuple(seeds[row] for row in lost)
        if isinstance(error, NonFiniteError):
            own = error.where.row - self.block.slices[i].start
            error = NonFiniteError(str(error), error.where._replace(row=own if own >= 0 else len(seeds)))
        if error is None and len(lost) == len(seeds):
            error = min(lost.values(), key=lambda x: x.where.env_steps or done)
        match error:
            case None:
                reason = str(next(iter(lost.values()))) if lost else self.early
                return Outcome("finished", done, self.saved, reason, diverged=names)
            case Stopped():
                about = self.saved, str(error)
                return Outcome("stopped", done, *about, signum=error.signum, diverged=names)
            case NonFiniteError(where=(metric, row, seen)):
                seed = seeds[row] if row < len(seeds) else None  # else it is another run's of the block
                about = self.saved, str(error)
                return Outcome("diverged", seen or done, *about, seed=seed, metric=metric, diverged=names)
            case EnvironmentFault():
                about = self.saved, str(error)
                return Outcome("failed", done, *about, code=error.code or None, diverged=names)


def _continued(rows: list[dict[str, float]], window: dict[str, Any], columns: Sequence[str]) -> list:
    """Return the rows of metrics.csv. Raises `ConfigError` if they lack a column of the user's."""
    there = {*(rows[0] if rows else ()), *window}
    if there and (new := [name for name in columns if name not in there]):
        raise ConfigError(
            f"metrics.csv has no column {', '.join(new)}: a run measures from its beginning what it "
            "measures; leave that callback out, or train anew"
        )
    return rows


def errors(e: Experiment, diverged: Sequence[int]) -> Errors:
    """Return what a checkpoint says of the seeds that have diverged, where no more is known of them."""
    rows = map(e.seeds.index, diverged)
    return {row: NonFiniteError(f"seed {e.seeds[row]} has diverged", NonFinite("", row)) for row in rows}


def save_state(
    e: Trainable,
    path: Path,
    state: State,
    iteration: int,
    seconds: float,
    window: dict,
    diverged: Errors | None = None,
) -> None:
    """A checkpoint, with what the log needs to go on: the iterations since its last row."""
    meta = {"config": e.to_json(), "versions": versions(), "run_seconds": round(seconds, 3)}
    meta["masked"] = any(x.masked for x in ring.rings(state.learner))
    if diverged:
        meta["diverged"] = [[str(error), *error.where] for error in diverged.values()]
    checkpoint.save(path / "checkpoints", state, step=iteration, meta=meta, extra=window)


def continued(path: Path, *, env_steps: int | None = None, env: Any = None) -> tuple[Experiment, Saved]:
    """Return a run, with `env_steps` per seed if given, and what was saved. Raises `ConfigError` if it did more."""
    experiment = read_config(path, env)
    if env_steps is not None:
        # The intervals stay what they were: a longer run must log at the same points.
        intervals = {"log_interval": experiment.log_every, "checkpoint_interval": experiment.checkpoint_every}
        experiment = dataclasses.replace(experiment, env_steps=env_steps, **intervals)
    saved = restore(experiment, path)
    if saved.iteration > experiment.iterations:
        trained = protocols.env_steps(experiment.algo, saved.iteration)
        raise ConfigError(f"{path} has trained {trained:,} env steps already; ask for more than that")
    if len(saved.diverged) == len(experiment.seeds):
        raise ConfigError(f"every seed of {path} has diverged: nothing is left to train on")
    return experiment, saved


def restore(experiment: Trainable, path: Path) -> Saved:
    """Return the newest checkpoint that is whole. No environment is reset or stepped. Raises `CheckpointError`."""
    found = checkpoint.newest(path / "checkpoints")
    meta = found.manifest["meta"]
    state, manifest = checkpoint.fitted(found, outline.shapes(experiment, bool(meta.get("masked", False))))
    seconds, config = float(meta.get("run_seconds", 0.0)), meta.get("config", {})
    errors = [NonFiniteError(text, NonFinite(*where)) for text, *where in meta.get("diverged", [])]
    diverged = {error.where.row: error for error in errors}
    return Saved(state, manifest["step"], seconds, manifest["extra"], config, diverged)
