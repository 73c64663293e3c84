"""An outcome says as data how a run ended: for the exit code, for a file, and for what starts many runs."""

from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from swingup import files
from swingup.errors import ConfigError

NAME = "outcome.json"
Kind = Literal["finished", "stopped", "diverged", "failed"]


class Outcome(NamedTuple):
    """An outcome says how a session of a run ended, and where.

    It `finished`; or a signal `stopped` it; or it `diverged`, so that something was not finite; or its environment
    `failed`. A session that was killed has no outcome. In a grid a run `diverged` if all its seeds did.
    """

    kind: Kind
    env_steps: (
        int  # of each seed in whole iterations, with the warm-up's; of one that diverged, when it was seen
    )
    saved: int | None = None  # env steps of each seed in the newest checkpoint; None: there is none
    reason: str = ""  # the message of the error that ended it
    signum: int | None = None  # the signal that stopped it
    seed: int | None = None  # where it diverged: in this seed,
    metric: str | None = None  # and in this metric: one of metrics.csv, or a count `nonfinite/...`
    code: str | None = (
        None  # what `check_env` calls the fault with which the environment failed, if it knows it
    )
    diverged: tuple[int, ...] = ()  # seeds that did while the others went on, as in a grid


def write(outcome: Outcome, path: Path) -> None:
    """Write outcome.json in a run's directory. Raises `OutputError` if it cannot be written."""
    files.write_json(path / NAME, outcome._asdict())


def forget(path: Path) -> None:
    """Remove outcome.json: a session begins, and nobody knows how it will end."""
    try:
        (path / NAME).unlink(missing_ok=True)
    except OSError as error:
        raise files.output_error(path / NAME, error) from error


def read(path: Path) -> Outcome | None:
    """Read what `write` wrote; None if there is none. Raises `ConfigError` if it is damaged."""
    if not (path / NAME).exists():
        return None
    data = files.read_json(path / NAME, error=ConfigError)
    whole: dict[str, Any] = {"diverged": []} | (data if isinstance(data, dict) else {})  # older ones lack it
    seeds = whole["diverged"]
    if (
        whole.keys() != set(Outcome._fields)
        or whole["kind"] not in get_args(Kind)
        or not (isinstance(seeds, list) and all(type(seed) is int for seed in seeds))
    ):
        raise ConfigError(f"{path / NAME} is damaged: remove it, since the run does not need it")
    return Outcome(**whole)._replace(diverged=tuple(seeds))
