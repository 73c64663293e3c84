"""Every numbered equation has a row that names the code which computes it and the tests that check it; both exist.

The pages of algorithms and of the course hold a table, whose rows begin with a reference to the equation:

    | {eq}`ppo-clip` | ... | {py:meth}`swingup.algos.ppo.PPO.loss` | {test}`tests/unit/test_x.py::test_y` |
"""

import ast
import importlib
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
ADVICE = ("doing_research", "checklists")  # pages of the course that prove nothing
FOUND = [p for kind in ("algorithms", "course") for p in (ROOT / "docs" / kind).glob("*.md")]
PAGES = sorted(p for p in FOUND if p.stem not in ADVICE)
CODE = re.compile(r"\{py:(?:meth|func|class|obj)\}`(?:[^`<]*<)?~?([\w.]+)>?`")
TEST = re.compile(r"\{test\}`([^`]+)`")


def equations(page: Path) -> set[str]:
    """The labels of the numbered equations."""
    return set(re.findall(r"^\$\$ *\(([\w-]+)\)", page.read_text(), re.M))


def rows(page: Path) -> dict[str, str]:
    """{label: row of the table}."""
    return {m[1]: m[0] for m in re.finditer(r"^\| *\{eq\}`([\w-]+)`.*$", page.read_text(), re.M)}


def found(path: str) -> Any:
    """The object of a dotted path."""
    parts = path.split(".")
    for i in range(len(parts), 0, -1):
        try:
            obj = importlib.import_module(".".join(parts[:i]))
        except ModuleNotFoundError:
            continue
        for name in parts[i:]:
            obj = getattr(obj, name)
        return obj
    raise ModuleNotFoundError(path)


@cache
def functions_in(file: str) -> set[str]:
    tree = ast.parse((ROOT / file).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_every_numbered_equation_has_its_row(page: Path) -> None:
    assert equations(page) or page.stem == "items"  # a table of results, with no equation of its own
    assert set(rows(page)) == equations(page)
    for label, row in rows(page).items():
        assert CODE.search(row), f"{label} names no code"
        assert TEST.search(row), f"{label} names no test"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_named_code_exists(page: Path) -> None:
    names = CODE.findall(page.read_text())
    assert names
    for name in names:
        assert callable(found(name)), name


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_named_tests_exist(page: Path) -> None:
    names = TEST.findall(page.read_text())
    assert names
    for name in names:
        file, _, function = name.partition("::")
        assert function in functions_in(file), f"{name} does not exist"
