"""Animations as files: GIFs by Pillow, MP4s by ffmpeg, whole or not at all."""

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
from PIL import Image

from swingup.errors import ConfigError
from swingup.files import make_directory, output_error, write_atomic


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
    """What turns frames into a file of this name. Raises `ConfigError` for an unknown one, or a missing extra."""
    encode = {".gif": _gif, ".mp4": _mp4}.get(path.suffix.lower())
    if encode is None:
        raise ConfigError(f"cannot write {path.name!r}: the name of an animation must end in .gif or .mp4")
    if encode is _mp4:
        _ffmpeg()
    return encode


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
    """The program. Raises `ConfigError` where it is not installed."""
    try:
        import imageio_ffmpeg

        return imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError) as error:
        hint = "writing MP4 needs imageio-ffmpeg: pip install 'swingup[video]', or choose a .gif"
        raise ConfigError(hint) from error
