"""A run whose devices share the environments of one seed is trained, resumed, evaluated and played from the shell."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from swingup.runs.log import from_csv
from swingup.training import machine

PPO = ["ppo", "CartPole-v1", "--num-envs", "4", "--num-steps", "32", "--epochs", "2", "--hidden", "16", "16"]
COMMON = ["--env-steps", "512", "--episodes", "10"]


def shell(*arguments: object) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "swingup", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1200,
    )
    return done.returncode, done.stdout


def assert_same_rows(one: Path, other: Path) -> None:
    """Say that the metrics are equal to rounding; seconds are a clock's."""
    rows = [from_csv((path / "metrics.csv").read_text()) for path in (one, other)]
    assert len(rows[0]) == len(rows[1]) > 0
    for x, y in zip(*rows, strict=True):
        assert x.keys() == y.keys()
        for name in x.keys() - {"seconds"}:
            np.testing.assert_allclose(x[name], y[name], rtol=1e-2, atol=1e-3, err_msg=name)


@pytest.mark.slow
@pytest.mark.skipif(machine.cores() < 2, reason="the command makes one CPU device per core")
def test_a_run_on_two_devices_goes_on_is_evaluated_and_played(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    code, said = shell("train", *PPO, *COMMON, "--out", one, "--devices", 1)
    assert code == 0, said
    code, said = shell("train", *PPO, *COMMON, "--out", two, "--devices", 2)
    assert code == 0, said
    assert "2 of them share the environments" in said
    assert_same_rows(one, two)
    assert "devices" not in json.loads((two / "config.json").read_text())  # they define no run

    code, said = shell("resume", two, "--env-steps", 768, "--devices", 3)
    assert code == 2, said
    assert "devices=3" in said
    assert (two / "outcome.json").exists()  # what was refused has left the run as it was
    for path, devices in ((one, 1), (two, 2)):
        code, said = shell("resume", path, "--env-steps", 768, "--devices", devices)
        assert code == 0, said
    assert_same_rows(one, two)
    assert json.loads((two / "result.json").read_text())["env_steps"] == 768

    code, said = shell("evaluate", two, "--episodes", 10, "--json")
    assert code == 0, said
    played = json.loads(said.splitlines()[-1])["final_return"]
    assert played == json.loads((two / "result.json").read_text())["final_return"]
    code, said = shell("play", two, "--out", tmp_path / "agent.gif")
    assert code == 0, said
    assert (tmp_path / "agent.gif").stat().st_size > 0
