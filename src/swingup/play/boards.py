"""Boards of games are drawn once, out of a few shapes, and come out as SVG, as a picture or as an animation.

A board is an array of cells [H, W]: 0 is empty, 1 is a stone of who began the game, 2 one of the other.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

import numpy as np
from PIL import Image, ImageDraw

from swingup.errors import ConfigError, unknown
from swingup.play import board_parts as parts
from swingup.play.animation import write_animation
from swingup.play.scenes import INK, WHITE, _font

BOARD, FRAME = 560, 32  # pixels of the longer side, and around it; of a canvas that is halved, as in `scenes`
ABOVE = 72  # for a caption
LOOKS = {
    "connect_four": "discs",
    "tic_tac_toe": "marks",
    "othello": "squares",
    "hex": "hexagons",
    "go": "points",
}


class Drawing(NamedTuple):
    """A drawing is what `svg` and `picture` turn into a file."""

    width: int
    height: int
    shapes: list[parts.Shape]


def look_of(game: str) -> str:
    """Return how the boards of a game look, by its name: `pgx:go_9x9` as go. Others are squares with stones."""
    name = game.removeprefix("pgx:").partition("?")[0]
    return next(
        (look for known, look in LOOKS.items() if name == known or name.startswith(f"{known}_")), "squares"
    )


def board(game: str, moves: Sequence[int]) -> np.ndarray:
    """Put the stones of a game of connect four [6, 7] or tic-tac-toe [3, 3] on a board.

    >>> board("tic_tac_toe", [4, 0]).tolist()
    [[2, 0, 0], [0, 1, 0], [0, 0, 0]]
    """
    name = game.removeprefix("pgx:")
    if name not in ("connect_four", "tic_tac_toe"):
        raise ConfigError(
            f"moves alone do not tell the board: {unknown('game', name, ['connect_four', 'tic_tac_toe'])}"
        )
    cells = np.zeros((6, 7) if name == "connect_four" else (3, 3), int)
    for ply, move in enumerate(moves):
        row, column = (
            (5 - np.count_nonzero(cells[:, move]), move) if name == "connect_four" else divmod(move, 3)
        )
        cells[row, column] = 1 + ply % 2
    return cells


def cells_of(text: str) -> np.ndarray:
    """Read the text of `Game.board`: stones of who began are x, those of the other o.

    >>> cells_of("x . o\\n. x .").tolist()
    [[1, 0, 2], [0, 1, 0]]
    """
    return np.array([["xo".find(stone) + 1 for stone in line.split()] for line in text.splitlines()])


def draw(
    cells: Any, game: str, caption: str = "", last: tuple[int, int] | None = None, policy: Any = None
) -> Drawing:
    """Draw a board.

    `cells` is [H, W], `last` the row and column of the stone set last. `policy` are the probabilities of moves: [W]
    for connect four, drawn as bars above the columns, otherwise [H, W] or [H * W + 1] with a pass, drawn in the cells.
    """
    cells, look = np.asarray(cells), look_of(game)
    if cells.ndim != 2 or not np.isin(cells, (0, 1, 2)).all():
        raise ConfigError(
            f"a board is an array [H, W] of 0, 1 and 2, not {cells.dtype} of shape {cells.shape}"
        )
    high, wide = cells.shape
    span = wide + (high - 1) / 2 if look == "hexagons" else max(high, wide)
    cell = (1.4 if look == "hexagons" else 1) * BOARD / span
    bars = 2 * cell if look == "discs" and policy is not None else 0
    left, top = FRAME, ABOVE + bars
    rise = cell * 0.866 if look == "hexagons" else cell
    width = round(2 * FRAME + (span if look == "hexagons" else wide) * cell)
    height = round(top + FRAME + high * rise + (cell * 0.2 if look == "hexagons" else 0))

    def centre(row: int, column: int) -> tuple[float, float]:
        lean = row / 2 if look == "hexagons" else 0
        return left + (column + 0.5 + lean) * cell, top + (row + 0.5) * rise

    shapes = [parts.Shape("polygon", parts.box(0, 0, width, height), fill=WHITE)]
    shapes += [parts.Shape("text", ((FRAME, ABOVE / 2),), fill=INK, size=30, text=caption)] if caption else []
    shapes += parts.ground(look, cells.shape, cell, centre)
    for (row, column), stone in np.ndenumerate(cells):
        shapes += parts.stone(look, centre(row, column), cell, int(stone), (row, column) == last)
    if policy is not None:
        chances = np.asarray(policy, float).ravel()
        shapes += (
            parts.bars(chances, left, top, cell)
            if look == "discs"
            else parts.chances(chances, cells, cell, centre)
        )
    return Drawing(width + width % 2, height + height % 2, shapes)


def svg(drawing: Drawing) -> str:
    """Write a drawing as SVG, at half its canvas's size."""
    width, height, shapes = drawing
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width // 2}" height="{height // 2}" '
        f'viewBox="0 0 {width} {height}">'
    ]
    for kind, points, fill, stroke, thick, size, text in shapes:
        paint = f'fill="{fill}"' + (
            f' stroke="{stroke}" stroke-width="{thick:g}"' if stroke != "none" else ""
        )
        (x, y), path = points[0], " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        if kind == "circle":
            lines.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size:.1f}" {paint}/>')
        elif kind == "text":
            where = f'x="{x:.1f}" y="{y + 0.35 * size:.1f}" font-size="{size:.0f}" font-family="sans-serif"'
            anchor = "start" if x <= FRAME else "middle"
            lines.append(f'<text {where} text-anchor="{anchor}" {paint}>{escape(text)}</text>')
        else:
            lines.append(f'<{"polygon" if kind == "polygon" else "polyline"} points="{path}" {paint}/>')
    return "\n".join([*lines, "</svg>\n"])


def picture(drawing: Drawing) -> Image.Image:
    """Turn a drawing into pixels with Pillow, at half its canvas's size."""
    image = Image.new("RGB", (drawing.width, drawing.height), WHITE)
    canvas = ImageDraw.Draw(image)
    for kind, points, fill, stroke, thick, size, text in drawing.shapes:
        colours = {
            "fill": None if fill == "none" else fill,
            "outline": None if stroke == "none" else stroke,
        }
        if kind == "circle":
            canvas.circle(points[0], size + thick / 2, **colours, width=max(1, round(thick)))
        elif kind == "polygon":
            canvas.polygon(points, **colours, width=max(1, round(thick)))
        elif kind == "line":
            canvas.line(points, fill=stroke, width=round(thick))
        else:
            canvas.text(
                points[0], text, fill=fill, font=_font(size), anchor="lm" if points[0][0] <= FRAME else "mm"
            )
    return image.reduce(2)


def write_game(
    path: str | Path, game: str, moves: Sequence[int], captions: Mapping[int, str] | None = None
) -> None:
    """Animate a game of connect four or tic-tac-toe, two moves a second, as .gif or .mp4; the end stays for a while."""
    frames = []
    for ply in range(len(moves) + 1):
        cells, before = board(game, moves[:ply]), board(game, moves[: max(0, ply - 1)])
        changed = np.argwhere(cells != before)
        last = (int(changed[0, 0]), int(changed[0, 1])) if len(changed) else None
        frames += 2 * [picture(draw(cells, game, (captions or {}).get(ply, f"ply {ply}"), last))]
    write_animation(path, frames + 6 * frames[-1:], fps=4)
