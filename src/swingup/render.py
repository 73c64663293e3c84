"""Drawing agents at play with Pillow alone: no display, no pygame, no compiler.

`frame` draws one state of an environment, `write_animation` turns frames into a GIF or an MP4. Every
picture is drawn at twice its size and halved at the end, which smooths the edges: all coordinates in
this file are pixels of the large canvas, with y pointing down.
"""

import contextlib
import functools
import math
import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from swingup.errors import ConfigError, OutputError

WIDE, SQUARE = (960, 640), (640, 704)  # canvas sizes; halved they are multiples of 16, as H.264 likes
WHITE, PALE, GREY, INK, ACCENT = "#ffffff", "#eef1f4", "#c3cad2", "#39424e", "#e4602b"
# Paul Tol's "muted" scheme, safe for colour-blind eyes; channel 0 is the player in every MinAtar game.
CHANNELS = ("#332288", "#cc6677", "#ddcc77", "#44aa99", "#882255")
CHANNELS += ("#88ccee", "#117733", "#999933", "#aa4499", "#39424e")

Draw = ImageDraw.ImageDraw
Point = tuple[float, float]


def frame(env_name: str, state: Any, obs: Any, caption: str = "") -> Image.Image:
    """One environment state as an RGB picture: 480x320, or 320x352 for the grids of MinAtar.

    `env_name` is the name that gymnax uses; an environment that is not known here is shown by its
    observation: an image, a grid of channels, or bars. `state` may be None; Pendulum's holds the torque.
    """
    obs = np.nan_to_num(np.asarray(obs, dtype=float))
    draw_known, size = SCENES.get(env_name, (_bars, -1))
    is_grid = obs.ndim == 3 and (env_name.endswith("-MinAtar") or obs.shape[2] not in (1, 3))
    image = Image.new("RGB", SQUARE if is_grid else WIDE, WHITE)
    draw = ImageDraw.Draw(image)
    if is_grid:
        _grid(draw, obs)
    elif obs.ndim in (2, 3):
        _paste(image, obs)
    elif obs.size == size:
        draw_known(draw, obs.ravel(), state)
    else:
        _bars(draw, obs.ravel(), state)
    _caption(draw, caption.replace("\n", "  "), image.width)
    return image.reduce(2)


def _caption(draw: Draw, text: str, width: int) -> None:
    room, size = width - 56, 30.0
    size = min(size, size * room / max(1.0, draw.textlength(text, font=_font(size))))
    draw.text((28, 40), text, fill=INK, font=_font(max(8.0, size)), anchor="lm")


@functools.cache
def _font(size: float) -> Any:
    return ImageFont.load_default(size=size)


def _disc(draw: Draw, centre: Point, radius: float, colour: str) -> None:
    draw.circle(centre, radius, fill=colour)


def _rod(draw: Draw, start: Point, end: Point, width: float, colour: str) -> None:
    """A straight bar with round ends (a polygon, because Pillow's slanted lines come out too thin)."""
    (x0, y0), (x1, y1) = start, end
    scale = width / 2 / max(1e-9, math.hypot(x1 - x0, y1 - y0))
    dx, dy = (y1 - y0) * scale, (x0 - x1) * scale
    draw.polygon(
        [(x0 - dx, y0 - dy), (x0 + dx, y0 + dy), (x1 + dx, y1 + dy), (x1 - dx, y1 - dy)], fill=colour
    )
    for point in (start, end):
        _disc(draw, point, width / 2, colour)


def _cartpole(draw: Draw, obs: np.ndarray, state: Any) -> None:
    """x in metres, the track is 2 x 2.4 m; θ = 0 is upright and grows clockwise (pole not to scale)."""
    x, theta, pole, ground = 480 + 170 * obs[0], obs[2], 290, 520
    _rod(draw, (72, ground), (888, ground), 6, GREY)
    for stop in (72, 888):  # |x| > 2.4 ends the episode
        _rod(draw, (stop, ground - 16), (stop, ground + 16), 6, GREY)
    draw.rounded_rectangle((x - 62, ground - 62, x + 62, ground - 12), 14, fill=INK)
    for wheel in (x - 34, x + 34):
        _disc(draw, (wheel, ground - 12), 12, INK)
    pivot = (x, ground - 62)
    _rod(draw, pivot, (x + pole * math.sin(theta), pivot[1] - pole * math.cos(theta)), 20, ACCENT)
    _disc(draw, pivot, 6, WHITE)


def _pendulum(draw: Draw, obs: np.ndarray, state: Any) -> None:
    """θ = 0 is upright and grows anticlockwise, as does the torque (at most 2), drawn as an arc."""
    theta, pivot, length = math.atan2(obs[1], obs[0]), (480, 350), 215
    draw.circle(pivot, length, outline=PALE, width=4)
    _disc(draw, (480, 350 - length), 8, GREY)
    tip = (pivot[0] - length * math.sin(theta), pivot[1] - length * math.cos(theta))
    _rod(draw, pivot, tip, 40, ACCENT)
    _disc(draw, pivot, 12, INK)
    torque = float(getattr(state, "last_u", 0.0))
    if abs(torque) > 0.02:
        top, sweep = -90.0, -60.0 * torque  # degrees, clockwise in Pillow
        draw.arc((410, 280, 550, 420), *sorted((top, top + sweep)), fill=INK, width=8)
        end = math.radians(top + sweep)
        _disc(draw, (480 + 66 * math.cos(end), 350 + 66 * math.sin(end)), 12, INK)


def _acrobot(draw: Draw, obs: np.ndarray, state: Any) -> None:
    """Both angles grow anticlockwise: θ1 from hanging straight down, θ2 from the first link's direction."""
    theta1, theta2 = math.atan2(obs[1], obs[0]), math.atan2(obs[3], obs[2])
    pivot, link = (480, 350), 125
    for x in range(180, 780, 40):  # the tip must rise one link above the pivot
        draw.line((x, pivot[1] - link, x + 20, pivot[1] - link), fill=GREY, width=4)
    elbow = (pivot[0] + link * math.sin(theta1), pivot[1] + link * math.cos(theta1))
    both = theta1 + theta2
    tip = (elbow[0] + link * math.sin(both), elbow[1] + link * math.cos(both))
    _rod(draw, pivot, elbow, 26, INK)
    _rod(draw, elbow, tip, 26, ACCENT)
    for joint in (pivot, elbow):
        _disc(draw, joint, 7, WHITE)


def _on_hill(position: float, along: float = 0.0, above: float = 0.0) -> Point:
    """The canvas point of the hill y = 0.45 sin(3x) + 0.55, -1.2 <= x <= 0.6, or one beside it.

    `along` and `above` are canvas pixels along the tangent (uphill for growing x) and the normal there.
    """
    x, y = (position + 1.2) / 1.8 * 960, 630 - 440 * (0.45 * math.sin(3 * position) + 0.55)
    slope = 440 * 1.35 * math.cos(3 * position) / (960 / 1.8)
    c, s = 1 / math.hypot(1, slope), slope / math.hypot(1, slope)
    return x + c * along - s * above, y - s * along - c * above


def _mountain_car(draw: Draw, obs: np.ndarray, state: Any, goal: float = 0.5) -> None:
    road = np.linspace(-1.25, 0.65, 200)
    draw.polygon([(-40, 640), *(_on_hill(p) for p in road), (1000, 640)], fill=INK)
    draw.polygon([(-40, 640), *(_on_hill(p, above=-6) for p in road), (1000, 640)], fill=PALE)
    x, y = _on_hill(goal)
    draw.polygon([(x, y - 112), (x - 52, y - 94), (x, y - 76)], fill=INK)
    _rod(draw, (x, y), (x, y - 110), 6, INK)
    place = functools.partial(_on_hill, float(obs[0]))
    draw.polygon([place(-32, 34), place(-20, 62), place(10, 62), place(28, 34)], fill=ACCENT)
    _rod(draw, place(-36, 28), place(36, 28), 24, ACCENT)
    for wheel in (place(-24, 13), place(24, 13)):
        _disc(draw, wheel, 15, WHITE)
        _disc(draw, wheel, 12, INK)


def _grid(draw: Draw, obs: np.ndarray) -> None:
    """One colour per channel; where channels share a cell the lowest is the frame of the next."""
    rows, columns, _ = obs.shape
    cell = 600 / max(rows, columns)
    gap, shrink = cell / 30, cell / 5

    def square(row: int, column: int, inset: float, colour: str) -> None:
        x, y = 20 + column * cell + inset, 84 + row * cell + inset
        side = cell - 2 * inset - 1
        draw.rounded_rectangle((x, y, x + side, y + side), side / 7, fill=colour)

    for row, column in np.ndindex(rows, columns):
        square(row, column, gap, PALE)
        for depth, channel in enumerate(np.flatnonzero(obs[row, column] > 0)[:3]):
            square(row, column, gap + depth * shrink, CHANNELS[channel % len(CHANNELS)])


def _paste(image: Image.Image, obs: np.ndarray) -> None:
    """An observation that is a picture: [H, W], [H, W, 1] or [H, W, 3], in 0..1, 0..255 or any other range."""
    low, high = min(0.0, obs.min()), obs.max()
    high = 1.0 if high <= 1 else max(255.0, high)
    levels = np.rint((obs - low) / (high - low) * 255).astype(np.uint8)
    picture = Image.fromarray(levels[:, :, 0] if levels.shape[2:] == (1,) else levels)
    scale = min(904 / picture.width, 536 / picture.height)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    image.paste(picture.resize(size, Image.Resampling.NEAREST), ((960 - size[0]) // 2, 80))


def _bars(draw: Draw, obs: np.ndarray, state: Any) -> None:
    """Any vector: bars of x / (1 + |x|), so that no value leaves the picture and the scale never jumps."""
    for level in (-1, -0.5, 0, 0.5, 1):
        y = 340 - 230 * level
        draw.line((28, y, 932, y), fill=GREY if level == 0 else PALE, width=4)
    pitch = 904 / max(1, obs.size)
    for i, value in enumerate(obs / (1 + np.abs(obs))):
        left, width = 28 + (i + 0.2) * pitch, min(0.6 * pitch, 120.0)
        left += (0.6 * pitch - width) / 2
        y0, y1 = sorted((340.0, 340 - 230 * value))
        draw.rectangle((left, y0, left + width, y1), fill=ACCENT)


Scene = Callable[[Draw, np.ndarray, Any], None]
SCENES: dict[str, tuple[Scene, int]] = {  # how to draw an environment, and the size of its observation
    "CartPole-v1": (_cartpole, 4),
    "Pendulum-v1": (_pendulum, 3),
    "Acrobot-v1": (_acrobot, 6),
    "MountainCar-v0": (_mountain_car, 2),
    "MountainCarContinuous-v0": (functools.partial(_mountain_car, goal=0.45), 2),
}


def write_animation(path: str | os.PathLike[str], frames: Sequence[Image.Image], fps: int = 30) -> None:
    """Write frames of one size as .gif (looping) or .mp4 (H.264); the file appears whole or not at all.

    A GIF counts in hundredths of a second and viewers refuse less than two of them: above 50 frames per
    second it plays slower than asked. Equal frames in a row become one long frame of the GIF.
    """
    path = Path(path).absolute()
    write = {".gif": _write_gif, ".mp4": _write_mp4}.get(path.suffix.lower())
    if write is None:
        raise ConfigError(f"cannot write {path.name!r}: the name of an animation must end in .gif or .mp4")
    if fps <= 0:
        raise ConfigError(f"an animation needs fps > 0, not {fps}")
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix.lower()}")
    try:
        frames = list(frames)
        if len({f.size for f in frames}) != 1:
            raise ConfigError("an animation needs at least one frame, and all frames of one size")
        write(temporary, frames, fps)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _palette(frames: Sequence[Image.Image]) -> list[int]:
    """At most 255 colours for all frames: the commonest half as they are, the others by median cut."""
    counts: Counter[tuple[int, int, int]] = Counter()
    for f in frames:
        for number, colour in f.convert("RGB").getcolors(f.width * f.height):
            counts[colour] += number
    colours = [colour for colour, _ in counts.most_common()]
    if len(colours) > 255:
        rest = Image.new("RGB", (len(colours) - 128, 1))
        rest.putdata(colours[128:])
        merged = rest.quantize(127, Image.Quantize.MEDIANCUT).convert("RGB").getcolors(127)
        colours = colours[:128] + [colour for _, colour in merged if colour not in colours[:128]]
    return [level for colour in colours for level in colour]


def _write_gif(path: Path, frames: Sequence[Image.Image], fps: int) -> None:
    palette = _palette(frames)
    reference = Image.new("P", (1, 1))
    reference.putpalette(palette)
    pictures = [f.convert("RGB").quantize(palette=reference, dither=Image.Dither.NONE) for f in frames]
    ticks = [round(100 * i / fps) for i in range(len(frames) + 1)]
    durations = [10 * max(2, b - a) for a, b in zip(ticks, ticks[1:], strict=False)]
    pictures[0].save(
        path,
        save_all=True,
        append_images=pictures[1:],
        duration=durations,
        loop=0,
        optimize=True,
        palette=bytes(palette),
        disposal=1,
    )


def _write_mp4(path: Path, frames: Sequence[Image.Image], fps: int) -> None:
    try:
        import imageio_ffmpeg

        imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError) as error:
        hint = "writing MP4 needs imageio-ffmpeg: pip install 'swingup[video]', or choose a .gif"
        raise ConfigError(hint) from error
    writer = imageio_ffmpeg.write_frames(
        str(path),
        frames[0].size,
        fps=fps,
        codec="libx264",
        quality=7,
        macro_block_size=2,
        ffmpeg_log_level="error",
        output_params=["-movflags", "+faststart"],
    )
    try:
        writer.send(None)
        for f in frames:
            writer.send(f.convert("RGB").tobytes())
    finally:
        writer.close()
