"""What a run has logged is read from its directory as a tracker takes it."""

from pathlib import Path

from swingup import files
from swingup.algos import name_of
from swingup.runs.experiment import Experiment, read_config
from swingup.runs.log import read_rows
from swingup.tracking import About
from swingup.tracking.points import Point, aliased, points


def introduce(e: Experiment, path: Path | None, began: float) -> About:
    """Return what trackers are told of an experiment whose clock was at zero at `began`, in seconds since 1970."""
    name = path.resolve().name if path else f"{name_of(e.algo)}-{e.env_name.partition(':')[2]}"
    return About(name, path, aliased(e.to_json(), name_of(e.algo)), began)


def log_of(path: Path) -> list[Point]:
    """Return the points of a run's metrics.csv. Raises `ConfigError` if it is damaged."""
    return points(read_rows(files.home(path), 2**62))


def about(path: Path) -> About:
    """Return what trackers are told of the run in a directory. Raises `ConfigError` if there is none."""
    path = files.home(path)
    e, rows = read_config(path), read_rows(path, 2**62)
    ended = (path / "metrics.csv").stat().st_mtime if rows else 0.0
    return introduce(e, path, ended - (rows[-1]["seconds"] if rows else 0.0))
