"""All commands stand in one table, from which both the help and the calls are made.

Nothing that a command needs is imported before it runs.
"""

from importlib import import_module
from typing import NamedTuple

TITLE = "swingup: deep reinforcement learning that reads like the papers"
USAGE = "usage: swingup COMMAND ...          swingup COMMAND --help lists a command's options"
ALWAYS = {"--version": "print the version", "--debug": "with any command: show the traceback of an error"}


class Command(NamedTuple):
    """This is one command of `swingup`."""

    takes: str  # its arguments, as help shows them
    about: str  # what it does, in one line
    place: str  # module:function, which takes the arguments and returns the exit code or None
    example: str = ""

    def run(self, args: list[str]) -> int | None:
        """Run it with these arguments."""
        module, _, function = self.place.partition(":")
        return vars(import_module(f"swingup.cli.{module}"))[function](args)


COMMANDS = {
    "train": Command(
        "ALGO ENV",
        "train, evaluate, write a run directory",
        "train:train",
        "swingup train ppo CartPole-v1 --seeds 10",
    ),
    "grid": Command(
        "ALGO ENV",
        "several values of hyperparameters, all combinations",
        "grid:grid",
        "swingup grid ppo CartPole-v1 --lr 1e-3 3e-4 --seeds 10",
    ),
    "resume": Command("RUN", "continue a run or a grid", "train:resume"),
    "tune": Command(
        "ALGO ENV",
        "search hyperparameters, judge them on fresh seeds",
        "tune:tune",
        "swingup tune ppo CartPole-v1 --trials 32",
    ),
    "evaluate": Command("RUN", "play fresh episodes with the trained agents", "runs:evaluate"),
    "play": Command(
        "RUN",
        "draw an episode as GIF or MP4; a game: play against the agent",
        "runs:play",
        "swingup play RUN --out agent.gif",
    ),
    "arena": Command(
        "PLAYER...",
        "let agents and referees of a game meet; Elo, mistakes",
        "arena:arena",
        "swingup arena RUN minimax:4",
    ),
    "plot": Command(
        "RUN...", "learning curves with intervals", "runs:plot", "swingup plot RUN... --out curve.png"
    ),
    "compare": Command(
        "RUN...",
        "what the seeds of several settings show, in sentences",
        "compare:compare",
        "swingup compare RUN... --out compare.png",
    ),
    "track": Command(
        "RUN",
        "send metrics.csv to a tracker",
        "track:track",
        "swingup track RUN --to tensorboard",
    ),
    "digest": Command("RUN", "one SHA-256 over all arrays of the newest checkpoint", "runs:digest"),
    "list": Command("WHAT", "algos, envs or presets", "look_up:show"),
    "check-env": Command(
        "ENV", "play an environment and report what breaks the conventions", "look_up:check"
    ),
    "lab": Command("NAME", "demonstrate a result of theory", "look_up:lab", "swingup lab list"),
    "papers": Command("[WORD...]", "search the papers to read", "look_up:papers", "swingup papers seeds"),
    "learn": Command("[WHAT ID]", "forty exercises, each checked", "learn:learn", "swingup learn check a1"),
}


def help_text() -> str:
    """Write what `swingup --help` prints."""
    left = {name: f"{name} {c.takes}" for name, c in COMMANDS.items()}
    wide, about = max(map(len, left.values())), max(len(c.about) for c in COMMANDS.values() if c.example)
    lines = [
        f"  {left[name]:<{wide}}   " + (f"{c.about:<{about}}   {c.example}" if c.example else c.about)
        for name, c in COMMANDS.items()
    ]
    rest = [f"  {flag:<{wide}}   {text}" for flag, text in ALWAYS.items()]
    return "\n".join([TITLE, "", USAGE, "", *lines, "", *rest, ""])
