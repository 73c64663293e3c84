"""A board is made of a few parts: what lies under the stones, the stones, and the chances of moves."""

from typing import Any, NamedTuple

import numpy as np

from swingup.play.scenes import ACCENT, GREY, INK, PALE, WHITE

STONES = {
    "discs": (ACCENT, INK),
    "marks": (ACCENT, INK),
    "hexagons": (ACCENT, INK),
}  # otherwise black and white
FELT = "#c3d8ca"


class Shape(NamedTuple):
    """A shape is a polygon, a line through its points, a circle or a text at its first one."""

    kind: str  # "polygon", "line", "circle" or "text"
    points: tuple[tuple[float, float], ...]
    fill: str = "none"
    stroke: str = "none"
    width: float = 0  # of the stroke
    size: float = 0  # a circle's radius, a text's height
    text: str = ""


def box(x: float, y: float, width: float, height: float) -> tuple[tuple[float, float], ...]:
    """Return the corners of a rectangle."""
    return (x, y), (x + width, y), (x + width, y + height), (x, y + height)


def ground(look: str, shape: tuple[int, ...], cell: float, centre: Any) -> list[Shape]:
    """Draw what lies under the stones: a plate, lines, or squares."""
    high, wide = shape
    (x, y), (right, bottom) = centre(0, 0), centre(high - 1, wide - 1)
    x0, y0, x1, y1 = x - cell / 2, y - cell / 2, right + cell / 2, bottom + cell / 2
    if look == "discs":
        return [Shape("polygon", box(x0, y0, x1 - x0, y1 - y0), fill=GREY)]
    if look == "marks":
        inner = [((x0 + i * cell, y0), (x0 + i * cell, y1)) for i in range(1, wide)]
        inner += [((x0, y0 + i * cell), (x1, y0 + i * cell)) for i in range(1, high)]
        return [Shape("line", ends, stroke=GREY, width=6) for ends in inner]
    if look == "points":
        plate = [Shape("polygon", box(x0, y0, x1 - x0, y1 - y0), fill="#efe3cc")]
        lines = [(centre(row, 0), centre(row, wide - 1)) for row in range(high)]
        lines += [(centre(0, column), centre(high - 1, column)) for column in range(wide)]
        return plate + [Shape("line", ends, stroke="#a3957c", width=2) for ends in lines]
    if look == "squares":
        boxes = [
            box(x0 + c * cell + 1, y0 + r * cell + 1, cell - 2, cell - 2) for r, c in np.ndindex(high, wide)
        ]
        return [Shape("polygon", box, fill=FELT) for box in boxes]
    return []


def stone(look: str, at: tuple[float, float], cell: float, owner: int, last: bool) -> list[Shape]:
    """Draw one cell's content, and a dot on the stone that was set last."""
    x, y = at
    first, second = STONES.get(look, (INK, WHITE))
    colour = (WHITE if look == "discs" else PALE, first, second)[owner]
    dot = (
        [Shape("circle", (at,), fill=WHITE if colour != WHITE else INK, size=0.1 * cell)]
        if last and stone
        else []
    )
    if look == "marks":
        arm = 0.26 * cell
        cross = [((x - arm, y - s * arm), (x + arm, y + s * arm)) for s in (1, -1)]
        mark = [Shape("line", ends, stroke=first, width=0.1 * cell) for ends in cross]
        ring = [Shape("circle", (at,), stroke=second, width=0.09 * cell, size=0.28 * cell)]
        return [[], mark, ring][owner]
    if look == "hexagons":
        turn = np.pi / 6 + np.arange(6) * np.pi / 3
        corners = tuple(
            (x + 0.577 * cell * float(np.cos(t)), y + 0.577 * cell * float(np.sin(t))) for t in turn
        )
        return [Shape("polygon", corners, fill=colour, stroke=WHITE, width=2), *dot]
    if not owner and look != "discs":
        return []
    edge = {"stroke": INK, "width": 2.0} if colour == WHITE and look != "discs" else {}
    return [Shape("circle", (at,), fill=colour, size=0.41 * cell, **edge), *dot]


def bars(chances: np.ndarray, left: float, top: float, cell: float) -> list[Shape]:
    """Draw a bar above each column, as high as its chance, and the chance in per cent."""
    shapes = []
    for column, chance in enumerate(chances):
        x, tall = left + column * cell, 1.4 * cell * float(chance)
        shapes.append(
            Shape("polygon", box(x + 0.3 * cell, top - 8 - tall, 0.4 * cell, tall + 2), fill=ACCENT)
        )
        label = ((x + cell / 2, top - 24 - tall),)
        shapes.append(Shape("text", label, fill=INK, size=24, text=f"{100 * float(chance):.0f}"))
    return shapes


def chances(chances: np.ndarray, cells: np.ndarray, cell: float, centre: Any) -> list[Shape]:
    """Draw a disc in each empty cell, whose area is its chance, and the chance in per cent if it is 1 % or more."""
    shapes, size = [], min(24.0, 0.3 * cell)
    for (row, column), owner in np.ndenumerate(cells):
        chance = float(chances[row * cells.shape[1] + column])
        if owner == 0 and chance >= 0.01:
            at = (centre(row, column),)
            shapes.append(Shape("circle", at, fill="#f2b79f", size=0.42 * cell * chance**0.5))
            shapes.append(Shape("text", at, fill=INK, size=size, text=f"{100 * chance:.0f}"))
    return shapes
