"""Between chunks come a progress line, a CSV file, evaluations, checkpoints, a tidy stop.

A callback is any callable that takes a `Progress`. Those here are given to `driver.run` in an order that
matters: evaluations add a column before the log writes it, and the stop saves what all others have seen.
"""

import math
import shutil
import signal
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

import numpy as np

from swingup.errors import SwingupError
from swingup.protocols import env_steps
from swingup.training.driver import Progress


class Stopped(SwingupError):
    """The run was asked to stop by a signal, and has saved."""

    def __init__(self, signum: int, env_steps: int):
        super().__init__(f"stopped by {signal.Signals(signum).name} after {env_steps:,} env steps")
        self.signum, self.env_steps = signum, env_steps


class Evaluate:
    """This callback adds `eval/return`, the greedy policy's mean return on fresh environments, every `interval`
    iterations.
    """

    def __init__(self, returns: Callable[[Any, int], np.ndarray], interval: int):
        self.returns, self.interval = returns, interval

    def __call__(self, p: Progress) -> None:
        column = np.full_like(p.metrics["ep/return"], np.nan)
        if p.iteration % self.interval == 0 or p.iteration == p.iterations:
            column[:, -1] = self.returns(p.state, p.iteration).mean(1)
        p.metrics["eval/return"] = column


class Checkpoint:
    """This callback has the state saved every `interval` iterations, and at the end."""

    def __init__(self, save: Callable[[Progress], None], interval: int):
        self.save, self.interval = save, interval

    def __call__(self, p: Progress) -> None:
        if p.iteration % self.interval == 0 or p.iteration == p.iterations:
            self.save(p)


class StopOnSignal:
    """Ctrl-C and SIGTERM are answered after the chunk: save, raise `Stopped`. A second signal ends all at once."""

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
        self.env_steps = env_steps(p.algo, p.iteration)
        if self.signum:
            self.save(p)
        self.check()

    def check(self) -> None:
        """Do the same after training, which is saved."""
        if self.signum:
            raise Stopped(self.signum, self.env_steps)


class Console:
    """A terminal shows one live line with a bar, everything else gets a plain line now and then."""

    def __init__(self, stream: TextIO | None = None, every_seconds: float = 10.0):
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
            shown = with_bar(line, p.iteration / p.iterations, shutil.get_terminal_size().columns)
            self.stream.write(f"\r\x1b[2K{shown}" + ("\n" if last else ""))
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
            f"{env_steps(p.algo, p.iteration):>11,} / {env_steps(p.algo, p.iterations):,} env steps"
            f"   {rate * per_iteration * seeds:>9,.0f} env steps/s   return {mean:>8.2f}{over}"
            f"   {int(left) // 60}:{int(left) % 60:02d} left"
        )


def with_bar(line: str, share: float, columns: int) -> str:
    """Put a bar before a line, as wide as a terminal has room for; what does not fit into one row of it is cut.

    >>> with_bar("12 env steps", 0.5, 40)
    '[########         ]  50 %  12 env steps'
    >>> with_bar("12 env steps", 0.5, 20), with_bar("12 env steps", 0.5, 9)
    ('12 env steps', '12 env s')
    """
    room = min(30, columns - 1 - len(line) - len("[]  50 %  "))
    if room < 10:
        return line[: columns - 1]
    full = int(share * room)
    return f"[{'#' * full:<{room}}] {share:4.0%}".replace("%", " %") + f"  {line}"
