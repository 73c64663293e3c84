"""Pillow alone draws agents at play: no display, no pygame, no compiler is needed.

Coordinates are pixels of a canvas of twice the final size, y downwards; halving it smooths the edges.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from swingup.nets.observations import role
from swingup.spaces import Box

WIDE, SQUARE = (960, 640), (640, 704)  # canvas sizes; halved they are multiples of 16, as H.264 likes
WHITE, PALE, GREY, INK, ACCENT = "#ffffff", "#eef1f4", "#c3cad2", "#39424e", "#e4602b"
# A colour per channel of a grid: Paul Tol's "muted" scheme, safe for colour-blind eyes (0: MinAtar's player).
TOL = ("#332288", "#cc6677", "#ddcc77", "#44aa99", "#882255", "#88ccee", "#117733", "#999933", "#aa4499", INK)

Draw = ImageDraw.ImageDraw
Point = tuple[float, float]
_font = functools.cache(ImageFont.load_default)


def frame(env_name: str, state: Any, obs: Any, caption: str = "", scene: Any = None) -> Image.Image:
    """Draw one environment state to an RGB picture: 480x320, or 320x352 for the grids of MinAtar.

    `env_name` is the name that gymnax uses; an environment that is not known here is shown by its
    observation: an image, a grid of channels, or bars. `state` may be None; Pendulum's holds the torque. A `scene`
    of one's own, a function of canvas, observation and state, draws in place of these. Channels may come first or
    last; of frames that are stacked the newest, which is the last, is shown.
    """
    obs = _newest(np.clip(np.nan_to_num(np.squeeze(np.asarray(obs, dtype=float))), -1e5, 1e5))
    known, size = SCENES.get(env_name, (_bars, -1))
    high, wide, deep = (obs.shape + (0, 0, 0))[:3] if obs.ndim in (2, 3) else (0, 0, 0)
    is_grid = deep > 0 and max(high, wide) <= 32 and (deep != 3 or env_name.endswith("-MinAtar"))
    image = Image.new("RGB", SQUARE if is_grid else WIDE, WHITE)
    draw = ImageDraw.Draw(image)
    if is_grid:
        _grid(draw, obs)
    elif 0 < max(high, wide) <= 100 * min(high, wide):
        _paste(image, obs)
    else:
        (scene or (known if obs.size == size else _bars))(draw, obs.ravel(), state)
    _write(draw, caption, image.width)
    return image.reduce(2)


def captioned(picture: Any, caption: str = "") -> Image.Image:
    """Put an environment's own picture below a line of text, at least 320 pixels wide, in RGB.

    `picture` is an array [H, W], [H, W, 1], [H, W, 3] or [H, W, 4]: bytes, or floats from 0 to 1. Raises
    `ValueError` for anything else.
    """
    levels = np.asarray(picture)
    if levels.ndim not in (2, 3) or levels.shape[2:] not in ((), (1,), (3,), (4,)) or not levels.size:
        raise ValueError(f"a picture is an array [H, W] or [H, W, 3], not one of shape {levels.shape}")
    if levels.dtype != np.uint8:
        levels = np.nan_to_num(levels.astype(float)) * (1 if levels.dtype.kind in "iu" else 255)
        levels = np.rint(np.clip(levels, 0, 255)).astype(np.uint8)
    if levels.ndim == 3:
        levels = levels[..., 0] if levels.shape[2] == 1 else levels[..., :3]
    image = Image.fromarray(levels).convert("RGB")
    shrink = min(1.0, 480 / image.width, 960 / image.height)
    if shrink < 1:
        image = image.resize((max(1, round(shrink * image.width)), max(1, round(shrink * image.height))))
    elif image.width < 320:
        image = ImageOps.scale(image, -(-320 // image.width), Image.Resampling.NEAREST)
    line = Image.new("RGB", (2 * image.width, 64), WHITE)
    _write(ImageDraw.Draw(line), caption, line.width)
    whole = Image.new("RGB", (image.width, image.height + 32), WHITE)
    whole.paste(line.reduce(2))
    whole.paste(image, (0, 32))
    return whole


def _write(draw: Draw, caption: str, width: int) -> None:
    """Write a caption in the uppermost line, in smaller letters if it is long."""
    caption, room = caption.replace("\n", "  "), width - 56
    points = int(min(30, 30 * room / max(1, draw.textlength(caption, font=_font(30)))))
    draw.text((28, 34), caption, fill=INK, font=_font(max(8, points)), anchor="lm")


def _newest(obs: np.ndarray) -> np.ndarray:
    """Return the newest frame of a stack along the first axis; channels last."""
    while obs.ndim > 3:
        obs = obs[-1]
    turned = obs.ndim == 3 and role(Box.of(0, 1, obs.shape)) == "channels first"  # as networks see it
    return np.moveaxis(obs, 0, -1) if turned else obs


def _rod(draw: Draw, start: Point, end: Point, width: float, colour: str) -> None:
    """A straight bar with round ends (a polygon, because Pillow's slanted lines come out too thin)."""
    (x0, y0), (x1, y1) = start, end
    half = width / 2 / max(1e-9, math.hypot(x1 - x0, y1 - y0))
    dx, dy = (y1 - y0) * half, (x0 - x1) * half
    draw.polygon((x0 - dx, y0 - dy, x0 + dx, y0 + dy, x1 + dx, y1 + dy, x1 - dx, y1 - dy), fill=colour)
    for point in (start, end):
        draw.circle(point, width / 2 - 0.5, fill=colour)


def _cartpole(draw: Draw, obs: np.ndarray, state: Any) -> None:
    """x in metres, the track ends at |x| = 2.4; θ = 0 is upright and grows clockwise (pole not to scale)."""
    x, theta, pole, ground = 480 + 170 * obs[0], obs[2], 290, 520
    for left, right, height in ((72, 888, 0), (72, 72, 16), (888, 888, 16)):
        _rod(draw, (left, ground - height), (right, ground + height), 6, GREY)
    draw.rounded_rectangle((x - 62, ground - 62, x + 62, ground - 12), 14, fill=INK)
    for wheel in (x - 34, x + 34):
        draw.circle((wheel, ground - 12), 12, fill=INK)
    pivot = (x, ground - 62)
    _rod(draw, pivot, (x + pole * math.sin(theta), pivot[1] - pole * math.cos(theta)), 20, ACCENT)
    draw.circle(pivot, 6, fill=WHITE)


def _pendulum(draw: Draw, obs: np.ndarray, state: Any) -> None:
    """θ = 0 is upright and grows anticlockwise, as does the torque (at most 2), drawn as an arc."""
    theta, pivot, length = math.atan2(obs[1], obs[0]), (480, 350), 215
    draw.circle(pivot, length, outline=PALE, width=4)
    draw.circle((480, 350 - length), 8, fill=GREY)
    _rod(draw, pivot, (480 - length * math.sin(theta), 350 - length * math.cos(theta)), 40, ACCENT)
    draw.circle(pivot, 12, fill=INK)
    torque = 0.0 if state is None else float(state.last_u)
    end = -90 - 60 * torque  # degrees, which Pillow counts clockwise
    draw.arc((410, 280, 550, 420), min(-90, end), max(-90, end), fill=INK, width=10)


def _acrobot(draw: Draw, obs: np.ndarray, state: Any) -> None:
    """Draw both links, whose angles grow anticlockwise: θ1 from hanging straight down, θ2 from the first link's
    direction.
    """
    theta1, theta2 = math.atan2(obs[1], obs[0]), math.atan2(obs[3], obs[2])
    pivot, link, both = (480, 350), 125, theta1 + theta2
    draw.line((180, 350 - link, 780, 350 - link), fill=GREY, width=4)  # the height that the tip must reach
    elbow = (pivot[0] + link * math.sin(theta1), pivot[1] + link * math.cos(theta1))
    _rod(draw, pivot, elbow, 26, INK)
    _rod(draw, elbow, (elbow[0] + link * math.sin(both), elbow[1] + link * math.cos(both)), 26, ACCENT)
    for joint in (pivot, elbow):
        draw.circle(joint, 7, fill=WHITE)


def _on_hill(position: float, along: float = 0.0, above: float = 0.0) -> Point:
    """A point of the hill y = 0.45 sin(3x) + 0.55, -1.2 <= x <= 0.6, moved along and above the road there."""
    x, y = (position + 1.2) / 1.8 * 960, 630 - 440 * (0.45 * math.sin(3 * position) + 0.55)
    moved = complex(along, above) * np.exp(1j * math.atan(440 * 1.35 * math.cos(3 * position) * 1.8 / 960))
    return x + moved.real, y - moved.imag


def _mountain_car(draw: Draw, obs: np.ndarray, state: Any, goal: float = 0.5) -> None:
    for colour, above in ((INK, 0), (PALE, -6)):
        road = [_on_hill(p, above=above) for p in np.linspace(-1.25, 0.65, 200)]
        draw.polygon([(-40, 640), *road, (1000, 640)], fill=colour)
    x, y = _on_hill(goal)
    draw.polygon([(x, y - 122), (x - 52, y - 104), (x, y - 86)], fill=INK)
    _rod(draw, (x, y), (x, y - 120), 6, INK)
    place = functools.partial(_on_hill, float(obs[0]))
    draw.polygon([place(-32, 46), place(-20, 76), place(12, 76), place(32, 46)], fill=ACCENT)
    _rod(draw, place(-40, 34), place(40, 34), 30, ACCENT)
    for wheel in (place(-26, 15), place(26, 15)):
        draw.circle(wheel, 15, fill=INK)


def _grid(draw: Draw, obs: np.ndarray) -> None:
    """Draw one colour per channel of [rows, columns, channels]; those that share a cell are drawn nested."""
    cell = 600 / max(obs.shape[:2])
    for row, column in np.ndindex(obs.shape[:2]):
        present = np.flatnonzero(obs[row, column] > 0)[:3]
        for depth, colour in enumerate([PALE, *(TOL[c % len(TOL)] for c in present)]):
            inset = cell * (1 / 30 + max(0, depth - 1) / 5)
            x, y, side = 20 + column * cell + inset, 84 + row * cell + inset, cell - 2 * inset - 1
            draw.rounded_rectangle((x, y, x + side, y + side), side / 7, fill=colour)


def _paste(image: Image.Image, obs: np.ndarray) -> None:
    """Paste a picture: [H, W], or the last channels of [H, W, C]; in 0..1, 0..255 or any other range."""
    if obs.ndim == 3:
        obs = obs[..., -3:] if obs.shape[2] % 3 == 0 else obs[..., -1]
    low, high = min(0.0, obs.min()), 1.0 if obs.max() <= 1 else max(255.0, obs.max())
    levels = np.rint((obs - low) / (high - low) * 255).astype(np.uint8)
    picture = ImageOps.contain(Image.fromarray(levels), (904, 536), Image.Resampling.NEAREST)
    left = (960 - picture.width) // 2
    ImageDraw.Draw(image).rectangle((left - 2, 78, left + picture.width + 1, 81 + picture.height), fill=GREY)
    image.paste(picture, (left, 80))


def _bars(draw: Draw, obs: np.ndarray, state: Any) -> None:
    """Draw any vector in bars of x / (1 + |x|), so that no value leaves the picture and the scale never jumps."""
    obs = obs[:: -(-obs.size // 904) or 1]  # of more entries than pixels, some
    for level in (-1, -0.5, 0, 0.5, 1):
        draw.line((28, 340 - 230 * level, 932, 340 - 230 * level), fill=PALE if level else GREY, width=4)
    pitch = 904 / max(1, obs.size)
    for i, value in enumerate(obs / (1 + np.abs(obs))):
        x, y, half = 28 + (i + 0.5) * pitch, 340 - 230 * value, min(0.3 * pitch, 60)
        draw.rectangle((x - half, min(340, y), x + half, max(340, y)), fill=ACCENT)


def _swingup(draw: Draw, obs: np.ndarray, state: Any) -> None:
    """x is in metres and θ as in CartPole; the ring stands where the tip shall be, above the middle of the track."""
    x, theta, pole, rail = 480 + 170 * obs[0], math.atan2(obs[3], obs[2]), 200, 380
    _rod(draw, (30, rail), (930, rail), 6, GREY)
    draw.circle((480, rail - pole), 16, outline=GREY, width=5)
    draw.rounded_rectangle((x - 62, rail - 25, x + 62, rail + 25), 14, fill=INK)
    _rod(draw, (x, rail), (x + pole * math.sin(theta), rail - pole * math.cos(theta)), 20, ACCENT)
    draw.circle((x, rail), 6, fill=WHITE)


SCENES: dict[str, tuple[Callable[[Draw, np.ndarray, Any], None], int]] = {  # and the observation's size
    "CartPoleSwingUp": (_swingup, 5),
    "CartPole-v1": (_cartpole, 4),
    "Pendulum-v1": (_pendulum, 3),
    "Acrobot-v1": (_acrobot, 6),
    "MountainCar-v0": (_mountain_car, 2),
    "MountainCarContinuous-v0": (functools.partial(_mountain_car, goal=0.45), 2),
}
