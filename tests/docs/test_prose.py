"""The house's prose keeps one register: `docs/algorithms/ppo.md` is its model.

A docstring's first sentence is an imperative, or it has a subject and a verb. No grammar is parsed here. A sentence
passes if its first word is one of `IMPERATIVES`, if it holds an equation, or if it has a verb of `VERBS` of its own:
one that stands before any `that`, `which` or their like, or one more than there are of these. What follows a colon or a
semicolon does not count. What is right and not found gets its verb added to the list. The file of an algorithm has the
name and the paper as its title.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
PROGRAMS = sorted([*(ROOT / "benchmarks").rglob("*.py"), *(ROOT / "examples").glob("*.py")])
TESTS = sorted((ROOT / "tests").rglob("*.py"))
EXTENSIONS = sorted((ROOT / "docs" / "_ext").glob("*.py"))
PAGES = sorted(p for p in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")] if "_build" not in p.parts)


def words(text: str) -> frozenset[str]:
    """Return the words of a text, to be looked up."""
    return frozenset(text.split())


IMPERATIVES = words(
    """
    Accept Add Allow Answer Append Apply Ascend Ask Be Begin Bring Build Call Cast Change Check Choose Claim
    Close Collect Compare Compile Compute Continue Convert Copy Count Create Cut Delete Derive Describe Do
    Draw Drop Estimate Evaluate Fill Find Fit Follow Forget Get Give Go Hand Hold Invent Iterate Join Keep
    Learn Leave Let List Load Lock Look Make Mark Measure Merge Move Multiply Name Offer Open Order Pack Paste Plan Play
    Postpone Press Print Publish Push Put Raise Read Record Reduce Refuse Register Release Remember Remove
    Rename Repeat Replace Reset Restore Resume Return Run Sample Save Say Scale Search See Seed Send Set Settle Show
    Shuffle Silence Split Start Step Stop Store Sum Sweep Take Teach Tell Time Train Translate Try Tune Turn Undo
    Unpack Use Wait Walk Warn Watch Wrap Write Yield
    """
)
VERBS = words(
    """
    add adds agree appears applies are asks become becomes begin begins belong belongs bias brings call calls came
    can cannot carry closes come comes compares computes connect contain contains cost could cuts decides depends did
    differ differs do does draws ends equal equals exists fall falls fill fills find finds follow follows
    forgets get gets give gives go goes grow grows had hangs happens has have hides hold holds is joins judges keep
    keeps know knows lead leads learn learns leave leaves lets lie lies lists look looks lose loses make
    makes matters may means meet meets might moves must need needs observe observes opens ought pay pays
    predicts prints puts raises reach reaches read reads record records remembers repair reset rise rises ruins runs say
    says see seems sees send sends sets shall share shares should show shows solve solves splits stand stands starts
    stay stays stops take takes tell tells terminates trade trades train use uses vectorise waits wants was were
    will work works would wraps write writes
    """
)
CLAUSES = words("that which who whose what where when how whether why because while whatever whenever")
DEFINES = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def first_sentence(docstring: str) -> str:
    """Return a docstring's first sentence in one line: it ends before a capital, or with the first paragraph.

    >>> first_sentence("Count them. Then forget.")
    'Count them.'
    """
    paragraph = " ".join(docstring.strip().split("\n\n")[0].split())
    return re.split(r"(?<=[.!?:]) (?=[A-Z`])", paragraph)[0]


def is_sentence(text: str) -> bool:
    """Say whether a text is an imperative, holds an equation, or has a verb of its own.

    >>> is_sentence("Return the mean."), is_sentence("The mean is small."), is_sentence("V = r.")
    (True, True, True)
    >>> is_sentence("The mean of what is drawn."), is_sentence("What is drawn is small."), is_sentence("It: this is.")
    (False, True, False)
    """
    text = re.split(r"[:;](?: |$)", re.sub(r"\([^)]*\)", "", text))[0]
    said = re.findall(r"[\w']+", re.sub(r"`[^`]*`", "", text))
    if "=" in text or "≈" in text or not said or said[0] in IMPERATIVES:
        return True
    marks = ["v" if word in VERBS else "c" if word.lower() in CLAUSES else "" for word in said]
    return "v" in "".join(marks).partition("c")[0] or marks.count("v") > marks.count("c")


def is_title(path: Path, text: str) -> bool:
    """Say whether a text is the title of an algorithm's file: its name, and the paper with its year in brackets."""
    return path.parent.name == "algos" and re.match(r"[^.:]*\(.*\d{4}", text) is not None


def docstrings(path: Path) -> Iterator[tuple[str, str]]:
    """Yield where each docstring of a file stands, and its text; the module's is the first."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, DEFINES) and (text := ast.get_docstring(node)):
            if isinstance(node, ast.Module) and is_title(path, first_sentence(text)):
                continue
            yield f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}", text


def test_first_sentences_have_a_verb() -> None:
    """Every docstring of the package is looked at, and those of modules elsewhere."""
    found = [found for path in SOURCES for found in docstrings(path)]
    found += [found for path in [*PROGRAMS, *TESTS, *EXTENSIONS] for found in list(docstrings(path))[:1]]
    wrong = [
        f"{place}: {first_sentence(text)}" for place, text in found if not is_sentence(first_sentence(text))
    ]
    assert not wrong, "\n".join(["no verb that tests/docs/test_prose.py knows:", *wrong])


@pytest.mark.parametrize("kind", ["code", "pages"])
def test_nothing_that_made_readers_stop(kind: str) -> None:
    """No sentence opens with "Of", and no number hides behind "so many"."""
    paths = PAGES if kind == "pages" else [*SOURCES, *PROGRAMS, *TESTS, *EXTENSIONS]
    shorthand = re.compile(r'(?:^[#*\s]*|[.:;|] |"""|# |- )Of [a-z`$]|\bso many\b', re.MULTILINE)
    for path in paths:
        if path != Path(__file__):
            text = path.read_text()
            found = [
                f"{path.relative_to(ROOT)}: {text[m.start() : m.end() + 40]!r}"
                for m in shorthand.finditer(text)
            ]
            assert not found, "\n".join(found)
