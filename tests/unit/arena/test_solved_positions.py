"""Mistakes on solved positions are counted for players of whom it is known how many they make."""

import jax
import numpy as np
import pytest

from swingup.arena import exact
from swingup.arena.players import Anyone, Player, Positions, player
from swingup.envs import make
from swingup.envs.games import game_of
from swingup.errors import ConfigError
from swingup.referees import solved as stored
from swingup.referees import tic_tac_toe
from swingup.referees.rules import after

GAME = game_of(make("pgx:tic_tac_toe", 1))
CONNECT_FOUR = game_of(make("pgx:connect_four", 1))


class FirstFree(Player):
    """It takes the first cell that is free."""

    name = "first free"

    def choose(self, at: Positions, rngs: list[np.random.Generator]) -> np.ndarray:
        return at.legal.argmax(1)


def test_the_solver_of_tic_tac_toe_makes_no_mistake_and_loses_no_line_of_play() -> None:
    perfect = player("solver", GAME)
    found = exact.mistakes(perfect, GAME)
    assert (found["positions"], found["mistakes"]) == (4520, 0)
    assert sum(c["positions"] for c in found["by_class"].values()) == 4520
    assert found["by_class"]["0 moves"]["positions"] == 1
    lines = exact.lost_lines(perfect, GAME)
    assert lines["lost"] == 0
    assert lines["won"] > 0
    assert lines["drawn"] > 0


def test_a_random_player_makes_as_many_mistakes_as_it_must() -> None:
    """Its share is a sum of independent coins, whose chances are known: five deviations are once in two million."""
    positions = exact.solved(GAME)
    legal = np.array([9 - len(moves) for moves in positions.moves])
    p = 1 - positions.good.sum(1) / legal
    found = exact.mistakes(Anyone(), GAME, seed=1)["mistakes"]
    assert abs(found - p.sum()) < 5 * np.sqrt((p * (1 - p)).sum())


def test_lines_of_play_are_counted_as_a_recursion_counts_them() -> None:
    counts = {"lost": 0, "drawn": 0, "won": 0}

    def walk(moves: tuple[int, ...], seat: int) -> None:
        position = after(tic_tac_toe.RULES, moves, over=True)
        free = tic_tac_toe.legal(position)
        if tic_tac_toe.won(position):
            counts["won" if (len(moves) - 1) % 2 == seat else "lost"] += 1
        elif not free:
            counts["drawn"] += 1
        else:
            for move in free[:1] if len(moves) % 2 == seat else free:
                walk((*moves, move), seat)

    walk((), 0)
    walk((), 1)
    assert exact.lost_lines(FirstFree(), GAME) == counts


def test_positions_are_those_that_moves_lead_to() -> None:
    rng = np.random.default_rng(0)
    for game, lines in ((GAME, exact.tic_tac_toes().moves), (CONNECT_FOUR, exact.connect_fours().moves)):
        some = [lines[k] for k in rng.permutation(len(lines))[:12]]
        ((rows, at),) = exact.reached(game, some)
        assert rows.tolist() == list(range(12))
        assert at.moves == some
        step = jax.jit(game.step)
        for k, moves in enumerate(some):
            state, obs = game.reset(jax.random.key(0))
            for move in moves:
                state, t = step(state, move, jax.random.key(0))
                obs = t.obs
            np.testing.assert_array_equal(at.obs[k], obs)
            np.testing.assert_array_equal(at.legal[k], game.legal(state))


def test_stored_positions_of_connect_four_have_good_moves_that_are_legal() -> None:
    positions = exact.connect_fours()
    assert len(positions.moves) == 1800
    assert set(positions.kind) == set(stored.positions())
    assert positions.good.any(1).all()
    for moves, good in zip(positions.moves, positions.good, strict=True):
        assert all(moves.count(column) < 6 for column in np.flatnonzero(good))
    late = [m for m, kind in zip(positions.moves, positions.kind, strict=True) if kind == "end-easy"][:40]
    chosen = exact.chosen(player("solver", CONNECT_FOUR), CONNECT_FOUR, late)
    good = [positions.good[positions.moves.index(m)] for m in late]
    assert all(g[move] for g, move in zip(good, chosen, strict=True))


def test_games_that_nobody_solved_are_refused() -> None:
    with pytest.raises(ConfigError, match="no positions of this game are solved: unknown game 'hex'"):
        exact.solved(game_of(make("pgx:hex", 1)))


def test_mistakes_are_told_with_their_interval() -> None:
    found = {"a": exact.mistakes(FirstFree(), GAME)}
    low, high = found["a"]["interval"]
    assert low < found["a"]["share"] < high
    text = exact.told(found)
    assert f"a: {found['a']['mistakes']} mistakes in 4520 solved positions" in text
    assert text.count("\n") == 9
