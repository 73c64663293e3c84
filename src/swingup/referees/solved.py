"""Solved positions tell how often a player of connect four goes wrong.

There are 300 positions in each of Pons's six classes (blog.gamesolver.org/solving-connect-four/02-test-protocol), by
the plies played, and by those that remain if both play perfectly:

| class         | plies played | plies that remain |
|---------------|--------------|-------------------|
| end-easy      | 29 to 41     | 1 to 13           |
| middle-easy   | 15 to 28     | 1 to 13           |
| middle-medium | 15 to 28     | 14 to 27          |
| begin-easy    | 0 to 14      | 1 to 13           |
| begin-medium  | 0 to 14      | 14 to 27          |
| begin-hard    | 0 to 14      | 28 or more        |

Positions are our own: they come about by random play, and none can be won at once. See benchmarks/positions.py.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from swingup.errors import ConfigError


class Solved(NamedTuple):
    """A position is solved if the score of each column is known."""

    moves: tuple[int, ...]  # columns played so far
    scores: tuple[int | None, ...]  # [7], as in `connect_four.scores`; None where a column is full


@cache
def positions() -> dict[str, tuple[Solved, ...]]:
    """Return the solved positions of each class."""
    stored = json.loads(files("swingup.referees").joinpath("connect_four.json").read_text())
    return {
        name: tuple(Solved(tuple(map(int, moves)), tuple(scores)) for moves, scores in rows)
        for name, rows in stored["classes"].items()
    }


def is_mistake(scores: Sequence[int | None], column: int) -> bool:
    """Say whether a move worsens the outcome: a win given away, or a draw lost.

    Raises `ConfigError` if the column is full.

    >>> is_mistake((3, 1, 0, -2, None, 2, 3), 1), is_mistake((3, 1, 0, -2, None, 2, 3), 2)
    (False, True)
    """
    score = scores[column] if 0 <= column < len(scores) else None
    if score is None:
        raise ConfigError(f"column {column} cannot be played where the scores are {list(scores)}")
    best = max(s for s in scores if s is not None)
    return (score > 0) - (score < 0) < (best > 0) - (best < 0)


def mistakes(choices: Mapping[str, Sequence[int]]) -> dict[str, float]:
    """Return the share of mistakes in each class, 0 to 1; `choices` has a column for each of its `positions`.

    Raises `ConfigError` for an unknown class, a number of choices that does not fit, or a full column.
    """
    shares = {}
    for name, columns in choices.items():
        rows = positions().get(name, ())
        if len(rows) != len(columns):
            raise ConfigError(f"{len(columns)} choices for the {len(rows)} positions of class {name!r}")
        shares[name] = sum(is_mistake(r.scores, int(c)) for r, c in zip(rows, columns, strict=True)) / len(
            rows
        )
    return shares
