"""A grid is trained from the shell and read through its files: one compilation, a kill, a repeat, what diverges.

The fast tests use a table, which compiles in a second; networks, a replay, environments on the host, processes and
SIGKILL are slow.
"""

import json
import logging
import os
import random
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from test_cli import assert_same_metrics

import swingup
from conftest import Compiled, command
from swingup import cli
from swingup.algos.q_learning import QLearning
from swingup.runs import checkpoint, forecast, outcome, plan, sweep
from swingup.runs.record import Record

TABLE = ["grid", "q_learning", "tabular:Grid", "--num-envs", "2", "--num-steps", "4", "--env-steps", "160"]
TABLE += ["--seeds", "2", "--episodes", "3", "--eval-limit", "50", "--checkpoint-interval", "5"]
GOOD = [
    "--lr",
    "0.1",
    "0.2",
    "0.3",
    "--epsilon-end",
    "0.05",
    "0.1",
]  # 6 settings of 2 seeds: two blocks of 6 rows
QUIET = pytest.mark.filterwarnings(
    "ignore:.*no finite ep/return", "ignore::swingup.runs.evaluation.EvaluationWarning"
)


def digests(path: Path) -> dict[str, str]:
    """The digest of each setting's checkpoint."""
    return {name: checkpoint.digest(path / name / "checkpoints") for name in sweep.read(path).names}


def results(path: Path) -> list[Any]:
    return [json.loads((run / "result.json").read_text())["final_return"] for run in sweep.read(path).paths]


@pytest.fixture(scope="module")
def diverging() -> Iterator[None]:
    """A learning rate of 1 makes a table NaN in its third iteration."""
    target = QLearning.target

    def poisoned(self: QLearning, q: Any, t: Any) -> Any:
        bad = jnp.where(self.lr == 1.0, jnp.nan, 0.0)
        return target(self, q, t) + bad

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(QLearning, "target", poisoned)
        patch.setattr(plan, "most_rows", lambda e, devices: 8)  # whatever cores this machine has
        yield


@pytest.fixture(scope="module")
def compiled() -> Compiled:
    return Compiled()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, diverging: None, compiled: Compiled) -> Path:
    """A grid that nobody stopped, and none of whose settings diverges."""
    path = tmp_path_factory.mktemp("whole") / "grid"
    jax.config.update("jax_disable_most_optimizations", True)  # as for the tests that compare with it
    log = logging.getLogger("jax")
    log.addHandler(compiled)
    quiet = warnings.catch_warnings(action="ignore")  # whichever test comes first
    with quiet, jax.log_compiles(), pytest.raises(SystemExit) as exit_:
        cli.main([*TABLE, *GOOD, "--out", str(path)])
    log.removeHandler(compiled)
    assert not exit_.value.code
    return path


@QUIET
def test_a_grid_is_runs_and_a_table(whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Commands take the run of a setting; `evaluate`, `play` and `resume` do so in the slow tests."""
    there = sweep.read(whole)
    assert len(there.plan.parts) == 2
    assert not there.missing
    assert not (whole / "blocks").exists()
    assert len((whole / "table.csv").read_text().splitlines()) == 7
    assert [ended and ended.kind for ended in there.outcomes] == ["finished"] * 6
    run = there.paths[3]
    loaded = swingup.load(run)
    assert loaded.final_return.shape == (2,)
    assert loaded.experiment.algo.lr == there.varied[3]["lr"]
    assert {row["seed"] for row in loaded.rows} == {0, 1}
    assert (
        command(capsys, "plot", *there.paths[:2], "--out", tmp_path / "two.png", "--metric", "ep/count")[0]
        == 0
    )
    assert command(capsys, "digest", run)[1].strip() == digests(whole)[run.name]


@QUIET
def test_blocks_of_one_structure_share_one_program(whole: Path, compiled: Compiled) -> None:
    """Two blocks compile one chunk of training: the second has as many rows, and other floats."""
    assert len(sweep.read(whole).plan.parts) == 2
    assert compiled.count("_device_chunk") == 1, compiled.names
    assert not compiled.count("_on"), "another thread has compiled the evaluations"


def test_a_dry_run_says_what_it_would_take_and_writes_nothing(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forecast, "SECONDS", 0.0)
    monkeypatch.chdir(tmp_path)
    code, out, err = command(capsys, *TABLE, *GOOD, "--dry-run")
    assert code == 0, err
    assert "6, 12 runs with their seeds, 160 env steps each" in out
    assert "1 to compile; 2 blocks of 6 rows" in out
    assert "MiB for the largest block" in out
    assert "of training and" in out
    assert not list(tmp_path.iterdir())


@QUIET
def test_a_setting_that_diverges_leaves_the_others_as_they_are(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its seeds are marked, in the table and in the files; the bits of all others are those of a grid without it."""
    path = tmp_path / "grid"
    flags = [x.replace("0.2", "1.0") for x in GOOD]
    code, _, err = command(capsys, *TABLE, *flags, "--out", path)
    assert code == 0, err
    ours, theirs = list(digests(path).values()), list(digests(whole).values())
    assert [a == b for a, b in zip(ours, theirs, strict=True)] == [True, True, False, False, True, True]
    assert results(path)[2:4] == [[None, None]] * 2
    assert results(path)[4:] == results(whole)[4:]
    kinds = [outcome.read(run) for run in sweep.read(path).paths]
    assert [ended and ended.kind for ended in kinds] == [
        *["finished"] * 2,
        *["diverged"] * 2,
        *["finished"] * 2,
    ]
    assert kinds[2] is not None
    assert kinds[2].diverged == (0, 1)
    assert "(seed 0)" in kinds[2].reason
    rows = (path / "table.csv").read_text().splitlines()
    assert [row.split(",")[8] for row in rows[1:]] == ["0", "0", "0", "0", "2", "2"]
    dead = sweep.read(path).paths[2]
    assert "has diverged" in command(capsys, "evaluate", dead, "--episodes", 2)[1]
    assert command(capsys, "resume", dead, "--env-steps", 200)[0] == 2


@QUIET
def test_ended_at_any_checkpoint_and_run_again_it_has_the_same_bits(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The process dies after its k-th checkpoint, or before anything is saved; the same command goes on."""
    saved, path = Record.save, tmp_path / "grid"
    left = 0

    def save(record: Record, p: Any) -> None:
        nonlocal left
        if left == 0:
            raise KeyboardInterrupt
        saved(record, p)
        left -= 1

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Record, "save", save)
        for left in (0, 2, 1, 3):  # noqa: B007  `save` counts it down
            assert command(capsys, *TABLE, *GOOD, "--out", path)[0] == 130
    code, _, err = command(capsys, "resume", path)
    assert code == 0, err
    assert digests(path) == digests(whole)
    assert results(path) == results(whole)
    for a, b in zip(sweep.read(path).paths, sweep.read(whole).paths, strict=True):
        assert_same_metrics(a, b)


@QUIET
def test_a_repeat_does_nothing_and_another_grid_is_refused(
    whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("tensors.safetensors")}
    code, out, err = command(capsys, *TABLE, *GOOD, "--out", whole)
    assert code == 0, err
    assert "none missing" in out
    assert before == {path: path.stat().st_mtime_ns for path in whole.rglob("tensors.safetensors")}
    code, out, err = command(capsys, *TABLE, "--lr", 0.1, 0.2, "--out", whole)
    assert code == 2
    assert "lr is 0.1 0.2 0.3 there and 0.1 0.2 here" in err
    assert f"swingup resume {whole}" in err


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["grid", "poo", "CartPole-v1", "--lr", "1", "2"], "did you mean 'ppo'"),
        (["grid", "ppo", "--lr", "1", "2"], "the environment stands behind the algorithm"),
        (["grid", "ppo", "CartPole-v1", "--lr", "1e-3"], "a grid needs several values"),
        (["grid", "ppo", "CartPole-v1", "Acrobot-v1", "--lr", "1", "2"], "'Acrobot-v1' is no flag"),
        (["grid", "ppo", "CartPole-v1", "--hidden", "64", "64"], "one network of two layers is 64,64"),
        (["grid", "ppo", "CartPole-v1", "--lr", "1", "--lr", "2"], "--lr stands twice"),
        (["grid", "ppo", "CartPole-v1", "--clip-value", "yes", "False"], "--clip-value is True or False"),
        (["grid", "ppo", "CartPole-v1", "--lr", "1", "2", "--seeds", "0"], "--seeds must be at least 1"),
    ],
    ids=["algorithm", "order", "single", "two environments", "widths", "twice", "truth", "seeds"],
)
def test_refused(args: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = command(capsys, *args)
    assert code == 2
    assert says in err


def test_values_of_each_kind_are_read() -> None:
    """As `swingup train` reads them: widths with commas, truths, texts, numbers that are negative or left out."""
    from swingup.cli.grid import read_flags

    words = "--hidden 64,64 32 --clip-value True False --activation tanh relu --log-std-init -1 0 --target-kl None 0.01"
    options, fixed, vary = read_flags(
        "ppo", swingup.PPO(), [*words.split(), "--lr", "0.5", "--normalise-obs", "--seeds", "3"]
    )
    assert vary == {
        "hidden": [(64, 64), (32,)],
        "clip_value": [True, False],
        "activation": ["tanh", "relu"],
        "log_std_init": [-1.0, 0.0],
        "target_kl": [None, 0.01],
    }
    assert (fixed.lr, fixed.normalise_obs, options.seeds) == (0.5, True, 3)


# --- slow -------------------------------------------------------------------------------------------------------------

PPO = [
    "grid",
    "ppo",
    "CartPole-v1",
    "--num-envs",
    "4",
    "--num-steps",
    "16",
    "--num-minibatches",
    "2",
    "--epochs",
    "2",
]
PPO += [
    "--hidden",
    "16,16",
    "--env-steps",
    "6400",
    "--seeds",
    "2",
    "--episodes",
    "3",
    "--lr",
    "1e-3",
    "1e30",
    "3e-4",
]
AS_USERS = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}


def start(args: list[str], out: Path) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "swingup", *args, "--out", str(out)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=AS_USERS)


@pytest.mark.slow
def test_sigkill_at_random_moments(tmp_path: Path) -> None:
    """Three kills of a grid of networks, one of whose settings diverges: the digests are those of one without."""
    process = start(PPO, tmp_path / "whole")
    text, _ = process.communicate(timeout=600)
    assert process.returncode == 0, text
    assert "diverged" in text
    for _ in range(3):
        process = start(PPO, tmp_path / "killed")
        while not (tmp_path / "killed" / "grid.json").exists():
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.05)
        time.sleep(random.uniform(0, 8))
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
    process = start(PPO, tmp_path / "killed")
    text, _ = process.communicate(timeout=600)
    assert process.returncode == 0, text
    assert digests(tmp_path / "killed") == digests(tmp_path / "whole")
    assert results(tmp_path / "killed") == results(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("processes", ["0", "2"])
def test_environments_on_the_host_and_processes(tmp_path: Path, processes: str) -> None:
    """Two structures of a table that Gymnasium steps; each job is a process, or none is."""
    words = [
        "grid",
        "q_learning",
        "gymnasium:FrozenLake-v1",
        "--env-steps",
        "64",
        "--num-steps",
        "2",
        "4",
        "--seeds",
        "2",
    ]
    process = start(
        [*words, "--episodes", "2", "--eval-limit", "50", "--processes", processes], tmp_path / "grid"
    )
    text, _ = process.communicate(timeout=600)
    assert process.returncode == 0, text
    assert len((tmp_path / "grid" / "table.csv").read_text().splitlines()) == 3
    assert (tmp_path / "grid" / "jobs").exists() == (processes == "2")


@pytest.mark.parametrize(
    "words", [("evaluate",), ("play", "--out", "a.gif"), ("digest",), ("track", "--to", "tensorboard")]
)
def test_what_takes_one_run_names_those_of_a_grid(whole: Path, capsys: Any, words: tuple[str, ...]) -> None:
    code, _, err = command(capsys, words[0], whole, *words[1:])
    assert code == 2
    assert f"{whole} is a grid: name a run in it, such as {sweep.read(whole).paths[0]}" in err


@pytest.mark.parametrize(
    "option", [("--env-steps", "99"), ("--track", "tensorboard"), ("--play",), ("--json",)]
)
def test_a_grid_takes_none_of_the_options_of_a_run(whole: Path, capsys: Any, option: tuple[str, ...]) -> None:
    """They would be ignored in silence."""
    code, _, err = command(capsys, "resume", whole, *option)
    assert code == 2
    assert "it takes no options here" in err


@pytest.mark.slow
@QUIET
def test_a_replay_and_what_is_static(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "grid",
        "dqn",
        "CartPole-v1",
        "--num-envs",
        "2",
        "--num-steps",
        "4",
        "--replay-ratio",
        "0.25",
        "0.5",
    ]
    words += [
        "--batch-size",
        "8",
        "--replay-size",
        "64",
        "--warmup",
        "16",
        "--hidden",
        "8",
        "--lr",
        "1e-3",
        "1e-4",
    ]
    code, out, err = command(capsys, *words, "--env-steps", 96, "--episodes", 2, "--out", tmp_path / "grid")
    assert code == 0, err
    assert "2 to compile; 2 blocks" in out
    run = sweep.read(tmp_path / "grid").paths[3]
    stored = json.loads((run / "result.json").read_text())["final_return"]
    code, out, err = command(capsys, "evaluate", run, "--episodes", 2, "--json")
    assert code == 0, err
    assert json.loads(out.splitlines()[-1])["final_return"] == stored
    assert command(capsys, "play", run, "--out", tmp_path / "agent.gif")[0] == 0
    assert command(capsys, "resume", run, "--env-steps", 128)[0] == 0
    assert swingup.load(run).iteration == 14  # of 8 env steps, after the warm-up's 16
