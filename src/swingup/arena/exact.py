"""Count mistakes on solved positions: moves that make the exact value of a game worse."""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

import jax
import numpy as np

from swingup.arena.players import Player, Positions
from swingup.envs.games import Game, first, moved
from swingup.errors import ConfigError, unknown
from swingup.referees import solved as stored
from swingup.referees import tic_tac_toe
from swingup.referees.rules import after
from swingup.statistics import wilson

BATCH = 512  # positions that a player is asked about at once
WIDE = 16  # lists of moves are filled up to multiples of this, because each length is a compilation


class Solved(NamedTuple):
    """Solved positions are those of which every move's exact value is known."""

    moves: list[tuple[int, ...]]  # that lead to them
    good: np.ndarray  # [P, A] does the move keep what the position is worth?
    kind: list[str]  # the class of each


@cache
def tic_tac_toes() -> Solved:
    """Return all 4,520 positions of tic-tac-toe in which the game goes on, by how many moves were made."""
    found: dict[Any, tuple[int, ...]] = {}

    def walk(moves: tuple[int, ...], position: Any) -> None:
        if position in found or tic_tac_toe.won(position) or not tic_tac_toe.legal(position):
            return
        found[position] = moves
        for move in tic_tac_toe.legal(position):
            walk((*moves, move), tic_tac_toe.play(position, move))

    walk((), (0, 0))
    lines = list(found.values())
    good = np.zeros((len(lines), 9), bool)
    for row, moves in zip(good, lines, strict=True):
        row[list(tic_tac_toe.best(moves))] = True
    return Solved(lines, good, [f"{len(moves)} moves" for moves in lines])


@cache
def connect_fours() -> Solved:
    """Return the stored positions of connect four, in Pons's six classes."""
    rows = [(kind, row) for kind, some in stored.positions().items() for row in some]
    good = [
        [s is not None and not stored.is_mistake(row.scores, c) for c, s in enumerate(row.scores)]
        for _, row in rows
    ]
    return Solved([row.moves for _, row in rows], np.array(good), [kind for kind, _ in rows])


SOLVED: dict[str, Callable[[], Solved]] = {"tic_tac_toe": tic_tac_toes, "connect_four": connect_fours}


def solved(game: Game) -> Solved:
    """Return the solved positions of a game. Raises `ConfigError` if there are none."""
    name = game.name.rpartition(":")[2].partition("?")[0]
    if name not in SOLVED:
        raise ConfigError(f"no positions of this game are solved: {unknown('game', name, SOLVED)}")
    return SOLVED[name]()


def reached(game: Game, lines: list[tuple[int, ...]]) -> Iterator[tuple[np.ndarray, Positions]]:
    """Yield the positions after lists of moves, in batches; the first of a pair tells which."""
    wide = WIDE * (1 + max(map(len, lines), default=0) // WIDE)
    for start in range(0, len(lines), BATCH):
        rows = np.arange(start, min(start + BATCH, len(lines)))
        some = np.minimum(np.arange(start, start + BATCH), len(lines) - 1)  # filled up: one size, one program
        table = np.zeros((BATCH, wide), np.int32)
        for row, k in zip(table, some, strict=True):
            row[: len(lines[k])] = lines[k]
        found = _replayed(game)(table, np.array([len(lines[k]) for k in some], np.int32))
        state, obs, legal = head(jax.device_get(found), len(rows))
        yield rows, Positions(state, obs, legal, [lines[k] for k in rows])


@cache
def _replayed(game: Game) -> Callable:
    """Return what plays moves [B, wide], of each row the first `count`: states, observations and legal moves."""

    def one(moves: Any, count: Any) -> Any:
        def step(i: Any, carry: Any) -> Any:
            state, t = moved(game, carry[0], moves[i])
            return state, t.obs

        state, obs = jax.lax.fori_loop(0, count, step, first(game))
        return state, obs, game.legal(state)

    return jax.jit(jax.vmap(one))


def head(tree: Any, size: int) -> Any:
    """Cut arrays to their first rows."""
    return jax.tree.map(lambda x: x[:size], tree)


def chosen(player: Player, game: Game, lines: list[tuple[int, ...]], seed: int = 0) -> np.ndarray:
    """Ask a player for its move [P] in each position after these moves."""
    out = np.zeros(len(lines), np.int32)
    rngs = [np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(len(lines))]
    for rows, at in reached(game, lines):
        out[rows] = player.choose(at, [rngs[k] for k in rows])
    return out


def mistakes(player: Player, game: Game, seed: int = 0) -> dict[str, Any]:
    """Count the mistakes among its moves in the solved positions: in all, per class, with a 95 % interval."""
    positions = solved(game)
    move = chosen(player, game, positions.moves, seed)
    wrong = ~positions.good[np.arange(len(move)), move]
    kinds = list(dict.fromkeys(positions.kind))
    each = {k: wrong[np.array(positions.kind) == k] for k in kinds}
    return {
        "positions": len(wrong),
        "mistakes": int(wrong.sum()),
        "share": float(wrong.mean()),
        "interval": list(wilson(int(wrong.sum()), len(wrong))),
        "by_class": {k: {"positions": len(x), "mistakes": int(x.sum())} for k, x in each.items()},
    }


def lost_lines(player: Player, game: Game) -> dict[str, int]:
    """Count the games of tic-tac-toe that a player loses, draws and wins over all lines of play, from both seats."""
    counts = {"lost": 0, "drawn": 0, "won": 0}
    for seat in (0, 1):
        lines: list[tuple[int, ...]] = [()]
        while lines:
            mine = [m for m in lines if len(m) % 2 == seat]
            theirs = [m for m in lines if len(m) % 2 != seat]
            moves = chosen(player, game, mine) if mine else np.zeros(0, int)
            after_mine = [(*m, int(a)) for m, a in zip(mine, moves, strict=True)]
            after_theirs = [(*m, a) for m in theirs for a in tic_tac_toe.legal(after(tic_tac_toe.RULES, m))]
            lines = []
            for m in after_mine + after_theirs:
                position = after(tic_tac_toe.RULES, m, over=True)
                if tic_tac_toe.won(position):
                    counts["won" if (len(m) - 1) % 2 == seat else "lost"] += 1
                elif not tic_tac_toe.legal(position):
                    counts["drawn"] += 1
                else:
                    lines.append(m)
    return counts


def told(found: dict[str, dict[str, Any]]) -> str:
    """Tell the mistakes of players as text."""
    lines = []
    for name, x in found.items():
        low, high = x["interval"]
        lines.append(
            f"{name}: {x['mistakes']} mistakes in {x['positions']} solved positions, {x['share']:.1%} "
            f"(95 % CI [{low:.1%}, {high:.1%}])"
        )
        lines += [
            f"  {kind:<14} {c['mistakes']:>5} of {c['positions']:>5}   {c['mistakes'] / c['positions']:6.1%}"
            for kind, c in x["by_class"].items()
        ]
    return "\n".join(lines)
