"""The errors that users see: one message that says what is wrong, what is allowed and what to do."""

import difflib
from collections.abc import Iterable
from typing import Any


class SwingupError(Exception):
    """Base of every error that the command line prints without a traceback."""


class ConfigError(SwingupError):
    """A setting that cannot be used: an unknown name, an impossible size, a contradiction."""


class CheckpointError(SwingupError):
    """A checkpoint that is missing, damaged, or does not belong to this run."""


class NonFiniteError(SwingupError):
    """A NaN or an infinity in an observation, a reward, a loss or the parameters."""


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
    """A file or directory that cannot be written (full disk, read-only, in the way)."""


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """The message for an unknown name, with the nearest known ones.

    >>> unknown("algorithm", "poo", ["ppo", "sac"])
    "unknown algorithm 'poo'; did you mean 'ppo'? (known: ppo, sac)"
    """
    known = sorted(known)
    folded = {k.lower(): k for k in reversed(known)}
    near = [folded[k] for k in difflib.get_close_matches(name.lower(), list(folded), n=3, cutoff=0.4)]
    hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ";"
    return f"unknown {kind} {name!r}{hint} (known: {', '.join(known)})"
