"""What happens between chunks: a progress line, a CSV file, evaluations, checkpoints, a tidy stop.

A callback is any callable that takes a `Progress`. Those here are given to `driver.run` in an order that
matters: evaluations add a column before the log writes it, and the stop saves what all others have seen.
"""

import csv
import io
import math
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from swingup import files, types
from swingup.driver import Progress
from swingup.errors import ConfigError, SwingupError

COLUMNS = ("seed", "iteration", "env_steps", "seconds")
HIDDEN = "nonfinite/"  # always zero in a run that goes on


class Stopped(SwingupError):
    """The run was asked to stop by a signal, and has saved."""

    def __init__(self, signum: int, env_steps: int):
        super().__init__(f"stopped by {signal.Signals(signum).name} after {env_steps:,} env steps")
        self.signum, self.env_steps = signum, env_steps


def summarise(metrics: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """One number [S] per metric of a window of iterations [S, n]; NaN where nothing was measured.

    Counts add up, a running average counts by its last value, means over episodes are weighted by how many
    episodes ended, and all else is a mean.
    """
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


class CSVLog:
    """One row per seed and log point: seed, iteration, env_steps, seconds, then the metrics.

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
            new += self._rows(i, types.env_steps(p.algo, i), round(seconds, 3))
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
        """The window as one row per seed; the next window begins."""
        values, self.window = summarise(self.window), {}
        heads = [(seed, iteration, env_steps, seconds) for seed in self.seeds]
        return [
            dict(zip(COLUMNS, head, strict=True)) | {n: float(x[i]) for n, x in values.items()}
            for i, head in enumerate(heads)
        ]

    def _append(self, new: list[dict[str, float]]) -> None:
        first = not self.rows
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


def to_csv(rows: list[dict[str, float]], header: bool) -> str:
    """Rows as CSV text; an undefined value is a blank. Floats keep the digits that restore them exactly."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]) if rows else COLUMNS, lineterminator="\n")
    if header:
        writer.writeheader()
    for row in rows:
        writer.writerow({n: "" if isinstance(x, float) and math.isnan(x) else x for n, x in row.items()})
    return out.getvalue()


def from_csv(text: str) -> list[dict[str, float]]:
    """The inverse of `to_csv`; a torn last line is dropped."""
    rows = []
    for row in csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1])):
        integers = {n: int(row[n]) for n in COLUMNS[:3]}
        rest = {n: float(x) if x else math.nan for n, x in row.items() if n not in integers}
        rows.append(integers | rest)
    return rows


def read_rows(path: Path, until: int) -> list[dict[str, float]]:
    """The rows of metrics.csv up to an iteration. Raises `ConfigError` if the file is damaged."""
    if not (path / "metrics.csv").exists():
        return []
    try:
        rows = from_csv((path / "metrics.csv").read_text())
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ConfigError(f"{path / 'metrics.csv'} is damaged: {error}") from error
    return [row for row in rows if row["iteration"] <= until]


class Evaluate:
    """Adds `eval/return`, the greedy policy's mean return on fresh environments, every `interval` iterations."""

    def __init__(self, returns: Callable[[Any, int], np.ndarray], interval: int):
        self.returns, self.interval = returns, interval

    def __call__(self, p: Progress) -> None:
        column = np.full_like(p.metrics["ep/return"], np.nan)
        if p.iteration % self.interval == 0 or p.iteration == p.iterations:
            column[:, -1] = self.returns(p.state, p.iteration).mean(1)
        p.metrics["eval/return"] = column


class Checkpoint:
    """Saves every `interval` iterations, and at the end."""

    def __init__(self, save: Callable[[Progress], None], interval: int):
        self.save, self.interval = save, interval

    def __call__(self, p: Progress) -> None:
        if p.iteration % self.interval == 0 or p.iteration == p.iterations:
            self.save(p)


class StopOnSignal:
    """Ctrl-C and SIGTERM: end the chunk, save, raise `Stopped`. A second signal ends the process at once."""

    def __init__(self, save: Callable[[Progress], None]):
        self.save, self.signum, self.previous, self.env_steps = save, 0, {}, 0

    def __enter__(self) -> "StopOnSignal":
        self.previous = {s: signal.signal(s, self._note) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for signum, handler in self.previous.items():
            signal.signal(signum, handler)

    def _note(self, signum: int, frame: object) -> None:
        self.signum = signum
        signal.signal(signum, signal.SIG_DFL)

    def __call__(self, p: Progress) -> None:
        self.env_steps = types.env_steps(p.algo, p.iteration)
        if self.signum:
            self.save(p)
        self.check()

    def check(self) -> None:
        """The same after training, which is saved."""
        if self.signum:
            raise Stopped(self.signum, self.env_steps)


class Console:
    """One live line on a terminal, a plain line now and then elsewhere."""

    def __init__(self, stream: Any = None, every_seconds: float = 10.0):
        self.stream = stream or sys.stdout
        self.live = self.stream.isatty()
        self.every_seconds = 0.1 if self.live else every_seconds
        self.before = -math.inf
        self.first: tuple[int, float] | None = None

    def __call__(self, p: Progress) -> None:
        now, last = time.monotonic(), p.iteration == p.iterations
        self.first = self.first or (p.iteration - p.metrics["ep/count"].shape[1], 0.0)
        if now - self.before < self.every_seconds and not last:
            return
        self.before = now
        line = self.line(p)
        if self.live:
            self.stream.write(f"\r\x1b[2K{line}" + ("\n" if last else ""))
        else:
            self.stream.write(line + "\n")
        self.stream.flush()

    def line(self, p: Progress) -> str:
        per_iteration = p.algo.env_steps_per_iteration
        seeds = len(p.metrics["ep/count"])
        began = self.first[0] if self.first else 0
        rate = (p.iteration - began) / max(p.clock.run_seconds - p.clock.warmup_seconds, 1e-9)
        left = (p.iterations - p.iteration) / max(rate, 1e-9)
        recent = p.metrics["ep/return_last100"][:, -1]
        mean = np.nanmean(recent) if np.isfinite(recent).any() else math.nan
        over = f" (mean of {seeds} seeds)" if seeds > 1 else ""
        return (
            f"{types.env_steps(p.algo, p.iteration):>11,} / {types.env_steps(p.algo, p.iterations):,} env steps"
            f"   {rate * per_iteration * seeds:>9,.0f} env steps/s   return {mean:>8.2f}{over}"
            f"   {int(left) // 60}:{int(left) % 60:02d} left"
        )
