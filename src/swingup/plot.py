"""Learning curves from run directories: a PNG, an SVG and the CSV of exactly what was drawn.

Reads `config.json` (`algo` with `name` and hyperparameters, `env`, `env_steps`) and `metrics.csv` (columns
`seed,iteration,env_steps,seconds,METRIC...`; blank: nothing to report, say no episode ended), nothing else.
Runs that differ only in their seeds are one curve. The same input gives the same bytes.
"""

import csv
import io
import json
import textwrap
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from swingup.errors import ConfigError, unknown
from swingup.files import read_bytes, read_json, write_atomic
from swingup.statistics import MIN_RUNS, bootstrap_band, iqm

INDEX = ["seed", "iteration", "env_steps", "seconds"]  # the columns every metrics.csv starts with
AXES = {"env_steps": "environment steps per seed", "iteration": "iterations", "seconds": "wall-clock seconds"}
STATISTICS = {"mean": np.mean, "iqm": iqm}
MAX_POINTS = 2000  # over all curves: more than the pixels show, and the SVG stays under 200 KB
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000"]  # Okabe & Ito 2008
STYLE: dict[Any, Any] = {"svg.hashsalt": "swingup", "svg.fonttype": "none", "text.parse_math": False}
Series = tuple[np.ndarray, np.ndarray]


class Curve(NamedTuple):
    """P points of the S seeds of one group of runs; `value`, `low`, `high` are [P], NaN where undefined."""

    runs: str
    label: str
    x: np.ndarray
    seeds: np.ndarray  # [S, P], NaN before a seed's first value and after its last row
    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


def load_metrics(run_dir: str | Path) -> dict[str, np.ndarray]:
    """The columns of `run_dir/metrics.csv` as float arrays [rows]; blank cells are NaN.

    A last line without its newline was torn by a crash: it is left out, with a warning, since its last number
    may be cut short. Raises ConfigError, naming the file, if it is missing, empty or damaged.
    """
    path = Path(run_dir) / "metrics.csv"
    *lines, torn = read_bytes(path, limit=2**30, error=ConfigError).decode(errors="replace").split("\n")
    if torn:
        warnings.warn(f"{path}: left out the last line, which was not written to its end", stacklevel=2)
    header, *rows = csv.reader(lines) if lines else [[]]
    if header[: len(INDEX)] != INDEX or len(set(header)) < len(header) or not rows:
        raise ConfigError(f"{path}: needs the header {','.join(INDEX)},METRIC... and at least one row")
    table = np.array([_numbers(f"{path}, line {i}", row, len(header)) for i, row in enumerate(rows, start=2)])
    return dict(zip(header, table.T, strict=True))


def _numbers(where: str, row: list[str], width: int) -> list[float]:
    try:
        values = [float(cell) if cell else np.nan for cell in row]
        if len(values) == width and np.isfinite(values[: len(INDEX)]).all():
            return values
    except ValueError:
        pass
    raise ConfigError(f"{where}: expected {width} numbers, the first {len(INDEX)} of them not blank")


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

    A curve is the `statistic` over seeds with the pointwise 95% interval of `bootstrap_band`; with fewer than
    three seeds it shows the seeds and no interval. A blank keeps the seed's last value, not before its first;
    different log points are interpolated on their union. `smooth` averages each seed's last log points first.
    """
    for kind, given, known in [("x axis", x, AXES), ("statistic", statistic, STATISTICS)]:
        if given not in known:
            raise ConfigError(unknown(kind, given, known))
    if smooth < 1 or not runs:
        raise ConfigError(f"need at least one run and smooth >= 1; got {len(runs)} runs, smooth={smooth}")
    groups: dict[str, list[Path]] = {}
    for run in map(Path, runs):
        groups.setdefault(_identity(run), []).append(run)
    heads, curves = [json.loads(key) for key in groups], []
    for label, group in zip(_labels(heads), groups.values(), strict=True):
        seeds = _seed_series(group, metric, x, smooth)
        names = " + ".join(run.resolve().name for run in group)
        curves.append(_curve(names, label, seeds, STATISTICS[statistic], max(50, MAX_POINTS // len(groups))))
    if title is None:
        title = heads[0][1] if len({env for _, env, _ in heads}) == 1 else ""
    with matplotlib.rc_context(STYLE):
        figure = _draw(curves, statistic.replace("iqm", "IQM"))
        figure.axes[0].set(xlabel=AXES[x], ylabel=metric + f" (mean of {smooth} log points)" * (smooth > 1))
        figure.axes[0].set_title(title)
        contents = {".png": _image(figure, "png"), ".svg": _image(figure, "svg"), ".csv": _csv(curves, x)}
    out = Path(out) / "curve" if Path(out).is_dir() else Path(out)
    stem = out.stem if out.suffix.lower() in (*contents, ".pdf", ".jpg", ".jpeg") else out.name
    for suffix, data in contents.items():
        write_atomic(out.with_name(stem + suffix), data)
    return [out.with_name(stem + suffix) for suffix in contents]


def _identity(run: Path) -> str:
    """JSON of all that runs of one curve share: [algo, env, hyperparameters and budget]."""
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


def _seed_series(group: list[Path], metric: str, x: str, smooth: int) -> list[Series]:
    """x and values of every seed that has a value; a repeated seed is no new experiment, so it counts once."""
    series: dict[float, Series] = {}
    for run in group:
        columns = load_metrics(run)
        if metric not in (known := [name for name in columns if name not in INDEX]):
            raise ConfigError(f"{run}: {unknown('metric', metric, known)}")
        for seed in np.unique(columns["seed"]):
            rows = columns["seed"] == seed
            at, values = _clean(columns[x][rows], columns[metric][rows], smooth)
            problem = "given twice, counted once" if seed in series else f"has no finite {metric}, left out"
            if seed in series or not len(at):
                warnings.warn(f"{run}: seed {seed:.0f} {problem}", stacklevel=3)
            else:
                series[seed] = at, values
    if not series:
        raise ConfigError(f"{group[0]}: {metric} has no finite value yet, so there is nothing to plot")
    return list(series.values())


def _clean(at: np.ndarray, values: np.ndarray, smooth: int) -> Series:
    """One seed by rising x (of equal x the last row), blanks filled forward, then the trailing mean."""
    at, first = np.unique(at[::-1], return_index=True)
    values = values[::-1][first]
    last = np.maximum.accumulate(np.where(np.isfinite(values), np.arange(len(values)), -1))
    at, values = at[last >= 0], values[last[last >= 0]]
    return at, np.array([values[max(0, i - smooth) : i].mean() for i in range(1, len(at) + 1)])


def _curve(runs: str, label: str, series: list[Series], stat: Any, most: int) -> Curve:
    grid = np.unique(np.concatenate([at for at, _ in series]))
    grid = grid[np.linspace(0, len(grid) - 1, min(len(grid), most)).round().astype(int)]
    seeds = np.stack([np.interp(grid, at, values, left=np.nan, right=np.nan) for at, values in series])
    value = np.array([stat(point[np.isfinite(point)]) for point in seeds.T])
    return Curve(runs, label, grid, seeds, value, *bootstrap_band(seeds, stat))


def _draw(curves: list[Curve], statistic: str) -> Figure:
    figure = Figure(figsize=(6.4, 4 + 0.2 * max(0, len(curves) - 4)), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    for i, curve in enumerate(curves):
        n, color, marker = len(curve.seeds), COLOURS[i % len(COLOURS)], "o" if len(curve.x) == 1 else None
        label = f"{curve.label} ({n} seed{'s' * (n > 1)}{', no interval under 3' * (n < MIN_RUNS)})"
        line = {"color": color, "marker": marker, "linestyle": ["-", "--", ":"][i // len(COLOURS) % 3]}
        axes.plot(curve.x, curve.value, lw=1.8, zorder=3, label=textwrap.fill(label, 80), **line)
        axes.fill_between(curve.x, curve.low, curve.high, color=color, alpha=0.2, lw=0)
        if n < MIN_RUNS:
            axes.plot(curve.x, curve.seeds.T, lw=0.7, alpha=0.6, **line)
    axes.grid(color="#DDDDDD", lw=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.01)
    axes.xaxis.set_major_formatter(compact)
    axes.yaxis.set_major_formatter(compact)
    interval = "; band: pointwise 95% bootstrap interval" * any(len(c.seeds) >= MIN_RUNS for c in curves)
    legend = figure.legend(loc="outside lower center", frameon=False, fontsize=9, alignment="left")
    legend.set_title(f"{statistic} over seeds{interval}")
    return figure


def compact(value: float, _: float = 0) -> str:
    """A tick label: 50k for 50000, 1.5M for 1500000, −0.25 with a true minus sign."""
    scale, unit = next((s for s in [(1e9, "G"), (1e6, "M"), (1e3, "k")] if abs(value) >= s[0]), (1.0, ""))
    return f"{value / scale:.10g}{unit}".replace("-", "−")


def _image(figure: Figure, kind: str) -> bytes:
    figure.savefig(buffer := io.BytesIO(), format=kind, metadata={"Date": None} if kind == "svg" else {})
    return buffer.getvalue()


def _csv(curves: list[Curve], x: str) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["run", "label", x, "value", "low", "high", "n_seeds"])
    for c in curves:
        for row in zip(c.x, c.value, c.low, c.high, np.isfinite(c.seeds).sum(0), strict=True):
            writer.writerow([c.runs, c.label, *("" if np.isnan(v) else f"{v:.12g}" for v in row)])
    return text.getvalue().encode()
