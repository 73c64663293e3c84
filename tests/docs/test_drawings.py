"""The drawings are SVG that a theme colours; each is on a page, says in words what it shows, and is right."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest

DOCS = Path(__file__).parents[2] / "docs"
SVG = "{http://www.w3.org/2000/svg}"
NAMES = ("loop", "three-parts", "bodies", "q-network", "ppo-clip", "c51-projection", "trust-region", "replay")
NAMES += ("backups", "tree-search", "ablation")


@pytest.fixture
def drawings(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(DOCS / "_ext"))
    import drawings

    return drawings


def test_each_is_on_a_page(drawings: Any) -> None:
    pages = "".join(p.read_text() for p in DOCS.rglob("*.md") if "_build" not in p.parts)
    assert set(drawings.DRAWINGS) == set(NAMES) == set(re.findall(r"^```\{drawing\} ([\w-]+)$", pages, re.M))


@pytest.mark.parametrize("name", NAMES)
def test_each_is_a_small_picture_that_a_theme_colours(name: str, drawings: Any) -> None:
    """Everything lies within the picture, and no colour is fixed; letters are taken to be 7 pixels wide on average."""
    svg = drawings.DRAWINGS[name]().svg()
    root = ET.fromstring(svg)
    width, height = map(float, root.get("viewBox", "").split()[2:])
    assert len(svg) < 20_000
    assert re.search(r"#[0-9a-f]{3}|rgb|fill=|stroke=|font-family", svg) is None
    assert len(root.get("aria-label", "")) > 30
    for text in root.iter(f"{SVG}text"):
        long = 7 * len("".join(text.itertext()))
        x, y = float(text.get("x", "nan")), float(text.get("y", "nan"))
        left = x - {"start": 0, "middle": long / 2, "end": long}[text.get("text-anchor", "")]
        assert left >= -8, "".join(text.itertext())
        assert left + long <= width + 8, "".join(text.itertext())
        assert 0 < y <= height
    for shape in [*root.iter(f"{SVG}polyline"), *root.iter(f"{SVG}polygon")]:
        points = np.array([p.split(",") for p in shape.get("points", "").split()], float)
        assert (points >= 0).all()
        assert (points <= [width, height]).all()


def test_the_clip_is_the_papers(drawings: Any) -> None:
    ratio = np.array([0.5, 0.8, 1.0, 1.2, 1.5])
    np.testing.assert_allclose(drawings.clip_objective(ratio, 1.0), [0.5, 0.8, 1.0, 1.2, 1.2])
    np.testing.assert_allclose(drawings.clip_objective(ratio, -1.0), [-0.8, -0.8, -1.0, -1.2, -1.5])


def test_the_projection_is_the_pages_example(drawings: Any) -> None:
    """By hand: 1.9 gives a tenth of its mass to 1 and the rest to 2, and so on; mass and mean are kept."""
    moved, target = drawings.projected()
    np.testing.assert_allclose(moved, [1.0, 1.9, 2.8, 3.7, 4.6])
    np.testing.assert_allclose(target, [0, 0.1 + 0.02, 0.18 + 0.08, 0.32 + 0.09, 0.21], atol=1e-6)
    np.testing.assert_allclose(target @ np.array(drawings.ATOMS), moved @ np.array(drawings.MASS), atol=1e-6)
    page = (DOCS / "algorithms" / "c51.md").read_text()
    for number in ("1.9", "2.8", "3.7", "4.6", "0.12", "0.26", "0.41", "0.21"):
        assert number in page
