"""Learning curves come from run directories: a PNG, an SVG and the CSV of exactly what was drawn.

Reads nothing but `config.json`, `metrics.csv` (a blank cell: nothing to report) and `outcome.json`. Runs that differ
only in seeds are one curve. The same input gives the same bytes.
"""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import Any, Literal, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from swingup.errors import ConfigError, unknown
from swingup.files import home
from swingup.plots.series import load_metrics, series
from swingup.plots.settings import Setting, diverged, labels, settings
from swingup.plots.style import STYLE, compact, lines, write
from swingup.plots.thin import thinned
from swingup.statistics import MIN_RUNS, bootstrap_band, iqm

__all__ = ["Curve", "curve", "draw", "load_metrics", "plot"]

AXES = {"env_steps": "environment steps per seed", "iteration": "iterations", "seconds": "wall-clock seconds"}
STATISTICS = {"mean": np.mean, "iqm": iqm}
MAX_POINTS = 2000  # of all curves together, thinned if more: the pixels show no more and the SVG stays small
WIDE = 3  # panels beside each other, unless each column is a facet


class Curve(NamedTuple):
    """One line of a figure has P points of S seeds."""

    runs: str
    label: str
    x: np.ndarray  # [P]
    seeds: np.ndarray  # [S, P], NaN before a seed's first value and after its last row
    stats: np.ndarray  # [3, P]: value, low, high; the interval is NaN where fewer than 3 seeds have a value
    diverged: int  # seeds that did, which are kept at their last value


class Panel(NamedTuple):
    """One pair of axes shows one metric, in one facet."""

    facet: str  # "" if there is but one
    metric: str
    curves: list[Curve]


def plot(
    runs: Sequence[str | Path],
    out: str | Path,
    *,
    metric: str | Sequence[str] = "ep/return",
    statistic: Literal["mean", "iqm"] = "mean",
    x: str = "env_steps",
    smooth: int = 1,
    title: str | None = None,
    facet: str = "env",
) -> list[Path]:
    """Draw learning curves; write them with the suffixes .png, .svg and .csv, and return these three paths.

        runs        run directories; those of one algorithm, environment and settings become one curve. A directory
                    that holds runs, such as a grid, stands for all of them; NAME=RUN names a curve
        out         where to write, with any suffix or none
        metric      a column of metrics.csv, or several: a row of panels for each
        statistic   over seeds: "mean" or "iqm", with the 95% `bootstrap_band`; under three seeds no interval
        x           "env_steps" per seed, "iteration" or "seconds"
        smooth      how many of a seed's last log points are averaged before that
        title       the text above; by default the environment
        facet       what each column of panels shows apart: "env", a hyperparameter, or "" for nothing

    A value that is blank or not finite is the seed's last one, but none before its first; different log points are
    interpolated on their union. Long curves are thinned, and keep their extremes. The CSV has run, label, `x`, value,
    low, high and n_seeds (how many have a value there), blank where undefined; with several panels also metric and
    facet. Raises `ConfigError` for a directory without a run, an unknown or empty column, and wrong arguments;
    `OutputError` for what cannot be written.
    """
    for kind, given, known in [("x axis", x, AXES), ("statistic", statistic, STATISTICS)]:
        if given not in known:
            raise ConfigError(unknown(kind, given, known))
    if smooth < 1 or not runs:
        raise ConfigError(f"need at least one run and smooth >= 1; got {len(runs)} runs, smooth={smooth}")
    metrics = list(dict.fromkeys(metric.split(",") if isinstance(metric, str) else metric))
    found = settings(runs)
    facets = _facets(found, facet)
    most = max(50, MAX_POINTS // (len(found) * len(metrics)))
    panels = [
        Panel(name, one, [curve(s, label, one, x, smooth, STATISTICS[statistic], most) for s, label in part])
        for one in metrics
        for name, part in facets.items()
    ]
    single = title is None and len({s.env for s in found}) == 1
    texts = {"x": AXES[x], "y": f" (mean of {smooth} log points)" * (smooth > 1)}
    with matplotlib.rc_context(STYLE):
        figure = _figure(panels, len(facets), statistic, texts, found[0].env if single else title or "")
        out = home(out)
        return write(out / "curve" if out.is_dir() else out, figure, _csv(panels, x))


def _facets(found: list[Setting], facet: str) -> dict[str, list[tuple[Setting, str]]]:
    """Return {what a column of panels shows: its settings with their labels}."""
    known = {"env": "", **{k: "" for s in found for k in s.values}}
    if facet and facet not in known:
        raise ConfigError(unknown("facet", facet, known))
    split: dict[str, list[Setting]] = {}
    for one in found:
        value = one.env if facet == "env" else f"{facet}={one.values.get(facet, 'none')}" if facet else ""
        split.setdefault(value, []).append(one)
    if len(split) == 1:
        split = {"": found}
    return {name: list(zip(part, labels(part), strict=True)) for name, part in split.items()}


def curve(
    setting: Setting,
    label: str,
    metric: str,
    x: str,
    smooth: int = 1,
    statistic: Any = np.mean,
    most: int = MAX_POINTS,
) -> Curve:
    """Return a metric's curve of one setting, thinned to `most` points, with its band."""
    found = list(series(setting, metric, x, smooth).values())
    grid = np.unique(np.concatenate([at for at, _ in found]))
    seeds = np.stack([np.interp(grid, at, values, left=np.nan, right=np.nan) for at, values in found])
    value = _over_seeds(seeds, statistic)
    kept = thinned(value, most)
    seeds = seeds[:, kept]
    stats = np.stack([value[kept], *bootstrap_band(seeds, statistic)])
    lost = len({seed for run in setting.runs for seed in diverged(run)})
    return Curve(
        " + ".join(run.resolve().name for run in setting.runs), label, grid[kept], seeds, stats, lost
    )


def _over_seeds(seeds: np.ndarray, statistic: Any) -> np.ndarray:
    """Return the statistic of those seeds that have a value, at each point."""
    value = np.empty(seeds.shape[1])
    whole = np.isfinite(seeds).all(0)
    value[whole] = statistic(seeds[:, whole], axis=0)
    value[~whole] = [statistic(p[np.isfinite(p)]) for p in seeds[:, ~whole].T]
    return value


def draw(axes: Axes, curves: Sequence[Curve], looks: dict[str, dict[str, Any]]) -> None:
    """Draw curves with their bands; under three seeds each seed as a thin line."""
    for c in curves:
        look = looks[c.label]
        axes.plot(c.x, c.stats[0], lw=1.6, marker="o" * (len(c.x) == 1), **look)
        if len(c.seeds) < MIN_RUNS:
            axes.plot(c.x, c.seeds.T, lw=0.7, alpha=0.6, **look)
        else:
            axes.fill_between(c.x, *c.stats[1:], color=look["color"], alpha=0.2, lw=0)
    axes.xaxis.set_major_formatter(compact)
    axes.yaxis.set_major_formatter(compact)


def legend(curves: Sequence[Curve]) -> dict[str, str]:
    """Return {label: its text in the legend}, with how many seeds it has in all panels, and how many diverged."""
    texts = {}
    for label in dict.fromkeys(c.label for c in curves):
        sizes = sorted({len(c.seeds) for c in curves if c.label == label})
        n = "–".join(map(str, sizes[:: max(1, len(sizes) - 1)])) + f" seed{'s' * (sizes[-1] > 1)}"
        lost = max(c.diverged for c in curves if c.label == label)
        rest = f", {lost} diverged" * (lost > 0) + ", no interval under 3" * (sizes[0] < MIN_RUNS)
        texts[label] = f"{label} ({n}{rest})"
    return texts


def _figure(panels: list[Panel], facets: int, statistic: str, texts: dict[str, str], title: str) -> Figure:
    curves = [c for panel in panels for c in panel.curves]
    named, looks = legend(curves), lines([c.label for c in curves])
    wide = facets if facets > 1 and len(panels) > facets else min(WIDE, len(panels))
    columns = 2 if len(named) > 2 and max(map(len, named.values())) <= 42 else 1
    below = 0.17 * max(0, sum(1 + len(text) // 90 for text in named.values()) / columns - 4)
    high = -(-len(panels) // wide)
    size = (6.4, 4 + below) if len(panels) == 1 else (max(6.4, 3.4 * wide), 2.6 * high + 1 + below)
    figure = Figure(figsize=size, dpi=150, layout="constrained")
    grid = figure.subplots(high, wide, squeeze=False)
    for axes, panel in zip(grid.flat, panels, strict=False):
        draw(axes, panel.curves, looks)
        axes.set(xlabel=texts["x"], ylabel=panel.metric + texts["y"], title=panel.facet)
    for axes in grid.flat[len(panels) :]:
        axes.remove()
    if len(panels) == 1:
        grid[0, 0].set_title(title)
    elif title:
        figure.suptitle(title)
    handles = [Line2D([], [], lw=1.6, label=fill(text, 90), **looks[name]) for name, text in named.items()]
    many = any(len(c.seeds) >= MIN_RUNS for c in curves)
    band = " over seeds" + "; band: pointwise 95% bootstrap interval" * many
    about = statistic.replace("iqm", "IQM") + band
    figure.legend(handles=handles, loc="outside lower center", title=about, ncols=columns)
    return figure


def _csv(panels: list[Panel], x: str) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    several = len(panels) > 1
    writer.writerow(["run", "label", *["metric", "facet"] * several, x, "value", "low", "high", "n_seeds"])
    for panel in panels:
        for c in panel.curves:
            head = [c.runs, c.label, *[panel.metric, panel.facet] * several]
            for row in zip(c.x, *c.stats, np.isfinite(c.seeds).sum(0), strict=True):
                writer.writerow([*head, *("" if np.isnan(v) else f"{v:.12g}" for v in row)])
    return text.getvalue()
