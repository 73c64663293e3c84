"""The stored positions belong to their classes, and our own solver finds the same scores."""

import numpy as np
import pytest

from swingup.errors import ConfigError
from swingup.referees import referee, solved
from swingup.referees.connect_four import RULES, mates, outcome, scores
from swingup.referees.rules import after

CLASSES = {  # plies played, and plies that remain
    "end-easy": (range(29, 42), range(1, 14)),
    "middle-easy": (range(15, 29), range(1, 14)),
    "middle-medium": (range(15, 29), range(14, 28)),
    "begin-easy": (range(15), range(1, 14)),
    "begin-medium": (range(15), range(14, 28)),
    "begin-hard": (range(15), range(28, 43)),
}


def remaining(plies: int, score: int) -> int:
    """Count plies to the end: stones are set by turns until the winner has |score| - 1 left, or the board is full."""
    stones = [21, 21]
    winner = plies % 2 if score > 0 else 1 - plies % 2
    for ply in range(42):
        stones[ply % 2] -= 1
        if score and ply % 2 == winner and stones[winner] + 1 == abs(score):
            return ply + 1 - plies
    return 42 - plies


@pytest.mark.parametrize("name", list(CLASSES))
def test_positions_belong_to_their_class(name: str) -> None:
    plies, left = CLASSES[name]
    rows = solved.positions()[name]
    assert len(rows) == 300
    seen = set()
    for moves, found in rows:
        position = after(RULES, moves)
        best = max(s for s in found if s is not None)
        assert len(moves) in plies
        assert remaining(len(moves), best) in left
        assert not mates(position)
        assert [c for c in range(7) if found[c] is not None] == RULES.legal(position)
        seen |= {position, after(RULES, [6 - column for column in moves])}
    assert len(seen) > 1.9 * len(rows)  # none is there twice; few are their own mirror image


def test_our_solver_finds_the_stored_scores() -> None:
    for moves, found in solved.positions()["end-easy"][:150]:
        assert scores(moves) == found


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("middle-easy", 20),
        pytest.param("middle-easy", 300, marks=pytest.mark.slow),
        pytest.param("middle-medium", 20, marks=pytest.mark.slow),
    ],
)
def test_our_solver_finds_the_stored_outcomes(name: str, number: int) -> None:
    for moves, found in solved.positions()[name][:number]:
        assert outcome(moves) == np.sign(max(s for s in found if s is not None))


def test_a_share_of_mistakes_counts_moves_that_worsen_the_outcome() -> None:
    everywhere = solved.positions()
    best = {
        name: [int(np.argmax([-99 if s is None else s for s in r.scores])) for r in rows]
        for name, rows in everywhere.items()
    }
    worst = {
        name: [int(np.argmin([99 if s is None else s for s in r.scores])) for r in rows]
        for name, rows in everywhere.items()
    }
    assert set(solved.mistakes(best).values()) == {0.0}
    rows = everywhere["end-easy"]
    outcomes = [{int(np.sign(s)) for s in r.scores if s is not None} for r in rows]
    assert solved.mistakes(worst)["end-easy"] == sum(len(o) > 1 for o in outcomes) / len(rows)


def test_the_solver_makes_no_mistake() -> None:
    rng, player = np.random.default_rng(0), referee("solver", "connect_four")
    rows = solved.positions()["end-easy"]
    chosen = [player.choose(r.moves, rng) for r in rows]
    assert solved.mistakes({"end-easy": chosen}) == {"end-easy": 0.0}


def test_choices_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigError, match="2 choices for the 300 positions of class 'end-easy'"):
        solved.mistakes({"end-easy": [0, 1]})
    with pytest.raises(ConfigError, match="1 choices for the 0 positions of class 'end'"):
        solved.mistakes({"end": [0]})
    with pytest.raises(ConfigError, match="column 2 cannot be played"):
        solved.is_mistake((1, 1, None, 1, 1, 1, 1), 2)
