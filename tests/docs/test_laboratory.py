"""The page of the laboratory is what its program writes, and its sentences have the stored numbers."""

import importlib.util
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from swingup.lab import LABS

ROOT = Path(__file__).parents[2]
STORED = json.loads((ROOT / "benchmarks" / "results" / "labs.json").read_text())
STORIES = tomllib.loads((ROOT / "benchmarks" / "labs.toml").read_text())
NUMBER = re.compile(r"(?<![\w.])\d+(?:,\d{3})*(?:\.\d+)?(?:e[+-]?\d+)?%?")


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    spec = importlib.util.spec_from_file_location("labs_program", ROOT / "benchmarks" / "labs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_program_writes(program: Any) -> None:
    assert (ROOT / "docs" / "labs.md").read_text() == program.page(STORED)


def test_every_demonstration_has_its_story() -> None:
    assert list(STORIES) == list(STORED["labs"])
    assert set(STORIES) <= set(LABS)


@pytest.mark.parametrize("name", STORED["labs"])
def test_numbers_of_a_story_are_the_stored_ones(name: str) -> None:
    """0 and 1 are words; every other number was found by the demonstration with seed 0."""
    lab = STORED["labs"][name]
    found = set(NUMBER.findall(" ".join([lab["look"], *(claim["text"] for claim in lab["claims"])])))
    assert set(NUMBER.findall(STORIES[name])) <= found | {"0", "1"}


def test_figures_are_where_the_pages_speak_of_them() -> None:
    pages = [p for p in (ROOT / "docs").rglob("*.md") if "_build" not in p.parts]
    shown = {
        name for p in pages for name in re.findall(r"^```\{demonstration\} ([\w-]+)$", p.read_text(), re.M)
    }
    assert shown <= set(STORED["labs"])
    assert set(STORED["labs"]) - shown <= {"deadly-triad"}, "that one has a page of its own"
