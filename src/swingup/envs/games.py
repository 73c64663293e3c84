"""A game has two players, who see everything and move in turn; with an opponent inside, it is a task for one.

A game is an environment of which both players are part: whoever plays it chooses the moves of both. Observations are
from the view of who moves next, and rewards are those of who has just moved.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from swingup.envs.pure import advance, begin
from swingup.errors import ConfigError, unknown
from swingup.protocols import Env, VecEnv
from swingup.spaces import choices
from swingup.types import EnvState, Obs, Transition

Symmetry = tuple[np.ndarray, np.ndarray]


class Game(Env, Protocol):
    """A game is its rules, as pure functions of one game's state. Inherit from it to write your own.

    `reset` and `step` are those of `Env`. The observation is from the view of who moves next. The reward is that of
    the player who has just moved: 1 for a win, -1 for a loss, and 0 for a draw and while the game goes on; the other
    player's is its negative. `terminated` ends a game, for whatever reason: a limit of moves is one of its rules, so
    `truncated` is always False. After the end, `step` changes nothing and pays nothing.
    Two games of one class with one name are the same game: a name tells of all that makes a difference.
    """

    players: int = 2

    def legal(self, state: EnvState) -> Array:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Return the moves that are allowed, [A] bool; at least one while the game goes on."""
        ...

    def player(self, state: EnvState) -> Array:
        """Return who moves now, int32 []. 0 is the player who began the game, 1 is the other."""
        ...

    # Optional: what leaves the game as it is, beside the identity, such as the mirror of a board. Each is a permutation
    # of the flattened observation [O] and one of the actions [A]: `obs.ravel()[cells]` is the mirrored observation, and
    # `policy[moves]` the mirrored policy. The first position of a game is its own image.
    symmetries: tuple[Symmetry, ...] = ()

    def board(self, state: EnvState) -> str:
        """Show the position in a terminal; optional, and empty where there is no picture."""
        return ""

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.name == other.name  # pyright: ignore[reportAttributeAccessIssue]

    def __hash__(self) -> int:
        return hash((type(self), self.name))


def first(game: Game) -> tuple[EnvState, Obs]:
    """Return a game at its first position, and what who begins sees. There is no chance in it, so it needs no key."""
    return begin(game, jax.random.key(0))


def moved(game: Game, state: EnvState, move: Array) -> tuple[EnvState, Transition]:
    """Return a game after a move, and the answer of the rules. There is no chance in it, so it needs no key."""
    return advance(game, state, move, jax.random.key(0))


def uniform(game: Game, state: EnvState, key: Array) -> Array:
    """Draw one of the legal moves, each as likely."""
    return jax.random.categorical(key, jnp.where(game.legal(state), 0.0, -jnp.inf)).astype(jnp.int32)


def tactical(game: Game, state: EnvState, key: Array) -> Array:
    """Win at once if that is possible, and do not let the other player win at once.

    Moves that are equal so far are as likely. It tries each move and each reply, so a move costs as many steps of the
    rules as the square of their number.
    """
    moves = jnp.arange(game.legal(state).size)

    def tried(state: EnvState) -> tuple[EnvState, Transition]:
        return jax.vmap(lambda move: moved(game, state, move))(moves)

    def threat(state: EnvState) -> Array:
        """Return what the other player can win with its next move."""
        theirs = game.legal(state) & (game.player(state) != mover)
        return jnp.max(jnp.where(theirs, tried(state)[1].reward, 0))

    mover = game.player(state)
    after, t = tried(state)
    worth = t.reward - jnp.where(t.terminated, 0, jax.vmap(threat)(after))
    worth = jnp.where(game.legal(state), worth, -jnp.inf)
    return jax.random.categorical(key, jnp.where(worth == worth.max(), 0.0, -jnp.inf)).astype(jnp.int32)


OPPONENTS: dict[str, Callable[[Game, EnvState, Array], Array]] = {"random": uniform, "tactical": tactical}
FEW = 32  # moves up to which the tactical opponent is cheap: its cost grows with their square


class Seated(NamedTuple):
    """It holds a game, and who of its players we are."""

    game: EnvState
    seat: Array  # int32: 0 if we began


class Versus(Env):
    """A game as one of its players sees it: the other's moves belong to the environment.

    Who begins is drawn at the reset, with equal chances. It is always our turn: the opponent has moved until it is, or
    until the game has ended. Rewards are ours, so a return is 1, 0 or -1. `opponent` is "random", which takes each
    legal move with the same probability, or "tactical", which sees a win and a loss one move ahead. Raises
    `ConfigError` for an unknown one.
    """

    def __init__(self, game: Game, opponent: str = "random"):
        if opponent not in OPPONENTS:
            raise ConfigError(unknown("opponent", str(opponent), OPPONENTS))
        self.game, self.opponent, self.option = game, opponent, f"opponent={opponent}"
        self.name = f"{game.name}?{self.option}"
        self.observation_space, self.action_space = game.observation_space, game.action_space

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Versus) and (self.game, self.opponent) == (other.game, other.opponent)

    def __hash__(self) -> int:
        return hash((self.game, self.opponent))

    def legal(self, state: Seated) -> Array:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Return the moves that are allowed, [A] bool."""
        return self.game.legal(state.game)

    def reset(self, key: Array) -> tuple[Seated, Obs]:
        k_seat, k_game, k_reply = jax.random.split(key, 3)
        state, obs = begin(self.game, k_game)
        nothing = Transition(obs, jnp.float32(0), jnp.bool_(False), jnp.bool_(False))
        seat = jax.random.bernoulli(k_seat).astype(jnp.int32)
        seated, t = self._reply(Seated(state, seat), nothing, k_reply)
        return seated, t.obs

    def step(self, state: Seated, action: Array, key: Array) -> tuple[Seated, Transition]:
        k_step, k_reply = jax.random.split(key)
        after, t = advance(self.game, state.game, action, k_step)
        return self._reply(state._replace(game=after), t, k_reply)

    def _reply(self, seated: Seated, t: Transition, key: Array) -> tuple[Seated, Transition]:
        """The opponent moves until it is our turn, or the game has ended: in most games one move."""

        def theirs(carry: tuple) -> Array:
            state, t, _ = carry
            return ~t.terminated & (self.game.player(state) != seated.seat)

        def move(carry: tuple) -> tuple:
            state, t, key = carry
            key, k_choose, k_step = jax.random.split(key, 3)
            action = OPPONENTS[self.opponent](self.game, state, k_choose)
            state, reply = advance(self.game, state, action, k_step)
            return state, reply._replace(reward=t.reward - reply.reward), key

        state, t, _ = jax.lax.while_loop(theirs, move, (seated.game, t, key))
        return seated._replace(game=state), t


def game_of(env: VecEnv) -> Game:
    """Return the rules of the game that is played in an environment. Raises `ConfigError` where none is."""
    single: Any = env.single
    if isinstance(single, Versus):
        return single.game
    if env.players != 2:
        raise ConfigError(
            f"{env.name} is no game of two players: try pgx:connect_four (`swingup list envs` shows all), or write "
            "one, a swingup.envs.games.Game"
        )
    return single


def position_of(world: Any) -> EnvState:
    """Return the game's own states, of those of a game or of a `Versus`: what a planner of moves may step."""
    return world.game if isinstance(world, Seated) else world


def judged(game: Game) -> Versus:
    """Return the game against the opponent that evaluations measure by: "tactical", or "random" if moves are many."""
    return Versus(game, "tactical" if choices(game.action_space) <= FEW else "random")
