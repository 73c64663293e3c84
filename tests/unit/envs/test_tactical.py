"""The tactical opponent is compared with a search in plain Python, one move ahead and one back."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chi2
from toy_games import Ends

from swingup.envs import make
from swingup.envs.games import Game, game_of, tactical
from swingup.referees import tic_tac_toe

DRAWS = 256  # of nine equal moves one would be missed once in 10^12 positions
GAME = game_of(make("pgx:tic_tac_toe", 1))


def drawn(game: Game, state: Any, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """Moves [draws] of the tactical player in one position."""
    return np.asarray(MOVES(game, state, jax.random.split(jax.random.key(seed), draws)))


MOVES = jax.jit(jax.vmap(tactical, (None, None, 0)), static_argnums=0)
STEP = jax.jit(lambda state, move: GAME.step(state, move, jax.random.key(0))[0])


def reached(moves: tuple[int, ...]) -> Any:
    state, _ = GAME.reset(jax.random.key(0))
    for move in moves:
        state = STEP(state, jnp.int32(move))
    return state


@pytest.mark.parametrize(
    ("moves", "plays"),
    [
        ((0, 3, 1, 4), {2}),  # it wins, and does not block at 5
        ((0, 3, 1), {2}),  # it blocks
        ((4, 0, 2), {6}),  # on a diagonal
        ((0, 4, 8, 1, 7), {6}),  # it blocks the row below
    ],
)
def test_it_takes_a_win_and_prevents_a_loss(moves: tuple[int, ...], plays: set[int]) -> None:
    assert set(drawn(GAME, reached(moves))) == plays


def worth(position: Any, move: int) -> int:
    """1 for a win, -1 if the other can win next, else 0."""
    after = tic_tac_toe.play(position, move)
    if tic_tac_toe.won(after):
        return 1
    return -int(any(tic_tac_toe.won(tic_tac_toe.play(after, reply)) for reply in tic_tac_toe.legal(after)))


def test_its_moves_are_those_of_a_plain_search() -> None:
    """In positions of random games; all moves that are equal so far are played."""
    rng = np.random.default_rng(0)
    for length in (0, 1, 2, 3, 4, 4, 5, 5, 6, 6, 7, 8):
        while True:
            moves, position = (), (0, 0)
            for move in rng.permutation(9)[:length]:
                if tic_tac_toe.won(position):
                    break
                moves, position = (*moves, int(move)), tic_tac_toe.play(position, int(move))
            if len(moves) == length and not tic_tac_toe.won(position):
                break
        found = {move: worth(position, move) for move in tic_tac_toe.legal(position)}
        best = {move for move, x in found.items() if x == max(found.values())}
        assert set(drawn(GAME, reached(moves))) == best


def test_equal_moves_are_equally_likely() -> None:
    rng = np.random.default_rng(0)
    counts = np.bincount(drawn(GAME, reached(()), 9_000, int(rng.integers(2**31))), minlength=9)
    assert len(counts) == 9
    assert ((counts - 1000) ** 2 / 1000).sum() < chi2.isf(1e-6, 8)


def test_a_player_who_moves_again_is_no_threat_to_itself() -> None:
    """Who takes an end of the row moves again: with 0 the second player could go on to win, which is no loss."""
    game, key = Ends(), jax.random.key(0)
    state, _ = game.reset(key)
    for move in (1, 3):  # the second player has taken an end, and moves again
        state, _ = game.step(state, jnp.int32(move), key)
    assert set(drawn(game, state)) == {0, 2}
