"""Runs are stopped from outside by kill -9, Ctrl-C or SIGTERM; each resumes to the bits of one that was not."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_cli import assert_same_metrics

from swingup.runs import checkpoint

CASES = {
    "CartPole-v1": ["--env-steps", "153600", "--seeds", "2", "--checkpoint-interval", "5", "--epochs", "4"],
    "Breakout-MinAtar": ["--env-steps", "40960", "--num-envs", "16", "--num-steps", "32", "--hidden", "32"]
    + ["--checkpoint-interval", "2", "--epochs", "2"],
}
# Programs are compiled as users compile them, not as `make test` does.
AS_USERS = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
COMMON = ["--num-minibatches", "4", "--normalise-obs", "--log-interval", "4", "--episodes", "10"]


def start(env: str, out: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "swingup", "train", "ppo", env, "--out", str(out), *CASES[env], *COMMON]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=AS_USERS
    )


def wait_for_checkpoint(process: subprocess.Popen[str], out: Path) -> None:
    for _ in range(24_000):
        if checkpoint.latest(out / "checkpoints") is not None:
            return
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.005)
    pytest.fail("no checkpoint in two minutes")


@pytest.fixture(scope="module")
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """An environment, and a run on it that nobody stopped."""
    out = tmp_path_factory.mktemp("whole") / "run"
    process = start(request.param, out)
    text, _ = process.communicate(timeout=250)
    assert process.returncode == 0, text
    return request.param, out


@pytest.mark.slow  # the fast tests have test_resume_is_exact, and Ctrl-C in test_life.py
@pytest.mark.parametrize(
    ("whole", "how"),  # Ctrl-C and SIGTERM are caught by the same code whatever the environment
    [("Breakout-MinAtar", signal.SIGKILL)]
    + [("CartPole-v1", how) for how in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)],
    indirect=["whole"],
)
def test_stopped_run_resumes_to_the_same_bits(
    whole: tuple[str, Path], tmp_path: Path, how: signal.Signals
) -> None:
    """Digest, metrics and result equal those of the run that nobody stopped, at a random moment of the stop."""
    env, reference = whole
    out = tmp_path / "run"
    process = start(env, out)
    wait_for_checkpoint(process, out)
    time.sleep(random.uniform(0, 0.3))
    process.send_signal(how)
    text, _ = process.communicate(timeout=60)
    if how is signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
    else:
        assert process.returncode == 128 + how, text
        assert f"swingup resume {out}" in text
    command = [sys.executable, "-m", "swingup", "resume", str(out)]
    resumed = subprocess.run(command, capture_output=True, text=True, timeout=250, env=AS_USERS)
    assert resumed.returncode == 0, resumed.stderr
    assert checkpoint.digest(out / "checkpoints") == checkpoint.digest(reference / "checkpoints")
    assert_same_metrics(out, reference)
