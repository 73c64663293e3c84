"""The front page shows a trained agent, its learning curve and the laboratory in pictures of a few kilobytes each.

    ```{front} curve
    ```

draws every seed of a stored training, and `{front} labs` the laboratory's gallery. The small pictures are made from the
stored ones when the pages are built, so they cannot grow old.
"""

import csv
import json
from collections import defaultdict
from html import escape
from pathlib import Path

import numpy as np
from demonstrations import stored
from docutils import nodes
from drawings import Sheet
from PIL import Image, ImageSequence
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from swingup.lab import LABS

DOCS = Path(__file__).resolve().parents[1]
STATIC = DOCS / "_static"
CURVE = DOCS.parent / "benchmarks" / "results" / "scores" / "ppo-Pendulum-v1.csv"
AGENT = "pendulum.gif"
SQUARE = 105, 35, 375, 305  # of the animation, without what is written above it
SWING = slice(0, 110, 2)  # its frames from hanging to standing; half of them are enough to see it
LAB = '<figure><a href="labs.html#lab-{name}"><img loading="lazy" src="_static/front/{name}.webp" {size} alt="{about}">'


def returns() -> tuple[np.ndarray, np.ndarray]:
    """Read the stored training: env steps [points], and the return of the last 100 episodes [seeds, points]."""
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    with CURVE.open() as file:
        for row in csv.DictReader(file):
            found[row["seed"]].append((float(row["env_steps"]), float(row["ep/return_last100"])))
    table = np.array(list(found.values()))  # [seeds, points, 2]
    return table[0, :, 0], table[:, :, 1]


def curve() -> str:
    """Draw the return of each seed, and their mean, over env steps; say how long the training took."""
    env_steps, found = returns()
    took = json.loads(CURVE.with_suffix(".json").read_text())
    seconds = took["compile_seconds"] + took["run_seconds"]
    first, last = found[:, 0].mean(), found[:, -1].mean()
    s = Sheet(500, 192, f"The returns of {len(found)} seeds rise from about {first:.0f} to {last:.0f}.")
    left, right, top, bottom, low = 48, 488, 14, 150, -1500
    x = left + env_steps / 200_000 * (right - left)
    y = bottom - (found - low) / -low * (bottom - top)
    for value in range(low, 1, 500):
        height = bottom - (value - low) / -low * (bottom - top)
        s.line([(left, height), (right, height)], "thin")
        s.text(left - 6, height + 4, f"{value}", "small", "end")
    for value, anchor in ((0, "middle"), (100_000, "middle"), (200_000, "end")):
        s.text(left + value / 200_000 * (right - left), bottom + 17, f"{value:,}", "small", anchor)
    s.text((left + right) / 2, 187, "env steps", "small")
    for seed in y:
        s.line(zip(x, seed, strict=True), "thin accent")
    s.line(zip(x, y.mean(0), strict=True), "thick accent")
    says = f"PPO on Pendulum-v1: returns of {len(found)} seeds and their mean, {seconds:.0f} seconds on two cores"
    return f"<figure>{s.svg()}<figcaption>{says}</figcaption></figure>"


def labs() -> str:
    """List the demonstrations whose figures are stored, as a gallery."""
    size = 'width="140" height="125"'
    shown = (
        LAB.format(name=name, size=size, about=escape(LABS[name])) + f"{name}</a></figure>"
        for name in stored()
    )
    return f'<div class="front-labs">{"".join(shown)}</div>'


class Front(SphinxDirective):
    """One part of the front page."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        parts = {"curve": curve, "labs": labs}
        if self.arguments[0] not in parts:
            raise self.error(f"front: {', '.join(parts)}, not {self.arguments[0]}")
        self.env.note_dependency(__file__)
        return [nodes.raw("", parts[self.arguments[0]](), format="html")]


def shrink(app: Sphinx, exception: Exception | None) -> None:
    """Make the small pictures that are older than what they are made from, or not there."""
    if exception or app.builder.format != "html":
        return
    out = Path(app.outdir) / "_static" / "front"
    out.mkdir(parents=True, exist_ok=True)

    def old(target: Path, source: Path) -> bool:
        return not target.exists() or target.stat().st_mtime < source.stat().st_mtime

    for name in stored():
        source, target = STATIC / "labs" / f"{name}.png", out / f"{name}.webp"
        if old(target, source):
            with Image.open(source) as figure:
                first = figure.convert("RGB").crop(
                    (0, 0, min(figure.width, int(figure.height * 1.12)), figure.height)
                )
                first.resize((140, 125)).save(target, quality=30, method=6)
    if old(out / "agent.webp", STATIC / AGENT):
        with Image.open(STATIC / AGENT) as animation:
            pictures = [
                frame.convert("RGB").crop(SQUARE).resize((190, 190))
                for frame in ImageSequence.Iterator(animation)
            ]
            first, *rest = pictures[SWING]
            duration = animation.info["duration"] * SWING.step
        rest[-1].save(out / "still.webp", quality=50)  # for readers who want nothing to move
        times = [duration] * len(rest) + [1500]
        first.save(
            out / "agent.webp",
            save_all=True,
            append_images=rest,
            duration=times,
            loop=0,
            quality=45,
            method=4,
        )


def setup(app: Sphinx) -> dict:
    app.add_directive("front", Front)
    app.connect("build-finished", shrink)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
