"""A job may be attempted again while an older attempt only sleeps: each has its own folder, and the newest publishes.

    attempts/012/001/        the first attempt at block 12: its runs, and the block's checkpoints
    attempts/012/002/        the second began with what the first had saved

Engines that cannot know whether a silent process is dead start the job again. Every attempt takes the next number,
which `mkdir` gives to one process alone. Nothing that an attempt writes is seen until it is whole. Then its runs are
moved to their places, one rename each, if its number is still the newest; one that wakes up later publishes nothing.
"""

import contextlib
import hashlib
import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from swingup import files
from swingup.errors import ConfigError
from swingup.runs import jobs

MARK = "grid.json"  # a worker that sees the driver's own copy of this file shares its storage


class Superseded(RuntimeError):
    """A newer attempt at the same job has begun, so this one publishes nothing."""


class Order(NamedTuple):
    """A job is ordered with the place where its attempts stand, and a mark of the storage that must be shared."""

    job: str  # JSON text of `jobs.text`
    folder: str  # of its attempts, in the grid's directory
    mark: str  # what `mark` says of the grid's directory, seen from where the grid was begun


def mark(directory: Path) -> str:
    """Return the digest of a grid's settings, by which a worker knows the directory; "" if it is not there."""
    path = directory / MARK
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""


class Answer(NamedTuple):
    """An answer is what comes back from a worker."""

    files: dict[str, bytes]  # of the runs, by path, where the storage is not shared
    failed: list[str]  # the reason of each run whose environment failed


def work(order: Order) -> Answer:
    """Do an attempt at a job in this process.

    Raises `Superseded` if a newer attempt has begun, and what `jobs.run` raises.
    """
    folder = Path(order.folder)
    if mark(folder.parents[1]) == order.mark:
        return Answer({}, attempt(order.job, folder))
    with tempfile.TemporaryDirectory(prefix="swingup-") as temporary:
        mine = Path(temporary)
        failed = _run(order.job, mine)
        return Answer(collected(order.job, mine), failed)


def attempt(job: str, folder: Path) -> list[str]:
    """Do an attempt in the next folder, from what those before have saved; publish its runs if it is the newest.

    Returns why runs failed, if some did.
    """
    targets = [Path(path) for path, _ in places(job, folder)]
    if all(jobs.done(path) for path in targets):
        return []
    mine = claim(folder)
    inherit(job, folder, mine)
    failed = _run(job, mine)
    publish(job, mine)
    return failed


def _run(job: str, mine: Path) -> list[str]:
    ended = [one.outcome for one in jobs.run(moved(job, mine), signals=False)]
    return [outcome.reason for outcome in ended if outcome.kind == "failed"]


def claim(folder: Path) -> Path:
    """Make the next attempt's folder; of two processes each gets its own.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as d:
    ...     [claim(Path(d)).name for _ in range(3)]
    ['001', '002', '003']
    """
    files.make_directory(folder)
    number = max(numbers(folder), default=0)
    while True:
        number += 1
        with contextlib.suppress(FileExistsError):
            (folder / f"{number:03d}").mkdir()
            return folder / f"{number:03d}"


def numbers(folder: Path) -> list[int]:
    """Return the numbers of all attempts, in their order."""
    return (
        sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit()) if folder.exists() else []
    )


def places(job: str, mine: Path) -> list[tuple[str, Path]]:
    """Return where each run of a job belongs, and where it stands in an attempt's folder."""
    try:
        paths = [one["path"] for one in json.loads(job)["runs"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"this is no job of swingup's: {error}") from None
    return [(path, mine / "runs" / Path(path).name) for path in paths]


def moved(job: str, mine: Path) -> str:
    """Return a job that works in an attempt's folder."""
    data: dict[str, Any] = json.loads(job)
    there = places(job, mine)
    data["home"] = str(dict(there).get(data["home"], mine / "block"))
    for one, (_, path) in zip(data["runs"], there, strict=True):
        one["path"] = str(path)
    return json.dumps(data)


def inherit(job: str, folder: Path, mine: Path) -> None:
    """Copy what the newest earlier attempt with a checkpoint has saved, or another engine in the runs' own places.

    Checkpoints are copied first: rows that were written after them are cut off when the job goes on.
    """
    own = int(mine.name)
    sources = [folder / f"{n:03d}" for n in reversed(numbers(folder)) if n < own]
    home = Path(json.loads(job)["home"])
    pairs = [[(old / "block", mine / "block"), *_runs(job, old, mine)] for old in sources]
    pairs.append([(home, mine / "block"), *((Path(path), to) for path, to in places(job, mine))])
    for found in pairs:
        if any((path / "checkpoints").exists() for path, _ in found):
            for path, to in found:
                with contextlib.suppress(FileNotFoundError):
                    _copy(path, to)
            return


def _runs(job: str, old: Path, mine: Path) -> list[tuple[Path, Path]]:
    return [(a, b) for (_, a), (_, b) in zip(places(job, old), places(job, mine), strict=True)]


def _copy(path: Path, to: Path) -> None:
    """Copy a directory to which somebody may still be writing."""
    if to.exists():
        return
    for part in ("checkpoints", ".") if (path / "checkpoints").exists() else (".",):
        with contextlib.suppress(shutil.Error):  # a temporary file of theirs was gone before it was copied
            shutil.copytree(path / part, to / part, dirs_exist_ok=True, ignore=_known(to / part))


def _known(to: Path) -> Any:
    def ignore(directory: str, names: list[str]) -> list[str]:
        return [
            name for name in names if name.startswith(".") or (name == "checkpoints" and (to / name).exists())
        ]

    return ignore


def publish(job: str, mine: Path) -> None:
    """Move each finished run to its place. Raises `Superseded` if this attempt is not the newest any more."""
    for target, path in places(job, mine):
        if numbers(mine.parent)[-1] != int(mine.name):
            raise Superseded(f"attempt {int(mine.name)} of {mine.parent} was superseded")
        goal = Path(target)
        if jobs.done(goal) or not jobs.done(path):
            continue
        if goal.exists():  # what another engine had begun there
            goal.rename(mine / f"replaced-{goal.name}")
        path.rename(goal)


def collected(job: str, mine: Path) -> dict[str, bytes]:
    """Return the files of all runs in an attempt's folder, by the path where each belongs."""
    return {
        str(Path(target) / file.relative_to(path)): file.read_bytes()
        for target, path in places(job, mine)
        for file in sorted(path.rglob("*"))
        if file.is_file() and not file.name.startswith(".")
    }


def bring(found: dict[str, bytes], paths: Sequence[Path]) -> None:
    """Write files that came from another machine. A run's result.json is the last of it, so that a part is no run.

    Raises `ConfigError` for a path outside these runs.
    """
    for name in sorted(found, key=lambda name: Path(name).name == "result.json"):
        target = Path(name)
        if ".." in target.parts or not any(path in target.parents for path in paths):
            raise ConfigError(f"a job brought a file for {name}, which is none of its runs")
        files.make_directory(target.parent)
        files.write_atomic(target, found[name])
