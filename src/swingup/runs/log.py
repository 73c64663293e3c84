"""The log of a run is metrics.csv, with one row per seed and log point."""

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from swingup import files
from swingup.errors import ConfigError
from swingup.protocols import env_steps
from swingup.training.driver import Progress

COLUMNS = ("seed", "iteration", "env_steps", "seconds")
HIDDEN = "nonfinite/"  # always zero in a run that goes on


class CSVLog:
    """A row is written per seed and log point: seed, iteration, env_steps, seconds, then the metrics.

    A chunk may hold several log points; the seconds of those inside it are interpolated.
    Rows are also kept in `rows`. `path` None keeps them in memory only. `window` holds the iterations since
    the last log point, which a checkpoint must carry for a resumed run to write the same rows.
    """

    def __init__(self, path: Path | None, seeds: Sequence[int], interval: int, seconds: float = 0.0):
        self.path, self.seeds, self.interval, self.seconds = path, seeds, interval, seconds
        self.rows: list[dict[str, float]] = []
        self.window: dict[str, np.ndarray] = {}
        self.before, self.iteration = 0.0, 0

    def __call__(self, p: Progress) -> None:
        size = p.metrics["ep/count"].shape[1]
        first = p.iteration - size  # iterations before this chunk
        before = max(self.before, p.clock.warmup_seconds)
        per_iteration, self.before = (p.clock.run_seconds - before) / size, p.clock.run_seconds
        points = [i for i in range(first + 1, p.iteration + 1) if i % self.interval == 0 or i == p.iterations]
        new, start = [], first
        for i in points:
            self._gather(p.metrics, start - first, i - first)
            seconds = self.seconds + p.clock.run_seconds - per_iteration * (p.iteration - i)
            new += self._rows(i, env_steps(p.algo, i), round(seconds, 3))
            start = i
        if start < p.iteration:
            self._gather(p.metrics, start - first, size)
        self.iteration = p.iteration
        if new:
            self._append(new)

    def _gather(self, metrics: dict[str, np.ndarray], start: int, stop: int) -> None:
        """Add iterations of a chunk to the window."""
        piece = {n: x[:, start:stop] for n, x in metrics.items()}
        self.window = {
            n: np.concatenate([self.window[n], x], 1) if self.window else x for n, x in piece.items()
        }

    def _rows(self, iteration: int, env_steps: int, seconds: float) -> list[dict[str, float]]:
        """Return the window as one row per seed; the next window begins."""
        values, self.window = summarise(self.window), {}
        heads = [(seed, iteration, env_steps, seconds) for seed in self.seeds]
        return [
            dict(zip(COLUMNS, head, strict=True)) | {n: float(x[i]) for n, x in values.items()}
            for i, head in enumerate(heads)
        ]

    def _append(self, new: list[dict[str, float]]) -> None:
        first = not self.rows
        if (
            self.rows and self.rows[0].keys() != new[0].keys()
        ):  # a column of a callback that this session has not
            new = [{name: row.get(name, math.nan) for name in self.rows[0]} for row in new]
        self.rows += new
        if self.path is None:
            return
        try:
            with open(self.path, "w" if first else "a", newline="") as file:
                file.write(to_csv(new, header=first))
        except OSError as error:
            raise files.output_error(self.path, error) from error

    def restore(self, rows: list[dict[str, float]], window: dict[str, np.ndarray]) -> None:
        """Continue after `rows`, which replace the file's content (a killed run may have logged further)."""
        self.rows = rows
        self.window = dict(window)
        if self.path is not None:
            files.write_atomic(self.path, to_csv(rows, header=True).encode())


class Logs:
    """The logs of a block are written from the same chunks: each run's has its own rows of the metrics."""

    def __init__(self, logs: list[CSVLog], rows: list[slice]):
        self.logs, self.rows = logs, rows

    def __call__(self, p: Progress) -> None:
        for log, rows in zip(self.logs, self.rows, strict=True):
            log(p._replace(metrics={name: x[rows] for name, x in p.metrics.items()}))

    @property
    def iteration(self) -> int:
        """Return how many iterations are logged."""
        return self.logs[0].iteration

    @property
    def window(self) -> dict[str, np.ndarray]:
        """Return the iterations since the last log point, [rows, n]; without the rows that fill a block up."""
        windows = [log.window for log in self.logs]
        return {name: np.concatenate([w[name] for w in windows]) for name in windows[0]}


def summarise(metrics: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return one number [S] per metric of a window of iterations [S, n]; NaN where nothing was measured.

    Counts add up, a running average counts by its last value, means over episodes are weighted by how many
    episodes ended, and all else is a mean.
    """
    with np.errstate(invalid="ignore", over="ignore"):  # a seed that diverged is logged as it is
        return _summarised(metrics)


def _summarised(metrics: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    count = metrics["ep/count"]
    out = {}
    for name, x in metrics.items():
        if name.startswith(HIDDEN):
            continue
        x = x.astype(np.float64)
        if name == "ep/count":
            out[name] = x.sum(1)
        elif name.endswith("_last100"):
            out[name] = x[:, -1]
        else:
            weight = count if name in ("ep/return", "ep/length") else np.ones_like(count)
            weight = np.where(np.isnan(x), 0, weight)
            total = weight.sum(1)
            value = (np.where(np.isnan(x), 0, x) * weight).sum(1) / np.maximum(total, 1)
            out[name] = np.where(total > 0, value, np.nan)
    return out


def to_csv(rows: list[dict[str, float]], header: bool) -> str:
    """Write rows in CSV; an undefined value is a blank. Floats keep the digits that restore them exactly."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]) if rows else COLUMNS, lineterminator="\n")
    if header:
        writer.writeheader()
    for row in rows:
        writer.writerow({n: "" if isinstance(x, float) and math.isnan(x) else x for n, x in row.items()})
    return out.getvalue()


def from_csv(text: str) -> list[dict[str, float]]:
    """Undo `to_csv`; a torn last line is dropped."""
    rows = []
    for row in csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1])):
        integers = {n: int(row[n]) for n in COLUMNS[:3]}
        rest = {n: float(x) if x else math.nan for n, x in row.items() if n not in integers}
        rows.append(integers | rest)
    return rows


def read_rows(path: Path, until: int) -> list[dict[str, float]]:
    """Return the rows of metrics.csv up to an iteration. Raises `ConfigError` if the file is damaged."""
    if not (path / "metrics.csv").exists():
        return []
    try:
        rows = from_csv((path / "metrics.csv").read_text())
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ConfigError(f"{path / 'metrics.csv'} is damaged: {error}") from error
    return [row for row in rows if row["iteration"] <= until]
