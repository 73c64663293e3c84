"""Drawing agents at play with Pillow alone: no display, no pygame, no compiler.

Coordinates are pixels of a canvas of twice the final size, y downwards; halving it smooths the edges.
"""

import functools
import io
import itertools
import math
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from swingup.errors import ConfigError
from swingup.files import make_directory, output_error, write_atomic

WIDE, SQUARE = (960, 640), (640, 704)  # canvas sizes; halved they are multiples of 16, as H.264 likes
WHITE, PALE, GREY, INK, ACCENT = "#ffffff", "#eef1f4", "#c3cad2", "#39424e", "#e4602b"
# A colour per channel of a grid: Paul Tol's "muted" scheme, safe for colour-blind eyes (0: MinAtar's player).
TOL = ("#332288", "#cc6677", "#ddcc77", "#44aa99", "#882255", "#88ccee", "#117733", "#999933", "#aa4499", INK)

Draw = ImageDraw.ImageDraw
Point = tuple[float, float]
_font = functools.cache(ImageFont.load_default)


def frame(env_name: str, state: Any, obs: Any, caption: str = "", scene: Any = None) -> Image.Image:
    """One environment state as an RGB picture: 480x320, or 320x352 for the grids of MinAtar.

    `env_name` is the name that gymnax uses; an environment that is not known here is shown by its
    observation: an image, a grid of channels, or bars. `state` may be None; Pendulum's holds the torque. A `scene`
    of one's own, a function of canvas, observation and state, draws in place of these.
    """
    obs = np.clip(np.nan_to_num(np.squeeze(np.asarray(obs, dtype=float))), -1e5, 1e5)
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
    caption, room = caption.replace("\n", "  "), image.width - 56
    points = int(min(30, 30 * room / max(1, draw.textlength(caption, font=_font(30)))))
    draw.text((28, 40), caption, fill=INK, font=_font(max(8, points)), anchor="lm")
    return image.reduce(2)


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
    end = -90 - 60 * float(getattr(state, "last_u", 0.0))  # degrees, which Pillow counts clockwise
    draw.arc((410, 280, 550, 420), min(-90, end), max(-90, end), fill=INK, width=10)


def _acrobot(draw: Draw, obs: np.ndarray, state: Any) -> None:
    """Angles grow anticlockwise: θ1 from hanging straight down, θ2 from the direction of the first link."""
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
    """One colour per channel of [rows, columns, channels]; those that share a cell are drawn nested."""
    cell = 600 / max(obs.shape[:2])
    for row, column in np.ndindex(obs.shape[:2]):
        present = np.flatnonzero(obs[row, column] > 0)[:3]
        for depth, colour in enumerate([PALE, *(TOL[c % len(TOL)] for c in present)]):
            inset = cell * (1 / 30 + max(0, depth - 1) / 5)
            x, y, side = 20 + column * cell + inset, 84 + row * cell + inset, cell - 2 * inset - 1
            draw.rounded_rectangle((x, y, x + side, y + side), side / 7, fill=colour)


def _paste(image: Image.Image, obs: np.ndarray) -> None:
    """A picture: [H, W], [H, W, 3], or the last channel of [H, W, C]; in 0..1, 0..255 or any other range."""
    low, high = min(0.0, obs.min()), 1.0 if obs.max() <= 1 else max(255.0, obs.max())
    levels = np.rint((obs - low) / (high - low) * 255).astype(np.uint8)
    picture = Image.fromarray(levels if levels.shape[2:] in ((), (3,)) else levels[:, :, -1])
    picture = ImageOps.contain(picture, (904, 536), Image.Resampling.NEAREST)
    image.paste(picture, ((960 - picture.width) // 2, 80))


def _bars(draw: Draw, obs: np.ndarray, state: Any) -> None:
    """Any vector: bars of x / (1 + |x|), so that no value leaves the picture and the scale never jumps."""
    for level in (-1, -0.5, 0, 0.5, 1):
        draw.line((28, 340 - 230 * level, 932, 340 - 230 * level), fill=PALE if level else GREY, width=4)
    pitch = 904 / max(1, obs.size)
    for i, value in enumerate(obs / (1 + np.abs(obs))):
        x, y, half = 28 + (i + 0.5) * pitch, 340 - 230 * value, min(0.3 * pitch, 60)
        draw.rectangle((x - half, min(340, y), x + half, max(340, y)), fill=ACCENT)


SCENES: dict[str, tuple[Callable[[Draw, np.ndarray, Any], None], int]] = {  # and the observation's size
    "CartPole-v1": (_cartpole, 4),
    "Pendulum-v1": (_pendulum, 3),
    "Acrobot-v1": (_acrobot, 6),
    "MountainCar-v0": (_mountain_car, 2),
    "MountainCarContinuous-v0": (functools.partial(_mountain_car, goal=0.45), 2),
}


def write_animation(path: str | Path, frames: Sequence[Image.Image], fps: int = 30) -> None:
    """Write frames of one size as .gif (looping) or .mp4 (H.264); the file appears whole or not at all.

    A GIF plays at 50 frames per second at most, and equal frames in a row become one long frame of it.
    """
    path = Path(path)
    encode = {".gif": _gif, ".mp4": _mp4}.get(path.suffix.lower())
    if encode is None:
        raise ConfigError(f"cannot write {path.name!r}: the name of an animation must end in .gif or .mp4")
    frames = [f if f.mode == "RGB" else f.convert("RGB") for f in frames]
    if fps <= 0 or len({f.size for f in frames}) != 1:
        raise ConfigError("an animation needs fps > 0 and at least one frame, all frames of one size")
    try:
        make_directory(path.absolute().parent)
        data = encode(frames, fps)
    except OSError as error:
        raise output_error(path, error) from error
    write_atomic(path, data)


def _gif(frames: Sequence[Image.Image], fps: int) -> bytes:
    areas: Counter[Any] = Counter()
    for f in frames:
        areas.update({colour: area for area, colour in f.getcolors(f.width * f.height) or []})
    # One palette for all frames, by median cut of all colours weighted by the root of their areas; then a
    # table from colour to palette index, because Pillow itself looks only at the upper six bits of a level.
    colours = np.repeat(np.array(list(areas), np.uint8), [math.isqrt(n) for n in areas.values()], axis=0)
    palette = Image.fromarray(colours[None]).quantize(255, Image.Quantize.MEDIANCUT)
    index, code = np.zeros(2**24, np.uint8), np.array((65536, 256, 1))
    index[colours @ code] = np.asarray(palette)[0]
    pictures = [Image.fromarray(index[np.asarray(f) @ code]) for f in frames]
    for picture in pictures:
        picture.putpalette(palette.getpalette() or [])
    ticks = [round(100 * i / fps) for i in range(len(frames) + 1)]  # hundredths: 3, 4, 3, 3, ... for 30 fps
    duration = [10 * max(2, end - start) for start, end in itertools.pairwise(ticks)]
    options: dict[str, Any] = {"loop": 0, "disposal": 1, "optimize": True, "palette": palette.palette}
    file = io.BytesIO()
    pictures[0].save(file, "GIF", save_all=True, append_images=pictures[1:], duration=duration, **options)
    return file.getvalue()


def _mp4(frames: Sequence[Image.Image], fps: int) -> bytes:
    try:
        import imageio_ffmpeg

        program = imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError) as error:
        hint = "writing MP4 needs imageio-ffmpeg: pip install 'swingup[video]', or choose a .gif"
        raise ConfigError(hint) from error
    # Not through imageio_ffmpeg.write_frames: it forks, which JAX warns about, and hides ffmpeg's failures.
    source = f"-f rawvideo -pix_fmt rgb24 -s {frames[0].width}x{frames[0].height} -r {fps} -i -"
    target = "-c:v libx264 -crf 18 -pix_fmt yuv420p -vf pad=ceil(iw/2)*2:ceil(ih/2)*2 -movflags +faststart"
    with tempfile.TemporaryDirectory() as folder:
        command = [program, "-v", "error", *source.split(), *target.split(), f"{folder}/video.mp4"]
        done = subprocess.run(command, input=b"".join(f.tobytes() for f in frames), capture_output=True)
        if done.returncode:
            raise OSError(f"ffmpeg: {done.stderr.decode(errors='replace').strip() or done.returncode}")
        return Path(folder, "video.mp4").read_bytes()
