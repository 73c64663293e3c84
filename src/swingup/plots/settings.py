"""Run directories are found, grouped by setting and named here. Nothing in them is executed.

Reads `config.json` (algo with its name and settings, env, env_steps) and, if there is one, `outcome.json`.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from swingup.errors import ConfigError
from swingup.files import home, read_json


class Setting(NamedTuple):
    """Runs that differ in nothing but their seeds are one setting."""

    env: str
    algo: str
    values: dict[str, Any]  # of the hyperparameters, and env_steps
    runs: list[Path]
    name: str = ""  # that the user gave: NAME=RUN


def settings(runs: Sequence[str | Path]) -> list[Setting]:
    """Read run directories, and put together those of one setting, in the order in which they are given.

        runs    run directories; or directories that hold some, such as a grid; or NAME=RUN, so that runs of one name
                are one setting, and apart from others of the same settings

    Raises `ConfigError` for a directory without a run, a damaged config.json, and a name that is given to runs of
    different settings in one environment.
    """
    found: dict[str, Setting] = {}
    for given in runs:
        for name, path in _expanded(given):
            one = _read(path, name)
            key = json.dumps([name or [one.algo, one.values], one.env], sort_keys=True)
            same = found.setdefault(key, one)
            if (same.algo, same.values) != (one.algo, one.values):
                raise ConfigError(
                    f"{name} has two settings in {one.env}, {same.runs[0]} and {path}, which differ in "
                    f"{', '.join(_apart(same, one))}: their seeds are not repeats of one experiment"
                )
            if path not in same.runs:
                same.runs.append(path)
    return list(found.values())


def _expanded(given: str | Path) -> list[tuple[str, Path]]:
    """Return (name, run directory) of what a user gave."""
    name, path = "", home(given)
    if isinstance(given, str) and "=" in given and not path.exists():
        name, _, rest = given.partition("=")
        path = home(rest)
    if not (path / "config.json").exists():
        inside = sorted(p for p in path.iterdir() if (p / "config.json").exists()) if path.is_dir() else []
        if not inside:
            raise ConfigError(
                f"{path} is not a run directory: it has no config.json, nor holds runs that have"
            )
        return [(name, p) for p in inside]
    return [(name, path)]


def _read(run: Path, name: str) -> Setting:
    config = read_json(run / "config.json", error=ConfigError)
    try:
        values = {**config["algo"], "env_steps": config["env_steps"]}
        return Setting(str(config["env"]), str(values.pop("name")), values, [run], name)
    except (KeyError, TypeError) as error:
        raise ConfigError(f"{run / 'config.json'}: needs algo (with a name), env and env_steps") from error


def _apart(one: Setting, other: Setting) -> list[str]:
    if one.algo != other.algo:
        return ["the algorithm"]
    both = {**one.values, **other.values}
    return [k for k in both if one.values.get(k, None) != other.values.get(k, None)]


def labels(found: Sequence[Setting]) -> list[str]:
    """Name each setting: as it was given, or by the algorithm and what tells it from others of the algorithm here.

    The environment is part of it only where there are several.
    """
    names, several = [], len({s.env for s in found}) > 1
    for one in found:
        env = [one.env] * several
        if one.name:
            names.append(", ".join([one.name, *env]))
            continue
        equals = [o.values for o in found if (o.algo, o.env, o.name) == (one.algo, one.env, "")]
        apart = [
            f"{k}={v}" for k, v in sorted(one.values.items()) if any(k not in o or o[k] != v for o in equals)
        ]
        names.append(", ".join([one.algo, *env, *apart]))
    return names


def diverged(run: Path) -> list[int]:
    """Return the seeds of a run that diverged, as its outcome.json tells: the one that ended it, or some in a grid."""
    if not (run / "outcome.json").exists():
        return []
    said = read_json(run / "outcome.json", error=ConfigError)
    try:
        one = [said["seed"]] if said["kind"] == "diverged" else []
        return [int(seed) for seed in [*one, *said.get("diverged", [])]]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"{run / 'outcome.json'} is damaged: remove it, since the run does not need it"
        ) from error
