"""Animations become files: GIFs by Pillow, MP4s by ffmpeg, whole or not at all."""

import io
import itertools
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from swingup.errors import ConfigError
from swingup.files import make_directory, output_error, write_atomic

DRAWN = 4096  # colours; a drawing has fewer


def write_animation(path: str | Path, frames: Sequence[Image.Image], fps: int = 30) -> None:
    """Write frames of one size as .gif (looping) or .mp4 (H.264); the file appears whole or not at all.

    A GIF plays at 50 frames per second at most, and equal frames in a row become one long frame of it.
    """
    path = Path(path).expanduser()
    encode = encoder(path)
    frames = [f if f.mode == "RGB" else f.convert("RGB") for f in frames]
    if fps <= 0 or len({f.size for f in frames}) != 1:
        raise ConfigError("an animation needs fps > 0 and at least one frame, all frames of one size")
    try:
        make_directory(path.absolute().parent)
        data = encode(frames, fps)
    except OSError as error:
        raise output_error(path, error) from error
    write_atomic(path, data)


def encoder(path: Path) -> Callable[[Sequence[Image.Image], int], bytes]:
    """Return what turns frames into a file of this name. Raises `ConfigError` for an unknown one or a missing extra."""
    encode = {".gif": _gif, ".mp4": _mp4}.get(path.suffix.lower())
    if encode is None:
        raise ConfigError(f"cannot write {path.name!r}: the name of an animation must end in .gif or .mp4")
    if encode is _mp4:
        _ffmpeg()
    return encode


def _gif(frames: Sequence[Image.Image], fps: int) -> bytes:
    palette, pictures = _with_one_palette(frames)
    for picture in pictures:
        picture.putpalette(palette.getpalette() or [])
    ticks = [round(100 * i / fps) for i in range(len(frames) + 1)]  # hundredths: 3, 4, 3, 3, ... for 30 fps
    duration = [10 * max(2, end - start) for start, end in itertools.pairwise(ticks)]
    options: dict[str, Any] = {"loop": 0, "disposal": 1, "optimize": True, "palette": palette.palette}
    file = io.BytesIO()
    pictures[0].save(file, "GIF", save_all=True, append_images=pictures[1:], duration=duration, **options)
    return file.getvalue()


def _with_one_palette(frames: Sequence[Image.Image]) -> tuple[Image.Image, list[Image.Image]]:
    """Reduce frames to the same 255 colours, by median cut of all their colours weighted by the root of their
    areas.

    A table leads from a colour to its index, because Pillow itself looks only at the upper six bits of a level. So
    do we where frames have more than `DRAWN` colours: those are photographs, whose colours are too many to count.
    """
    counts = [f.getcolors(DRAWN) for f in frames]
    bits = 6 if None in counts or len({c for some in counts for _, c in some or ()}) > DRAWN else 8
    code = np.array([1 << 2 * bits, 1 << bits, 1])
    areas, cells = np.zeros(1 << 3 * bits, np.int32), []
    for f in frames:
        cell = ((np.asarray(f) >> (8 - bits)) @ code).astype(np.uint32)
        present, count = np.unique(cell, return_counts=True)
        areas[present] += count
        cells.append(cell)
    present = np.flatnonzero(areas)
    levels = (present[:, None] // code) % (1 << bits) << (8 - bits)
    levels |= levels >> bits  # the highest level of six bits is 255 too
    colours = np.repeat(levels.astype(np.uint8), np.sqrt(areas[present]).astype(int), axis=0)
    palette = Image.fromarray(colours[None]).quantize(255, Image.Quantize.MEDIANCUT)
    index = np.zeros(areas.shape, np.uint8)
    index[(colours >> (8 - bits)) @ code] = np.asarray(palette)[0]
    return palette, [Image.fromarray(index[cell]) for cell in cells]


def _mp4(frames: Sequence[Image.Image], fps: int) -> bytes:
    # Not through imageio_ffmpeg.write_frames: it forks, which JAX warns about, and hides ffmpeg's failures.
    source = f"-f rawvideo -pix_fmt rgb24 -s {frames[0].width}x{frames[0].height} -r {fps} -i -"
    target = "-c:v libx264 -crf 18 -pix_fmt yuv420p -vf pad=ceil(iw/2)*2:ceil(ih/2)*2 -movflags +faststart"
    with tempfile.TemporaryDirectory() as folder:
        command = [_ffmpeg(), "-v", "error", *source.split(), *target.split(), f"{folder}/video.mp4"]
        done = subprocess.run(command, input=b"".join(f.tobytes() for f in frames), capture_output=True)
        if done.returncode:
            raise OSError(f"ffmpeg: {done.stderr.decode(errors='replace').strip() or done.returncode}")
        return Path(folder, "video.mp4").read_bytes()


def _ffmpeg() -> str:
    """Find the program. Raises `ConfigError` where it is not installed."""
    try:
        import imageio_ffmpeg

        return imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError) as error:
        hint = "writing MP4 needs imageio-ffmpeg: pip install 'swingup[video]', or choose a .gif"
        raise ConfigError(hint) from error
