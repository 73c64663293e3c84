"""The essay and its checklists keep their word: each section ends in commands that work, and its numbers are stored.

The fast suite lets every command read its arguments, names and presets, and stops it there; what only lists is run.
The slow one runs a page from top to bottom with tiny budgets, but for what `ELSEWHERE` names.
"""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import pytest

from conftest import command
from swingup import cli
from swingup.cli import arena, compare, learn, look_up, runs, train
from swingup.lab import LABS
from swingup.learn import FILES, exercise

ROOT = Path(__file__).parents[2]
ESSAY = ROOT / "docs" / "course" / "doing_research.md"
PAGES = [ESSAY, ROOT / "docs" / "course" / "checklists.md"]
MODULES: list[ModuleType] = [arena, compare, learn, look_up, runs, train]
LISTS = "list", "papers"  # commands that take a fraction of a second
ELSEWHERE = {  # {part of a command: who runs it, if not this test}
    "swingup lab ": "tests/unit/lab runs each demonstration",
    " probe:": "tests/probes trains on each probe, up to exact values",
    "brax:ant": "a compilation of minutes; tests/unit/envs/test_brax.py plays it",
    "MinAtar": "a compilation of a minute; tests/unit/envs plays it",
    "tabular:": "tests/unit/algos trains on tables",
    "epoch": "PPO is trained, and two runs are plotted, by other lines of the page",
    "dqn": "the tests of the contract train every algorithm, and other lines plot two runs",
    "runs/hundred": "as above, with more seeds",
    "runs/final": "as above, with more seeds",
}
TINY = {"--env-steps": "2048", "--seeds": "2", "--episodes": "2"}


def commands(page: Path) -> list[str]:
    """The commands of a page, in order."""
    blocks = re.findall(r"^```console\n(.*?)^```", page.read_text(), re.M | re.S)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]


def ids(page: Path) -> str:
    return page.stem


class Understood(BaseException):
    """A command has read its arguments."""


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_section_ends_in_commands(page: Path) -> None:
    _, *sections = re.split(r"^## ", page.read_text(), flags=re.M)
    assert len(sections) >= 5
    for section in sections:
        assert re.search(r"```console\n(?:\$ swingup .+\n)+```\n*\Z", section), section.partition("\n")[0]


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_command_is_understood(
    page: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    parse = train.parse

    def stop(*args: Any, **how: Any) -> None:
        parse(*args, **how)
        raise Understood

    for line in dict.fromkeys(commands(page)):
        args = shlex.split(line)[1:]
        if args[0] in LISTS or args == ["lab", "list"]:
            code, out, _ = command(capsys, *args)
            assert code == 0, line
            assert out, line
            continue
        if args[0] == "lab":
            assert args[1] in LABS, line
        with monkeypatch.context() as patch:
            for module in MODULES:
                if "parse" in vars(module):
                    patch.setattr(module, "parse", stop)
            with pytest.raises(Understood):
                cli.dispatch(args)
    assert not list(tmp_path.iterdir()), "reading arguments writes nothing"


def test_a_command_that_is_wrong_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*args: Any, **how: Any) -> None:
        raise Understood

    monkeypatch.setattr(train, "parse", stop)
    with pytest.raises(cli.ConfigError):
        cli.dispatch(["train", "ppo", "probe:TimeLimits"])


def read_and_written(line: str) -> tuple[set[str], set[str]]:
    """The run directories that a command reads, and those that it writes."""
    named = set(re.findall(r"\bruns/[\w-]+", line))
    written = set(re.findall(r"--out (runs/[\w-]+)", line)) if line.startswith("swingup train") else set()
    return named - written, written


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_run_is_trained_before_it_is_read(page: Path) -> None:
    there: set[str] = set()
    for line in commands(page):
        read, written = read_and_written(line)
        assert read <= there, line
        assert not written & there, f"{line}: trained twice"
        there |= written


def tiny(line: str) -> list[str]:
    """The command with budgets that take seconds."""
    args = shlex.split(line)[1:]
    if args[0] not in ("train", "resume", "evaluate"):
        return args
    budgets = dict(TINY) if args[0] == "train" else {"--env-steps": "4096"}
    if args[0] == "evaluate":
        budgets = {"--episodes": "2"}
    kept, rest = [], list(args)
    while rest:
        word = rest.pop(0)
        if word in budgets:
            rest.pop(0)
        else:
            kept.append(word)
    return kept + [word for pair in budgets.items() for word in pair]


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=ids)
@pytest.mark.usefixtures("_compiled_quickly")
def test_the_commands_run(
    page: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for line in commands(page):
        if any(part in line for part in ELSEWHERE):
            continue
        code, _, err = command(capsys, *tiny(line))
        assert code == 0, f"{line}\n{err}"
        for made in re.findall(r"--out ([\w./-]+)", line):
            assert (tmp_path / made).exists(), line


@pytest.fixture
def _compiled_quickly() -> Iterator[None]:
    """Programs without optimisations, which take half the time here."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


def stored(name: str) -> Any:
    return json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())


def words(page: Path) -> str:
    """The page with its line breaks taken out."""
    return " ".join(page.read_text().split())


def test_the_numbers_about_seeds_are_the_labs() -> None:
    text = " ".join(claim["text"] for claim in stored("labs")["labs"]["seeds"]["claims"])

    def shares(after: str, shown: int) -> list[str]:
        """The shares of 3, 10 and 30 seeds that follow some words, rounded."""
        found = re.search(after + r"\D* ([\d.]+)% with 3, ([\d.]+)% with 10, ([\d.]+)% with 30", text)
        assert found, after
        return [f"{float(x):.0f}" for x in found.groups()[:shown]]

    page = words(ESSAY)
    three, ten, thirty = shares("by over a fifth in", 3)
    assert f"in {three} % of the comparisons; with ten in {ten} %, with 30 in {thirty} %" in page
    three, ten, thirty = shares("% loses in", 3)
    assert f"*loses* in {three} %, {ten} % and {thirty} % of them" in page
    three, ten = shares("bootstrap interval contains the mean in", 2)
    assert f"in {three} % of the cases with three seeds and in {ten} % with ten" in page
    assert "does so in {} % and {} %".format(*shares("the t interval in", 2)) in page
    by = re.search(r"better by (\d+)% loses", text)
    assert by
    assert f"truly better by {by[1]} %" in page


def test_the_hunts_are_counted() -> None:
    assert sum(bool(exercise(name).hunt) for name in FILES) == 10
    assert "Ten of the {doc}`exercises <../learn>` are files with such a bug" in words(ESSAY)


def test_the_speeds_are_the_stored_ones() -> None:
    best = {(r["peer"], r["seeds"]): 0.0 for r in stored("speed")["rates"]}
    for r in stored("speed")["rates"]:
        best[r["peer"], r["seeds"]] = max(best[r["peer"], r["seeds"]], r["best"])
    page = words(ESSAY)
    assert f"{best['swingup', 1]:,.0f} env steps per second" in page
    assert f"{best['swingup', 1] / best['sb3', 1]:.2f} times Stable-Baselines3's speed" in page
    assert f"and {best['swingup', 8]:,.0f} with eight seeds" in page


def test_the_ablation_is_the_stored_one() -> None:
    means = {
        change: sum(found["final_return"]) / len(found["final_return"])
        for change, found in stored("ablation")["tasks"]["Pendulum-v1"].items()
    }
    assert f"falls from {means['the preset']:.0f} to -1,000 or below" in words(ESSAY)
    worst = [change for change, mean in means.items() if mean <= -1000]
    assert sorted(worst) == ["no clipping of the ratio", "no minibatches", "one epoch"]
