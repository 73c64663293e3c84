"""A book of openings lets the solver of connect four answer at once where a search would take minutes.

It covers the positions in which the solver moves, up to ply 11, if at most two plies were played before by others and
the solver has moved by the book since, whatever the other plays. Positions that end within 13 plies are left to the
search. Only columns are stored: the positions follow from them, ply by ply, in ascending order.
"""

import base64
import json
import zlib
from functools import cache
from importlib.resources import files

from swingup.referees.rules import Position, Rules

OPENING = 2  # plies that anybody may have played
SEARCH = "7"  # stands where there is no column: the search is fast


def mirrored(stones: int) -> int:
    """Turn a bitboard left to right."""
    return sum((stones >> 7 * column & 0b1111111) << 7 * (6 - column) for column in range(7))


def canonical(position: Position) -> tuple[Position, bool]:
    """Return the lesser of a position and its mirror image, and whether that is the image."""
    image = mirrored(position[0]), mirrored(position[1])
    return min(position, image), image < position


def next_level(
    rules: Rules, ply: int, columns: dict[Position, str], before: dict[Position, str]
) -> list[Position]:
    """Return the positions of the book at a ply, sorted.

    `columns` are those of the book two plies before, and `before` the positions one ply before, which matter in the
    opening.
    """
    found = set()
    if 0 < ply <= OPENING:
        found = {canonical(rules.play(position, a))[0] for position in before for a in rules.legal(position)}
    elif ply:
        for position, column in columns.items():
            if column != SEARCH and not rules.won(child := rules.play(position, int(column))):
                replies = [rules.play(child, reply) for reply in rules.legal(child)]
                found |= {canonical(reply)[0] for reply in replies if not rules.won(reply)}
    return sorted(found) if ply else [(0, 0)]


@cache
def stored() -> list[str]:
    """Read the columns of all plies, as digits."""
    texts = json.loads(files("swingup.referees").joinpath("connect_four_book.json").read_text())["columns"]
    return [zlib.decompress(base64.b64decode(text)).decode() for text in texts]


@cache
def level(rules: Rules, ply: int) -> dict[Position, str]:
    """Return the positions of the book at a ply and their columns."""
    if ply >= len(stored()):
        return {}
    columns = level(rules, ply - 2) if ply > OPENING else {}
    before = level(rules, ply - 1) if 0 < ply <= OPENING else {}
    return dict(zip(next_level(rules, ply, columns, before), stored()[ply], strict=True))


def look_up(rules: Rules, position: Position) -> int | None:
    """Return the column that the book plays in a position, or None if it is not there."""
    found, turned = canonical(position)
    column = level(rules, (position[0] | position[1]).bit_count()).get(found, SEARCH)
    return None if column == SEARCH else 6 - int(column) if turned else int(column)
