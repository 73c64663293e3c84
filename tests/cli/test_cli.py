"""The commands as a user meets them: outputs, files, messages, exit codes."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import swingup
from conftest import command
from swingup import cli
from swingup.algos import ALGOS
from swingup.cli.table import COMMANDS
from swingup.runs.log import from_csv
from swingup.statistics import mean_ci

TINY = ["--num-envs", "4", "--num-steps", "32", "--epochs", "2", "--hidden", "16", "16"]
TINY += ["--episodes", "100"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two seeds, 20 iterations of 128 env steps."""
    out = tmp_path_factory.mktemp("runs") / "run"
    args = ["train", "ppo", "CartPole-v1", "--env-steps", "2560", "--seeds", "2", "--seed", "3"]
    with pytest.raises(SystemExit) as exit_:
        cli.main([*args, "--out", str(out), "--json", *TINY])
    assert not exit_.value.code
    return out


def test_help_does_not_wait_for_jax() -> None:
    """`swingup --help` and an unknown command answer without importing JAX, NumPy or matplotlib."""
    code = (
        "import sys; from swingup import cli\n"
        "for args in (['--help'], ['trian']):\n"
        "    try: cli.main(args)\n"
        "    except SystemExit: pass\n"
        "print(sorted({'jax', 'numpy', 'matplotlib', 'gymnax'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "train ALGO ENV" in out.stdout
    assert out.stdout.endswith("[]\n")
    assert "did you mean 'train'" in out.stderr


def test_run_directory(run: Path) -> None:
    names = {p.name for p in run.iterdir()}
    assert {"config.json", "metrics.csv", "checkpoints", "result.json", "curve.png"} <= names
    result = json.loads((run / "result.json").read_text())
    assert result["algo"] == "ppo"
    assert result["env"] == "gymnax:CartPole-v1"
    assert result["env_steps"] == 2560
    assert result["seeds"] == [3, 4]
    for name in ("final_return", "train_return"):
        assert len(result[name]) == 2
        assert all(8 < x <= 500 for x in result[name])
    for name in ("steps_per_second", "compile_seconds", "run_seconds"):
        assert result[name] > 0
    assert result["versions"]["swingup"] == swingup.__version__


def test_metrics_have_one_row_per_seed_and_log_point(run: Path) -> None:
    rows = from_csv((run / "metrics.csv").read_text())
    assert [(r["seed"], r["iteration"]) for r in rows] == [(s, i) for i in range(1, 21) for s in (3, 4)]
    assert all(r["env_steps"] == 128 * r["iteration"] for r in rows)
    header = (run / "metrics.csv").read_text().splitlines()[0].split(",")
    assert header[:4] == ["seed", "iteration", "env_steps", "seconds"]
    assert not any(name.startswith("nonfinite") for name in header)


def test_every_option_of_a_run_reaches_its_settings(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    meant = {
        "env_steps": 300,
        "episodes": 3,
        "log_interval": 2,
        "checkpoint_interval": 4,
        "eval_interval": 3,
        "eval_limit": 499,
    }
    flags = [x for name, value in meant.items() for x in (f"--{name.replace('_', '-')}", value)]
    args = [
        "train",
        "ppo",
        "CartPole-v1",
        *TINY[:-2],
        *flags,
        "--seeds",
        "2",
        "--seed",
        "5",
        "--gamma",
        "0.5",
    ]
    assert command(capsys, *args, "--out", tmp_path / "r")[0] == 0
    config = json.loads((tmp_path / "r" / "config.json").read_text())
    assert {name: config[name] for name in meant} == meant
    assert config["seeds"] == [5, 6]
    assert config["algo"]["gamma"] == 0.5


def test_json_is_the_last_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    args = ["train", "ppo", "CartPole-v1", "--env-steps", "256", "--out", tmp_path / "r", "--json", *TINY]
    code, out, err = command(capsys, *args)
    assert code == 0
    assert json.loads(out.splitlines()[-1]) == json.loads((tmp_path / "r" / "result.json").read_text())
    assert len(out.splitlines()) == 1
    assert "swingup resume" in err  # the human part goes elsewhere


def test_header_and_report(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Device, seeds, directory, differing settings; at the end scores, interval over seeds and next commands."""
    args = ["--env-steps", "256", "--seeds", "3", "--lr", "0.002", "--out", tmp_path / "r", *TINY]
    code, out, _ = command(capsys, "train", "ppo", "CartPole-v1", *args)
    assert code == 0
    lines = out.splitlines()
    assert any(line.split() == ["seeds", "0", "to", "2"] for line in lines)
    assert any(line.startswith("device      cpu") for line in lines)
    assert f"directory   {tmp_path / 'r'}" in lines
    (changed,) = (line.split() for line in lines if "lr=0.002" in line)
    assert {"num_steps=32", "epochs=2", "hidden=[16,"} <= set(changed)
    scores = np.array(json.loads((tmp_path / "r" / "result.json").read_text())["final_return"])
    low, high = mean_ci(scores)
    assert f"mean over 3 seeds   {scores.mean():.1f}, 95 % CI [{low:.1f}, {high:.1f}]" in lines
    each = next(line for line in lines if line.startswith("final return per seed (100 greedy episodes each)"))
    assert each.split(")")[1].split() == [f"{x:.1f}" for x in scores]
    assert f"swingup play {tmp_path / 'r'}" in out
    assert "256 / 256 env steps" in out


def test_evaluate_repeats_the_stored_result(capsys: pytest.CaptureFixture[str], run: Path) -> None:
    """C22, C25: evaluation is greedy, on its own environments, and repeatable."""
    code, out, _ = command(capsys, "evaluate", run, "--json")
    assert code == 0
    stored = json.loads((run / "result.json").read_text())["final_return"]
    assert json.loads(out)["final_return"] == stored
    code, out, _ = command(capsys, "evaluate", run, "--episodes", "5")
    assert code == 0
    assert "seed    3" in out


def test_play_plot_digest_list(capsys: pytest.CaptureFixture[str], run: Path, tmp_path: Path) -> None:
    for seed in (3, 4):
        code, out, _ = command(capsys, "play", run, "--out", tmp_path / "a.gif", "--seed", seed)
        assert code == 0
        assert f"seed {seed}" in out
    assert (tmp_path / "a.gif").read_bytes()[:3] == b"GIF"
    assert command(capsys, "plot", run, "--out", tmp_path / "c.png")[0] == 0
    assert {p.suffix for p in tmp_path.iterdir()} == {".gif", ".png", ".svg", ".csv"}
    rough = (tmp_path / "c.csv").read_text()
    assert command(capsys, "plot", run, "--out", tmp_path / "c.png", "--smooth", "5")[0] == 0
    assert (tmp_path / "c.csv").read_text() != rough
    first, second = command(capsys, "digest", run)[1], command(capsys, "digest", run)[1]
    assert first == second
    assert len(first.strip()) == 64
    assert "gymnax:Acrobot-v1" in command(capsys, "list", "envs")[1]
    assert "Proximal Policy" in command(capsys, "list", "algos")[1]
    assert "gymnax:CartPole-v1" in command(capsys, "list", "presets")[1]


def test_resume_of_a_finished_run_goes_on(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """N env steps and a resume to 2N are 2N env steps, in every array and every row but the clock's."""
    base = ["train", "ppo", "CartPole-v1", "--seeds", "2", "--log-interval", "2", *TINY]
    assert command(capsys, *base, "--env-steps", "1280", "--out", tmp_path / "half")[0] == 0
    assert command(capsys, *base, "--env-steps", "2560", "--out", tmp_path / "whole")[0] == 0
    assert command(capsys, "resume", tmp_path / "half", "--env-steps", "2560")[0] == 0
    digests = {command(capsys, "digest", tmp_path / name)[1] for name in ("half", "whole")}
    assert len(digests) == 1
    assert_same_metrics(tmp_path / "half", tmp_path / "whole")
    results = [json.loads((tmp_path / name / "result.json").read_text()) for name in ("half", "whole")]
    assert results[0]["final_return"] == results[1]["final_return"]


def assert_same_metrics(a: Path, b: Path) -> None:
    rows = [from_csv((path / "metrics.csv").read_text()) for path in (a, b)]
    assert len(rows[0]) == len(rows[1])
    for x, y in zip(*rows, strict=True):
        for name in x:
            if name != "seconds":
                np.testing.assert_equal(x[name], y[name], err_msg=name)


@pytest.mark.parametrize(
    "args, says",
    [
        (["train", "poo", "CartPole-v1"], ["unknown algorithm 'poo'", "did you mean 'ppo'"]),
        (["train", "ppo", "CartPole-v9"], ["unknown environment 'CartPole-v9'", "'CartPole-v1'"]),
        (["train", "ppo", "gymnaxx:CartPole-v1"], ["unknown environment suite", "'gymnax'"]),
        (["train", "ppo", "CartPole-v1", "--num-minibatches", "3"], ["does not divide", "nearest"]),
        (["train", "ppo", "CartPole-v1", "--num-envs", "0"], ["num_envs must be at least 1, not 0"]),
        (["train", "ppo", "CartPole-v1", "--gamma", "1.5"], ["gamma=1.5", "[0, 1]"]),
        (["train", "ppo", "CartPole-v1", "--lr", "-1e-3"], ["lr=-0.001", "[0, ∞)"]),
        (["train", "--seeds", "10", "poo", "CartPole-v1"], ["unknown algorithm 'poo'", "did you mean 'ppo'"]),
        (["train", "--out", "ppo", "poo", "CartPole-v1"], ["unknown algorithm 'poo'"]),
        (["train", "ppo", "CartPole-v1", "Pendulum-v1"], ["one environment at a time", "'Pendulum-v1'"]),
        (["train", "ppo", "CartPole-v1", "--env-steps", "0"], ["env_steps must be at least 1"]),
        (["train", "ppo", "CartPole-v1", "--seeds", "0"], ["--seeds must be at least 1"]),
        (["train", "ppo", "CartPole-v1", "--seed", "-1"], ["seeds must be at least 0"]),
        (["train", "ppo", "CartPole-v1", "--devices", "9999"], ["devices=9999 must be from 1 to"]),
        (["train", "ppo", "CartPole-v1", "--activation", "tan"], ["unknown activation 'tan'", "'tanh'"]),
        (["train", "ppo", "CartPole-v1", "--out", "/dev/null/x"], ["cannot write /dev/null/x"]),
        (["resume", "nowhere"], ["nowhere is not a run directory"]),
        (["evaluate", "nowhere"], ["nowhere is not a run directory"]),
        (["digest", "nowhere"], ["nowhere"]),
        (["plot", "nowhere", "--out", "x.png"], ["nowhere"]),
        (["tarin"], ["unknown command 'tarin'", "'train'"]),
    ],
)
def test_errors_are_one_message(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    args: list[str],
    says: list[str],
) -> None:
    """Each says what is wrong and what is allowed; no traceback; nothing is written."""
    monkeypatch.chdir(tmp_path)
    code, _, err = command(capsys, *args)
    assert code in (1, 2)
    for part in says:
        assert part in err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) == 1
    assert not list(tmp_path.glob("**/config.json"))


def test_flags_may_stand_anywhere(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Before, between and behind algorithm and environment: it is the same run."""
    flags = ["--env-steps", "256", "--seeds", "2", *TINY]
    orders = [
        [*flags, "ppo", "CartPole-v1"],
        ["ppo", *flags, "CartPole-v1"],
        ["ppo", "CartPole-v1", *flags],
    ]
    settings = []
    for i, args in enumerate(orders):
        assert command(capsys, "train", "--out", tmp_path / str(i), *args)[0] == 0
        config = json.loads((tmp_path / str(i) / "config.json").read_text())
        settings.append({name: x for name, x in config.items() if name != "command"})
    assert settings[0] == settings[1] == settings[2]
    assert settings[0]["seeds"] == [0, 1]
    assert settings[0]["algo"]["hidden"] == [16, 16]


def test_lists_have_columns_apart_and_are_data_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    """No name runs into what is said of it; with `--json` each row is an object."""
    for what, key in ((("list", "algos"), "algo"), (("lab", "list"), "lab"), (("list", "envs"), "env")):
        lines = command(capsys, *what)[1].splitlines()
        rows = json.loads(command(capsys, *what, "--json")[1])
        assert [line.split("  ")[0] for line in lines] == [row[key] for row in rows]
    presets = json.loads(command(capsys, "list", "presets", "--json")[1])
    wanted = {"algo": "ppo", "env": "gymnax:CartPole-v1", "env_steps": 100_000}.items()
    assert sum(wanted <= row.items() for row in presets) == 1


def test_every_command_of_the_table_runs_and_is_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    told = command(capsys, "--help")[1]
    for name, known in COMMANDS.items():
        assert f"  {name} {known.takes}" in told
        assert command(capsys, name, "--help")[0] == 0


ASKED = [[name] for name, known in COMMANDS.items() if known.takes] + [["tune", "ppo"]]
ASKED += [["train", name] for name in ALGOS]


@pytest.mark.parametrize("words", ASKED, ids="-".join)
def test_help_says_what_each_flag_does(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    """The comment of a field that the formatter has wrapped is lost; and `None` as a default says nothing."""
    monkeypatch.setenv("COLUMNS", "250")
    told = command(capsys, *words, "--help")[1].replace("│", " ")
    flags = re.findall(r"^ {1,3}(--[a-z].*?) *$", re.sub(r" *\n {12,}(?=\S)", "   ", told), re.M)
    assert flags or len(words) == 1
    for line in flags:
        what = re.search(r" {2,}([^ (].*)$", line)
        assert what, line
        assert "(default: None)" not in line or "{None}" in line, line


def test_wrong_flag_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = command(capsys, "train", "ppo", "CartPole-v1", "--lrr", "1e-3")
    assert code == 2
    assert "--lr" in err


def test_a_part_of_an_env_step_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = command(capsys, "train", "ppo", "CartPole-v1", "--env-steps", "1.5")
    assert code == 2
    assert "1.5 is not a whole number" in err


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    with pytest.raises(swingup.ConfigError):
        cli.main(["train", "poo", "CartPole-v1", "--debug"])


def test_directory_with_a_run_is_not_overwritten(capsys: pytest.CaptureFixture[str], run: Path) -> None:
    before = (run / "metrics.csv").read_bytes()
    code, _, err = command(capsys, "train", "ppo", "CartPole-v1", "--out", run, *TINY)
    assert code == 1
    assert f"swingup resume {run}" in err
    assert (run / "metrics.csv").read_bytes() == before


def test_full_disk_is_one_message(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The log cannot grow: the run stops with the reason."""
    out = tmp_path / "r"
    out.mkdir()
    (out / "metrics.csv").symlink_to("/dev/full")
    args = ["--env-steps", "2560", "--out", out, *TINY]
    code, _, err = command(capsys, "train", "ppo", "CartPole-v1", *args)
    assert code == 1
    assert "No space left on device" in err
    assert "Traceback" not in err


def test_divergence_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A gradient bomb: the message says what and when (that checkpoints are kept: test_experiment.py)."""
    out = tmp_path / "r"
    args = ["--env-steps", "6400", "--lr", "1e38", "--checkpoint-interval", "1", "--out", out, *TINY]
    code, _, err = command(capsys, "train", "ppo", "CartPole-v1", *args)
    assert code == 1
    assert "NaN or infinity in" in err
    assert "iteration" in err
    assert "env steps" in err


@pytest.mark.parametrize(
    ("algo", "env", "said"),
    [
        ("sac", "CartPole-v1", "for discrete ones use dqn"),
        ("pets", "CartPole-v1", "for discrete ones use dqn"),
        ("me_trpo", "tabular:Grid", "needs observations that are vectors"),
        ("mpc", "gymnasium:Pendulum-v1", "such as gymnax:Pendulum-v1"),
    ],
)
def test_what_does_not_fit_leaves_no_run_behind(
    algo: str, env: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The directory is free for the command that is right; what a user has put there stays."""
    for out, kept in ((tmp_path / "new", []), (tmp_path / "old", ["notes.txt"])):
        if kept:
            out.mkdir()
            (out / "notes.txt").write_text("mine")
        code, _, err = command(capsys, "train", algo, env, "--out", out)
        assert code == 2
        assert said in err
        assert [p.name for p in out.glob("*")] == kept
        assert out.exists() == bool(kept)
