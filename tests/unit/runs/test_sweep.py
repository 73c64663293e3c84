"""A sweep knows what is missing, ends where it is stopped, and takes no other grid for its own. Nothing is trained."""

import json
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from conftest import command, small
from swingup.errors import ConfigError
from swingup.runs import jobs, pool, session, sweep
from swingup.runs.grid import Grid
from swingup.runs.outcome import Outcome
from swingup.runs.sweep import Sweep

ENV = "tabular:Grid"
FIVE: dict[str, Any] = {"lr": [0.1, 0.2, 0.3, 0.4, 0.5]}  # with two seeds each: two blocks on one device


def opened(path: Path, **changes: Any) -> Sweep:
    how: dict[str, Any] = {"vary": FIVE, "env_steps": 640, "seeds": 2, "episodes": 2} | changes
    return sweep.opened(Grid(small("q_learning"), ENV, **how), path, devices=1)


@pytest.mark.parametrize(
    "changes",
    [
        {"seeds": 3},
        {"seeds": (1, 2)},
        {"episodes": 3},
        {"env_steps": 320},
        {"eval_interval": 2},
        {"log_interval": 3},
    ],
    ids=["more seeds", "other seeds", "episodes", "budget", "evaluations", "log"],
)
def test_the_directory_of_another_grid_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    """Results there are of other runs, whatever the two have in common."""
    there = opened(tmp_path)
    assert opened(tmp_path).plan == there.plan
    with pytest.raises(ConfigError, match=f"holds another grid .*{next(iter(changes))} is"):
        opened(tmp_path, **changes)


def test_a_block_is_missing_until_each_of_its_runs_has_a_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then its own directory stays, from which it goes on."""
    there = opened(tmp_path, vary={"lr": [0.1, 0.2, 0.3]})
    assert len(there.plan.parts) == 1
    todo = list(there.paths)

    def execute(*_: Any, **__: Any) -> list[Any]:
        (todo.pop() / "result.json").write_text("{}")
        return []

    monkeypatch.setattr(session, "execute", execute)
    while todo:
        assert there.missing == [0]
        jobs.work(**there.job(0))
        assert there.home(0).exists() == bool(todo)
    assert not there.missing


def test_a_signal_ends_the_grid_and_not_one_block_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, begun = opened(tmp_path), []
    assert len(there.plan.parts) == 2

    def work(home: Path, **_: Any) -> list[Any]:
        begun.append(home)
        return [SimpleNamespace(path=None, outcome=Outcome("stopped", 32, 32, signum=signal.SIGTERM))]

    monkeypatch.setattr(jobs, "work", work)
    assert sweep.finish(there) == signal.SIGTERM
    assert begun == [there.home(0)]


def test_every_option_of_the_command_reaches_each_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Through the file from which blocks are trained."""
    monkeypatch.setattr(sweep, "finish", lambda *_, **__: signal.SIGINT)
    given = {
        "env_steps": 960,
        "episodes": 3,
        "log_interval": 2,
        "checkpoint_interval": 4,
        "eval_interval": 5,
        "eval_limit": 50,
    }
    flags = [word for name, x in given.items() for word in (f"--{name.replace('_', '-')}", x)]
    args = ["grid", "q_learning", ENV, "--lr", 0.1, 0.2, "--gamma", 0.9, *flags, "--seed", 7, "--seeds", 2]
    assert command(capsys, *args, "--out", tmp_path / "grid")[0] == 128 + signal.SIGINT
    experiments = sweep.read(tmp_path / "grid").experiments
    assert [e.algo.lr for e in experiments] == [0.1, 0.2]
    for e in experiments:
        assert {name: vars(e)[name] for name in given} == given
        assert (e.seeds, e.algo.gamma) == ((7, 8), 0.9)
    assert json.loads((tmp_path / "grid" / "grid.json").read_text())["command"].startswith("swingup grid")


@pytest.mark.parametrize(
    ("codes", "starts", "ended"),
    [([0], 1, 0), ([1], 1, 1), ([-9, -11, 0], 3, 0), ([-9] * 9, pool.TRIES, -9)],
    ids=["finished", "failed", "killed twice", "killed each time"],
)
def test_a_job_that_was_killed_is_started_again_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codes: list[int], starts: int, ended: int
) -> None:
    left = iter(codes)
    monkeypatch.setattr(pool._Pool, "once", lambda *_: next(left))
    assert pool._Pool().attempt(tmp_path / "000", "{}") == ended
    assert len(list(left)) == len(codes) - starts
