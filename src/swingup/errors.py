"""An error that users see is one message that says what is wrong, what is allowed and what to do."""

import difflib
from collections.abc import Iterable
from typing import Any, NamedTuple


class SwingupError(Exception):
    """The command line prints every error of this kind without a traceback."""


class ConfigError(SwingupError):
    """A setting cannot be used: a name is unknown, a size impossible, or two settings contradict each other."""


class CheckpointError(SwingupError):
    """A checkpoint is missing or damaged, or does not belong to this run."""


class NonFinite(NamedTuple):
    """This says what was not finite first."""

    metric: str  # the metric that shows it
    row: int  # which of the run's seeds, counted from 0
    env_steps: int | None = None  # of each seed, by when it had happened; None: in an evaluation


class NonFiniteError(SwingupError):
    """An observation, a reward, a loss or a parameter is NaN or infinite; `where` says as data which one."""

    def __init__(self, message: str, where: NonFinite):
        super().__init__(message)
        self.where = where


class EnvironmentFault(SwingupError):
    """An environment raised an exception, or its answer has a wrong form or a value that cannot be kept."""

    progress: Any = None  # a `driver.Progress` after the last complete update before the fault, if any
    code: str = ""  # what `check_env` calls it, see `swingup.testing.faults`

    def __init__(self, message: str, code: str = ""):
        super().__init__(message)
        self.code = code


class RunningStatisticsWarning(UserWarning):
    """An environment seems to normalise with running statistics, which an evaluation does not share."""


class OutputError(SwingupError):
    """A file or directory cannot be written (full disk, read-only, in the way)."""


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """Write the message for an unknown name, with the nearest known ones.

    >>> unknown("algorithm", "poo", ["ppo", "sac"])
    "unknown algorithm 'poo'; did you mean 'ppo'? (known: ppo, sac)"
    """
    known = sorted(known)
    folded = {k.lower(): k for k in reversed(known)}
    near = [folded[k] for k in difflib.get_close_matches(name.lower(), list(folded), n=3, cutoff=0.4)]
    hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ";"
    return f"unknown {kind} {name!r}{hint} (known: {', '.join(known)})"
