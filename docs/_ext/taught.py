"""The table of what is taught, shown, practised and tested is written from `docs/coverage.toml` before reading.

    {include} _build/generated/coverage-parts.md    the five parts of the course
    {include} _build/generated/coverage-items.md    the items, M1 to M64

A test belongs to an item if its name cites it (..._M13), if `docs/course/items.md` names it in the item's row, or
if the data do. An empty cell says that there is nothing.
"""

import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

DOCS = Path(__file__).resolve().parents[1]
ROOT = DOCS.parent
GENERATED = DOCS / "_build" / "generated"
EMPTY = "–"
HEADER = (
    "| {} | | taught | shown: pages, `swingup lab` | practised: `swingup learn` | tests, by `test_*.py` |"
)


@cache
def data() -> dict[str, Any]:
    """Read the five parts, and the items."""
    return tomllib.loads((DOCS / "coverage.toml").read_text("utf-8"))


@cache
def cited() -> dict[str, set[str]]:
    """{item: tests whose names cite it, and those in its row of the table of the theory}, as file::test."""
    found: dict[str, set[str]] = {entry["id"]: set() for entry in data()["items"]}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.M):
            for item in re.findall(r"(?<=_)M\d+(?=_|$)", name):
                found[item].add(f"{path.relative_to(ROOT)}::{name}")
    page = (DOCS / "course" / "items.md").read_text()
    for item, row in re.findall(r"^\| (M\d+) \|(.*)$", page, re.M):
        found[item] |= set(re.findall(r"\{test\}`([^`]+)`", row))
    return found


def tests(entry: dict[str, Any]) -> set[str]:
    """All tests of a part or an item; a whole file stands for itself."""
    return set(entry.get("tested", [])) | cited().get(entry.get("id", ""), set())


def page_link(place: str) -> str:
    """A page, or a heading of it, as a link."""
    page, _, anchor = place.partition("#")
    return f"[{anchor.replace('-', ' ')}](/{page}.md#{anchor})" if anchor else f"{{doc}}`/{page}`"


def lab_link(lab: str) -> str:
    """A demonstration, as a link to its figure if the page of the laboratory has it."""
    drawn = f"\n## {lab}\n" in (DOCS / "labs.md").read_text()
    return f"[{lab}](/labs.md#{lab})" if drawn else f"`{lab}`"


def cells(entry: dict[str, Any]) -> Iterator[str]:
    """Where it is taught, shown, practised and tested."""
    yield ", ".join(page_link(place) for place in entry.get("taught", [])) or EMPTY
    shown = [*map(page_link, entry.get("explored", [])), *map(lab_link, entry.get("shown", []))]
    yield ", ".join(shown) or EMPTY
    yield ", ".join(f"`{name}`" for name in entry.get("practised", [])) or EMPTY
    files = Counter(Path(test.partition("::")[0]).stem.removeprefix("test_") for test in tests(entry))
    yield ", ".join(f"{name} ({n})" if n > 1 else name for name, n in sorted(files.items())) or EMPTY


def table(entries: list[dict[str, Any]], first: str) -> str:
    """Parts or items as a table; what is missing stands behind what it is."""
    header = HEADER.format(first)
    rows = []
    for i, entry in enumerate(entries, 1):
        what = f"{entry['what']}. {entry['missing']}" if "missing" in entry else entry["what"]
        rows.append("| " + " | ".join([str(entry.get("id", i)), what, *cells(entry)]) + " |")
    return "\n".join([header, "|---" * (header.count("|") - 1) + "|", *rows, ""])


def generate(app: Sphinx) -> None:
    GENERATED.mkdir(parents=True, exist_ok=True)
    for name, first in (("parts", "part"), ("items", "item")):
        text, target = table(data()[name], first), GENERATED / f"coverage-{name}.md"
        if not target.exists() or target.read_text() != text:
            target.write_text(text)


def setup(app: Sphinx) -> dict:
    app.connect("builder-inited", generate)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
