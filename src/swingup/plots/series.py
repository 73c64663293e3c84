"""The log of a run, metrics.csv, becomes one series of values for each seed."""

import warnings
from pathlib import Path

import numpy as np

from swingup.errors import ConfigError, unknown
from swingup.files import home, read_bytes
from swingup.plots.settings import Setting

INDEX = ["seed", "iteration", "env_steps", "seconds"]  # the columns every metrics.csv starts with


def load_metrics(run_dir: str | Path) -> dict[str, np.ndarray]:
    """Read the columns of `run_dir/metrics.csv` into float arrays [rows]; blank cells are NaN.

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


def series(setting: Setting, metric: str, x: str, smooth: int = 1) -> dict[int, np.ndarray]:
    """Return x and value of each seed that has a value, {seed: [2, points]}.

    A value that is blank or not finite is the seed's last one, but none before its first. A repeated seed is no new
    experiment: it is counted once, with a warning.
    """
    found: dict[int, np.ndarray] = {}
    tables = [(run, load_metrics(run)) for run in setting.runs]
    for run, columns in tables:
        if metric not in (known := [name for name in columns if name not in INDEX]):
            raise ConfigError(f"{run}: {unknown('metric', metric, known)}")
    for run, columns, seed in [(*t, int(seed)) for t in tables for seed in np.unique(t[1]["seed"])]:
        rows = columns["seed"] == seed
        points = _clean(columns[x][rows], columns[metric][rows], smooth)
        if seed in found or points.size == 0:
            problem = "given twice, counted once" if points.size else f"has no finite {metric}, left out"
            warnings.warn(f"{run}: seed {seed} {problem}", stacklevel=3)
        else:
            found[seed] = points
    if not found:
        raise ConfigError(f"{setting.runs[0]}: {metric} has no finite value yet, so there is nothing to plot")
    return found


def _clean(at: np.ndarray, values: np.ndarray, smooth: int) -> np.ndarray:
    """Order one seed by rising x (of equal x the last row), fill blanks forward, then take the trailing mean."""
    at, first = np.unique(at[::-1], return_index=True)
    values = values[::-1][first]
    last = np.maximum.accumulate(np.where(np.isfinite(values), np.arange(len(values)), -1))
    at, values = at[last >= 0], values[last[last >= 0]]
    return np.array([at, [values[max(0, i - smooth) : i].mean() for i in range(1, len(at) + 1)]])
