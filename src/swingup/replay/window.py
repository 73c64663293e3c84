"""A window holds the last positions of self-play, and what became of them: a ring over time x games, on the device.

A position is written when it is played; how its game ends shows later, perhaps several rollouts later. So a row keeps
who moved, what the move brought and whether the game ended with it, and `outcomes` reads from these, for every row of
the ring at once, the result of its game for the player who was to move.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from swingup.counters import around
from swingup.envs.games import Game
from swingup.sharing import parted, whole
from swingup.spaces import Box, Discrete, zeros


class Position(NamedTuple):
    """A position is one that was played from; every field is [..., *]."""

    obs: Array  # the board as who moves next sees it
    legal: Array  # [..., A] the moves that the rules allow
    policy: Array  # [..., A] π: what the search recommends
    value: Array  # what the search takes the position to be worth to who moves next, in [-1, 1]
    player: Array  # who moves next: 0 for who began the game, 1 for the other
    guided: Array  # was the move the search's, and not a random one of the opening?
    reward: Array  # what the move brought to who moved
    terminated: Array  # the game ended with the move
    truncated: Array  # the game was cut after the move: nobody knows how it would have ended


class Window(NamedTuple):
    """A window is a ring of the last `C` rows of `N` games."""

    rows: Position  # [C, N, *]
    pushed: Array  # rows written so far; from 2^30 on their place in the ring (`counters.around`)


class Sample(NamedTuple):
    """A sample holds `B` positions to learn from."""

    obs: Array  # [B, *]
    legal: Array  # [B, A]
    policy: Array  # [B, A] π
    value: Array  # [B] the search's value
    z: Array  # [B] the result of the game for who was to move: 1, 0 or -1; 0 where it is not known
    known: Array  # [B] is it known, and was the move the search's?


def window(game: Game, games: int, positions: int) -> Window:
    """Make an empty ring for that many positions of all `games`, rounded up to a whole row."""
    space, moves = game.observation_space, game.action_space
    assert isinstance(space, Box)
    assert isinstance(moves, Discrete)
    wide = jnp.zeros(moves.n)
    one = Position(
        zeros(space),
        wide > 0,
        wide,
        jnp.float32(0),
        jnp.int32(0),
        jnp.bool_(0),
        jnp.float32(0),
        *[jnp.bool_(0)] * 2,
    )
    shape = -(-positions // games), games
    return Window(jax.tree.map(lambda x: jnp.zeros((*shape, *x.shape), x.dtype), one), jnp.int32(0))


def add(ring: Window, new: Position) -> Window:
    """Write positions [T, N] over the oldest rows. T must not exceed the rows of the ring."""
    new, capacity = whole(new), len(ring.rows.player)
    steps = len(new.player)
    at = (ring.pushed + jnp.arange(steps)) % capacity
    rows = jax.tree.map(lambda old, x: old.at[at].set(x), ring.rows, new)
    return Window(rows, around(ring.pushed + steps, capacity))


def outcomes(player: Array, reward: Array, terminated: Array, truncated: Array) -> tuple[Array, Array]:
    """Return the results z [T, N] of games for who was to move, and where they are known; rows are in order of time.

    With r the reward of who moves at t, and s = 1 if the same player moves at t + 1, else -1:

        z_t = r_t                                where the game ended with the move
        z_t = s z_{t+1}                          where it went on
        unknown                                  where it was cut, or goes on after the last row

    >>> x = jnp.array([0, 1, 0, 1])[:, None], jnp.array([0.0, 0, 1, 0])[:, None]
    >>> end = jnp.array([0, 0, 1, 0], bool)[:, None]
    >>> z, known = outcomes(*x, end, jnp.zeros_like(end))
    >>> z[:, 0].tolist(), known[:, 0].tolist()
    ([1.0, -1.0, 1.0, 0.0], [True, True, True, False])
    """
    goes_on = jnp.where(terminated | truncated, 0.0, 1.0)
    again = jnp.concatenate([player[1:] == player[:-1], jnp.zeros_like(terminated[:1])])
    z = _backwards(goes_on * jnp.where(again, 1.0, -1.0), jnp.where(terminated, reward, 0.0))
    known = _backwards(goes_on, jnp.where(terminated, 1.0, 0.0)) > 0
    return jnp.where(known, z, 0.0), known


def _backwards(a: Array, b: Array) -> Array:
    """Compute x_t = b_t + a_t x_{t+1} along the first axis, from 0 behind the last row, in log2(T) passes."""

    def after(late: tuple[Array, Array], early: tuple[Array, Array]) -> tuple[Array, Array]:
        return late[0] * early[0], early[1] + early[0] * late[1]

    return jax.lax.associative_scan(after, (a, b), reverse=True)[1]


def judged(ring: Window) -> tuple[Array, Array]:
    """Return `outcomes` of all rows, in the order of the ring; rows that were never written are unknown."""
    oldest = ring.pushed % len(ring.rows.player)
    r = ring.rows
    z, known = outcomes(*(jnp.roll(x, -oldest, 0) for x in (r.player, r.reward, r.terminated, r.truncated)))
    written = jnp.arange(len(z)) < filled(ring)
    return jnp.roll(z, oldest, 0), jnp.roll(known, oldest, 0) & written[:, None]


def filled(ring: Window) -> Array:
    """Count the rows that hold positions."""
    return jnp.minimum(ring.pushed, len(ring.rows.player))


def sample(ring: Window, z: Array, known: Array, key: Array, size: int) -> Sample:
    """Draw positions, each equally likely, from all that the ring holds; `z` and `known` are those of `judged`."""
    k_row, k_game = jax.random.split(key)
    games = ring.rows.player.shape[1]
    at = jax.random.randint(k_row, (size,), 0, filled(ring)), jax.random.randint(k_game, (size,), 0, games)
    some = jax.tree.map(lambda x: x[at], ring.rows)
    return parted(Sample(some.obs, some.legal, some.policy, some.value, z[at], known[at] & some.guided))


def turned(batch: Sample, symmetries: tuple, key: Array) -> Sample:
    """Turn each position into one of its mirror images and rotations, itself among them, which are equally likely.

    `symmetries` are pairs of permutations: of the entries of a flattened observation, and of the moves.
    """
    if not symmetries:
        return batch
    entries, moves = (
        jnp.stack([jnp.arange(len(s[i])) for s in symmetries[:1]] + [jnp.asarray(s[i]) for s in symmetries])
        for i in (0, 1)
    )
    which = jax.random.randint(key, batch.z.shape, 0, len(symmetries) + 1)
    obs = jnp.take_along_axis(batch.obs.reshape(len(which), -1), entries[which], 1)
    legal, policy = (jnp.take_along_axis(x, moves[which], 1) for x in (batch.legal, batch.policy))
    return batch._replace(obs=obs.reshape(batch.obs.shape), legal=legal, policy=policy)
