"""`swingup track` and `--track` as a user meets them."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from conftest import command, small
from swingup.runs.experiment import Experiment, write_config
from swingup.runs.log import to_csv
from swingup.tracking.tensorboard import OURS

HANGING = """
import atexit, time
class Settings:
    def __init__(self, **how): pass
def init(**how):
    print("on stdout", flush=True)
    time.sleep(3600)
atexit.register(time.sleep, 3600)
"""


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run directory of two seeds and three log points, which nobody trained."""
    path = tmp_path / "run"
    path.mkdir()
    write_config(Experiment(small("ppo"), "CartPole-v1", 192, (3, 4)), path, new=True)
    rows = [
        {
            "seed": s,
            "iteration": i,
            "env_steps": 64 * i,
            "seconds": i / 2,
            "ep/return": math.nan if i == 1 else s + i,
        }
        for i in (1, 2, 3)
        for s in (3, 4)
    ]
    (path / "metrics.csv").write_text(to_csv(rows, header=True))
    return path


def test_a_run_is_sent_again(capsys: pytest.CaptureFixture[str], run: Path) -> None:
    """Twice makes one file, and the run's own files stay as they are."""
    before = {p.name: p.read_bytes() for p in run.iterdir()}
    for _ in range(2):
        code, out, err = command(capsys, "track", run, "--to", "tensorboard")
        assert (code, err) == (0, "")
        assert out == f"sent 3 points of {run} to tensorboard\n"
    (file,) = run.glob(OURS)
    data = file.read_bytes()
    assert data.count(b"ep/return/seed_4") == data.count(b"charts/episodic_return") == 2
    assert {p.name: p.read_bytes() for p in run.iterdir() if p != file} == before


def test_what_cannot_be_sent_is_told(capsys: pytest.CaptureFixture[str], run: Path, tmp_path: Path) -> None:
    def told(*args: object) -> tuple[int, str]:
        code, out, err = command(capsys, "track", *args)
        assert out == ""
        return code, err

    code, err = told(run, "--to", "tensorbaord")
    assert (code, "unknown tracker 'tensorbaord'; did you mean 'tensorboard'" in err) == (2, True)
    assert told(run, "--to", ",") == (2, "error: --to is empty: name a tracker such as tensorboard\n")
    code, err = told(tmp_path, "--to", "tensorboard")
    assert (code, "is not a run directory" in err) == (2, True)
    (run / "metrics.csv").write_text("seed,iteration,env_steps,seconds\n1,x,2,3\n")
    code, err = told(run, "--to", "tensorboard")
    assert (code, "metrics.csv is damaged" in err) == (2, True)
    (run / "metrics.csv").write_text("seed,iteration,env_steps,seconds\n")
    code, err = told(run, "--to", "tensorboard")
    assert (code, "has no rows in metrics.csv yet" in err) == (2, True)
    (run / "metrics.csv").unlink()
    assert told(run, "--to", "tensorboard")[0] == 2
    assert not list(run.glob(OURS))


def test_a_tracker_that_fails_is_an_error_here(
    capsys: pytest.CaptureFixture[str], run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wandb = ModuleType("wandb")

    def init(**how: object) -> None:
        raise ConnectionError("no route to it")

    vars(wandb).update(init=init, Settings=dict)
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    monkeypatch.setattr("swingup.tracking.find_spec", lambda name: object())
    code, _, err = command(capsys, "track", run, "--to", "wandb")
    assert (code, err) == (1, "error: the tracker wandb has failed: ConnectionError: no route to it\n")


def test_a_wrong_name_is_told_before_anything_is_done(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "r"
    for args in (["train", "ppo", "CartPole-v1", "--out", out], ["resume", out]):
        code, _, err = command(capsys, *args, "--track", "tensorboard,mlflow")
        assert code == 2
        assert "mlflow" in err or "config.json" in err
    assert not out.exists()


@pytest.mark.slow
def test_the_command_ends_though_a_package_hangs(tmp_path: Path) -> None:
    """The package never answers, and waits for ever at the interpreter's exit too; the JSON is stdout's last line."""
    (tmp_path / "wandb.py").write_text(HANGING)
    path = os.pathsep.join([str(tmp_path), *sys.path])
    tiny = ["--num-envs", "4", "--num-steps", "16", "--epochs", "1", "--hidden", "8", "--episodes", "2"]
    args = [
        "train",
        "ppo",
        "CartPole-v1",
        "--env-steps",
        "640",
        "--out",
        str(tmp_path / "r"),
        *tiny,
        "--json",
    ]
    line = [sys.executable, "-m", "swingup", *args, "--track", "tensorboard,wandb"]
    done = subprocess.run(
        line, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == json.loads(
        (tmp_path / "r" / "result.json").read_text()
    )
    assert "warning: the tracker wandb does not answer: 10 of 10 points were not sent" in done.stderr
    assert f"swingup track {tmp_path / 'r'} --to wandb" in done.stderr
    (file,) = (tmp_path / "r").glob(OURS)
    assert file.read_bytes().count(b"\x0a\x0bglobal_step") == 10
