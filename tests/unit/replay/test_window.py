"""The window of self-play is compared with plain loops over whole games."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from swingup.envs import make
from swingup.envs.games import game_of
from swingup.replay import window
from swingup.replay.window import Position, Sample

GAME = game_of(make("pgx:connect_four", 1))


def played(rng: np.random.Generator, rows: int, games: int) -> tuple[np.ndarray, ...]:
    """Players (who may move twice), rewards, ends and cuts of random games, [T, N]."""
    player = rng.integers(0, 2, (rows, games))
    terminated = rng.random((rows, games)) < 0.15
    truncated = ~terminated & (rng.random((rows, games)) < 0.05)
    reward = np.where(terminated, rng.integers(-1, 2, (rows, games)), 0).astype(np.float32)
    return player.astype(np.int32), reward, terminated, truncated


def by_hand(player: np.ndarray, reward: np.ndarray, terminated: np.ndarray, truncated: np.ndarray) -> tuple:
    """For each position, walk to the end of its game, see who won, and ask whether that is who was to move."""
    z, known = np.zeros(player.shape, np.float32), np.zeros(player.shape, bool)
    for t, n in np.ndindex(*player.shape):
        end = t
        while end < len(player) and not (terminated[end, n] or truncated[end, n]):
            end += 1
        if end < len(player) and terminated[end, n]:
            known[t, n] = True
            z[t, n] = reward[end, n] if player[end, n] == player[t, n] else -reward[end, n]
    return z, known


def test_outcomes_are_those_of_a_walk_to_each_games_end() -> None:
    rng = np.random.default_rng(0)
    for rows in (1, 2, 7, 64):
        games = played(rng, rows, 5)
        z, known = window.outcomes(*map(jnp.asarray, games))
        np.testing.assert_array_equal((z, known), by_hand(*games))


def test_a_drawn_game_is_worth_nothing_to_both() -> None:
    player, end = jnp.array([[0], [1], [0]]), jnp.array([[False], [False], [True]])
    z, known = window.outcomes(player, jnp.zeros((3, 1)), end, jnp.zeros_like(end))
    assert known.all()
    assert not z.any()


def row(games: tuple[np.ndarray, ...], at: slice) -> Position:
    """Rows of a game's positions, whose observations and policies tell where they come from."""
    player, reward, terminated, truncated = (x[at] for x in games)
    number = np.arange(len(games[0]) * player.shape[1]).reshape(len(games[0]), -1)[at]
    shape = GAME.observation_space.shape
    obs = np.broadcast_to(number[..., None, None, None] % 2 == 1, (*number.shape, *shape))
    policy = np.zeros((*number.shape, 7), np.float32)
    policy[..., 0] = number
    legal = np.ones((*number.shape, 7), bool)
    guided = number % 3 > 0
    fields = obs, legal, policy, number.astype(np.float32), player, guided, reward, terminated, truncated
    return Position(*map(jnp.asarray, fields))


def test_games_that_span_rollouts_and_the_rings_end_keep_their_results() -> None:
    rng = np.random.default_rng(0)
    games = played(rng, 40, 3)
    ring = window.window(GAME, 3, 3 * 16)
    z_all, known_all = by_hand(*games)
    for start in range(0, 40, 5):
        ring = window.add(ring, row(games, slice(start, start + 5)))
        done = start + 5
        seen = [x[:done] for x in games]
        z, known = by_hand(*seen)
        found_z, found_known = window.judged(ring)
        for t in range(max(0, done - 16), done):  # what the ring still holds
            np.testing.assert_array_equal(found_z[t % 16], z[t])
            np.testing.assert_array_equal(found_known[t % 16], known[t])
            assert not (known[t] & ~known_all[t]).any()
            assert (z[t] == z_all[t])[known[t]].all()
        assert int(window.filled(ring)) == min(16, done)
        assert not found_known[done:].any()  # rows that were never written


def test_all_positions_are_drawn_equally_often_and_random_moves_teach_no_value() -> None:
    rng = np.random.default_rng(0)
    games = played(rng, 10, 4)
    ring = window.add(window.window(GAME, 4, 4 * 16), row(games, slice(0, 10)))
    z, known = window.judged(ring)
    batch = window.sample(ring, z, known, jax.random.key(int(rng.integers(2**31))), 40_000)
    number = np.asarray(batch.value).astype(int)
    counts = np.bincount(number, minlength=40)
    chi2 = ((counts - 1000) ** 2 / 1000).sum()
    assert chi2 < 93.2  # 39 degrees of freedom: right code exceeds it once in 4 million draws
    by, there = by_hand(*games)
    np.testing.assert_array_equal(batch.z, by.ravel()[number])
    np.testing.assert_array_equal(batch.known, there.ravel()[number] & (number % 3 > 0))
    np.testing.assert_array_equal(batch.policy[:, 0], number)


@pytest.mark.parametrize("name", ["connect_four", "tic_tac_toe", "go_5x5"])
def test_policies_turn_with_their_boards(name: str) -> None:
    rng = np.random.default_rng(0)
    game = game_of(make(f"pgx:{name}", 1))
    moves = game.legal(game.reset(jax.random.key(0))[0]).size
    obs = rng.random((64, *game.observation_space.shape)).astype(np.float32)
    legal, policy = rng.random((64, moves)) < 0.5, rng.random((64, moves)).astype(np.float32)
    one = np.zeros(64, np.float32)
    batch = Sample(*map(jnp.asarray, (obs, legal, policy, one, one, one > 0)))
    turned = window.turned(batch, game.symmetries, jax.random.key(int(rng.integers(2**31))))
    identity = np.arange(obs[0].size), np.arange(moves)
    used = set()
    for b in range(64):
        images = [
            i
            for i, (cells, order) in enumerate([identity, *game.symmetries])
            if np.array_equal(turned.obs[b].ravel(), obs[b].ravel()[cells])
            and np.array_equal(turned.policy[b], policy[b][order])
            and np.array_equal(turned.legal[b], legal[b][order])
        ]
        assert len(images) == 1
        used |= set(images)
    assert len(used) > 1
