"""A person's game in the terminal is scripted here: what is asked, what is told, and who is said to have won."""

from collections.abc import Iterable
from typing import Any

import jax
import numpy as np
import pytest

from conftest import small
from swingup.arena.players import Agent, Positions
from swingup.envs import make
from swingup.envs.games import game_of
from swingup.planning.search import Found
from swingup.play.terminal import Table, converse, drawn, words
from swingup.referees import tic_tac_toe
from swingup.referees.rules import after
from swingup.runs import Run
from swingup.runs.experiment import Experiment
from swingup.training import driver

ENV = make("pgx:tic_tac_toe", 4)
GAME = game_of(ENV)


class Scripted(Agent):
    """It plays the moves that it was given, and thinks that all are alike."""

    def __init__(self, moves: Iterable[int]):
        self.name, self.moves = "scripted", iter(moves)

    def choose(self, at: Positions, rngs: list[np.random.Generator]) -> np.ndarray:
        return np.array([next(self.moves)])

    def opinion(self, at: Positions) -> Any:
        even = np.full((1, 9), 1 / 9, np.float32)
        return Found(*[np.zeros(1)] * len(Found._fields))._replace(policy=even, visits=0 * even, q=0 * even)


def talk(agent: Agent, lines: Iterable[str], **how: Any) -> tuple[list[tuple[int, ...]], list[str]]:
    """A conversation in which the person says these lines and leaves: the moves of its games, and what was told."""
    told: list[str] = []
    said = iter(lines)

    def ask(question: str) -> str:
        told.append(question)
        line = next(said, None)
        if line is None:
            raise EOFError
        return line

    return converse(agent, GAME, ask=ask, tell=told.append, **how), told


X_WINS, O_WINS, DRAW = (0, 3, 1, 4, 2), (0, 3, 1, 4, 8, 5), (0, 2, 1, 3, 5, 4, 6, 7, 8)


@pytest.mark.parametrize(
    ("moves", "begins", "says"),
    [
        (X_WINS, "me", "you won"),
        (X_WINS, "agent", "the agent won"),
        (O_WINS, "me", "the agent won"),
        (O_WINS, "agent", "you won"),
        (DRAW, "me", "a draw"),
        (DRAW, "agent", "a draw"),
    ],
)
def test_who_won_is_told_from_both_seats(moves: tuple[int, ...], begins: Any, says: str) -> None:
    person = 0 if begins == "me" else 1
    names = words(GAME)
    games, told = talk(Scripted(moves[1 - person :: 2]), [names[m] for m in moves[person::2]], begins=begins)
    assert games == [moves]
    assert [x for x in told if x in ("you won", "the agent won", "a draw")] == [says]
    assert told[-1] == "new, undo or quit: "


def test_what_cannot_be_played_is_refused_and_changes_nothing() -> None:
    games, told = talk(Scripted([4]), ["undo", "a4", "b9", "", "A1 ", "b2", "a1", "quit", "c3"])
    assert games == [(0, 4)]
    text = "\n".join(told)
    assert "you have not moved yet" in text
    assert "unknown move or command 'a4'; did you mean" in text
    assert text.count("unknown move or command") == 3
    assert "b2 is not legal now; legal: b1, c1, a2, c2, a3, b3, c3" in text
    assert "a1 is not legal now" in text


def test_moves_are_taken_back_and_a_new_game_exchanges_the_seats() -> None:
    lines = ["a1", "undo", "b1", "c1", "new", "a3", "undo", "b3"]
    games, told = talk(Scripted([4, 4, 3, 0, 2, 2]), lines)
    assert games == [(1, 4, 2, 3), (0, 7, 2)]
    begins = [x for x in told if x.startswith("\nYou are")]
    assert ["x and begin" in x for x in begins] == [True, False]
    games, told = talk(Scripted([3, 4, 8]), ["a1", "b1", "c1", "hint", "a2", "undo", "b3"])
    assert games == [(0, 3, 1, 4, 7, 8)], "the end of a game can be taken back too"
    over = [x for x in told if x.startswith("unknown")]
    assert len(over) == 2
    assert "hint" not in over[0].partition("'hint'")[2]


def test_the_board_has_the_names_of_its_moves() -> None:
    table = Table(GAME)
    for move in (0, 4, 5):
        table.play(move)
    assert drawn(GAME, table.positions[-1][0]) == "   a b c\n 1 x . .\n 2 . o x\n 3 . . ."
    assert words(game_of(make("pgx:connect_four", 1))) == list("1234567")
    assert words(game_of(make("pgx:go_5x5", 1)))[-2:] == ["e5", "pass"]


def test_an_agent_that_searches_hints_and_answers_with_legal_moves() -> None:
    algo = small("alphazero", simulations=2)
    experiment = Experiment(algo, "pgx:tic_tac_toe", 1000, (5,))
    agent = Agent("tiny", Run(experiment, driver.init(algo, ENV, [5]), []))
    games, told = talk(agent, ["hint", *words(GAME), *words(GAME)], begins="agent")
    position = after(tic_tac_toe.RULES, games[0], over=True)  # it refuses what is not legal
    assert tic_tac_toe.won(position) or not tic_tac_toe.legal(position)
    hint = next(x for x in told if x.startswith("position"))
    best = [part.split()[0] for part in hint.partition("moves; ")[2].split("; ")]
    assert 1 <= len(best) <= 3
    assert set(best) <= set(words(GAME)) - {words(GAME)[games[0][0]]}
    assert jax.tree.all(jax.tree.map(lambda x: np.isfinite(x).all(), agent.opinion(Table(GAME).at())))
