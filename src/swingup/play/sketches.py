"""Boxes in their room, and a car on its road, are drawn from the environment's state."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from swingup.envs.pushbox import AGENT, BOX, GOAL, SIDE, WALL, PushBox
from swingup.envs.track import HALF, WAVES, Track, middle
from swingup.play.scenes import ACCENT, GREY, INK, PALE, SQUARE, TOL, WHITE, WIDE, Draw, _write

Paint = Callable[[Any, np.ndarray, str], Image.Image]  # a state, its observation, a caption
MAP, METRE = (320, 364), 6.0  # where the road's origin is, and the length of a metre, in pixels of the canvas
VIEW, SCALE = (
    (652, 190),
    9,
)  # the upper left corner of the frame that is observed, and pixels of the canvas per pixel


def paint_of(env: Any) -> Paint | None:
    """Return what draws this environment from its state; None: it is drawn otherwise."""
    return room if isinstance(env, PushBox) else road if isinstance(env, Track) else None


def room(state: Any, obs: np.ndarray, caption: str = "") -> Image.Image:
    """Draw walls dark, goals as rings, boxes as squares (green: on a goal) and the agent as a disc: 320x352 pixels."""
    image = Image.new("RGB", SQUARE, WHITE)
    draw, planes, cell = ImageDraw.Draw(image), np.asarray(obs) > 0, 600 / SIDE
    for row, column in np.ndindex(SIDE, SIDE):
        here, x, y = planes[row, column], 20 + (column + 0.5) * cell, 84 + (row + 0.5) * cell
        _square(draw, x, y, 0.48 * cell, INK if here[WALL] else PALE)
        if here[BOX]:
            _square(draw, x, y, 0.36 * cell, TOL[6] if here[GOAL] else TOL[1])
        if here[GOAL]:
            draw.circle((x, y), 0.26 * cell, outline=WHITE if here[BOX] else TOL[6], width=8)
        if here[AGENT]:
            draw.circle((x, y), 0.2 * cell if here[GOAL] else 0.32 * cell, fill=ACCENT)
    _write(draw, caption, image.width)
    return image.reduce(2)


def _square(draw: Draw, x: float, y: float, half: float, colour: str) -> None:
    draw.rounded_rectangle((x - half, y - half, x + half, y + half), half / 5, fill=colour)


def road(state: Any, obs: np.ndarray, caption: str = "") -> Image.Image:
    """Draw the whole road with the car, and beside it the newest frame that is observed, above a bar for the speed:
    480x320 pixels.
    """
    image = Image.new("RGB", WIDE, WHITE)
    draw = ImageDraw.Draw(image)
    edges = [_edge(state.shape, side * HALF) for side in (1, -1)]
    draw.polygon(edges[0], fill=GREY)
    draw.polygon(edges[1], fill=WHITE)
    (x, y), heading = np.asarray(state.place), float(state.heading)
    forward, left = (math.cos(heading), math.sin(heading)), (-math.sin(heading), math.cos(heading))
    corners = [(3.0, 0.0), (-2.0, 1.8), (-2.0, -1.8)]  # m: larger than it is, to be seen
    car = [_at(x + a * forward[0] + b * left[0], y + a * forward[1] + b * left[1]) for a, b in corners]
    draw.polygon(car, fill=ACCENT)
    low = VIEW[1]  # of what is drawn so far on the right
    if obs.ndim == 3:
        newest = Image.fromarray(np.asarray(obs[..., -1], np.uint8)).convert("RGB")
        view = newest.resize((SCALE * newest.width, SCALE * newest.height), Image.Resampling.NEAREST)
        image.paste(view, VIEW)
        low = VIEW[1] + view.height
    draw.rectangle((VIEW[0], low + 30, VIEW[0] + 32 * SCALE, low + 50), fill=PALE)
    draw.rectangle((VIEW[0], low + 30, VIEW[0] + 32 * SCALE * float(state.speed) / 20, low + 50), fill=INK)
    _write(draw, caption, image.width)
    return image.reduce(2)


def _at(x: float, y: float) -> tuple[float, float]:
    """Return the pixel of a place in metres; y grows upwards."""
    return MAP[0] + METRE * x, MAP[1] - METRE * y


def _edge(shape: Any, out: float) -> list[tuple[float, float]]:
    """Return pixels along the line that is `out` metres outside the road's middle."""
    angles: Any = np.linspace(0, 2 * math.pi, 60 * len(WAVES))
    places, along = map(np.asarray, middle(shape, angles))
    return [_at(x + out * v, y - out * u) for (x, y), (u, v) in zip(places, along, strict=True)]
