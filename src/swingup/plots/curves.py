"""Learning curves from run directories: a PNG, an SVG and the CSV of exactly what was drawn.

Reads nothing but `config.json` (algo with its name and settings, env, env_steps) and `metrics.csv` (a blank
cell: nothing to report). Runs that differ only in seeds are one curve. The same input gives the same bytes.
"""

import csv
import io
import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import Any, Literal, NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.rcsetup import cycler
from PIL import Image

from swingup.errors import ConfigError, unknown
from swingup.files import home, read_bytes, read_json, write_atomic
from swingup.statistics import MIN_RUNS, bootstrap_band, iqm

INDEX = ["seed", "iteration", "env_steps", "seconds"]  # the columns every metrics.csv starts with
AXES = {"env_steps": "environment steps per seed", "iteration": "iterations", "seconds": "wall-clock seconds"}
STATISTICS = {"mean": np.mean, "iqm": iqm}
MAX_POINTS = 2000  # of all curves together, thinned if more: the pixels show no more and the SVG stays small
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000"]  # Okabe & Ito 2008
STYLE: Any = {"svg.hashsalt": "swingup", "svg.fonttype": "none", "text.parse_math": False, "axes.grid": True,
    "legend.frameon": False, "axes.xmargin": 0.01, "grid.color": "#DDDDDD", "grid.linewidth": 0.6,
    "axes.spines.top": False, "axes.spines.right": False, "legend.fontsize": 8, "legend.title_fontsize": 8,
    "axes.prop_cycle": cycler(linestyle=["-", "--", ":"]) * cycler(color=COLOURS)}  # fmt: skip


class _Curve(NamedTuple):  # one line of the figure: P points of S seeds
    runs: str
    label: str
    x: np.ndarray  # [P]
    seeds: np.ndarray  # [S, P], NaN before a seed's first value and after its last row
    stats: np.ndarray  # [3, P]: value, low, high; the interval is NaN where fewer than 3 seeds have a value


def load_metrics(run_dir: str | Path) -> dict[str, np.ndarray]:
    """The columns of `run_dir/metrics.csv` as float arrays [rows]; blank cells are NaN.

    A last line without newline was torn by a crash; it is left out, with a warning, as its last number may be
    cut short. Raises ConfigError, naming the file, if it is missing, empty or damaged.
    """
    path, table = home(run_dir) / "metrics.csv", []
    *lines, torn = read_bytes(path, limit=2**30, error=ConfigError).decode(errors="replace").split("\n")
    if torn:
        warnings.warn(f"{path}: left out the last line, which was not written to its end", stacklevel=2)
    header, *rows = [line.rstrip("\r").split(",") for line in lines or [""]]
    for line, row in enumerate(rows, start=2):
        try:
            table.append([float(cell) if cell else np.nan for cell, _ in zip(row, header, strict=True)])
        except ValueError as error:
            raise ConfigError(f"{path}, line {line}: expected {len(header)} numbers or blanks") from error
    if header[:4] != INDEX or not rows or not np.isfinite([row[:4] for row in table]).all():
        raise ConfigError(f"{path}: needs rows, and before the metrics {', '.join(INDEX)}, never blank")
    return dict(zip(header, np.array(table).T, strict=True))


def plot(
    runs: Sequence[str | Path],
    out: str | Path,
    *,
    metric: str = "ep/return",
    statistic: Literal["mean", "iqm"] = "mean",
    x: str = "env_steps",
    smooth: int = 1,
    title: str | None = None,
) -> list[Path]:
    """Draw `metric` of `runs` over `x`; write `out` as .png, .svg and .csv, and return these three paths.

    A curve is the `statistic` over seeds with the 95% `bootstrap_band`; under three seeds it shows the seeds
    and no interval. A value that is blank or not finite is the seed's last one, but none before its first;
    different log points are interpolated on their union. `smooth` averages each seed's last log points first.
    CSV: run, label, `x`, value, low, high, n_seeds (how many have a value there); blank where undefined.
    """
    for kind, given, known in [("x axis", x, AXES), ("statistic", statistic, STATISTICS)]:
        if given not in known:
            raise ConfigError(unknown(kind, given, known))
    if smooth < 1 or not runs:
        raise ConfigError(f"need at least one run and smooth >= 1; got {len(runs)} runs, smooth={smooth}")
    groups: dict[str, list[Path]] = {}
    for run in map(home, runs):
        groups.setdefault(_identity(run), []).append(run)
    heads, most = [json.loads(key) for key in groups], max(50, MAX_POINTS // len(groups))
    series = [_series(group, metric, x, smooth) for group in groups.values()]
    parts = zip(_labels(heads), groups.values(), series, strict=True)
    curves = [_curve(*part, STATISTICS[statistic], most) for part in parts]
    texts = {"xlabel": AXES[x], "ylabel": metric + f" (mean of {smooth} log points)" * (smooth > 1)}
    env = heads[0][1] if len({head[1] for head in heads}) == 1 else ""
    with matplotlib.rc_context(STYLE):
        figure = _draw(curves, statistic, {"title": env if title is None else title, **texts})
        return _write(home(out), figure, curves, x)


def _identity(run: Path) -> str:
    """JSON of what the runs of one curve share: [algo, env, hyperparameters and budget]."""
    config = read_json(run / "config.json", error=ConfigError)
    try:
        settings = {**config["algo"], "env_steps": config["env_steps"]}
        return json.dumps([str(settings.pop("name")), str(config["env"]), settings], sort_keys=True)
    except (KeyError, TypeError) as error:
        raise ConfigError(f"{run / 'config.json'}: needs algo (with a name), env and env_steps") from error


def _labels(heads: list[list[Any]]) -> list[str]:
    """The algorithm, the environment if they differ, and the settings in which its equals here differ."""
    labels, several = [], any(head[1] != heads[0][1] for head in heads)
    for name, env, settings in heads:
        equals = [other for *pair, other in heads if pair == [name, env]]
        apart = [f"{k}={v}" for k, v in settings.items() if any(k not in o or o[k] != v for o in equals)]
        labels.append(", ".join([name, *[env] * several, *apart]))
    return labels


def _series(group: list[Path], metric: str, x: str, smooth: int) -> list[np.ndarray]:
    """Per seed with a value [2, points], x and value. A repeated seed is no new experiment: counted once."""
    series: dict[float, np.ndarray] = {}
    tables = [(run, load_metrics(run)) for run in group]
    for run, columns in tables:
        if metric not in (known := [name for name in columns if name not in INDEX]):
            raise ConfigError(f"{run}: {unknown('metric', metric, known)}")
    for run, columns, seed in [(*t, seed) for t in tables for seed in np.unique(t[1]["seed"])]:
        rows = columns["seed"] == seed
        points = _clean(columns[x][rows], columns[metric][rows], smooth)
        if seed in series or points.size == 0:
            problem = "given twice, counted once" if points.size else f"has no finite {metric}, left out"
            warnings.warn(f"{run}: seed {seed:.0f} {problem}", stacklevel=3)
        else:
            series[seed] = points
    if not series:
        raise ConfigError(f"{group[0]}: {metric} has no finite value yet, so there is nothing to plot")
    return list(series.values())


def _clean(at: np.ndarray, values: np.ndarray, smooth: int) -> np.ndarray:
    """One seed by rising x (of equal x the last row), blanks filled forward, then the trailing mean."""
    at, first = np.unique(at[::-1], return_index=True)
    values = values[::-1][first]
    last = np.maximum.accumulate(np.where(np.isfinite(values), np.arange(len(values)), -1))
    at, values = at[last >= 0], values[last[last >= 0]]
    return np.array([at, [values[max(0, i - smooth) : i].mean() for i in range(1, len(at) + 1)]])


def _curve(label: str, group: list[Path], series: list[np.ndarray], stat: Any, most: int) -> _Curve:
    grid = np.unique(np.concatenate([at for at, _ in series]))
    grid = grid[np.linspace(0, len(grid) - 1, min(len(grid), most)).round().astype(int)]
    seeds = np.stack([np.interp(grid, at, values, left=np.nan, right=np.nan) for at, values in series])
    stats = np.stack([[stat(p[np.isfinite(p)]) for p in seeds.T], *bootstrap_band(seeds, stat)])
    return _Curve(" + ".join(run.resolve().name for run in group), label, grid, seeds, stats)


def _draw(curves: list[_Curve], statistic: str, texts: dict[str, str]) -> Figure:
    sizes = [(c.label, len(c.seeds)) for c in curves]
    labels = [f"{label} ({n} seed{'s' * (n > 1)}{', no interval under 3' * (n < 3)})" for label, n in sizes]
    columns = 2 if len(labels) > 2 and max(map(len, labels)) <= 42 else 1
    height = 4 + 0.17 * max(0, sum(1 + len(label) // 90 for label in labels) / columns - 4)
    figure = Figure(figsize=(6.4, height), dpi=150, layout="constrained")
    axes = figure.add_subplot(**texts)
    for c, label in zip(curves, labels, strict=True):
        (line,) = axes.plot(c.x, c.stats[0], lw=1.6, marker="o" * (len(c.x) == 1), label=fill(label, 90))
        if len(c.seeds) < MIN_RUNS:
            axes.plot(c.x, c.seeds.T, color=line.get_color(), ls=line.get_linestyle(), lw=0.7, alpha=0.6)
        else:
            axes.fill_between(c.x, *c.stats[1:], color=line.get_color(), alpha=0.2, lw=0)
    axes.xaxis.set_major_formatter(_compact)
    axes.yaxis.set_major_formatter(_compact)
    band = " over seeds" + "; band: pointwise 95% bootstrap interval" * any(n >= MIN_RUNS for _, n in sizes)
    figure.legend(loc="outside lower center", title=statistic.replace("iqm", "IQM") + band, ncols=columns)
    return figure


def _compact(value: float, _: float) -> str:  # a tick label: 50k, 1.5M, −0.25 with a true minus sign
    scale, unit = next((s for s in [(1e9, "G"), (1e6, "M"), (1e3, "k")] if abs(value) >= s[0]), (1.0, ""))
    return f"{value / scale:.10g}{unit}".replace("-", "−")


def pictures(figure: Figure) -> dict[str, bytes]:
    """The figure as .png and .svg, drawn in our style; the same figure gives the same bytes."""
    svg, png, small = io.BytesIO(), io.BytesIO(), io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(svg, format="svg", metadata={"Date": None})
        figure.savefig(png, format="png")
    palette = Image.open(png).convert("RGB").quantize(256, dither=Image.Dither.NONE)  # a third of the size
    palette.save(small, "png", optimize=True, dpi=(150, 150))
    return {".png": small.getvalue(), ".svg": svg.getvalue()}


def _write(out: Path, figure: Figure, curves: list[_Curve], x: str) -> list[Path]:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["run", "label", x, "value", "low", "high", "n_seeds"])
    for c in curves:
        for row in zip(c.x, *c.stats, np.isfinite(c.seeds).sum(0), strict=True):
            writer.writerow([c.runs, c.label, *("" if np.isnan(v) else f"{v:.12g}" for v in row)])
    out = out / "curve" if out.is_dir() else out
    stem = out.stem if out.suffix.lower() in (".png", ".svg", ".csv", ".pdf", ".jpg") else out.name
    contents = pictures(figure) | {".csv": text.getvalue().encode()}
    for suffix, data in contents.items():
        write_atomic(out.with_name(stem + suffix), data)
    return [out.with_name(stem + suffix) for suffix in contents]
