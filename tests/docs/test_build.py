"""The documentation builds without a warning, needs no network to be read, and misses nothing."""

import ast
import doctest
import re
import subprocess
import sys
from pathlib import Path

import chromium
import pytest

import swingup
from swingup.algos import ALGOS, algorithm
from swingup.cli.table import COMMANDS
from swingup.cli.train import TrainOptions

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(p for p in DOCS.rglob("*.md") if "_build" not in p.parts)
PACKAGE = Path(swingup.__file__).parent
HEADINGS = (
    "The idea",
    "Quick facts",
    "Symbols",
    "Derivation",
    "Pseudocode, and where it is",
    "Equations, code and tests",
    "Hyperparameters",
    "Metrics",
    "When it fails",
    "What differs from the paper",
    "Details, and the evidence for them",
    "Measured results",
    "Exercises",
    "Further reading",
)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("docs")
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-W",
        "-n",
        "--keep-going",
        "-q",
        "-b",
        "html",
        "-d",
        out / "trees",
    ]
    done = subprocess.run([*command, DOCS, out / "html"], capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stdout + done.stderr
    return out / "html"


@pytest.mark.slow
def test_builds_strictly(built: Path) -> None:
    for page in PAGES:
        assert (built / page.relative_to(DOCS)).with_suffix(".html").exists()


@pytest.mark.slow
@pytest.mark.parametrize("width", [360, 1280])
def test_no_page_is_wider_than_its_window(width: int, built: Path, browser: chromium.Browser) -> None:
    """Every page, the two indices too; and none has an error in its console, or asks a network for something."""
    pages = sorted(built.rglob("*.html"))
    assert len(pages) > len(PAGES)
    browser.look(width, 800)
    for page in pages:
        browser.open(page.as_uri())
        assert browser.too_wide() == [], page.name
        assert not browser.errors()
        assert all(url.startswith(("file:", "data:")) for url in browser.requests())


@pytest.mark.slow
def test_reads_without_a_network(built: Path) -> None:
    """No page loads a script, a style, a font or a picture from elsewhere; formulas are MathML."""
    for page in built.rglob("*.html"):
        text = page.read_text()
        loaded = re.findall(r"<(?:script|link|img|iframe)\b[^>]*?\b(?:src|href)=\"(https?://[^\"]*)\"", text)
        assert not loaded, f"{page.name} loads {loaded}"
    assert "<math" in (built / "algorithms" / "ppo.html").read_text()


@pytest.mark.slow
def test_no_page_says_where_it_was_built(built: Path) -> None:
    """A difference between two files would name them by their places on this machine."""
    assert [page.name for page in built.rglob("*.html") if str(ROOT) in page.read_text()] == []
    assert "--- algos/vpg.py" in (built / "families.html").read_text()


@pytest.mark.slow
def test_the_front_page_is_light(built: Path) -> None:
    """The page and all that it loads, the pictures further down included, take less than 300 KB."""
    text = (built / "index.html").read_text()
    loaded = set(re.findall(r"<(?:script|img)\b[^>]*?\bsrc=\"([^\"?]+)", text))
    loaded |= set(re.findall(r"<link rel=\"stylesheet\"[^>]*?\bhref=\"([^\"?]+)", text))
    sizes = {name: (built / name).stat().st_size for name in loaded}
    assert len(sizes) > 30
    assert len(text.encode()) + sum(sizes.values()) < 300_000, sizes


@pytest.mark.slow
def test_hyperparameters_come_from_the_source(built: Path) -> None:
    """Each comment beside a field of PPO is on its page."""
    text = (built / "algorithms" / "ppo.html").read_text()
    assert "how far the probability ratio may move from 1" in text
    assert "widths of the hidden layers" in text


def source(room: str) -> str:
    return (PACKAGE.parent / room.replace(".", "/") / "__init__.py").read_text()


def test_reference_covers_every_module() -> None:
    modules = {".".join(p.relative_to(PACKAGE.parent).with_suffix("").parts) for p in PACKAGE.rglob("*.py")}
    modules = {m.removesuffix(".__init__") for m in modules}
    rooms = {m for m in modules if (PACKAGE.parent / m.replace(".", "/") / "__init__.py").exists()}
    empty = {m for m in rooms if len(ast.parse(source(m)).body) <= 1}  # a docstring at most
    elsewhere = empty | {"swingup", "swingup.__main__", "swingup.cli"}  # or shown as names, as commands
    pages = "".join(p.read_text() for p in (DOCS / "reference").glob("*.md"))
    listed = re.findall(r"automodule:: (\S+)", pages)
    assert len(listed) == len(set(listed))
    assert modules - elsewhere == set(listed)


def test_reference_covers_every_command() -> None:
    found = re.findall(r"^## `swingup (.+)`$", (DOCS / "reference" / "command_line.md").read_text(), re.M)
    assert sorted(found) == sorted(COMMANDS)


@pytest.mark.parametrize("name", ALGOS)
def test_algorithm_pages_follow_the_template(name: str) -> None:
    found = re.findall(r"^## (.+)$", (DOCS / "algorithms" / f"{name}.md").read_text(), re.M)
    assert [heading for heading in found if heading in HEADINGS] == list(HEADINGS)


@pytest.mark.parametrize("name", ALGOS)
def test_algorithm_pages_say_how_it_explores_and_why_these_papers(name: str) -> None:
    """They do as Spinning Up's pages did; exercises have their solutions, and failures a metric that shows them."""
    text = (DOCS / "algorithms" / f"{name}.md").read_text()
    for heading in ("## Exploration and exploitation", "### Why these papers", ":::{admonition} Solutions"):
        assert f"\n{heading}\n" in text
    exercises = re.search(r"^## Exercises\n(.*?)^:::\{admonition\} Solutions\n(.*?)^:::$", text, re.M | re.S)
    assert exercises
    asked, solved = (re.findall(r"^(\d+)\. ", part, re.M) for part in exercises.groups())
    assert asked == solved
    failures = re.search(r"^## When it fails\n(.*?)^## ", text, re.M | re.S)
    assert failures
    rows = re.findall(r"^\| (.+?) \|", failures[1], re.M)[2:]
    assert [row for row in rows if "`" not in row and "return" not in row] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_units_of_counts_are_named(page: Path) -> None:
    """Env steps, gradient steps or iterations; a bare "steps" says nothing."""
    text = re.sub(r"```.*?```|`[^`]*`|\$[^$]*\$", "", page.read_text(), flags=re.S)
    bare = re.findall(r".{0,40}(?<!env )(?<!env\n)(?<!gradient )(?<!gradient\n)\b(?<!\")steps\b.{0,20}", text)
    assert not bare


def test_the_extension_translates_docstrings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DOCS / "_ext"))
    import house_style

    assert doctest.testmod(house_style) == (0, 5)
    for page in PAGES:
        for files in re.findall(r"\{lines\}`([^`]+)`", page.read_text()):
            assert house_style.counted(files)
    fields = {name: (kind, comment) for name, kind, _, comment in house_style.fields(swingup.PPO)}
    assert fields["clip"][0] == "float in (0, ∞)"
    assert fields["clip"][1].startswith("ε")
    for cls in (*map(algorithm, ALGOS), TrainOptions):
        assert [name for name, _, _, meaning in house_style.fields(cls) if not meaning] == []


def test_results_are_shown_where_they_are_included(monkeypatch: pytest.MonkeyPatch) -> None:
    """Headings fit below the page's own, pictures are found from there, links out of the documentation go."""
    monkeypatch.syspath_prepend(str(DOCS / "_ext"))
    import results

    text = "# Speed\n![curve](a/b.png) [raw](raw.json) [web](https://x.org)\n```\n# a comment\n```\n"
    assert results.adapt(text, 3, ROOT / "benchmarks" / "results").splitlines() == [
        "#### Speed",
        "![curve](../../../benchmarks/results/a/b.png) `raw` [web](https://x.org)",
        "```",
        "# a comment",
        "```",
    ]
