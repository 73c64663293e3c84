"""Trackers show a run elsewhere while it trains: TensorBoard, Weights & Biases, Trackio, or an object of yours.

A run never depends on one. `metrics.csv` has every number; a tracker is sent copies of its rows by a thread of its own
(`swingup.tracking.feed`), and what it misses is sent again by `swingup track RUN --to NAME`.
"""

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

from swingup.errors import ConfigError, unknown
from swingup.tracking.points import Point


class About(NamedTuple):
    """A tracker learns this of a run before the first point."""

    name: str  # that of the run's directory, else algorithm and environment
    folder: Path | None  # the run's directory; None: it writes no files
    config: dict[str, Any]  # its settings, as config.json has them, and other people's names for some
    began: float  # seconds since 1970 at which its clock was at zero
    past: tuple[Point, ...] = ()  # points of earlier sessions, which may have been sent by them


@runtime_checkable
class Tracker(Protocol):
    """A tracker takes the points of one run. All three methods are called by the same thread, in this order.

    They may block, and they may raise: training goes on, and the tracker gets nothing more after an exception.
    """

    name: str  # what it is called in messages

    def start(self, about: About) -> None:
        """Open what is needed."""
        ...

    def log(self, point: Point) -> None:
        """Take the next point; they come in the order of their env steps."""
        ...

    def finish(self) -> None:
        """Close what was opened. It is also called after a run that ended early."""
        ...


Trackers = str | Tracker | Sequence[str | Tracker]  # names with commas between, an object, or several of both
# name: (module of ours, its class, the package that it needs)
TRACKERS = {
    "tensorboard": ("tensorboard", "TensorBoard", None),
    "wandb": ("weights_and_biases", "WandB", "wandb"),
    "trackio": ("trackio_runs", "Trackio", "trackio"),
}
THREAD = "swingup tracker "  # how the names of their threads begin
INTO_FOLDER = "tensorboard", "wandb"  # they write into the run's directory


def trackers(given: Trackers, folder: Path | None) -> list[Tracker]:
    """Return trackers from their names, one or several with commas between them, and from objects as they are.

    `folder` is the directory of the run, or None. Raises `ConfigError` for an unknown name, one that is there twice, a
    package that is not installed, an object that is no tracker, and a tracker that writes into the directory of a run
    that has none.
    """
    parts: Any = given if isinstance(given, list | tuple) else [given]
    parts = given.split(",") if isinstance(given, str) else parts
    names = [part.strip() for part in parts if isinstance(part, str) and part.strip()]
    if len(set(names)) < len(names):
        raise ConfigError(f"a tracker is named twice: {', '.join(names)}")
    made: list[Tracker] = [_named(name, folder) for name in names]
    own = [part for part in parts if not isinstance(part, str)]
    if wrong := [part for part in own if isinstance(part, type) or not isinstance(part, Tracker)]:
        raise ConfigError(f"a tracker has a name and the methods start, log and finish: {wrong[0]!r} has not")
    return made + own


def _named(name: str, folder: Path | None) -> Tracker:
    if name not in TRACKERS:
        raise ConfigError(unknown("tracker", name, TRACKERS))
    module, cls, package = TRACKERS[name]
    if package and find_spec(package) is None:
        raise ConfigError(f"the tracker {name} needs the package {package}: pip install 'swingup[{name}]'")
    if folder is None and name in INTO_FOLDER:
        raise ConfigError(f"the tracker {name} writes into the run's directory: pass out=")
    return vars(import_module(f"swingup.tracking.{module}"))[cls]()
