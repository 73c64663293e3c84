"""Trackio keeps runs in a database on this machine, below `$TRACKIO_DIR`, and shows them with `trackio show`."""

import contextlib
import io
import os
import sys
import threading
from importlib import import_module
from typing import Any, TextIO

from swingup.tracking import About
from swingup.tracking.points import Point


class Trackio:
    """This tracker writes into the project `swingup`, or that of the variable `TRACKIO_PROJECT`.

    A session that goes on with a run appends to the run of the same name there, without the points of the past.
    """

    name = "trackio"

    def __init__(self):
        self.trackio: Any = None

    def start(self, about: About) -> None:
        """Begin a run, or go on with it; what the package prints goes to stderr."""
        project, resume = os.environ.get("TRACKIO_PROJECT", "swingup"), "allow" if about.past else "never"
        with contextlib.redirect_stdout(Aside(sys.stdout)):
            self.trackio = import_module("trackio")
            self.trackio.init(
                project=project, name=about.name, config=about.config, resume=resume, embed=False
            )

    def log(self, point: Point) -> None:
        """Append a point."""
        self.trackio.log(point.values, step=point.env_steps)

    def finish(self) -> None:
        """Close the run."""
        with contextlib.redirect_stdout(Aside(sys.stdout)):
            self.trackio.finish()


class Aside(io.TextIOBase):
    """What the thread that makes this writes goes to stderr; the other threads write on as before."""

    def __init__(self, stream: TextIO):
        self.stream, self.thread = stream, threading.get_ident()

    def write(self, text: str, /) -> int:
        return (sys.stderr if threading.get_ident() == self.thread else self.stream).write(text)

    def flush(self) -> None:
        self.stream.flush()

    def isatty(self) -> bool:
        return self.stream.isatty()
