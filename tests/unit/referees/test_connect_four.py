"""The solver of connect four agrees with a plain minimax on a grid, and with what is known of the game."""

from collections.abc import Iterator

import numpy as np
import pytest

from swingup.errors import ConfigError
from swingup.referees.connect_four import (
    BOARD,
    LINES,
    RULES,
    Solver,
    connected,
    legal,
    outcome,
    play,
    scores,
    solve,
    threats,
    won,
)
from swingup.referees.rules import after


class Grid:
    """Connect four as one would write it first: columns of letters, and a look in all directions."""

    def __init__(self, moves: tuple[int, ...] = ()):
        self.columns: list[list[int]] = [[] for _ in range(7)]
        for ply, column in enumerate(moves):
            self.columns[column].append(ply % 2)
        self.ply = len(moves)

    def at(self, column: int, row: int) -> int | None:
        inside = 0 <= column < 7 and 0 <= row < len(self.columns[column])
        return self.columns[column][row] if inside else None

    def won(self) -> bool:
        last = (self.ply - 1) % 2
        starts = [(c, r) for c in range(7) for r in range(6)]
        ways = (0, 1), (1, 0), (1, 1), (1, -1)
        return any(
            all(self.at(c + i * x, r + i * y) == last for i in range(4)) for c, r in starts for x, y in ways
        )

    def score(self) -> int:
        """Pons's score by plain minimax."""
        if self.won():
            return -((44 - self.ply) // 2)
        if self.ply == 42:
            return 0
        return max(value for value in self.scores() if value is not None)

    def scores(self) -> list[int | None]:
        found: list[int | None] = [None] * 7
        for column in range(7):
            if len(self.columns[column]) < 6:
                self.columns[column].append(self.ply % 2)
                self.ply += 1
                found[column] = -self.score()
                self.ply -= 1
                self.columns[column].pop()
        return found


def sign(values: tuple[int | None, ...] | list[int | None]) -> list[int | None]:
    return [None if v is None else (v > 0) - (v < 0) for v in values]


def random_positions(plies: int, number: int, seed: int) -> Iterator[tuple[int, ...]]:
    """Positions after random moves in which the game still goes on."""
    rng = np.random.default_rng(seed)
    while number:
        moves: tuple[int, ...] = ()
        position = 0, 0
        while len(moves) < plies and not won(position):
            moves += (int(rng.choice(legal(position))),)
            position = play(position, moves[-1])
        if not won(position):
            number -= 1
            yield moves


def test_positions_by_ply_are_those_of_oeis() -> None:
    """OEIS A212693, of all positions that can come about, those included in which the game is over."""
    level, counts = {(0, 0)}, []
    for _ in range(7):
        counts.append(len(level))
        level = {play(p, column) for p in level if not won(p) for column in legal(p)}
    assert counts == [1, 7, 49, 238, 1120, 4263, 16422]


def test_there_are_69_lines_and_each_wins() -> None:
    assert len(set(LINES)) == 69
    assert all(connected(line) and line.bit_count() == 4 for line in LINES)
    assert not any(connected(line & line - 1) for line in LINES)  # without its lowest square


def test_rules_agree_with_a_grid_in_random_games() -> None:
    rng = np.random.default_rng(0)
    for _ in range(100):
        moves, position = (), (0, 0)
        while not won(position) and legal(position):
            grid = Grid(moves)
            assert not grid.won()
            assert legal(position) == [c for c in range(7) if len(grid.columns[c]) < 6]
            moves += (int(rng.choice(legal(position))),)
            position = play(position, moves[-1])
        assert Grid(moves).won() == won(position)


def test_threats_are_the_free_squares_that_would_complete_a_line() -> None:
    for moves in random_positions(24, 100, seed=1):
        mine, theirs = after(RULES, moves)
        free = BOARD & ~(mine | theirs)
        squares = [1 << i for i in range(49) if free >> i & 1]
        assert threats(mine, mine | theirs) == sum(s for s in squares if connected(mine | s))


@pytest.mark.parametrize(("plies", "number"), [(33, 2), (34, 8), (35, 12), (38, 20)])
def test_scores_are_those_of_a_plain_minimax(plies: int, number: int) -> None:
    for moves in random_positions(plies, number, seed=plies):
        slow = Grid(moves).scores()
        assert list(scores(moves)) == slow
        assert list(scores(moves, exact=False)) == sign(slow)
        assert solve(moves) == max(v for v in slow if v is not None)
        assert outcome(moves) == max(v for v in sign(slow) if v is not None)


def test_mates_are_seen() -> None:
    assert solve([0, 1, 0, 1, 0, 1]) == 18
    assert solve([3, 3, 2, 2]) == 18  # three in a row, open on both sides
    assert solve([3, 3, 2, 2, 1]) == solve([3, 3, 2, 2, 4]) == -18
    assert outcome([3, 3, 2, 2]) == 1


def test_scores_are_mirrored_with_the_board_and_lose_a_stone_every_two_plies() -> None:
    """The score is that of the best move, and the next position's the opposite."""
    for moves in random_positions(24, 10, seed=2):
        found = scores(moves)
        assert scores([6 - column for column in moves]) == found[::-1]
        score = solve(moves)
        column = found.index(score)
        if not won(after(RULES, (*moves, column), over=True)):
            assert solve((*moves, column)) == -score


def test_the_solver_keeps_what_a_position_is_worth() -> None:
    solver, rng = Solver(), np.random.default_rng(3)
    for moves in random_positions(26, 20, seed=3):
        found = scores(moves, exact=False)
        assert found[solver.choose(moves, rng)] == max(v for v in found if v is not None)


def test_bad_positions_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"3 cannot be played after .* \(legal: 0, 1, 2, 4, 5, 6\)"):
        solve([3] * 7)
    with pytest.raises(ConfigError, match="the game is over"):
        scores([0, 1, 0, 1, 0, 1, 0])
