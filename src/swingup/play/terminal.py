"""Here a person can meet a trained agent, in the terminal: moves, hints, undo."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from swingup.arena.players import Agent, Positions
from swingup.envs.games import Game, first, moved
from swingup.errors import unknown

COMMANDS = {
    "hint": "what the agent would play in your place",
    "undo": "take your last move back",
    "new": "another game, with seats exchanged",
    "quit": "leave",
}
Side = Literal["me", "agent"]


class Table:
    """A table has a game that is being played: all its positions, so that moves can be taken back."""

    def __init__(self, game: Game):
        self.game = game
        self._step = jax.jit(partial(moved, game))
        state, obs = jax.jit(partial(first, game))()
        self.positions: list[tuple[Any, Any]] = [(state, obs)]
        self.moves: list[int] = []
        self.reward, self.ended = 0.0, False  # of who moved last

    def at(self) -> Positions:
        """Return the position, as a batch of one."""
        state, obs = jax.tree.map(lambda x: x[None], self.positions[-1])
        return Positions(state, obs, self.legal[None], [tuple(self.moves)])

    @property
    def legal(self) -> np.ndarray:
        return np.asarray(self.game.legal(self.positions[-1][0]))

    @property
    def player(self) -> int:
        """Say who moves: 0 if it is who began."""
        return int(self.game.player(self.positions[-1][0]))

    def play(self, move: int) -> None:
        state, t = self._step(self.positions[-1][0], jnp.int32(move))
        self.positions.append((state, t.obs))
        self.moves.append(move)
        self.reward, self.ended = float(t.reward), bool(t.terminated | t.truncated)

    def undo(self, person: int) -> bool:
        """Go back to where the person was to move before, and say whether there is such a position."""
        back = [i for i in range(len(self.moves)) if int(self.game.player(self.positions[i][0])) == person]
        if not back:
            return False
        del self.positions[back[-1] + 1 :], self.moves[back[-1] :]
        self.reward, self.ended = 0.0, False
        return True


def words(game: Game) -> list[str]:
    """Name the moves: columns 1 to 7, cells such as c2 (column c, second row from above), or numbers from 0 on."""
    state, _ = jax.jit(partial(first, game))()
    rows = [line.split() for line in game.board(state).splitlines()]
    moves = int(game.legal(state).size)
    cells = [f"{chr(ord('a') + c)}{r + 1}" for r in range(len(rows)) for c in range(len(rows[0]))]
    if rows and moves == len(rows[0]):
        return [str(c + 1) for c in range(moves)]
    if rows and moves == len(cells):
        return cells
    if rows and moves == len(cells) + 1:
        return [*cells, "swap" if game.name.startswith("hex") else "pass"]
    return [str(i) for i in range(moves)]


def drawn(game: Game, state: Any) -> str:
    """Draw the board with the names of its columns, and of its rows where moves are cells."""
    names, lines = words(game), game.board(state).splitlines()
    if not lines:
        return "(this game has no picture; moves are numbers)"
    wide = len(lines[0].split())
    if len(names) == wide:
        return "\n".join(["  " + line for line in lines] + ["  " + " ".join(names)])
    head = "   " + " ".join(chr(ord("a") + c) for c in range(wide))
    return "\n".join([head] + [f"{i + 1:>2} {line}" for i, line in enumerate(lines)])


def opinion(agent: Agent, table: Table, best: int = 3) -> str:
    """Tell what the agent's search thinks of a position: its best moves by their share of the policy."""
    found, names = agent.opinion(table.at()), words(table.game)
    order = np.argsort(-found.policy[0])[:best]
    parts = []
    for move in order[found.policy[0][order] > 0.005]:
        q = f", value {found.q[0][move]:+.2f}" if found.visits[0][move] else ""
        parts.append(f"{names[move]} {found.policy[0][move]:.0%}{q} ({int(found.visits[0][move])} visits)")
    return f"position {float(found.value[0]):+.2f} for who moves; " + "; ".join(parts)


def converse(
    agent: Agent,
    game: Game,
    begins: Side = "me",
    *,
    ask: Callable[[str], str] = input,
    tell: Callable[[str], None] = print,
) -> list[tuple[int, ...]]:
    """Play until the person leaves, and return the moves of all games. `ask` may raise EOFError to leave."""
    names = words(game)
    tell(
        f"{game.name} against {agent.name}. Moves: {names[0]} ... {names[-1]}. "
        + "; ".join(f"{k}: {v}" for k, v in COMMANDS.items())
    )
    games, person = [], 0 if begins == "me" else 1
    while True:
        table = Table(game)
        again = _one(agent, table, person, names, ask, tell)
        games.append(tuple(table.moves))
        if not again:
            return games
        person = 1 - person


def _one(
    agent: Agent,
    table: Table,
    person: int,
    names: list[str],
    ask: Callable[[str], str],
    tell: Callable[[str], None],
) -> bool:
    """Play one game, and say whether the person wants another."""
    tell(f"\nYou are {'x and begin' if person == 0 else 'o, and the agent begins'}.")
    while True:
        if table.ended:
            tell(drawn(table.game, table.positions[-1][0]))
            theirs = len(table.moves) > 0 and int(table.game.player(table.positions[-2][0])) == person
            tell(
                "a draw"
                if table.reward == 0
                else "you won"
                if (table.reward > 0) == theirs
                else "the agent won"
            )
        elif table.player != person:
            thought = opinion(agent, table)
            move = int(agent.choose(table.at(), [])[0])
            table.play(move)
            tell(f"agent: {names[move]}   ({thought})")
            continue
        else:
            tell(drawn(table.game, table.positions[-1][0]))
        try:
            line = ask("new, undo or quit: " if table.ended else "your move: ").strip().lower()
        except EOFError:
            return False
        if line in ("quit", "q", "exit"):
            return False
        if line == "new":
            return True
        if line == "undo":
            tell("taken back" if table.undo(person) else "you have not moved yet")
        elif line == "hint" and not table.ended:
            tell(opinion(agent, table))
        elif table.ended or line not in names:
            known = list(COMMANDS)[1:] if table.ended else [*names, *COMMANDS]  # nothing to hint at an end
            tell(unknown("move or command", line, known))
        elif not table.legal[names.index(line)]:
            legal = ", ".join(n for n, free in zip(names, table.legal, strict=True) if free)
            tell(f"{line} is not legal now; legal: {legal}")
        else:
            table.play(names.index(line))
