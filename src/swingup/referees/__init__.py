"""Referees are players that need no learning: random, minimax, tree search with random rollouts, exact solvers."""

from collections.abc import Callable

from swingup.errors import ConfigError, unknown
from swingup.referees import connect_four, tic_tac_toe
from swingup.referees.minimax import Minimax
from swingup.referees.rules import Player, Random, Rules
from swingup.referees.uct import UCT

__all__ = ["GAMES", "UCT", "Minimax", "Player", "Random", "Rules", "referee"]

GAMES: dict[str, tuple[Rules, Callable[[], Player]]] = {  # rules and perfect player
    "connect_four": (connect_four.RULES, connect_four.Solver),
    "tic_tac_toe": (tic_tac_toe.RULES, tic_tac_toe.Solver),
}
KINDS = "random", "minimax", "mcts", "solver"
NUMBERS = {"minimax": ("plies", 42, 4), "mcts": ("simulations", 1_000_000, 1000)}  # unit, most, an example


def referee(spec: str, game: str) -> Player:
    """Return the player that a spec names: `random`, `minimax:D` (plies), `mcts:N` (simulations) or `solver`.

    `game` is a name of `GAMES`, with or without `pgx:`. Raises `ConfigError` for anything else.

    >>> referee("minimax:4", "pgx:connect_four").name
    'minimax:4'
    """
    game = game.removeprefix("pgx:")
    if game not in GAMES:
        raise ConfigError(f"no referee knows the rules of this game: {unknown('game', game, GAMES)}")
    (rules, solver), (kind, colon, number) = GAMES[game], spec.partition(":")
    if kind not in KINDS:
        raise ConfigError(f"{unknown('referee', kind, KINDS)}; for example minimax:4 or mcts:1000")
    if kind in NUMBERS:
        unit, most, usual = NUMBERS[kind]
        if not number.isdecimal() or not 1 <= int(number) <= most:
            raise ConfigError(f"{spec!r} needs a number of {unit}, 1 to {most:,}; for example {kind}:{usual}")
        return Minimax(rules, int(number)) if kind == "minimax" else UCT(rules, int(number))
    if colon:
        raise ConfigError(f"{kind!r} takes no number, as in {spec!r}")
    return solver() if kind == "solver" else Random(rules)
