"""Matches are played against players whose results are known."""

import numpy as np
import pytest

from swingup.arena import match
from swingup.arena.players import Anyone, Player, Positions
from swingup.envs import make
from swingup.envs.games import game_of
from swingup.errors import ConfigError

GAME = game_of(make("pgx:connect_four", 1))


class Column(Player):
    """Always the same column, or the first that is free."""

    def __init__(self, column: int):
        self.name, self.column = f"column {column}", column

    def choose(self, at: Positions, rngs: list[np.random.Generator]) -> np.ndarray:
        free = [np.flatnonzero(x) for x in at.legal]
        return np.array([self.column if self.column in f else f[0] for f in free])


class Last(Player):
    """The last legal move."""

    name = "last"

    def choose(self, at: Positions, rngs: list[np.random.Generator]) -> np.ndarray:
        return np.array([np.flatnonzero(x)[-1] for x in at.legal])


def winner(moves: tuple[int, ...]) -> int:
    """0 or 1, who has four in a row after these moves; -1 for nobody: by looking at every line of the board."""
    board = np.full((7, 6), -1)
    for i, column in enumerate(moves):
        board[column, (board[column] >= 0).sum()] = i % 2
    for c in range(7):
        for r in range(6):
            for dc, dr in ((1, 0), (0, 1), (1, 1), (1, -1)):
                line = [(c + k * dc, r + k * dr) for k in range(4)]
                if all(0 <= x < 7 and 0 <= y < 6 for x, y in line):
                    owners = {board[x, y] for x, y in line}
                    if len(owners) == 1 and -1 not in owners:
                        return owners.pop()
    return -1


def test_scores_are_those_of_the_moves_that_are_reported() -> None:
    result = match.play(GAME, (Anyone(), Last()), 30, seed=3)
    for game, moves in enumerate(result.moves):
        won = winner(moves)
        first = 0.5 if won < 0 else float(won == 0)  # the first seat's
        of_player = first if game < 30 else 1 - first
        assert result.scores.ravel()[game] == of_player
    assert sum(result.counts) == 60


def test_each_opening_is_played_from_both_seats_and_seeds_decide_them() -> None:
    a = match.play(GAME, (Column(0), Last()), 20, random_moves=3, seed=1)
    assert [m[:3] for m in a.moves[:20]] == [m[:3] for m in a.moves[20:]]
    assert len({m[:3] for m in a.moves}) > 10
    again = match.play(GAME, (Column(0), Last()), 20, random_moves=3, seed=1)
    assert a.moves == again.moves
    other = match.play(GAME, (Column(0), Last()), 20, random_moves=3, seed=2)
    assert a.moves != other.moves
    swapped = match.play(GAME, (Last(), Column(0)), 20, random_moves=3, seed=1)
    np.testing.assert_array_equal(swapped.scores, 1 - a.scores[::-1])  # the same games, told by the other


def test_players_that_repeat_themselves_are_told_from_players_that_do_not() -> None:
    assert match.play(GAME, (Column(0), Last()), 10, random_moves=0).distinct == 2
    assert match.play(GAME, (Column(0), Last()), 10, random_moves=4).distinct > 10


def test_a_players_random_choices_are_its_games_own() -> None:
    games = match.play(GAME, (Anyone(), Anyone()), 40, random_moves=0, seed=5).moves
    assert len(set(games)) == 80


def test_illegal_moves_are_refused() -> None:
    class Full(Column):
        def choose(self, at: Positions, rngs: list[np.random.Generator]) -> np.ndarray:
            return np.full(len(at.legal), 0)

    with pytest.raises(ConfigError, match="illegal move, 0, after"):
        match.play(GAME, (Full(0), Full(0)), 1, random_moves=0)


def test_ratings_are_those_under_which_scores_are_most_likely() -> None:
    rng = np.random.default_rng(0)
    true = np.array([0.0, 150.0, -80.0, 400.0])
    p = 1 / (1 + 10 ** ((true[None] - true[:, None]) / 400))
    wins = p * 1e6 * (1 - np.eye(4))
    np.testing.assert_allclose(match.elo(list("abcd"), wins), true, atol=0.1)
    found = match.elo(list("abcd"), np.round(wins / 1e5))

    def loss(r: np.ndarray) -> float:
        w = np.round(wins / 1e5) + 0.5 * (1 - np.eye(4))
        return float(-(w * np.log(1 / (1 + 10 ** ((r[None] - r[:, None]) / 400)))).sum())

    assert all(loss(found) <= loss(found + rng.normal(0, 5, 4)) for _ in range(50))


def test_scores_have_intervals_that_hold() -> None:
    """Pairs of games score 0, 0.25, ... 1 with a known mean: a 95 % interval misses it about once in twenty times."""
    rng = np.random.default_rng(0)
    values, p = np.array([[0, 0], [0.5, 0], [1, 0], [1, 0.5], [1, 1]]), [0.1, 0.2, 0.3, 0.2, 0.2]
    mean = float(values.mean(1) @ p)
    missed = 0
    for _ in range(400):
        scores = values[rng.choice(5, 50, p=p)].T
        _, low, high = match.score_interval(match.Result(("a", "b"), scores, []))
        missed += not low <= mean <= high
    assert missed < 50  # right intervals miss 20 of 400, and 50 or more once in 10^8 times
    assert match.score_interval(match.Result(("a", "b"), np.ones((2, 50)), []))[1] < 0.95
