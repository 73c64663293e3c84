"""Weights & Biases keeps runs on a server; here it writes them offline, unless its own variable says otherwise."""

import hashlib
import os
from importlib import import_module
from typing import Any

from swingup.tracking import About
from swingup.tracking.points import Point


class WandB:
    """This tracker writes to `wandb/` in the run's directory, which `wandb sync` uploads.

    `WANDB_MODE=online` sends points while the run trains; `WANDB_PROJECT` and the others of its variables hold too.
    The id of a run comes of its directory, so that a session that goes on is the same run there, and points of the
    past are not sent again.
    """

    name = "wandb"

    def __init__(self):
        self.run: Any = None

    def start(self, about: About) -> None:
        """Begin a run, or go on with it, without touching stdout or signals."""
        assert about.folder is not None
        wandb = import_module("wandb")
        place = str(about.folder.resolve())
        self.run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "swingup"),
            mode=os.environ.get("WANDB_MODE", "offline"),
            dir=place,
            id=hashlib.sha256(place.encode()).hexdigest()[:16],
            name=about.name,
            config=about.config,
            resume="allow" if about.past else None,
            settings=wandb.Settings(silent=True, console="off"),
        )

    def log(self, point: Point) -> None:
        """Append a point."""
        self.run.log(point.values, step=point.env_steps)

    def finish(self) -> None:
        """Close the run."""
        if self.run is not None:
            self.run.finish()
