"""The README and the front page of the documentation show what is in the repository: code, numbers, links, commands."""

import inspect
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from PIL import Image

import swingup
from swingup.algos import ALGOS
from swingup.cli.table import COMMANDS
from swingup.envs import canonical
from swingup.presets import every

ROOT = Path(__file__).parents[2]
README, INDEX = ROOT / "README.md", ROOT / "docs" / "index.md"
RESULTS = ROOT / "benchmarks" / "results"
FRONT = [README, INDEX]
TARGET = re.compile(r"\]\(([^)\s]+)\)|<img\b[^>]*?\bsrc=\"([^\"]+)\"|<a\b[^>]*?\bhref=\"([^\"]+)\"")


def links(page: Path) -> list[str]:
    """The targets of links and pictures that are not on the web, outside of code."""
    text = re.sub(r"^```.*?^```$|`[^`\n]*`", "", page.read_text(), flags=re.S | re.M)
    targets = ["".join(found) for found in TARGET.findall(text)]
    return [t for t in targets if not re.match(r"[a-z]+:", t)]


def cells(page: Path, columns: int) -> list[list[str]]:
    """The rows of the tables of that many columns, without their headings."""
    rows = [re.split(r" \| ", line[2:-2]) for line in page.read_text().splitlines() if line.startswith("| ")]
    return [row for row in rows if len(row) == columns]


def shell(page: Path) -> list[list[str]]:
    """The commands of a page as words; the prompt and comments left out."""
    blocks = re.findall(r"^```(\S*)[^\n]*\n(.*?)^```$", page.read_text(), re.M | re.S)
    shells = [block for language, block in blocks if language in ("", "console")]
    lines = [line.removeprefix("$ ") for block in shells for line in block.splitlines()]
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def test_the_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) < 130


@pytest.mark.parametrize("page", sorted(ROOT.glob("*.md")), ids=lambda p: p.name)
def test_links_lead_to_files(page: Path) -> None:
    for target in links(page):
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), f"{page.name} leads to {target}, which does not exist"
        if anchor:
            titles = re.findall(r"^#+ (.+)$", file.read_text(), re.M)
            assert anchor in {re.sub(r"[^\w -]", "", t.lower()).replace(" ", "-") for t in titles}, target


def test_lines_beside_the_equations_are_the_algorithms() -> None:
    """Each line of code in the table is a line of `PPO.loss`, in the order in which they stand there."""
    code = [line.strip() for line in inspect.getsource(swingup.PPO.loss).splitlines()]
    shown = [
        right[1:-1] for left, right in cells(README, 2) if left.startswith("$") and right.startswith("`")
    ]
    assert len(shown) == 4
    assert set(shown) <= set(code)
    places = [code.index(line) for line in shown]
    assert places == sorted(places)


def test_scores_are_the_stored_ones() -> None:
    """Env steps, seeds, mean, interval and published result of each row are those of the table of all scores."""
    stored = {(row[0], row[1]): row for row in cells(RESULTS / "scores.md", 12)}
    rows = [row for row in cells(README, 7) if row[0] != "algorithm" and not row[0].startswith("-")]
    assert len(rows) == 6
    behind = 0
    for algo, env, env_steps, seeds, mean, interval, published in rows:
        row = stored[algo.lower(), env.strip("`")]
        assert [env_steps, seeds, mean, interval] == row[2:6]
        assert published.split()[0] == row[11].split()[0]
        assert set(re.findall(r"RL Zoo|Tianshou|SLM-Lab|v\d", published)) <= set(
            re.findall(r"[\w-]+(?: Zoo)?", row[11])
        )
        behind += float(published.split()[0]) > float(interval.strip("[]").split(", ")[1])
    assert behind, "what we lose is published too"


def test_speeds_are_the_stored_ones() -> None:
    """The numbers of the sentence about speed stand in the files that it links to."""
    sentence = re.search(r"^\*\*Speed\.\*\*.*?\n\n", README.read_text(), re.M | re.S)
    assert sentence
    files = "".join((ROOT / t).read_text() for t in re.findall(r"\]\((benchmarks/[^)]+)\)", sentence[0]))
    words = re.sub(r"\]\([^)]+\)|v5", "", sentence[0])
    numbers = re.findall(r"\d+(?:,\d{3})+|\d+\.\d+|\d{3,}", words)
    assert len(numbers) >= 5
    assert [n for n in numbers if not re.search(rf"(?<![\d,.]){re.escape(n)}(?![\d,.])", files)] == []


def test_the_number_of_the_front_page_is_the_stored_one() -> None:
    """Env steps per second of one seed, in thousands."""
    stored = re.search(r"^\| swingup +\| 1 +\| default \| ([\d,]+)", (RESULTS / "speed.md").read_text(), re.M)
    assert stored
    thousands = round(int(stored[1].replace(",", "")) / 1000)
    assert f"**{thousands},000 env steps per second** on two CPU cores" in INDEX.read_text()


@pytest.mark.parametrize("page", FRONT, ids=lambda p: p.name)
def test_commands_exist(page: Path) -> None:
    """Commands, algorithms and environments by their names; `make` by its targets."""
    makefile = (ROOT / "Makefile").read_text()
    commands = shell(page)
    assert sum(words[0] == "swingup" for words in commands) >= 1
    for words in commands:
        assert words[0] == "swingup" or words[:2] == ["pip", "install"]
        assert words[0] == "pip" or words[1] in COMMANDS
        if words[:2] == ["swingup", "train"]:
            assert words[2] in ALGOS
            env = words[3] if ":" in words[3] else canonical(words[3])
            assert every()[0][words[2], env].tuned, "a reader's first runs learn"
    for target in re.findall(r"`make ([\w-]+)`", page.read_text()):
        assert re.search(rf"^{target}:", makefile, re.M), target
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    asked = re.findall(r"'\.\[([\w,]+)\]'", page.read_text())
    assert set(",".join(asked).split(",")) - {""} <= set(extras)


@pytest.mark.slow
def test_commands_run(tmp_path: Path) -> None:
    """The README's commands on the device in their order, each training cut to a few iterations."""
    env = os.environ | {"NPROC": "1", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "JAX_PLATFORMS": "cpu"}
    commands = [words for words in shell(README) if words[0] == "swingup" and words[1] in ("train", "play")]
    on_device = {
        words[words.index("--out") + 1] for words in commands if words[1] == "train" and ":" not in words[3]
    }
    assert len(on_device) == 3
    drawn = 0
    for words in commands:
        if not on_device & set(words):
            continue
        short = ["--env-steps", "2048", "--episodes", "2"] if words[1] == "train" else []
        command = [sys.executable, "-m", "swingup", *words[1:], *short]
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=250)
        assert done.returncode == 0, done.stderr
        if words[1] == "play":
            with Image.open(tmp_path / words[words.index("--out") + 1]) as picture:
                assert picture.format == "GIF"
                drawn += 1
    assert drawn == 3


@pytest.mark.slow
def test_the_front_page_trains_and_draws(tmp_path: Path) -> None:
    """Its one line, with fewer env steps and seeds, leaves an animation of the agent."""
    env = os.environ | {"NPROC": "1", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "JAX_PLATFORMS": "cpu"}
    lines = [words for words in shell(INDEX) if words[0] == "swingup"]
    assert len(lines) == 1
    short = ["--env-steps", "8192", "--episodes", "2", "--seeds", "2"]
    command = [sys.executable, "-m", "swingup", *lines[0][1:], *short, "--out", "run"]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "agent.gif").stat().st_size > 10_000


def test_animations_are_small() -> None:
    """What the first screen loads: three animations, below a megabyte together."""
    shown = [t for t in links(README) if t.endswith(".gif")]
    assert len(shown) == 3
    assert sum((ROOT / t).stat().st_size for t in shown) < 1_000_000
    assert {Path(t).name for t in shown} <= {words[-1] for words in shell(README)}
    for target in shown:
        with Image.open(ROOT / target) as picture:
            assert getattr(picture, "n_frames", 1) > 50
