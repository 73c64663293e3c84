"""Tic-tac-toe has few positions: here are its rules, and what each position is worth.

Action and bit `3 * row + column` stand for a cell. There are 5,478 positions, so each is solved once and remembered.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from swingup.referees.rules import Position, Rules, after

ROWS, COLUMNS, DIAGONALS = (0o007, 0o070, 0o700), (0o111, 0o222, 0o444), (0o421, 0o124)
LINES = ROWS + COLUMNS + DIAGONALS  # a digit in base eight is a row


def legal(position: Position) -> list[int]:
    mine, theirs = position
    return [cell for cell in range(9) if not (mine | theirs) >> cell & 1]


def play(position: Position, action: int) -> Position:
    mine, theirs = position
    return theirs, mine | 1 << action


def won(position: Position) -> bool:
    return any(position[1] & line == line for line in LINES)


RULES = Rules("tic_tac_toe", LINES, legal, play, won)


@cache
def value(position: Position) -> int:
    """Return what a position is worth to who moves next, if both play perfectly: 1, 0 or -1.

        v(s) = -1 if the other has a line, 0 if the board is full, else max_a -v(s·a)

    >>> value((0, 0))
    0
    """
    if won(position):
        return -1
    return max((-value(play(position, action)) for action in legal(position)), default=0)


def best(moves: Sequence[int]) -> set[int]:
    """Return all perfect moves after some others. Raises `ConfigError` if the game is over.

    >>> sorted(best([0])), sorted(best([4]))
    ([4], [0, 2, 6, 8])
    """
    position = after(RULES, moves)
    return {a for a in legal(position) if -value(play(position, a)) == value(position)}


@dataclass(frozen=True)
class Solver:
    """A perfect player takes one of the best moves, all equally likely."""

    name = "solver"

    def choose(self, moves: Sequence[int], rng: np.random.Generator) -> int:
        return int(rng.choice(sorted(best(moves))))
