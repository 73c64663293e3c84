"""The referees know a game by its rules on bitboards; any player of it can be asked for a move."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from swingup.errors import ConfigError

Position = tuple[int, int]  # bitboards: the stones of who moves next, and those of the other


class Rules(NamedTuple):
    """Rules are functions; two players set stones in turn, and a line of one's own wins."""

    name: str
    lines: tuple[int, ...]  # each a bitboard
    legal: Callable[[Position], list[int]]  # actions; none on a full board. Lines are not looked for
    play: Callable[[Position, int], Position]  # the position after a legal action
    won: Callable[[Position], bool]  # has who just moved a line?


class Player(Protocol):
    """A player can be asked for a move."""

    @property
    def name(self) -> str: ...

    def choose(self, moves: Sequence[int], rng: np.random.Generator) -> int:
        """Return a legal action after `moves`, which are all actions since the game began."""
        ...


def after(rules: Rules, moves: Sequence[int], *, over: bool = False) -> Position:
    """Play some actions from the start, and return the position.

    Raises `ConfigError` if one is illegal, or if the game is over at the end, unless `over` allows that.
    """
    position: Position = 0, 0
    for ply, action in enumerate(moves):
        legal = [] if rules.won(position) else rules.legal(position)
        if action not in legal:
            can = f"legal: {', '.join(map(str, legal))}" if legal else "the game is over"
            raise ConfigError(f"{rules.name}: {action} cannot be played after {list(moves[:ply])} ({can})")
        position = rules.play(position, int(action))
    if not over and (rules.won(position) or not rules.legal(position)):
        raise ConfigError(f"{rules.name}: the game is over after {list(moves)}")
    return position


@dataclass(frozen=True)
class Random:
    """A random player finds all legal moves equally likely."""

    rules: Rules

    name = "random"

    def choose(self, moves: Sequence[int], rng: np.random.Generator) -> int:
        return int(rng.choice(self.rules.legal(after(self.rules, moves))))
