"""The zoo of mistakes (benchmarks/mutants.toml) must stay true to the code: else its table tells of another program."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ZOO = tomllib.loads((ROOT / "benchmarks" / "mutants.toml").read_text())["mutant"]


def test_every_mistake_can_be_made_in_one_place_of_todays_code() -> None:
    texts = {m["file"]: (ROOT / "src" / "swingup" / m["file"]).read_text() for m in ZOO}
    assert {m["name"]: n for m in ZOO if (n := texts[m["file"]].count(m["old"])) != 1} == {}


def test_mistakes_have_names_of_their_own_and_tests_that_exist() -> None:
    names = [m["name"] for m in ZOO]
    assert len(names) == len(set(names)) >= 80
    files = {test.partition("::")[0] for m in ZOO for test in m["tests"]}
    assert [file for file in sorted(files) if not (ROOT / file).exists()] == []
