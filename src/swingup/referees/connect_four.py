"""Connect four is solved: here are its rules, and an exact solver in plain Python.

An action is a column, 0 to 6. Bit `7 * column + row` is a square, row 0 at the bottom; a spare row 6 stays empty, so
that no shifted line runs from one column into the next. Adding a column's lowest bit to all stones carries to its
lowest free square.

A score is Pons's (blog.gamesolver.org, 2015): the number of stones that the winner has left at the end, at most 18. It
is positive if who moves next wins, negative if the other does, and 0 for a draw.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from swingup.referees.book import look_up
from swingup.referees.rules import Position, Rules, after

BOTTOM = sum(1 << 7 * column for column in range(7))
BOARD = BOTTOM * 0b111111
LINES = tuple(
    line
    for step in (1, 6, 7, 8)  # up; right and down; right; right and up
    for square in range(49)
    if (line := sum(1 << square + step * i for i in range(4))) & ~BOARD == 0
)
NEARNESS = {1 << 7 * column + row: 3 - abs(column - 3) for column in range(7) for row in range(6)}


def legal(position: Position) -> list[int]:
    taken = position[0] | position[1]
    return [column for column in range(7) if not taken >> 7 * column + 5 & 1]


def play(position: Position, action: int) -> Position:
    mine, theirs = position
    taken = mine | theirs
    return theirs, mine | (taken + (1 << 7 * action)) & ~taken


def connected(stones: int) -> bool:
    """Say whether there is a line of four."""
    for step in (1, 6, 7, 8):
        pairs = stones & stones >> step
        if pairs & pairs >> 2 * step:
            return True
    return False


def won(position: Position) -> bool:
    return connected(position[1])


RULES = Rules("connect_four", LINES, legal, play, won)


def threats(stones: int, taken: int) -> int:
    """Find the free squares, within reach or not, that would complete a line of these stones."""
    found = stones << 1 & stones << 2 & stones << 3
    for d in (6, 7, 8):
        pair = stones & stones >> d  # a stone here, and one d further
        found |= pair >> d & (stones >> 3 * d | stones << d) | pair << 2 * d & (stones << 3 * d | stones >> d)
    return found & BOARD & ~taken


def mates(position: Position) -> bool:
    """Say whether who moves next can win at once."""
    mine, theirs = position
    return bool(threats(mine, mine | theirs) & (mine | theirs) + BOTTOM)


class Search:
    """An alpha-beta search remembers bounds on scores, and by which squares it was cut off (history heuristic)."""

    def __init__(self):
        self.bounds: dict[int, tuple[int, int]] = {}
        self.history: dict[tuple[int, int], int] = {}  # by colour and square
        self.nodes = 0

    def score(self, mine: int, theirs: int, hostile: int, alpha: int, beta: int) -> int:
        """Return the score if it lies in (alpha, beta), otherwise a bound on it on the same side of the window.

        Who moves next must not be able to win at once. `hostile` are the threats of the other.
        """
        self.nodes += 1
        taken = mine | theirs
        ply = taken.bit_count()
        lost = -((42 - ply) // 2)  # the other wins with the next stone
        moves = (taken + BOTTOM) & BOARD
        if forced := moves & hostile:
            if forced & forced - 1:  # two of them
                return lost
            moves = forced
        moves &= ~(hostile >> 1)  # never below a square where the other wins
        if not moves:
            return lost
        if ply >= 40:
            return 0
        low, high = self.bounds.get(taken + mine) or (
            lost + 1 if connected(BOARD & ~mine) else 0,  # who has no open line cannot win
            (41 - ply) // 2 if connected(BOARD & ~theirs) else 0,
        )
        alpha, beta = max(alpha, low), min(beta, high)
        if alpha >= beta:
            return low if low >= beta else high
        best, ordered = -99, self.order(mine, theirs, moves, beta)
        for tried, (_, square, made) in enumerate(ordered):
            best = max(best, -self.score(theirs, mine | square, made, -beta, -max(alpha, best)))
            if best >= beta:
                for worth, (_, other, _) in [
                    (tried, ordered[tried]),
                    *((-1, move) for move in ordered[:tried]),
                ]:
                    self.history[ply & 1, other] = self.history.get((ply & 1, other), 0) + worth
                break
        self.bounds[taken + mine] = (best if best > alpha else low, best if best < beta else high)
        return best

    def order(self, mine: int, theirs: int, moves: int, beta: int) -> list[tuple[tuple, int, int]]:
        """Return the moves and the threats after them: first what is known to be good, then what threatens most."""
        taken, ordered = mine | theirs, []
        colour = taken.bit_count() & 1
        while moves:
            square = moves & -moves
            moves ^= square
            made = threats(mine | square, taken | square)
            known = self.bounds.get((taken | square) + theirs)
            promise = (
                known is not None and -known[1] >= beta,
                made.bit_count(),
                self.history.get((colour, square), 0),
                NEARNESS[square],
            )
            ordered.append((promise, square, made))
        return sorted(ordered, reverse=True)


def bound(search: Search, position: Position, alpha: int, beta: int) -> int:
    """Apply `Search.score` to any position in which nobody has won yet."""
    mine, theirs = position
    taken = mine | theirs
    if mates(position):
        return (43 - taken.bit_count()) // 2
    return search.score(mine, theirs, threats(theirs, taken), alpha, beta)


def score_of(search: Search, position: Position) -> int:
    """Return the exact score of a position in which nobody has won yet."""
    low, high = -21, 21
    while low < high:  # halve the interval; a search is fast if its window holds no score
        middle = (low + high) // 2
        value = bound(search, position, middle, middle + 1)
        low, high = (low, value) if value <= middle else (value, high)
    return low


def outcome_of(search: Search, position: Position) -> int:
    """Return the outcome of such a position: 1, 0 or -1."""
    return int(np.sign(bound(search, position, -1, 1)))


def solve(moves: Sequence[int]) -> int:
    """Return the exact score after some moves, if both play perfectly. Raises `ConfigError` if the game is over.

    >>> solve([3, 3, 4, 4]), solve([0, 1, 0, 1, 0, 1])
    (18, 18)
    """
    return score_of(Search(), after(RULES, moves))


def outcome(moves: Sequence[int]) -> int:
    """Say whether who moves next wins, 1, draws, 0, or loses, -1; this is much faster than the score."""
    return outcome_of(Search(), after(RULES, moves))


def scores(moves: Sequence[int], exact: bool = True) -> tuple[int | None, ...]:
    """Return the scores of all columns for who moves next, or only their outcomes; None where one is full.

    >>> scores([int(column) for column in "61333301206555250130235212051464"])
    (-3, -2, -3, None, -5, None, 5)
    """
    position = after(RULES, moves)
    search, last = Search(), (43 - len(moves)) // 2
    found: list[int | None] = [None] * 7
    for column in legal(position):
        child = play(position, column)
        if won(child):
            found[column] = last if exact else 1
        else:
            found[column] = -score_of(search, child) if exact else -outcome_of(search, child)
    return tuple(found)


@dataclass(frozen=True)
class Solver:
    """A perfect player takes a move from the book of openings, or the first one found that keeps the outcome.

    After the book a search takes seconds, and minutes in hard positions.
    """

    name = "solver"

    def choose(self, moves: Sequence[int], rng: np.random.Generator) -> int:
        position, search = after(RULES, moves), Search()
        if (known := look_up(RULES, position)) is not None:
            return known
        children = {column: play(position, column) for column in legal(position)}

        def promise(column: int) -> tuple[bool, int, int]:
            theirs, mine = children[column]
            return connected(mine), threats(mine, mine | theirs).bit_count(), -abs(column - 3)

        safe = [c for c, child in children.items() if won(child) or not mates(child)] or list(children)
        if len(safe) == 1:
            return safe[0]
        worth, chosen = -2, -1
        for column in sorted(safe, key=promise, reverse=True):
            child = children[column]
            value = 1 if won(child) else -np.sign(bound(search, child, -1, -max(worth, -1)))
            if value > worth:
                worth, chosen = value, column
            if worth == 1:
                break
        return chosen
