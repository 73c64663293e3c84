"""A search space has a range for each hyperparameter that is tuned: floats, of which one program takes any value."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from swingup import ranges
from swingup.errors import ConfigError, unknown
from swingup.protocols import Algorithm

SCALES = ("linear", "log", "one_minus")


class Range(NamedTuple):
    """A hyperparameter is searched from `low` to `high`.

    The scale is `linear`; or `log`, so that each factor of ten counts as much as another; or `one_minus`, which is
    `log` for 1 - x, as it suits a discount: from 0.9 to 0.99 is as far as from 0.99 to 0.999.
    """

    low: float
    high: float
    scale: str = "linear"


# Where a search goes if nothing is said: wide enough for the settings of most papers, in the order of the list.
USUAL = {
    "lr": Range(1e-5, 1e-2, "log"),
    "actor_lr": Range(1e-5, 1e-2, "log"),
    "gamma": Range(0.9, 0.999, "one_minus"),
    "lam": Range(0.8, 0.99, "one_minus"),
    "clip": Range(0.05, 0.4),
    "c_entropy": Range(1e-5, 0.1, "log"),
    "delta": Range(1e-3, 0.1, "log"),
    "tau": Range(1e-3, 0.1, "log"),
    "noise": Range(0.03, 0.5, "log"),
    "epsilon_end": Range(0.01, 0.2, "log"),
}


def space(algo: Algorithm, given: Mapping[str, Range] | None = None) -> dict[str, Range]:
    """Return the ranges that are searched: those given, else the usual ones of the algorithm's floats.

    Raises `ConfigError` for a name that is no float setting, and for a range that is none or leaves what the
    hyperparameter may be.
    """
    kinds = ranges.kinds(type(algo))
    floats = [name for name, kind in kinds.items() if ranges.is_traced(kind)]
    if not given:
        given = {name: usual for name, usual in USUAL.items() if name in floats}
    if not given:
        raise ConfigError(f"say which of its floats to search, as in --search {floats[0]}=0.1:0.9")
    for name, one in given.items():
        if name in kinds and name not in floats:
            raise ConfigError(f"{name} is no float setting: tune searches {', '.join(floats)}")
        if name not in floats:
            raise ConfigError(unknown("hyperparameter", name, floats))
        _check(name, one, ranges.parts(kinds[name])[1])
    return dict(given)


def _check(name: str, one: Range, within: ranges.Within) -> None:
    if one.scale not in SCALES:
        raise ConfigError(unknown("scale", one.scale, SCALES))
    if not one.low < one.high:
        raise ConfigError(
            f"{name}: a range goes from a lower to a higher number, not {one.low:g}:{one.high:g}"
        )
    for end in one[:2]:
        if end not in within:
            raise ConfigError(f"{name} must be in {within}, and the range has {end:g}")
    if (one.scale == "log" and one.low <= 0) or (one.scale == "one_minus" and one.high >= 1):
        least = "above 0" if one.scale == "log" else "below 1"
        raise ConfigError(f"{name}: on the scale {one.scale} both ends must be {least}")


def parse(text: str) -> dict[str, Range]:
    """Read ranges such as `lr=1e-5:1e-2:log,clip=0.1:0.4`. Raises `ConfigError`.

    A range without a scale takes that of `USUAL`, and is linear if that has none.

    >>> parse("lr=1e-4:1e-2,clip=0.1:0.4")
    {'lr': Range(low=0.0001, high=0.01, scale='log'), 'clip': Range(low=0.1, high=0.4, scale='linear')}
    """
    found: dict[str, Range] = {}
    for piece in filter(None, (x.strip() for x in text.split(","))):
        name, _, rest = piece.partition("=")
        name, parts = name.strip().replace("-", "_"), rest.split(":")
        try:
            low, high = map(float, parts[:2])
            (scale,) = parts[2:] or [USUAL[name].scale if name in USUAL else "linear"]
        except ValueError:
            raise ConfigError(
                f"cannot read {piece!r}: write ranges as lr=1e-5:1e-2:log,clip=0.1:0.4"
            ) from None
        if name in found:
            raise ConfigError(f"{name} has two ranges")
        if not (math.isfinite(low) and math.isfinite(high)):
            raise ConfigError(f"{name}: the ends of a range must be numbers, not {low:g}:{high:g}")
        found[name] = Range(low, high, scale)
    return found


def suggest(trial: Any, ranges_: Mapping[str, Range]) -> dict[str, float]:
    """Return the values that a trial of Optuna stands for; what it has not chosen yet it chooses now."""
    values = {}
    for name, one in ranges_.items():
        if one.scale == "one_minus":
            value = 1 - trial.suggest_float(f"1 - {name}", 1 - one.high, 1 - one.low, log=True)
        else:
            value = trial.suggest_float(name, one.low, one.high, log=one.scale == "log")
        values[name] = round(value, 6) if one.scale == "one_minus" else float(f"{value:.4g}")
    return values
