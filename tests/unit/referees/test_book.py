"""The book of openings plays legal columns, the same ones mirrored, and never gives an outcome away."""

import numpy as np
import pytest

from swingup.referees import book, solved
from swingup.referees.connect_four import RULES, Search, mates, outcome_of, play
from swingup.referees.rules import after


def test_the_book_opens_in_the_centre_and_covers_all_openings_of_two_plies() -> None:
    assert book.look_up(RULES, (0, 0)) == 3
    assert [len(book.level(RULES, ply)) for ply in range(3)] == [1, 4, 25]  # 1, 7 and 49 up to mirror images
    for first in range(7):
        for second in range(7):
            assert book.look_up(RULES, after(RULES, [first, second])) is not None


def test_columns_are_legal_and_mirrored_with_the_position() -> None:
    for ply in range(len(book.stored()) - 2):
        positions = book.level(RULES, ply)
        assert {canonical for canonical in positions if book.canonical(canonical)[0] != canonical} == set()
        for position in list(positions)[:200]:
            column = book.look_up(RULES, position)
            image = book.mirrored(position[0]), book.mirrored(position[1])
            if column is not None:
                assert column in RULES.legal(position)
                assert not mates(position)
                assert image == position or book.look_up(RULES, image) == 6 - column
    assert book.mirrored(0b111 << 7) == 0b111 << 35


def test_the_book_makes_no_mistake_on_the_solved_positions() -> None:
    rows = [row for name, rows in solved.positions().items() if name.startswith("begin") for row in rows]
    known = [(row, book.look_up(RULES, after(RULES, row.moves))) for row in rows]
    known = [(row, column) for row, column in known if column is not None]
    assert len(known) > 20
    assert not any(solved.is_mistake(row.scores, column) for row, column in known)


def test_all_replies_to_the_book_are_in_the_book() -> None:
    for ply in range(6):
        for position in book.level(RULES, ply):
            if (column := book.look_up(RULES, position)) is not None:
                child = play(position, column)
                for reply in RULES.legal(child):
                    if not RULES.won(later := play(child, reply)):
                        assert book.canonical(later)[0] in book.level(RULES, ply + 2)


@pytest.mark.slow
def test_our_solver_agrees_with_the_book() -> None:
    """The last ply's positions are the cheapest to solve."""
    last = book.level(RULES, len(book.stored()) - 1)
    covered = [position for position, column in last.items() if column != book.SEARCH]
    for i in np.random.default_rng(0).choice(len(covered), 3, replace=False):
        search, child = Search(), play(covered[i], int(last[covered[i]]))
        assert outcome_of(search, covered[i]) == -outcome_of(search, child)
