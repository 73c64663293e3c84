"""All figures of runs share one look, and the same figure gives the same bytes."""

import io
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.rcsetup import cycler
from PIL import Image

from swingup.files import write_atomic

COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000"]  # Okabe & Ito 2008
STYLE: dict[Any, Any] = {"svg.hashsalt": "swingup", "svg.fonttype": "none", "text.parse_math": False, "axes.grid": True,
    "legend.frameon": False, "axes.xmargin": 0.01, "grid.color": "#DDDDDD", "grid.linewidth": 0.6,
    "axes.spines.top": False, "axes.spines.right": False, "legend.fontsize": 8, "legend.title_fontsize": 8,
    "axes.prop_cycle": cycler(linestyle=["-", "--", ":"]) * cycler(color=COLOURS)}  # fmt: skip
SUFFIXES = ".png", ".svg", ".csv", ".pdf", ".jpg"  # that the name of a figure may have


def lines(labels: list[str]) -> dict[str, dict[str, Any]]:
    """Return colour and dashes of each label: the same in all panels of a figure."""
    styles = list(STYLE["axes.prop_cycle"])
    return {label: styles[i % len(styles)] for i, label in enumerate(dict.fromkeys(labels))}


def compact(value: float, _: float = 0) -> str:
    """Return a tick's label, short and with a true minus sign.

    >>> compact(50_000), compact(-0.25)
    ('50k', '−0.25')
    """
    scale, unit = next((s for s in [(1e9, "G"), (1e6, "M"), (1e3, "k")] if abs(value) >= s[0]), (1.0, ""))
    return f"{value / scale:.10g}{unit}".replace("-", "−")


def pictures(figure: Figure) -> dict[str, bytes]:
    """Return the figure as .png and .svg, drawn in our style; the same figure gives the same bytes."""
    svg, png = io.BytesIO(), io.BytesIO()
    with matplotlib.rc_context(STYLE):
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        figure.set_layout_engine("none")  # all has its place now: to find it takes as long as to draw
        figure.savefig(svg, format="svg", metadata={"Date": None})
    whole = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    palette = whole.quantize(256, dither=Image.Dither.NONE)  # a third of the size
    palette.save(png, "png", optimize=True, dpi=(150, 150))
    return {".png": png.getvalue(), ".svg": svg.getvalue()}


def write(out: Path, figure: Figure, table: str) -> list[Path]:
    """Write a figure and its numbers beside each other: .png, .svg and .csv. `out` has any suffix or none."""
    stem = out.stem if out.suffix.lower() in SUFFIXES else out.name
    contents = pictures(figure) | {".csv": table.encode()}
    for suffix, data in contents.items():
        write_atomic(out.with_name(stem + suffix), data)
    return [out.with_name(stem + suffix) for suffix in contents]
