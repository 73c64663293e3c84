"""`swingup compare` as a user meets it, from run directories on disk to sentences, files and messages."""

import csv
import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from conftest import command


def run_directory(
    path: Path, scores: list, algo: str = "ppo", env: str = "gymnax:CartPole-v1", points: int = 5
) -> Path:
    """The files of a finished run; a score of None: that seed diverged, and logged nothing from then on."""
    path.mkdir(parents=True)
    seeds, steps = list(range(len(scores))), 100 * points
    config = {
        "algo": {"name": algo, "lr": 0.1},
        "env": env,
        "env_steps": steps,
        "seeds": seeds,
        "command": "",
    }
    (path / "config.json").write_text(json.dumps(config))
    (path / "result.json").write_text(json.dumps({"seeds": seeds, "final_return": scores}))
    lost = [seed for seed in seeds if scores[seed] is None]
    outcome = {"kind": "finished", "seed": None, "diverged": lost}
    (path / "outcome.json").write_text(json.dumps(outcome))
    lines = ["seed,iteration,env_steps,seconds,ep/return"]
    for i in range(1, points + 1):
        for seed in seeds:
            value = i if scores[seed] is not None else 1 if i == 1 else ""
            lines.append(f"{seed},{i},{100 * i},{0.5 * i},{value}")
    (path / "metrics.csv").write_text("\n".join(lines) + "\n")
    return path


def test_from_the_shell_through_files(tmp_path: Path) -> None:
    """One process, without JAX: two settings, of different lengths, one with a seed that diverged."""
    a = run_directory(tmp_path / "a", [10, 11, 12, 13, 14, 15])
    b = run_directory(tmp_path / "b", [1, 2, 3, 4, 5, None], "dqn", points=8)
    code = (
        "import sys\nfrom swingup import cli\n"
        "try: cli.main(sys.argv[1:])\n"
        "finally: print(sorted({'jax', 'matplotlib.pyplot', 'scipy'} & set(sys.modules)))"
    )
    args = ["compare", str(a), str(b), "--out", str(tmp_path / "both.png")]
    done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "One score per seed: the return of the final evaluation."
    assert lines[2] == "gymnax:CartPole-v1"
    assert lines[4].split() == ["ppo", "6", "12.5", "[11,", "14]", "10", "(seed", "0)", "0"]
    assert "ppo is higher than dqn: it wins every pair of seeds, p = 0.0022, 6 seeds each." in lines
    assert any(line.startswith("Budgets differ in gymnax:CartPole-v1") for line in lines)
    assert any("1 of 6 seeds of dqn" in line for line in lines)
    assert lines[-1] == "[]"
    with open(tmp_path / "both.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["score"] for row in rows if row["label"] == "dqn"] == ["1", "2", "3", "4", "5", ""]
    drawn = [e.text for e in ElementTree.parse(tmp_path / "both.svg").iter() if e.tag.endswith("}text")]
    assert {"ppo (6 seeds)", "dqn (6 seeds, 1 diverged)", "share of seeds above τ", "ppo > dqn"} <= set(drawn)
    assert (tmp_path / "both.png").read_bytes().startswith(b"\x89PNG")


def test_environments_names_and_json(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The same settings under two names, in two environments; the object that is printed has all numbers."""
    rng = np.random.default_rng(0)
    for version, shift in (("old", 0.0), ("new", 3.0)):
        for env in ("A-v0", "B-v0"):
            run_directory(tmp_path / version / env, list(rng.normal(shift, size=7)), env=env)
    given = [f"{version}={tmp_path / version}" for version in ("old", "new")]
    code, out, _ = command(capsys, "compare", *given)
    assert code == 0
    assert "over 2 environments" in out
    assert "new is higher than old: it wins" in out.partition("over 2 environments")[2]
    code, out, _ = command(capsys, "compare", *given, "--json", "--against", "old")
    found = json.loads(out)
    assert code == 0
    assert [(p["env"], p["first"], p["second"], p["apart"]) for p in found["pairs"]] == [
        (env, "new", "old", True) for env in ("A-v0", "B-v0", "2 environments")
    ]
    assert [len(row["scores"]) for row in found["rows"]] == [7] * 4


def test_against_compares_all_with_one_alone(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for k, name in enumerate(("old", "new", "newer")):
        run_directory(tmp_path / name, [k, k + 10, k + 20, k + 30])
    given = [f"{name}={tmp_path / name}" for name in ("old", "new", "newer")]
    every = json.loads(command(capsys, "compare", *given, "--json")[1])["pairs"]
    one = json.loads(command(capsys, "compare", *given, "--json", "--against", "new")[1])["pairs"]
    assert (len(every), len(one)) == (3, 2)
    assert all("new" in (p["first"], p["second"]) for p in one)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([], ["nothing to compare: name run directories"]),
        (["none"], ["none is not a run directory"]),
        (["a", "empty"], ["empty is not a run directory: it has no config.json, nor holds runs"]),
        (["a"], ["nothing to compare", "ppo in gymnax:CartPole-v1", "old=RUN new=RUN"]),
        (["a", "other"], ["nothing to compare", "ppo in Other-v0"]),
        (["a", "unfinished"], ["unfinished has no final evaluation", "swingup resume"]),
        (["a", "dqn", "--metric", "ep/lenght"], ["unknown metric 'ep/lenght'", "ep/return"]),
        (["a", "dqn", "--against", "dqm"], ["unknown label 'dqm'", "did you mean 'dqn'"]),
    ],
    ids=["nothing", "nowhere", "empty", "one", "envs", "unfinished", "metric", "against"],
)
def test_what_is_wrong_is_one_message(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, names: list[str], said: list[str]
) -> None:
    run_directory(tmp_path / "a", [1, 2, 3])
    run_directory(tmp_path / "dqn", [1, 2, 3], "dqn")
    run_directory(tmp_path / "other", [1, 2, 3], env="Other-v0")
    (run_directory(tmp_path / "unfinished", [1, 2, 3], "sac") / "result.json").unlink()
    (tmp_path / "empty").mkdir()
    paths = [
        n if n.startswith("-") or names[i - 1].startswith("--") else tmp_path / n for i, n in enumerate(names)
    ]
    code, out, err = command(capsys, "compare", *paths)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    for part in said:
        assert part in err


def test_one_seed_and_three_against_three(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    a, b = run_directory(tmp_path / "a", [1]), run_directory(tmp_path / "b", [9, 8, 7], "dqn")
    c = run_directory(tmp_path / "c", [1, 2, 3], "sac")
    _, out, _ = command(capsys, "compare", a, b)
    assert "Nothing can be concluded about dqn and ppo: 3 against 1 seeds cannot give a p below 0.5" in out
    assert "1 seed, so no interval; train 4 more seeds." in out
    _, out, _ = command(capsys, "compare", b, c, "--out", tmp_path / "x.png")
    assert "Nothing can be concluded about dqn and sac: 3 seeds each cannot give a p below 0.1" in out
    assert "higher" not in out
    assert "3 seeds about 75 %" in out
