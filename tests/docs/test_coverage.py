"""The table of what is taught where is complete, and every page, demonstration, exercise and test in it exists."""

import re
from pathlib import Path
from typing import Any

import pytest

from swingup.lab import LABS
from swingup.learn import FILES

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
FIELDS = {"id", "what", "taught", "explored", "shown", "practised", "tested", "missing"}
# What the lecture does not have: tables that learn, distributions, evaluation.
BEYOND = {"b5", "d8", "d9", "f4", "f5", "f6"}
PARTS = ("introduction", "essay", "papers", "Code", "Exercises")  # of the lecture, in its order


@pytest.fixture
def coverage(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(DOCS / "_ext"))
    import taught

    return taught


def entries(coverage: Any) -> list[dict[str, Any]]:
    return [*coverage.data()["parts"], *coverage.data()["items"]]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as MyST makes them: lower case, without signs, hyphens for blanks."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    headings = re.findall(r"^#{1,3} (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", h.lower().replace("\\", "")).replace(" ", "-") for h in headings}


def test_every_item_is_there_once_in_order(coverage: Any) -> None:
    assert [entry["id"] for entry in coverage.data()["items"]] == [f"M{i}" for i in range(1, 65)]
    for entry in entries(coverage):
        assert set(entry) <= FIELDS, entry
        assert entry["what"]


def test_the_five_parts_are_there(coverage: Any) -> None:
    parts = coverage.data()["parts"]
    assert len(parts) == len(PARTS)
    for part, word in zip(parts, PARTS, strict=True):
        assert word in part["what"]


def test_every_page_and_heading_exists(coverage: Any) -> None:
    for entry in entries(coverage):
        for place in [*entry.get("taught", []), *entry.get("explored", [])]:
            page, _, anchor = place.partition("#")
            path = DOCS / f"{page}.md"
            assert path.exists(), f"{entry['what']}: no page {page}"
            assert not anchor or anchor in anchors(path), f"{entry['what']}: {page} has no heading {anchor}"


def test_every_demonstration_and_exercise_exists(coverage: Any) -> None:
    for entry in entries(coverage):
        assert set(entry.get("shown", [])) <= set(LABS), entry["what"]
        assert set(entry.get("practised", [])) <= set(FILES), entry["what"]


def test_every_page_to_play_with_is_somewhere(coverage: Any) -> None:
    named = {page for entry in entries(coverage) for page in entry.get("explored", [])}
    assert named == {f"interactive/{path.stem}" for path in (DOCS / "interactive").glob("*.md")}


def test_every_exercise_is_somewhere(coverage: Any) -> None:
    named = {name for entry in entries(coverage) for name in entry.get("practised", [])}
    assert set(FILES) - named <= BEYOND


def test_every_test_exists(coverage: Any) -> None:
    for entry in entries(coverage):
        for test in coverage.tests(entry):
            file, _, name = test.partition("::")
            assert (ROOT / file).exists(), f"{entry['what']}: {file}"
            assert not name or re.search(rf"^def {name}\(", (ROOT / file).read_text(), re.M), test


def test_empty_cells_say_so(coverage: Any) -> None:
    nothing = coverage.table([{"id": "M1", "what": "x", "missing": "None."}], "item").splitlines()[-1]
    assert nothing == "| M1 | x. None. | – | – | – | – |"
    for name in ("parts", "items"):
        for row in coverage.table(coverage.data()[name], "x").splitlines():
            cells = [cell.strip() for cell in row.strip("|").split("|")]
            assert len(cells) == 6
            assert all(cells[2:])


def test_citing_a_number_puts_a_test_in_its_row(coverage: Any) -> None:
    assert "tests/docs/test_taxonomy.py::test_every_field_is_filled_M24" in coverage.cited()["M24"]
    row = next(r for r in coverage.table(coverage.data()["items"], "item").splitlines() if "| M24 |" in r)
    assert row.endswith("| taxonomy |")
