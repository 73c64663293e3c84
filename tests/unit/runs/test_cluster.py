"""It is tested what the engine asks of Ray, and what it makes of what comes back. Ray itself is in the slow test."""

import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from swingup import cli
from swingup.errors import ConfigError
from swingup.runs import cluster
from swingup.runs.cluster import Cluster

TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "secret"}
GRID = (
    "grid",
    "q_learning",
    "tabular:Grid",
    "--lr",
    "0.1",
    "0.2",
    "--env-steps",
    "512",
    "--episodes",
    "2",
)  # some episodes end, whatever the seed


@pytest.fixture(autouse=True)
def _no_tokens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.mark.parametrize(
    "address", [None, "auto", "127.0.0.1:6379", "localhost:6379", "[::1]:6379", "ray://127.0.0.1:1"]
)
def test_this_machine_needs_no_token(address: str | None) -> None:
    cluster.checked(Cluster(address))


@pytest.mark.parametrize(
    "address", ["10.0.0.1:6379", "head:6379", "head", "ray://head:10001", "[2001:db8::1]:6379"]
)
def test_beyond_it_a_token_is_needed(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="needs a token"):
        cluster.checked(Cluster(address))
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    with pytest.raises(ConfigError, match="needs a token"):
        cluster.checked(Cluster(address))
    monkeypatch.setenv("RAY_AUTH_TOKEN", "secret")
    cluster.checked(Cluster(address))


class Reference:
    """What a task brings, or dies of."""

    def __init__(self, value: Any, death: Exception | None):
        self.value, self.death = value, death


class Ray(ModuleType):
    """A module with the part of Ray's interface that is used; its tasks run at once, or die as the test says."""

    def __init__(self, deaths: dict[int, Exception]):
        super().__init__("ray")
        self.asked: list[tuple[str, Any]] = []
        self.deaths, self.count = deaths, 0
        self.exceptions = SimpleNamespace(RayTaskError=type("RayTaskError", (Exception,), {"cause": None}))

    def init(self, **how: Any) -> None:
        print("a line of Ray's on stdout")
        self.asked.append(("init", how))

    def shutdown(self) -> None:
        self.asked.append(("shutdown", None))

    def remote(self, **how: Any) -> Any:
        self.asked.append(("remote", how))

        def of(function: Any) -> Any:
            def call(order: Any) -> Any:
                self.count += 1
                death = self.deaths.get(self.count)
                return Reference(None if death else function(order), death)

            return SimpleNamespace(remote=call)

        return of

    def wait(self, refs: list, timeout: float) -> tuple[list, list]:
        return refs[:1], refs[1:]

    def get(self, ref: Any) -> Any:
        if ref.death:
            raise ref.death
        return ref.value


def run(monkeypatch: pytest.MonkeyPatch, capsys: Any, ray: Ray, *more: str) -> tuple[int, str, str]:
    monkeypatch.setitem(sys.modules, "ray", ray)
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        cli.main([*GRID, "--num-steps", "4", "8", "--engine", "ray", *more])
    return int(ended.value.code or 0), *capsys.readouterr()


def test_a_task_that_dies_leaves_the_others_and_is_tried_the_next_time(
    monkeypatch: pytest.MonkeyPatch, capsys: Any, tmp_path: Path
) -> None:
    """And only our lines are on stdout."""
    first = Ray({1: RuntimeError("the node died")})
    code, out, err = run(
        monkeypatch, capsys, first, "--out", str(tmp_path / "g"), "--cpus", "1", "--gpus", "0.5"
    )
    assert code == 1
    assert "block 0 failed: the node died" in out
    assert "job 2 of 2   finished" in out
    assert "a line of Ray's" not in out
    assert "a line of Ray's" in err
    assert dict(first.asked)["remote"] == {"max_calls": 1, "max_retries": 10, "num_cpus": 1, "num_gpus": 0.5}
    assert [what for what, _ in first.asked] == ["init", "remote", "shutdown"]
    second = Ray({})
    code, out, _ = run(monkeypatch, capsys, second, "--out", str(tmp_path / "g"))
    assert code == 0
    assert "1 block already; 1 missing" in out
    assert second.count == 1
    assert not (tmp_path / "g" / "attempts").exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--processes", "2"), "exclude each other"),
        (("--cpus", "0"), "a CPU or more"),
        (("--address", "head:6379"), "needs a token"),
    ],
    ids=["processes", "cpus", "address"],
)
def test_what_contradicts_itself_is_refused_before_anything_is_written(
    monkeypatch: pytest.MonkeyPatch, capsys: Any, tmp_path: Path, more: tuple[str, ...], said: str
) -> None:
    code, _, err = run(monkeypatch, capsys, Ray({}), "--out", str(tmp_path / "g"), *more)
    assert code == 2
    assert said in err
    assert not (tmp_path / "g").exists()


def test_without_ray_it_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, capsys: Any, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        cli.main([*GRID, "--engine", "ray", "--out", str(tmp_path / "g")])
    assert ended.value.code == 2
    assert "pip install 'swingup[ray]'" in capsys.readouterr().err


def test_a_silent_attempt_is_told_from_one_that_waits(tmp_path: Path) -> None:
    assert cluster.silence(tmp_path / "000", begun=0.0) == 0
    (tmp_path / "000" / "001").mkdir(parents=True)
    assert cluster.silence(tmp_path / "000", begun=0.0) < 60
    os.utime(tmp_path / "000" / "001", (1e9, 1e9))
    assert cluster.silence(tmp_path / "000", begun=1e9) > cluster.SILENT


@pytest.mark.slow
def test_ray_trains_the_grid_that_one_process_trains(tmp_path: Path, capsys: Any) -> None:
    """Real tasks in processes of their own; nothing of Ray's is left behind."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'swingup[ray]'")
    from swingup.runs import checkpoint

    for name, more in (("here", ()), ("ray", ("--engine", "ray"))):
        with pytest.raises(SystemExit) as ended:
            cli.main([*GRID, *more, "--out", str(tmp_path / name)])
        assert ended.value.code == 0, capsys.readouterr()
    for run in ("000_lr-0.1", "001_lr-0.2"):
        ours, theirs = (checkpoint.digest(tmp_path / name / run / "checkpoints") for name in ("here", "ray"))
        assert ours == theirs
