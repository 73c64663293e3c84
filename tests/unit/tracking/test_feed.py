"""A tracker that hangs, raises or dawdles costs a run nothing: no test here looks at a clock."""

import threading
from pathlib import Path
from typing import Any

import pytest

from swingup.errors import ConfigError
from swingup.tracking import About, feed, trackers
from swingup.tracking.feed import CAPACITY, Feeds, TrackerWarning
from swingup.tracking.points import Point

ABOUT = About("run", None, {}, 0.0)


class Memory:
    """A tracker that remembers; `at` says where it calls `trouble`."""

    def __init__(self, at: str = "", trouble: Any = None, name: str = "memory"):
        self.at, self.trouble, self.name = at, trouble, name
        self.calls: list[Any] = []
        self.reached = threading.Event()

    def _call(self, what: str, content: Any) -> None:
        self.calls.append(content)
        if what == self.at:
            self.reached.set()
            self.trouble()

    def start(self, about: About) -> None:
        self._call("start", about)

    def log(self, point: Point) -> None:
        self._call("log", point)

    def finish(self) -> None:
        self._call("finish", "finished")


def row(iteration: int) -> dict[str, float]:
    return {"seed": 0, "iteration": iteration, "env_steps": iteration, "seconds": 0.0, "kl": 1.0}


def explode() -> None:
    raise OSError("no such server")


def session(*trackers: Memory, count: int, folder: Path | None = None, wait: bool = False) -> Feeds:
    """Log `count` rows, one after the other, and end; the first tracker may be waited for before the last row."""
    rows: list[dict[str, float]] = []
    with Feeds(trackers) as feeds:
        feeds.begin(ABOUT._replace(folder=folder), rows)
        for i in range(count):
            if wait and i == count - 1:
                feeds.feeds[0].thread.join(60)
            rows.append(row(i))
            feeds(None)
    return feeds


def test_everything_arrives_in_order() -> None:
    """The past goes to `start`, new rows to `log`, each once."""
    tracker, rows = Memory(), [row(1), row(2)]
    with Feeds([tracker]) as feeds:
        feeds.begin(ABOUT, rows)
        for i in range(3, 60):
            rows.append(row(i))
            if i % 3:
                feeds(None)
        feeds(None)
    about, *logged, last = tracker.calls
    assert [p.iteration for p in about.past] == [1, 2]
    assert [p.iteration for p in logged] == list(range(3, 60))
    assert last == "finished"


def test_a_stuck_tracker_holds_up_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """More points than the queue holds are handed over while the tracker hangs; the others are dropped and counted."""
    monkeypatch.setattr(feed, "PATIENCE", 0.0)
    free = threading.Event()
    stuck, rows = Memory("log", free.wait), []
    feeds = Feeds([stuck])
    feeds.begin(ABOUT, rows)
    rows.append(row(0))
    feeds(None)
    assert stuck.reached.wait(60)
    rows += [row(i) for i in range(1, CAPACITY + 100)]
    training = threading.Thread(target=feeds, args=(None,), daemon=True)
    training.start()
    training.join(60)
    assert not training.is_alive(), "training waits for the tracker"
    with pytest.warns(TrackerWarning, match=f"{CAPACITY + 100} of {CAPACITY + 100} points"):
        feeds.__exit__(None, None, None)
    assert feeds.stuck
    free.set()
    feeds.feeds[0].thread.join(60)
    assert len(stuck.calls) == 3  # start, the point in hand, finish: what waited is not sent after the end


def test_what_waits_when_a_run_ends_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tracker takes its first point only after training has ended."""
    monkeypatch.setattr(feed, "PATIENCE", 120.0)
    free, slow = threading.Event(), Memory()
    slow.at, slow.trouble = "start", free.wait
    end = feed.Feed.end

    def ended(self: Any, until: float) -> None:
        threading.Timer(0.2, free.set).start()
        end(self, until)

    monkeypatch.setattr(feed.Feed, "end", ended)
    session(slow, count=20)
    assert [p.iteration for p in slow.calls[1:-1]] == list(range(20))


@pytest.mark.parametrize("at", ["start", "log", "finish"])
@pytest.mark.parametrize("error", [OSError, SystemExit])
def test_a_tracker_that_raises_is_told_of_once(at: str, error: type[BaseException]) -> None:
    def trouble() -> None:
        raise error("no such server")

    bad, good = Memory(at, trouble, "bad"), Memory()
    with pytest.warns(TrackerWarning) as told:
        session(bad, good, count=20, wait=at != "finish")
    assert len(told) == 1
    assert "the tracker bad has failed" in str(told[0].message)
    assert "no such server" in str(told[0].message)
    assert [p.iteration for p in good.calls[1:-1]] == list(range(20))
    assert bad.calls.count("finished") == (at == "finish")


def test_the_cure_is_named_where_there_is_one(tmp_path: Path) -> None:
    bad = Memory("start", explode, "wandb")
    with pytest.warns(TrackerWarning, match=f"swingup track {tmp_path} --to wandb"):
        session(bad, count=1, folder=tmp_path, wait=True)


def test_a_late_finish_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "PATIENCE", 0.2)
    free = threading.Event()
    with pytest.warns(TrackerWarning, match="has every point, but did not finish"):
        feeds = session(Memory("finish", free.wait), count=0)
    assert feeds.stuck
    free.set()


def test_the_second_signal_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """With an hour of patience this test would not end: a KeyboardInterrupt has none, and no words."""
    monkeypatch.setattr(feed, "PATIENCE", 3600.0)
    free = threading.Event()
    feeds = Feeds([Memory("start", free.wait)])
    feeds.begin(ABOUT, [])
    feeds.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert feeds.stuck
    free.set()


def test_no_tracker_no_thread() -> None:
    before = threading.active_count()
    with Feeds([]) as feeds:
        feeds.begin(ABOUT, [row(1)])
        feeds(None)
        assert threading.active_count() == before


# --- names


def test_names(tmp_path: Path) -> None:
    mine = Memory()
    assert [t.name for t in trackers("tensorboard", tmp_path)] == ["tensorboard"]
    assert trackers([mine], None) == trackers(mine, None) == [mine]
    assert trackers("", tmp_path) == trackers((), None) == []
    assert [t.name for t in trackers(["tensorboard", mine], tmp_path)] == ["tensorboard", "memory"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("tensorbord", "unknown tracker 'tensorbord'; did you mean 'tensorboard'"),
        ("tensorboard, tensorboard", "named twice"),
        ("mlflow", "known: tensorboard, trackio, wandb"),
    ],
)
def test_wrong_names(given: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        trackers(given, tmp_path)


@pytest.mark.parametrize("wrong", [print, Memory, 3, None], ids=["function", "class", "number", "nothing"])
def test_what_is_no_tracker(wrong: Any) -> None:
    with pytest.raises(ConfigError, match="a tracker has a name and the methods start, log and finish"):
        trackers([wrong], None)


def test_a_missing_package_is_told_with_its_cure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("swingup.tracking.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'swingup\[wandb\]'"):
        trackers("wandb", tmp_path)
    with pytest.raises(ConfigError, match="pass out="):
        trackers("tensorboard", None)
