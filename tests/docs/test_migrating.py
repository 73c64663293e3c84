"""The tables for migrants hold our fields, and the options of their library: all of them, and no other.

`peers.json` has the others' hyperparameters, read in their code at the versions that it states; what only
logs, seeds or saves is left out.
"""

import dataclasses
import json
import re
from pathlib import Path

import pytest

from swingup.algos import algorithm
from swingup.cli.table import COMMANDS

HERE = Path(__file__).parent
PAGE = (HERE.parents[1] / "docs" / "migrating.md").read_text()
PEERS = json.loads((HERE / "peers.json").read_text())
ALGOS = ("ppo", "a2c", "vpg", "trpo", "dqn", "ddpg", "td3", "sac")
NAME = re.compile(r"`([a-z]\w*)`")


def table(title: str) -> list[list[str]]:
    """The rows of a section's table without its header, as cells."""
    section = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S)
    assert section, title
    rows = [line.strip("|").split("|") for line in section[1].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


@pytest.mark.parametrize("algo", ALGOS)
def test_our_column_has_our_fields(algo: str) -> None:
    fields = {f.name for f in dataclasses.fields(algorithm(algo))}
    named = [name for row in table(algo.upper()) for name in NAME.findall(row[0])]
    assert named
    assert set(named) <= fields
    assert len(set(named)) == len(named)
    for row in table(algo.upper()):
        assert NAME.search(row[0]) or row[0] == "–"


@pytest.mark.parametrize("algo", ALGOS)
@pytest.mark.parametrize(("column", "peer"), list(enumerate(PEERS, 1)))
def test_their_columns_have_all_their_options(algo: str, column: int, peer: str) -> None:
    named = {name for row in table(algo.upper()) for name in NAME.findall(row[column])}
    assert named == set(PEERS[peer]["names"].get(algo, [])), f"{peer}: {PEERS[peer]['source']}"


def test_the_header_names_the_columns() -> None:
    header = "| swingup | " + " | ".join(PEERS) + " | mind |"
    assert PAGE.count(header) == len(ALGOS)


def test_our_commands_exist() -> None:
    named = re.findall(r"`swingup ([a-z-]+)", PAGE)
    assert len(named) >= 6
    assert set(named) <= set(COMMANDS)
