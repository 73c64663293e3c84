"""Players meet in a match: trained agents, with search or without, and referees that need no learning."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from swingup.algos.alphazero import AlphaZero
from swingup.envs.games import Game, game_of
from swingup.errors import ConfigError
from swingup.runs import Run, load, outline
from swingup.types import Seen


class Positions(NamedTuple):
    """These are positions of `B` games, in which one player is to move."""

    state: Any  # [B, ...] the game's own states
    obs: Any  # [B, ...] as who moves sees them
    legal: np.ndarray  # [B, A]
    moves: list[tuple[int, ...]]  # the moves of each game so far


class Player(Protocol):
    """A player is one side of a match."""

    name: str

    def choose(self, at: Positions, rngs: list[np.random.Generator]) -> np.ndarray:
        """Choose moves [B] for positions; the generators, one for each, are all that may be random."""
        ...


class Referee(Player):
    """A referee is a player of `swingup.referees`, which sees the moves alone."""

    def __init__(self, name: str, choose: Callable[[tuple[int, ...], np.random.Generator], int]):
        self.name, self._choose = name, choose

    def choose(self, at: Positions, rngs: list[np.random.Generator]) -> np.ndarray:
        """Ask the referee about one position after another."""
        return np.array(
            [self._choose(moves, rng) for moves, rng in zip(at.moves, rngs, strict=True)], np.int32
        )


class Anyone(Player):
    """Each legal move is equally likely; this referee knows every game."""

    name = "random"

    def choose(self, at: Positions, rngs: list[np.random.Generator]) -> np.ndarray:
        return np.array(
            [rng.choice(np.flatnonzero(x)) for x, rng in zip(at.legal, rngs, strict=True)], np.int32
        )


class Agent(Player):
    """An agent is what one seed of a run has learnt. It is greedy: equal positions get equal moves."""

    def __init__(self, name: str, run: Run, seed: int | None = None, mode: str = ""):
        """`mode` is "" for what the run's `act` does, "network" for its policy without search, or simulations."""
        seeds = run.experiment.seeds
        if seed is not None and seed not in seeds:
            raise ConfigError(f"{name} has no seed {seed}; it has {', '.join(map(str, seeds))}")
        row = 0 if seed is None else seeds.index(seed)
        algo = jax.tree.map(lambda x: x[row] if np.ndim(x) else x, run.experiment.resolved())
        if mode and not isinstance(algo, AlphaZero):
            raise ConfigError(f"{name}: only runs of alphazero search, so nothing can stand behind @")
        if mode and mode != "network":
            if not mode.isdigit() or mode == "0":
                raise ConfigError(f"{name}: behind @ stands network, or a number of simulations from 1 on")
            algo = replace(algo, simulations=int(mode))
        learner = jax.device_get(jax.tree.map(lambda x: x[row], algo.acting(run.state.learner)))
        self.name, self.algo, self.learner, self.mode = name, algo, learner, mode
        self.space = run.spaces[1]

        def choose(learner: Any, seen: Seen) -> Any:
            if mode == "network":
                return jnp.argmax(algo.policy(learner, seen), -1)
            return algo.act(learner, seen).action

        self._choose, self._plan = (
            jax.jit(choose),
            jax.jit(lambda learner, seen: algo.plan(learner.params, seen)),
        )

    def choose(self, at: Positions, rngs: list[np.random.Generator]) -> np.ndarray:
        """Choose the greedy moves."""
        seen, size = self._seen(at)
        return np.asarray(self._choose(self.learner, seen))[:size]

    def opinion(self, at: Positions) -> Any:
        """Return what the search found in positions, a `search.Found`. Raises `ConfigError` unless it is AlphaZero."""
        if not isinstance(self.algo, AlphaZero):
            raise ConfigError(f"{self.name} does not search, so it has no opinion of moves")
        seen, size = self._seen(at)
        return jax.tree.map(lambda x: np.asarray(x)[:size], self._plan(self.learner, seen))

    def _seen(self, at: Positions) -> tuple[Seen, int]:
        """Fill up to a power of two, because each size is a compilation."""
        size = len(at.legal)
        index = np.minimum(np.arange(1 << max(0, size - 1).bit_length()), size - 1)
        obs, legal, state = jax.tree.map(lambda x: jnp.asarray(x)[index], (at.obs, at.legal, at.state))
        return Seen(obs, legal, state, self.algo.start_memory(self.space, len(index))), size


def player(spec: str, game: Game, seed: int | None = None) -> Player:
    """Return the player that a word names, for a game.

    It is the directory of a run (`runs/c4`), perhaps with more or fewer simulations (`runs/c4@256`) or without search
    (`runs/c4@network`); or a referee: `random`, `minimax:4`, `mcts:1000`, `solver`. Raises `ConfigError` for others.
    """
    if spec == "random":
        return Anyone()
    from swingup.referees import referee

    path, _, mode = spec.rpartition("@") if "@" in spec else (spec, "", "")
    if not Path(path).exists():
        return Referee(spec, referee(spec, _bare(game)).choose)
    run = load(path)
    if (theirs := game_played(run)) != game:
        raise ConfigError(f"{path} was trained on {theirs.name}, and the match is played on {game.name}")
    return Agent(spec, run, seed, mode)


def _bare(game: Game) -> str:
    return game.name.rpartition(":")[2].partition("?")[0]


def game_played(run: Run) -> Game:
    """Return the game that a run was trained on. Raises `ConfigError` if it was none."""
    return game_of(outline.outline(run.experiment))
