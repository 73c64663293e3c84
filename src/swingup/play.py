"""The command `swingup play`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro


@dataclass(frozen=True)
class PlayOptions:
    run: tyro.conf.Positional[Path]  # the run directory
    out: Path  # the file to write: .gif or .mp4
    seed: int | None = None  # the agent of this training seed; default: the best one
    episode: int = 0  # which fresh episode: another number starts elsewhere
    which: Literal["best", "median", "worst"] | None = None
    """play an episode of the final evaluation again, of all seeds or of --seed; default: a fresh episode"""
    limit: int = 10_000  # env steps after which an episode is cut
    stochastic: bool = False  # draw actions from the policy; default: its greedy ones


def command(options: PlayOptions, load: Callable[[Path], Any]) -> None:
    """Draw an episode of a trained agent."""
    from swingup.animation import encoder

    encoder(options.out)  # before the run is loaded: what is wrong with the name is told at once
    from swingup.playback import animate

    how: dict[str, Any] = {"which": options.which, "limit": options.limit, "stochastic": options.stochastic}
    about = animate(load(options.run), options.out, options.seed, options.episode, **how)
    print(f"wrote {options.out} ({about})")
