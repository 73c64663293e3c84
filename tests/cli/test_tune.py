"""`swingup tune` as a user meets it."""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from conftest import command
from swingup.tuning import journal

needs_optuna = pytest.mark.skipif(
    find_spec("optuna") is None, reason="Optuna is not installed: pip install 'swingup[tune]'"
)
TINY = ["--num-envs", "4", "--num-steps", "16", "--epochs", "1", "--num-minibatches", "2", "--hidden", "8"]
TINY += [
    "--env-steps",
    "640",
    "--trials",
    "4",
    "--together",
    "2",
    "--seeds",
    "2",
    "--looks",
    "2",
    "--fresh",
    "2",
]


@needs_optuna
@pytest.mark.slow
def test_a_study_from_the_shell(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Trials, the final on fresh seeds, a preset to paste; the same command again trains nothing and says the same."""
    out = tmp_path / "t"
    args = ["tune", "ppo", "CartPole-v1", *TINY, "--search", "lr=1e-4:1e-2,clip=0.1:0.4", "--out", out]
    code, first, err = command(capsys, *args)
    assert code == 0, err
    assert "searched    lr 0.0001 to 0.01 (log)   clip 0.1 to 0.4 (linear)" in first
    assert "block 2 of 2: trials 2 to 3" in first
    assert "4 trials, of which" in first
    runs = sorted(p.name for p in (out / "final").iterdir())
    assert len(runs) == 4
    assert runs[0] == "start"
    for name in runs:
        assert json.loads((out / "final" / name / "result.json").read_text())["seeds"] == [2, 3]
    assert "these seeds had no part in the choice" in first
    table = first[first.index("seeds   IQM") :]
    assert table.count("too few seeds to say") == 3
    assert ("swingup.PPO(" in table) != ("keep those" in table)
    code, again, err = command(capsys, *args)
    assert code == 0, err
    assert "block" not in again
    assert again[again.index("seeds   IQM") :].splitlines()[:8] == table.splitlines()[:8]
    code, _, err = command(capsys, *args[:-4], "--search", "lr=1e-4:1e-3", "--out", out)
    assert (code, "holds another study, which differs in space" in err) == (2, True)
    code, _, err = command(capsys, "plot", *(out / "final" / n for n in runs), "--out", tmp_path / "x.png")
    assert code == 0, err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["pppo", "CartPole-v1"], "unknown algorithm 'pppo'; did you mean 'ppo'"),
        (["ppo", "CartPol-v1"], "did you mean"),
        (["ppo", "CartPole-v1", "--trials", "0"], "--trials must be at least 1, not 0"),
        (["ppo", "CartPole-v1", "--fresh", "-1"], "--fresh must be at least 0"),
        (["ppo", "CartPole-v1", "--search", "lt=1:2"], "unknown hyperparameter 'lt'; did you mean 'lr'"),
        (["ppo", "CartPole-v1", "--search", "lr"], "cannot read 'lr'"),
        (["dqn", "CartPole-v1", "--env-steps", "5"], "would end in the warm-up"),
    ],
)
def test_what_cannot_be_tuned_is_told(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    args: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One message, exit code 2, and no directory."""
    monkeypatch.setattr(journal, "optuna", lambda: None)
    code, _, err = command(capsys, "tune", *args, "--out", tmp_path / "t")
    assert code == 2
    assert message in err
    assert not (tmp_path / "t").exists()


def test_directories_of_others_are_left_alone(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "optuna", lambda: None)
    args = ["tune", "ppo", "CartPole-v1", "--env-steps", "1000", "--out"]
    for name, text, message in (
        ("config.json", "{}", "holds a run"),
        ("journal.log", "", "journal.log of somebody else"),
        ("tune.json", "[]", "tune.json is damaged"),
        ("tune.json", "{", "not valid JSON"),
        ("tune.json", '{"format": 1}', "holds another study"),
    ):
        path = tmp_path / message.replace(" ", "-")
        path.mkdir()
        (path / name).write_text(text)
        code, _, err = command(capsys, *args, path)
        assert (code, message in err) == (2, True), err
        assert {p.name: p.read_text() for p in path.iterdir()} == {name: text}
    file = tmp_path / "file"
    file.write_text("x")
    code, _, err = command(capsys, *args, file)
    assert (code, err.startswith("error: cannot write")) == (1, True)


def test_help_names_the_options(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = command(capsys, "tune", "ppo", "CartPole-v1", "--help")
    assert code == 0
    assert "--search" in out
    assert "--clip" in out
    assert command(capsys, "tune")[0] == 2


def test_without_optuna_the_cure_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "find_spec", lambda name: None)
    code, _, err = command(capsys, "tune", "ppo", "CartPole-v1")
    assert (code, err) == (2, "error: tuning needs Optuna: pip install 'swingup[tune]'\n")
