"""A page is as wide as its window: what is wider scrolls in a box of its own, and a page that is too wide is seen.

The slow suite looks at every page: `test_build.py`.
"""

from pathlib import Path

import chromium
import pytest
import some_pages

DOCS = Path(__file__).parents[2] / "docs"
PAGES = "index", "algorithms", "algorithms/c51", "course/tree_search", "interactive/clip"
UNWRAP = "(() => {{ const x = document.querySelector('{}'); x.replaceWith(...x.childNodes); }})()"
BREAKS = {
    "the map without its box": ("algorithms", UNWRAP.format("div.taxonomy")),
    "a table without its box": ("algorithms/c51", UNWRAP.format(".table-wrapper:has(thead)")),
    "a formula that cannot scroll": ("algorithms/c51", UNWRAP.format("div.formula")),
    "a program that cannot scroll": (
        "algorithms/c51",
        "document.querySelector('div.highlight pre').style.overflow = 'visible'",
    ),
    "a paragraph": ("index", "document.querySelector('article p').style.width = '800px'"),
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few pages as HTML; links to the other pages lead nowhere."""
    return some_pages.html(tmp_path_factory.mktemp("pages"), *(f"{page}.md" for page in PAGES))


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_as_wide_as_its_window(
    page: str, width: int, built: Path, browser: chromium.Browser
) -> None:
    browser.look(width, 800)
    browser.open((built / f"{page}.html").as_uri())
    assert browser.too_wide() == []
    assert not browser.errors()


@pytest.mark.parametrize("what", BREAKS)
def test_what_is_too_wide_is_seen(what: str, built: Path, browser: chromium.Browser) -> None:
    """The window itself does not scroll then, so that nothing else would tell."""
    page, broken = BREAKS[what]
    browser.look(360, 800)
    browser.open((built / f"{page}.html").as_uri())
    assert browser.too_wide() == []
    browser.js(broken)
    assert browser.too_wide() != []
    assert browser.js("document.documentElement.scrollWidth") == 360


def test_words_and_wide_pictures_can_be_read_on_a_phone(built: Path, browser: chromium.Browser) -> None:
    """A column of words is no column of letters, and panels side by side keep their size; both scroll."""
    widths = "[...document.querySelectorAll('{}')].map((x) => x.clientWidth)"
    browser.look(360, 800)
    browser.open((built / "algorithms" / "c51.html").as_uri())
    assert browser.too_wide() == []
    words = browser.js(widths.format("table td.words"))
    assert len(words) > 30
    assert min(words) > 150
    browser.open((built / "course" / "tree_search.html").as_uri())
    assert browser.js(widths.format("figure.lab.drawing img")) == [620]
    assert browser.js(widths.format("figure.lab.drawing"))[0] <= 360
