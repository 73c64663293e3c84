"""An outcome says as data what the error said in words, and the file says the same."""

import json
import signal
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import swingup
from conftest import small
from swingup.errors import ConfigError
from swingup.runs import outcome, session
from swingup.runs.block import Block
from swingup.runs.experiment import Experiment, prepare
from swingup.runs.outcome import Outcome
from swingup.runs.session import Broken, Trained
from swingup.training.callbacks import StopOnSignal


class Robot(gymnasium.Env):
    """Episodes of five env steps; at its `last` env step it gives NaN, or breaks."""

    observation_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)
    last, breaks = 10**9, False

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.t, self.last = self.t + 1, self.last - 1
        if self.last < 0 and self.breaks:
            raise RuntimeError("a broken wheel")
        obs = np.full(1, np.nan if self.last < 0 else 0, np.float32)
        return obs, float(action), False, self.t >= 5, {}


class Diverging(Robot):
    last = 40  # of each environment; an iteration has 16 of each, so the third one meets it


class Breaking(Diverging):
    breaks = True


def trained(env: Any, path: Path | None = None, **how: Any) -> Trained | Broken:
    e = Experiment(small("ppo"), env, 256, (3, 5), episodes=2, checkpoint_interval=1, **how)
    path = None if path is None else prepare(path)
    (ended,) = session.execute(Block((e,)), [path], path)
    return ended


def test_finished(tmp_path: Path) -> None:
    ended = trained(Robot, tmp_path / "run")
    assert isinstance(ended, Trained)
    assert ended.outcome == Outcome("finished", 256, 256)
    assert (
        outcome.read(tmp_path / "run") == ended.outcome == swingup.load(tmp_path / "run", env=Robot).outcome
    )


def test_diverged_says_which_seed_when_and_where(tmp_path: Path) -> None:
    """Both seeds meet it in the same iteration, so it is the first one's; nothing is lost that was saved."""
    ended = trained(Diverging, tmp_path / "run")
    assert isinstance(ended, Broken)
    about = {"seed": 3, "metric": "nonfinite/obs", "reason": str(ended.error)}
    assert ended.outcome == Outcome("diverged", 192, 128, **about)
    assert outcome.read(tmp_path / "run") == ended.outcome
    loaded = swingup.load(tmp_path / "run", env=Diverging)
    assert (loaded.iteration, loaded.outcome) == (2, ended.outcome)


def test_failed_says_what_was_trained_and_saved(tmp_path: Path) -> None:
    ended = trained(Breaking, tmp_path / "run")
    assert isinstance(ended, Broken)
    assert ended.outcome[:3] == ("failed", 128, 128)
    assert "a broken wheel" in ended.outcome.reason


def test_in_memory_nothing_is_saved() -> None:
    assert trained(Breaking).outcome[:3] == ("failed", 128, None)


def test_stopped_then_finished(tmp_path: Path) -> None:
    """A resume forgets how the session before it ended, and writes how its own did."""

    def call(stop: StopOnSignal, p: Any) -> None:
        if p.iteration == 2:
            stop.signum = signal.SIGTERM
        original(stop, p)

    original = StopOnSignal.__call__
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StopOnSignal, "__call__", call)
        ended = trained("CartPole-v1", tmp_path / "run")
    assert ended.outcome[:3] == ("stopped", 128, 128)
    assert json.loads((tmp_path / "run" / "outcome.json").read_text())["signum"] == signal.SIGTERM
    assert swingup.runs.resume(tmp_path / "run").outcome == Outcome("finished", 256, 256)


def test_a_run_that_is_underway_or_was_killed_has_no_outcome(tmp_path: Path) -> None:
    trained(Robot, tmp_path / "run")
    outcome.forget(tmp_path / "run")
    assert swingup.load(tmp_path / "run", env=Robot).outcome is None


@pytest.mark.parametrize(
    "ended",
    [
        Outcome("finished", 256, 256, diverged=(3, 5)),
        Outcome("diverged", 192, 128, "NaN", seed=3, metric="loss/value", diverged=(3,)),
        Outcome("stopped", 128, 128, signum=15),
        Outcome("failed", 64, None, "a broken wheel", code="step-raises"),
    ],
    ids=lambda ended: ended.kind,
)
def test_what_is_written_is_read(tmp_path: Path, ended: Outcome) -> None:
    outcome.write(ended, tmp_path)
    assert outcome.read(tmp_path) == ended


@pytest.mark.parametrize("text", ["[]", "{}", '{"kind": "finished"}', "{"])
def test_a_damaged_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "outcome.json").write_text(text)
    with pytest.raises(ConfigError, match=r"outcome\.json"):
        outcome.read(tmp_path)
