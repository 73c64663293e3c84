"""Pgx (Koyama et al. 2023, arXiv:2303.17503) has the rules of board games in JAX; here each is a `Game`.

Importing Pgx starts JAX, so this module is imported when a game is opened.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from swingup.envs.games import Game, Symmetry, Versus
from swingup.protocols import Env
from swingup.spaces import Box, Discrete
from swingup.types import Obs, Transition

SQUARE = (
    "tic_tac_toe",
    "go_5x5",
    "go_9x9",
    "go_19x19",
)  # all eight symmetries of the square leave these as they are
# Four stones lie on Othello's board at the beginning, so a reflection at its middle would swap the colours. In Hex
# each player joins two sides of a rhombus.
HALF_TURNS, DIAGONALS = ("othello", "hex"), ("othello",)
BOARDS = (
    *SQUARE,
    "othello",
    "hex",
    "connect_four",
)  # whose planes begin with the mover's and the other's stones


class Played(NamedTuple):
    """A game of Pgx is kept without what can be computed from it, because a search copies states."""

    rules: Any  # Pgx's own state
    first: Array  # the number that Pgx drew for the player who began: it is no colour


class PgxGame(Game):
    """This is a game of Pgx, in which an illegal move loses at once."""

    def __init__(self, name: str, env: Any):
        self.name, self.env, self.kind = name, env, name.partition("?")[0]
        state = jax.eval_shape(env.init, jax.random.key(0))
        shape, dtype = state.observation.shape, state.observation.dtype
        self.observation_space = Box.of(0, 1, shape, dtype.name)
        self.action_space = Discrete(state.legal_action_mask.size)
        self.symmetries = tuple(_symmetries(self.kind, shape, self.action_space.n))

    def reset(self, key: Array) -> tuple[Played, Obs]:
        state = self.env.init(key)
        return Played(_kept(state), jnp.asarray(state.current_player)), state.observation

    def step(self, state: Played, action: Array, key: Array) -> tuple[Played, Transition]:
        after = self.env.step(state.rules, action, key)
        reward = after.rewards[state.rules.current_player]
        ended = after.terminated | after.truncated
        return state._replace(rules=_kept(after)), Transition(
            after.observation, reward, ended, jnp.bool_(False)
        )

    def legal(self, state: Played) -> Array:
        """Return the moves that are allowed, [A] bool; all of them where the game has ended."""
        return state.rules.legal_action_mask

    def player(self, state: Played) -> Array:
        """Return 0 if the player who began moves now, else 1; int32 []."""
        return (state.rules.current_player != state.first).astype(jnp.int32)

    def board(self, state: Played) -> str:
        """Show the stones of who began as x, those of the other as o; games with pieces have no picture."""
        if self.kind not in BOARDS:
            return ""
        mine, theirs = np.moveaxis(np.asarray(self.env.observe(state.rules))[..., :2], -1, 0)
        x, o = (theirs, mine) if int(self.player(state)) else (mine, theirs)
        return "\n".join(" ".join(row) for row in np.where(x, "x", np.where(o, "o", ".")))


def make_pgx(bare: str, *, opponent: str = "", **options: Any) -> Env:
    """Open a game by its bare id; or with `opponent` what one of its players sees. Go's boards take `komi`.

    Raises `ConfigError` for an unknown opponent, `TypeError` for an option that the game has not.
    """
    query = "&".join(f"{k}={v}" for k, v in options.items())
    game = PgxGame(bare + ("?" + query if query else ""), _rules(bare, **options))
    return Versus(game, opponent) if opponent else game


def _rules(bare: str, **options: Any) -> Any:
    if bare.startswith("go_"):
        from pgx.go import Go

        return Go(size=int(bare.rpartition("x")[2]), **options)
    if options:
        raise TypeError(f"{bare} has no option {', '.join(options)}")
    import pgx

    return pgx.make(bare)  # pyright: ignore[reportArgumentType]


def _kept(state: Any) -> Any:
    """Drop the observation and the rewards of a state of Pgx, and give its numbers types of their own."""
    state = state.replace(observation=None, rewards=jnp.zeros(2))
    return jax.tree.map(lambda x: jax.lax.convert_element_type(x, jnp.asarray(x).dtype), state)


def _symmetries(kind: str, shape: tuple[int, ...], actions: int) -> Iterator[Symmetry]:
    """Yield them for boards [h, w, planes] whose moves are the cells, row by row, and then such as a pass."""
    numbers = np.arange(np.prod(shape)).reshape(shape)
    if kind == "connect_four":
        yield numbers[:, ::-1].ravel(), np.arange(actions)[::-1].copy()
    for turn in _turns(kind):
        cells = turn(np.arange(shape[0] * shape[1]).reshape(shape[:2])).ravel()
        yield turn(numbers).ravel(), np.concatenate([cells, np.arange(cells.size, actions)])


def _turns(kind: str) -> Iterator[Callable[[np.ndarray], np.ndarray]]:
    """Yield what turns an array [h, w, ...] into its image."""
    if kind in SQUARE:
        for k in range(8):
            if k:
                yield lambda x, k=k: np.rot90(x if k < 4 else x[::-1], k % 4)
    if kind in HALF_TURNS:
        yield lambda x: np.rot90(x, 2)
    if kind in DIAGONALS:
        yield lambda x: np.swapaxes(x, 0, 1)
        yield lambda x: np.swapaxes(np.rot90(x, 2), 0, 1)
