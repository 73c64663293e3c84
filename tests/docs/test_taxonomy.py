"""The map of algorithms is complete, and its drawing shows what the registry says."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from swingup.algos import ALGOS
from swingup.course.taxonomy import TAXONOMY, Entry

DOCS = Path(__file__).parents[2] / "docs"
SVG = "{http://www.w3.org/2000/svg}"
IN_THE_LECTURE = {  # the leaves of its figure, and what its text names
    *("VPG", "A2C / A3C", "PPO", "TRPO", "DDPG", "TD3", "SAC", "DQN", "C51", "QR-DQN", "HER", "World Models"),
    *("I2A", "MBMF", "MBVE", "AlphaZero", "ME-TRPO", "Expert Iteration", "Value iteration"),
}


@pytest.fixture
def extension(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(DOCS / "_ext"))
    import taxonomy

    return taxonomy


def test_every_algorithm_has_exactly_one_entry_M23() -> None:
    assert sorted(e.algo for e in TAXONOMY if e.algo) == sorted(ALGOS)
    titles, names = [e.title for e in TAXONOMY], [e.name for e in TAXONOMY if e.name]
    assert len(set(titles)) == len(titles)
    assert len(set(names)) == len(names)
    assert set(titles) >= IN_THE_LECTURE


@pytest.mark.parametrize("entry", TAXONOMY, ids=lambda e: e.title)
def test_every_field_is_filled_M24(entry: Entry) -> None:
    for sentence in (entry.run, entry.evaluate, entry.improve):
        assert re.fullmatch(r"[^\W\d_].{5,98}\.", sentence), sentence
    hints = get_type_hints(Entry)
    for field in ("model", "control", "data"):
        assert getattr(entry, field) in get_args(hints[field])
    assert (entry.model == "none") == (entry.family[0] == "model-free")
    assert (entry.model == "given") == (entry.family[-1] == "given the model")
    assert re.search(r"[A-Z].* (19|20)\d\d$", entry.paper)
    if entry.link:
        assert re.fullmatch(r"arXiv:\d{4}\.\d{5}|doi:10\.\d{4,}/\S+", entry.source)
    else:
        assert len(entry.source) > 20  # a book, a report or proceedings


@pytest.mark.parametrize("entry", TAXONOMY, ids=lambda e: e.title)
def test_what_is_implemented_has_a_page_and_what_is_not_is_said_to_be_missing_M23(
    entry: Entry, extension: Any
) -> None:
    row = extension.facts(entry)
    assert entry.title in row
    if entry.where:
        assert (DOCS / entry.where).with_suffix(".md").exists()
        assert f"</{entry.where}>" in row
        assert f"`{entry.algo}` |" in row or (entry.algo is None and row.endswith("| an option |"))
    else:
        assert entry.algo is None
        assert row.endswith("| not implemented |")


def boxes(svg: str) -> Iterator[tuple[str, str, tuple[float, ...]]]:
    """(class, text, (left, top, right, bottom)) of each box of the drawing."""
    for group in ET.fromstring(svg).iter(f"{SVG}g"):
        rect, text = group.find(f"{SVG}rect"), group.find(f"{SVG}text")
        assert rect is not None
        assert text is not None
        x, y, w, h = (float(rect.get(k, "nan")) for k in ("x", "y", "width", "height"))
        assert x + w / 2 == float(text.get("x", "nan"))
        yield group.get("class", ""), text.text or "", (x, y, x + w, y + h)


def test_the_tree_shows_every_entry_once_and_links_those_with_a_page(extension: Any) -> None:
    svg = extension.draw(TAXONOMY, lambda page: f"to/{page}")
    leaves = [(kind, text) for kind, text, _ in boxes(svg) if kind != "family"]
    assert leaves == [("here" if e.where else "elsewhere", e.title) for e in TAXONOMY]
    links = [a.get("href") for a in ET.fromstring(svg).iter(f"{SVG}a")]
    assert links == [f"to/{e.where or 'course/kinds#model-control-data-paper'}" for e in TAXONOMY]
    assert "\n## Model, control, data, paper\n" in (DOCS / "course" / "kinds.md").read_text()
    families = {name for e in TAXONOMY for name in e.family}
    assert families == {text for kind, text, _ in boxes(svg) if kind == "family"} - {"RL algorithms"}
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", svg), "nothing is loaded from elsewhere"


def test_the_boxes_of_the_tree_are_apart_and_hold_their_words(extension: Any) -> None:
    """Within the picture, no two overlapping; 13 pixels high letters are 7.3 wide on average, or less."""
    svg = extension.draw(TAXONOMY, str)
    width, height = map(float, ET.fromstring(svg).get("viewBox", "").split()[2:])
    found = list(boxes(svg))
    for i, (_, text, (left, top, right, bottom)) in enumerate(found):
        assert left >= 0
        assert top >= 0
        assert right <= width
        assert bottom <= height
        assert 7.3 * len(text) <= right - left, text
        for _, other, (l2, t2, r2, b2) in found[:i]:
            assert right <= l2 or r2 <= left or bottom <= t2 or b2 <= top, f"{text} overlaps {other}"


def test_links_are_relative_to_the_page(extension: Any) -> None:
    class Here:
        class env:
            docname = "course/kinds"

    assert extension.Taxonomy.address(Here, "algorithms/ppo") == "../algorithms/ppo.html"
    assert extension.Taxonomy.address(Here, "hindsight") == "../hindsight.html"
