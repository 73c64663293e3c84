"""A job is a block to train, as JSON text: what needs it can run in another process, or on another machine.

`python -m swingup.cli.job FILE` runs the job in a file. A job that was killed goes on from the block's newest
checkpoint when it is run again; one whose runs all have a result does nothing.
"""

import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from swingup import files
from swingup.errors import ConfigError, OutputError
from swingup.runs import checkpoint, claims, outcome, session
from swingup.runs.block import Block
from swingup.runs.experiment import Experiment, versions
from swingup.runs.record import restore
from swingup.runs.session import Broken, Trained
from swingup.training import machine
from swingup.training.callbacks import Console

WAIT = 10.0  # seconds for which a job waits for the process that has its directory, which may be ending


def text(block: Block, paths: Sequence[Path], home: Path, devices: int) -> str:
    """Write a job as JSON text: `run` takes it."""
    runs = [
        {"path": str(path), "config": e.to_json()} for e, path in zip(block.experiments, paths, strict=True)
    ]
    about = {"home": str(home), "rows": block.rows, "varied": list(block.varied), "devices": devices}
    return json.dumps({"format": 1, "runs": runs, **about, "versions": versions()})


def run(job: str, signals: bool = True) -> list[Trained | Broken]:
    """Do a job in this process, which has not computed yet: threads and devices are set as the job says.

    With `signals` an interrupt saves and ends it.

    Raises `ConfigError` if it is no job, or from another version of swingup, and what `work` raises.
    """
    try:
        data = json.loads(job)
        experiments = tuple(Experiment.from_json(one["config"]) for one in data["runs"])
        paths, home = [Path(one["path"]) for one in data["runs"]], Path(data["home"])
        block, devices = Block(experiments, data["rows"], tuple(data["varied"])), int(data["devices"])
        theirs = data["versions"]["swingup"]
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"this is no job of swingup's: {error}") from None
    if theirs != (ours := versions()["swingup"]):
        raise ConfigError(f"the job is from swingup {theirs}, and this is {ours}: install the same version")
    machine.set_up(block.algo, count=devices)
    return work(block, paths, home, console=Console(every_seconds=60.0), signals=signals)


def work(
    block: Block,
    paths: Sequence[Path],
    home: Path,
    *,
    console: Console | None = None,
    signals: bool = False,
) -> list[Trained | Broken]:
    """Train a block in its directories: from its newest checkpoint if there is one, else from the beginning.

    Returns nothing if all runs have a result. Rows that diverge are marked, and the others go on. Raises `OutputError`
    where another process is at it, and what `session.execute` raises.
    """
    for path in (home, *paths):
        files.make_directory(path)
    _wait(home)
    if all(done(path) for path in paths):
        tidy(paths, home)
        return []
    saved = None
    if checkpoint.latest(home / "checkpoints") is None:
        for path in paths:  # a session that was killed before its first checkpoint: nothing of it counts
            for name in ("config.json", "metrics.csv", outcome.NAME):
                (path / name).unlink(missing_ok=True)
    else:
        saved = restore(block, home)
    how: dict[str, Any] = {"saved": saved, "console": console, "signals": signals, "tolerant": True}
    ended = session.execute(block, paths, home, **how)
    if all(done(path) for path in paths):
        tidy(paths, home)
    return ended


def done(path: Path) -> bool:
    """Say whether a run has its result."""
    return (path / "result.json").exists()


def tidy(paths: Sequence[Path], home: Path) -> None:
    """Remove the block's own directory, once each run has its part of what was there."""
    if home not in paths and home.exists():
        shutil.rmtree(home, ignore_errors=True)


def _wait(directory: Path) -> None:
    """Wait until nobody else writes to a directory. Raises `OutputError` after a while."""
    end = time.monotonic() + WAIT
    while True:
        try:
            with claims.locked(directory):
                return
        except OutputError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
