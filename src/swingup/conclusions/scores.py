"""One score per seed is what conclusions are drawn from: seeds are the repeats, episodes are not."""

import shlex
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from swingup.errors import ConfigError
from swingup.files import read_json
from swingup.plots.series import series
from swingup.plots.settings import Setting, diverged, labels, settings

FINAL = "final_return"  # of result.json; every other score is a column of metrics.csv
DROPPED = {
    "--out": 1,
    "--seed": 1,
    "--seeds": 1,
    "--json": 0,
    "--play": 0,
}  # flags of a repetition that are its own


class Scores(NamedTuple):
    """A setting has one score for each of its seeds, in one environment."""

    label: str
    env: str
    seeds: tuple[int, ...]
    scores: np.ndarray  # [S]; -inf of a seed that diverged, which is below all others
    setting: Setting

    @property
    def diverged(self) -> int:
        """Return how many seeds have."""
        return int(np.isneginf(self.scores).sum())


def scores(runs: Sequence[str | Path], metric: str = FINAL) -> list[Scores]:
    """Read the scores of runs, one setting after the other.

        runs      as `plots.settings.settings` takes them
        metric    "final_return" of result.json, or a column of metrics.csv, whose last value counts

    A seed that diverged has the worst score, and is not left out. Raises `ConfigError` for a directory without a run
    or without a final evaluation, and for what is damaged.
    """
    found = settings(runs)
    names: dict[int, str] = {}
    for env in dict.fromkeys(s.env for s in found):
        here = [s for s in found if s.env == env]
        names |= {id(s): label for s, label in zip(here, labels(here), strict=True)}
    made = []
    for one in found:
        per_seed = _final(one) if metric == FINAL else _last(one, metric)
        made.append(Scores(names[id(one)], one.env, tuple(per_seed), np.array(list(per_seed.values())), one))
    return made


def _final(one: Setting) -> dict[int, float]:
    """Return {seed: its return in the final evaluation}."""
    found: dict[int, float] = {}
    for run in one.runs:
        lost = diverged(run)
        if (run / "result.json").exists():
            new = _results(run)
        elif lost:
            new = dict.fromkeys(lost, -np.inf)
            config = read_json(run / "config.json", error=ConfigError)
            if set(config.get("seeds", ())) - new.keys():
                warnings.warn(
                    f"{run}: seed {lost[0]} diverged, which ended the run: its other seeds have no final evaluation "
                    "and are left out",
                    stacklevel=4,
                )
        else:
            again = shlex.join(["swingup", "resume", str(run)])
            raise ConfigError(
                f"{run} has no final evaluation: finish it with `{again}`, or compare what it logged, such as "
                "--metric ep/return_last100"
            )
        for seed, score in new.items():
            if seed in found:
                warnings.warn(f"{run}: seed {seed} given twice, counted once", stacklevel=4)
            found.setdefault(seed, score)
    return found


def _results(run: Path) -> dict[int, float]:
    data = read_json(run / "result.json", error=ConfigError)
    try:
        returns = [-np.inf if x is None else float(x) for x in data["final_return"]]
        return dict(zip(map(int, data["seeds"]), returns, strict=True))
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{run / 'result.json'}: needs seeds, and a final_return for each") from error


def _last(one: Setting, metric: str) -> dict[int, float]:
    """Return {seed: the last value of a column of metrics.csv}."""
    lost = {seed for run in one.runs for seed in diverged(run)}
    found = {seed: float(values[1, -1]) for seed, values in series(one, metric, "env_steps").items()}
    return {seed: -np.inf if seed in lost else found.get(seed, -np.inf) for seed in sorted({*found, *lost})}


def repeat(one: Scores, seeds: int) -> str:
    """Return the command that trains a setting on that many fresh seeds; "" if `swingup train` did not train it."""
    config = read_json(one.setting.runs[0] / "config.json", error=ConfigError)
    command = config.get("command", "")
    words = shlex.split(command) if isinstance(command, str) else []
    if words[:2] != ["swingup", "train"]:
        return ""
    kept, skip = [], 0
    for word in words:
        flag, _, value = word.partition("=")
        if skip:
            skip -= 1
        elif flag in DROPPED:
            skip = 0 if value else DROPPED[flag]
        else:
            kept.append(word)
    return shlex.join([*kept, "--seed", str(max(one.seeds) + 1), "--seeds", str(seeds)])
