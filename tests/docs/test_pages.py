"""A page shows code that fits its column, and pseudocode whose right column names what exists."""

import doctest
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import swingup

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(p for p in DOCS.rglob("*.md") if "_build" not in p.parts)
ALGORITHMS = sorted((DOCS / "algorithms").glob("*.md"))
PSEUDOCODE = re.compile(r"^## Pseudocode, and where it is\n\n```text\n(.*?)^```", re.M | re.S)


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """Yield the language and the text of each fenced block."""
    for block in re.finditer(r"^ *```(\S*)[^\n]*\n(.*?)^ *```$", page.read_text(), re.M | re.S):
        yield block[1], block[2]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_code_fits_its_column(page: Path) -> None:
    """78 columns are what a page shows; what a program prints, and the plan of the house, may be wider."""
    for language, text in blocks(page):
        if language in ("python", "console", "bash"):
            assert [line for line in text.splitlines() if len(line) > 78] == []


@pytest.mark.parametrize("page", ALGORITHMS, ids=lambda p: p.stem)
def test_pseudocode_says_where_it_is(page: Path) -> None:
    """Each line's right column is a name in the algorithm's file, or a file of the package and a name in it."""
    found = PSEUDOCODE.search(page.read_text())
    assert found
    head, *lines = found[1].splitlines()
    column = re.search(r"in (?:algos/\w+\.py|its file), or:$", head)
    assert column
    named = 0
    for line in lines:
        assert len(line) <= 78, line
        file, _, name = line[column.start() :].rpartition(" ")
        if name:
            module = (
                f"swingup.{file.removesuffix('.py').replace('/', '.')}"
                if file
                else f"swingup.algos.{page.stem}"
            )
            obj = importlib.import_module(module)
            for part in name.split("."):
                obj = getattr(obj, part)
            named += 1
    assert named >= 4


@pytest.mark.parametrize(
    ("extension", "examples"),
    [
        ("house_style", 5),
        ("mathml", 2),
        ("results", 3),
        ("drawings", 1),
        ("taxonomy", 0),
        ("demonstrations", 0),
        ("interactive", 0),
        ("front", 0),
        ("narrow", 0),
        ("diffs", 0),
    ],
)
def test_examples_of_the_extensions(monkeypatch: pytest.MonkeyPatch, extension: str, examples: int) -> None:
    monkeypatch.syspath_prepend(str(DOCS / "_ext"))
    assert doctest.testmod(importlib.import_module(extension)) == (0, examples)


def test_a_fold_ends_before_the_next_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """What says how something was measured is folded away, and nothing else is."""
    monkeypatch.syspath_prepend(str(DOCS / "_ext"))
    import results

    text = "How to read this:\n\n- so\n\n| a |\n|---|\n| 1 |\n\nVersions: 1\n"
    assert results.folded(text).splitlines() == [
        *(
            "::::{admonition} How to read this",
            ":collapsible: closed",
            "",
            "How to read this:",
            "",
            "- so",
            "",
        ),
        *("::::", "", "| a |", "|---|", "| 1 |", ""),
        *("::::{admonition} Versions and command", ":collapsible: closed", "", "Versions: 1", "::::"),
    ]


def test_every_algorithm_is_on_the_page_of_the_map() -> None:
    text = (DOCS / "algorithms.md").read_text()
    assert set(re.findall(r"^algorithms/(\w+)$", text, re.M)) == {p.stem for p in ALGORITHMS}
    assert "{taxonomy} tree" in text
    assert len(ALGORITHMS) == len(swingup.algos.ALGOS)
