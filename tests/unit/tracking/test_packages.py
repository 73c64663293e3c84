"""Weights & Biases and Trackio are tried where they are installed; stand-ins hold us to what we use of them."""

import sys
import threading
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from swingup.tracking import About, trackers
from swingup.tracking.points import Point
from swingup.tracking.trackio_runs import Aside

POINTS = [Point(10 * i, i, i / 2, {"ep/return": float(i), "global_step": 10 * i}) for i in (1, 2, 3)]
PAST = (Point(5, 0, 0.1, {"ep/return": 0.0}),)


def send(name: str, folder: Path, past: tuple[Point, ...] = (), monkeypatch: Any = None) -> None:
    if monkeypatch:
        monkeypatch.setattr("swingup.tracking.find_spec", lambda name: object())
    (tracker,) = trackers(name, folder)
    tracker.start(About("run-7", folder, {"algo": {"name": "ppo", "lr": 1e-3}, "seeds": [0, 1]}, 0.0, past))
    for point in POINTS:
        tracker.log(point)
    tracker.finish()


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Stand-ins of both packages: they take what the real ones' signatures take, and write down what they are told."""
    calls: list[Any] = []

    def init(project, name=None, id=None, dir=None, config=None, mode=None, resume=None, settings=None):
        calls.append(("init", project, name, id, dir, mode, resume, settings))
        log = lambda data, step=None: calls.append((step, data))  # noqa: E731
        return SimpleNamespace(log=log, finish=lambda: calls.append("finish"))

    wandb = ModuleType("wandb")
    vars(wandb).update(init=init, Settings=lambda silent, console: (silent, console))

    def begin(project, name=None, config=None, resume="never", embed=True):
        print("* Trackio project initialized")
        calls.append(("init", project, name, resume, embed))

    trackio = ModuleType("trackio")
    vars(trackio).update(
        init=begin,
        log=lambda metrics, step=None: calls.append((step, metrics)),
        finish=lambda: calls.append("finish"),
    )
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    monkeypatch.setitem(sys.modules, "trackio", trackio)
    for variable in ("WANDB_MODE", "WANDB_PROJECT", "TRACKIO_PROJECT"):
        monkeypatch.delenv(variable, raising=False)
    return calls


def test_wandb_is_offline_unless_its_variable_says_otherwise(
    calls: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    send("wandb", tmp_path, monkeypatch=monkeypatch)
    what, project, name, first, place, mode, resume, settings = calls[0]
    assert (what, project, name, mode, resume) == ("init", "swingup", "run-7", "offline", None)
    assert place == str(tmp_path)
    assert settings == (True, "off")  # it prints nothing, and leaves stdout alone
    assert calls[1:] == [*((p.env_steps, p.values) for p in POINTS), "finish"]
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    calls.clear()
    send("wandb", tmp_path, PAST, monkeypatch)
    assert calls[0][1:7] == ("mine", "run-7", first, place, "online", "allow")
    assert [c[0] for c in calls[1:-1]] == [10, 20, 30]  # not the past
    calls.clear()
    send("wandb", tmp_path / "other", monkeypatch=monkeypatch)
    assert calls[0][3] != first  # a run of the same name elsewhere is another one


def test_trackio_prints_nothing_to_stdout(
    calls: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    send("trackio", tmp_path, monkeypatch=monkeypatch)
    assert calls[0] == ("init", "swingup", "run-7", "never", False)
    assert calls[1:] == [*((p.env_steps, p.values) for p in POINTS), "finish"]
    out, err = capsys.readouterr()
    assert out == ""
    assert "Trackio" in err
    calls.clear()
    send("trackio", tmp_path, PAST, monkeypatch)
    assert calls[0][3] == "allow"


def test_other_threads_write_where_they_wrote(capsys: pytest.CaptureFixture[str]) -> None:
    aside = Aside(sys.stdout)
    thread = threading.Thread(target=lambda: aside.write("theirs"))
    thread.start()
    thread.join()
    aside.write("ours")
    out, err = capsys.readouterr()
    assert (out, err) == ("theirs", "ours")


# --- the packages themselves; their own warnings are not ours


@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(find_spec("wandb") is None, reason="W&B is not installed: pip install 'swingup[wandb]'")
def test_wandb_itself_writes_an_offline_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    send("wandb", tmp_path)
    (file,) = (tmp_path / "wandb").glob("offline-run-*/*.wandb")
    assert b"ep/return" in file.read_bytes()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(
    find_spec("trackio") is None, reason="Trackio is not installed: pip install 'swingup[trackio]'"
)
def test_trackio_itself_keeps_the_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    send("trackio", tmp_path)
    from trackio.sqlite_storage import SQLiteStorage  # pyright: ignore[reportMissingImports]

    logs = SQLiteStorage.get_logs("swingup", "run-7")
    assert [(x["step"], x["ep/return"]) for x in logs] == [(10, 1.0), (20, 2.0), (30, 3.0)]
