"""Every number that a test's name cites, such as `..._C1_C2`, is a row of docs/mistakes.md, and has a test there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| (C\d+) \|(.*)$", re.MULTILINE)
TEST = re.compile(r"\{test\}`([^`]+)`")


def rows() -> dict[str, list[str]]:
    """Return {number of a mistake: the tests that its row names}."""
    return {
        number: TEST.findall(row) for number, row in ROW.findall((ROOT / "docs" / "mistakes.md").read_text())
    }


def numbers(name: str) -> set[str]:
    """Return the numbers that a test's name cites.

    >>> sorted(numbers("test_the_value_of_c51_C1_C26"))
    ['C1', 'C26']
    """
    return set(re.findall(r"(?<=_)C\d+(?=_C\d|$)", name))


def defined() -> dict[str, set[str]]:
    """Return {file::test: the numbers that its name cites} of all tests."""
    found = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE):
            found[f"{path.relative_to(ROOT)}::{name}"] = numbers(name)
    return found


def test_every_mistake_has_a_test_that_exists() -> None:
    assert list(rows()) == [f"C{i}" for i in range(1, 27)]
    tests = defined()
    for number, named in rows().items():
        assert named, f"no test in the row of {number}"
        for test in named:
            assert test in tests, f"{number}: {test} does not exist"


def test_every_number_that_a_test_cites_is_a_row_and_its_own() -> None:
    """A test whose name cites a number stands in a row; one in a row that cites numbers cites this one."""
    table, tests = rows(), defined()
    for test, cited in tests.items():
        assert cited <= set(table), f"{test} cites {cited - set(table)}"
    for number, named in table.items():
        for test in named:
            assert not tests[test] or number in tests[test], f"{test} stands in the row of {number}"
