"""A feed sends a run's points to a tracker from a thread of its own, and training never waits for it."""

import contextlib
import queue
import threading
import time
import warnings
from collections.abc import Sequence
from types import TracebackType

from swingup.tracking import THREAD, TRACKERS, About, Tracker
from swingup.tracking.points import Row, points

CAPACITY = 256  # points that may wait for a tracker; more are dropped
PATIENCE = 5.0  # seconds that the end of a run waits for all of its trackers together


class TrackerWarning(UserWarning):
    """A tracker has failed or missed points. The run itself has everything."""


class Feed:
    """A feed has one tracker, one daemon thread, and a queue of points between the thread and training.

    A full queue drops what comes, and an exception of the tracker ends its service; both are counted, and nothing is
    raised here. A daemon thread that hangs for ever does not keep the process alive.
    """

    def __init__(self, tracker: Tracker, about: About):
        self.tracker, self.about = tracker, about
        self.waiting: queue.Queue = queue.Queue(CAPACITY)
        self.given, self.taken = 0, 0  # points
        self.error: BaseException | None = None
        self.left = False  # nobody waits any more
        self.thread = threading.Thread(target=self._work, daemon=True, name=THREAD + tracker.name)
        self.thread.start()

    def send(self, point: object) -> None:
        """Hand over a point, or drop it."""
        self.given += 1
        if self.error is None:
            with contextlib.suppress(queue.Full):
                self.waiting.put_nowait(point)

    def end(self, until: float) -> None:
        """Wait until the time `until`, of `time.monotonic`, for the tracker to take what is waiting and to finish."""
        with contextlib.suppress(queue.Full):
            self.waiting.put(None, timeout=max(0.0, until - time.monotonic()))
            self.thread.join(max(0.0, until - time.monotonic()))
        self.left = self.thread.is_alive()

    def _work(self) -> None:
        try:
            self.tracker.start(self.about)
            while not self.left and (point := self.waiting.get()) is not None:
                self.tracker.log(point)
                self.taken += 1
            self.tracker.finish()
        except (
            BaseException
        ) as error:  # also SystemExit: whatever it is, it ends this thread and nothing else
            self.error = error


class Feeds:
    """The feeds of one session are begun, given each new row of the log, and ended. As a callback it takes any
    `Progress`.

    It warns with `TrackerWarning` once per tracker that fails, and at the end of what was not sent.
    """

    def __init__(self, trackers: Sequence[Tracker]):
        self.trackers, self.feeds, self.told = trackers, [], set()
        self.rows: list[Row] = []
        self.seen = 0

    def begin(self, about: About, rows: list[Row]) -> None:
        """Start the trackers. `rows` is the log, which grows; what it holds already is the past."""
        self.rows, self.seen = rows, len(rows)
        about = about._replace(past=tuple(points(rows)) if self.trackers else ())
        self.feeds = [Feed(tracker, about) for tracker in self.trackers]

    def __call__(self, progress: object) -> None:
        """Send what is new in the log."""
        if not self.feeds:
            return
        new, self.seen = points(self.rows[self.seen :]), len(self.rows)
        for feed in self.feeds:
            for point in new:
                feed.send(point)
        self._tell()

    def __enter__(self) -> "Feeds":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        until = time.monotonic() + (0.0 if kind is KeyboardInterrupt else PATIENCE)  # it must end at once
        for feed in self.feeds:
            feed.end(until)
        if kind is not KeyboardInterrupt:
            self._tell()
            self._count()

    @property
    def stuck(self) -> bool:
        """Return whether a tracker still has not finished, so that what it imported may hold up the process's exit."""
        return any(feed.left for feed in self.feeds)

    def _tell(self) -> None:
        """Warn of trackers that have failed, once."""
        for feed in self.feeds:
            if feed.error is not None and feed not in self.told:
                self.told.add(feed)
                what = f"{type(feed.error).__name__}: {feed.error}"
                warnings.warn(
                    f"the tracker {feed.tracker.name} has failed ({what}); {self._cure(feed)}",
                    TrackerWarning,
                    stacklevel=2,
                )

    def _count(self) -> None:
        """Warn of points that were lost where no failure was told."""
        for feed in self.feeds:
            if feed.error is None and (lost := feed.given - feed.taken):
                late = "does not answer" if feed.left else "was too slow"
                warnings.warn(
                    f"the tracker {feed.tracker.name} {late}: {lost} of {feed.given} points were not sent; "
                    f"{self._cure(feed)}",
                    TrackerWarning,
                    stacklevel=2,
                )
            elif feed.left and feed.error is None:
                warnings.warn(
                    f"the tracker {feed.tracker.name} has every point, but did not finish within "
                    f"{PATIENCE:g} s",
                    TrackerWarning,
                    stacklevel=2,
                )

    def _cure(self, feed: Feed) -> str:
        folder = feed.about.folder
        if folder is None or feed.tracker.name not in TRACKERS:
            return "the run has all numbers"
        return f"the run has all numbers; send them again: swingup track {folder} --to {feed.tracker.name}"
