"""Tic-tac-toe has few positions, so the published counts of all of them check rules and values."""

from collections import Counter

import numpy as np
import pytest

from swingup.errors import ConfigError
from swingup.referees import tic_tac_toe
from swingup.referees.rules import Position, after
from swingup.referees.tic_tac_toe import RULES, best, legal, play, value, won


def positions() -> list[Counter]:
    """For each ply the positions, and in how many orders of moves each comes about."""
    found = [Counter({(0, 0): 1})]
    for _ in range(9):
        later = Counter()
        for position, games in found[-1].items():
            if not won(position):
                for action in legal(position):
                    later[play(position, action)] += games
        found.append(later)
    return found


def result(position: Position, ply: int) -> str:
    return "XO"[1 - ply % 2] if won(position) else "" if legal(position) else "draw"


def test_the_counts_of_positions_and_games_are_those_of_the_literature() -> None:
    found = positions()
    assert [len(level) for level in found] == [1, 9, 72, 252, 756, 1260, 1520, 1140, 390, 78]
    ended, games = Counter(), Counter()
    for ply, level in enumerate(found):
        for position, orders in level.items():
            ended[result(position, ply)] += 1
            games[result(position, ply)] += orders
    assert (ended["X"], ended["O"], ended["draw"], ended[""]) == (626, 316, 16, 4520)
    assert (games["X"], games["O"], games["draw"]) == (131_184, 77_904, 46_080)


def test_perfect_play_is_a_draw_and_a_corner_is_answered_in_the_centre() -> None:
    assert value((0, 0)) == 0
    assert best([]) == set(range(9))  # no first move loses
    assert best([0]) == {4}
    assert best([0, 4, 1]) == {2}  # the block


@pytest.mark.parametrize("seat", [0, 1])
def test_the_solver_never_loses_whatever_the_other_plays(seat: int) -> None:
    """All lines of the other are played, from either seat; some are won."""
    solver, rng, results = tic_tac_toe.Solver(), np.random.default_rng(seat), set()
    open_games: list[tuple[int, ...]] = [()]
    while open_games:
        moves = open_games.pop()
        position, ply = after(RULES, moves, over=True), len(moves)
        if end := result(position, ply):
            results.add(end)
        elif ply % 2 == seat:
            open_games.append((*moves, solver.choose(moves, rng)))
        else:
            open_games += [(*moves, action) for action in legal(position)]
    assert results == {"draw", "XO"[seat]}


def test_illegal_moves_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"4 cannot be played after \[4\] \(legal: 0, 1, 2, 3, 5"):
        after(RULES, [4, 4])
    with pytest.raises(ConfigError, match="the game is over"):
        best([0, 3, 1, 4, 2])
    with pytest.raises(ConfigError, match="the game is over"):
        after(RULES, [0, 3, 1, 4, 2, 5], over=True)
