"""`make results` keeps new numbers only if they lie in their bands, and goes on where it was stopped."""

import json
import subprocess
import sys
from fnmatch import fnmatchcase
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = """
import json, pathlib, sys
runs = pathlib.Path({runs!r})
runs.write_text(runs.read_text() + sys.argv[1])
out = pathlib.Path("out.json")
assert not out.exists()
if sys.argv[1] == "b" and pathlib.Path({broken!r}).exists():
    sys.exit(3)
out.with_name(sys.argv[1] + ".json").write_text(json.dumps({{"seeds": json.loads(pathlib.Path({new!r}).read_text())}}))
"""
TABLE = """
[{0}]
command = "python fake.py {0}"
writes = ["{0}.json"]
minutes = 0.1
bands = [{{ file = "{0}.json", at = ["seeds"], statistic = "mean", within = [1, 3] }}]
"""


def module() -> ModuleType:
    spec = spec_from_file_location("regenerate", ROOT / "benchmarks" / "regenerate.py")
    assert spec
    assert spec.loader
    found = module_from_spec(spec)
    sys.modules["regenerate"] = found
    spec.loader.exec_module(found)
    return found


regenerate = module()


class Fake:
    """A repository with two benchmarks, whose numbers and failures a test decides."""

    def __init__(self, home: Path):
        self.root, self.runs, self.new, self.broken = home / "r", home / "runs", home / "new", home / "broken"
        (self.root / "benchmarks").mkdir(parents=True)
        self.runs.write_text("")
        where = {"runs": str(self.runs), "new": str(self.new), "broken": str(self.broken)}
        (self.root / "fake.py").write_text(SCRIPT.format(**where))
        table = TABLE.format("a") + TABLE.format("b")
        (self.root / "benchmarks" / "results.toml").write_text(table)
        (self.root / ".gitignore").write_text("/.bench/\n")
        for name in "ab":
            self.store(name, [2.0])
        subprocess.run(["git", "init", "-q"], cwd=self.root, check=True)

    def store(self, name: str, seeds: list[float]) -> None:
        (self.root / f"{name}.json").write_text(json.dumps({"seeds": seeds}))

    def stored(self, name: str) -> list[float]:
        return json.loads((self.root / f"{name}.json").read_text())["seeds"]

    def call(self, *args: str) -> int:
        return regenerate.main(list(args), self.root)


@pytest.fixture
def fake(tmp_path: Path) -> Fake:
    return Fake(tmp_path)


def test_numbers_in_their_band_are_kept(fake: Fake) -> None:
    fake.new.write_text("[1.0, 4.0]")
    assert fake.call() == 0
    assert (fake.stored("a"), fake.stored("b"), fake.runs.read_text()) == ([1.0, 4.0], [1.0, 4.0], "ab")
    assert fake.call("--only", "b") == 0  # all was done, so it begins anew
    assert fake.runs.read_text() == "abb"


def test_numbers_outside_change_nothing_until_accepted(
    fake: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.new.write_text("[3.0, 4.0]")
    assert fake.call("--only", "a") == 1
    assert "2 -> 3.5, OUTSIDE [1, 3]" in capsys.readouterr().out
    assert fake.stored("a") == [2.0]
    assert fake.call("--only", "a", "--accept") == 0
    assert (fake.stored("a"), fake.runs.read_text()) == ([3.0, 4.0], "a")  # kept, and not run again
    assert fake.call("--check") == 1


def test_it_goes_on_after_a_failure_with_what_is_missing(fake: Fake) -> None:
    fake.new.write_text("[2.5]")
    fake.broken.touch()
    assert fake.call() == 1
    assert (fake.stored("a"), fake.stored("b")) == ([2.5], [2.0])
    fake.broken.unlink()
    assert fake.call() == 0
    assert (fake.stored("b"), fake.runs.read_text()) == ([2.5], "abb")


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"seeds": "x"}', '{"seeds": [NaN]}'])
def test_what_is_no_number_is_in_no_band(fake: Fake, text: str) -> None:
    assert fake.call("--check") == 0
    (fake.root / "a.json").write_text(text)
    assert fake.call("--check") == 1


def test_the_stored_results_lie_in_their_bands(capsys: pytest.CaptureFixture[str]) -> None:
    assert regenerate.main(["--check"]) == 0, capsys.readouterr().out
    assert regenerate.main(["--list"]) == 0
    for b in regenerate.read(ROOT):
        there = b.written(ROOT)
        assert b.bands, b.name
        assert {band.file for band in b.bands} <= set(there), b.name
        assert all(any(fnmatchcase(name, pattern) for name in there) for pattern in b.writes), b.name


def test_a_star_among_keys_is_each_of_them() -> None:
    rows = {"rows": [{"x": [1, 2]}, {"x": [3, 4]}], "by": {"a": 5, "b": 6}}
    assert regenerate.below(rows, ["rows", "*", "x", "-1"]) == [2, 4]
    assert regenerate.below(rows, ["by", "*"]) == [5, 6]
    with pytest.raises(KeyError):
        regenerate.below(rows, ["rows", "*", "y"])


def test_files_are_named_by_patterns(fake: Fake) -> None:
    table = (fake.root / "benchmarks" / "results.toml").read_text()
    (fake.root / "benchmarks" / "results.toml").write_text(table.replace('"a.json"]', '"[a].js*"]'))
    fake.new.write_text("[1.5]")
    assert fake.call("--only", "a") == 0
    assert (fake.stored("a"), fake.stored("b")) == ([1.5], [2.0])
