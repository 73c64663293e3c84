"""Settings as people write them, made plain and held to their ranges before anything is trained.

A field says beside its name what it may be: `gamma: Unit = 0.99`. `settle` turns what it was given (1e3 for a
count, a NumPy number, a list of widths) into plain Python values, or refuses it with one message.
"""

import math
import types
import typing
from dataclasses import fields
from functools import cache
from typing import Annotated, Any, NamedTuple

import jax
import numpy as np
from jax.core import Tracer

from swingup.errors import ConfigError, unknown


class Within(NamedTuple):
    """The interval that a number must lie in; `ends` tells which of its ends belong to it.

    >>> print(Within(0, 1, "(]"), Within(0))
    (0, 1] [0, ∞)
    """

    low: float = -math.inf
    high: float = math.inf
    ends: str = "[]"

    def __contains__(self, x: Any) -> bool:
        above = self.low <= x if self.ends[0] == "[" else self.low < x
        below = x <= self.high if self.ends[1] == "]" else x < self.high
        return bool(above and below and -math.inf < x < math.inf)

    def __str__(self) -> str:
        left = "(-∞" if self.low == -math.inf else f"{self.ends[0]}{self.low:g}"
        return f"{left}, ∞)" if self.high == math.inf else f"{left}, {self.high:g}{self.ends[1]}"


class Among(NamedTuple):
    """A text must be one of these names."""

    names: tuple[str, ...]


Count = Annotated[int, Within(1)]
Whole = Annotated[int, Within(0)]
Seed = Annotated[int, Within(0, 2**32 - 1)]
Widths = tuple[Count, ...]
Unit = Annotated[float, Within(0, 1)]
Fraction = Annotated[float, Within(0, 1, "(]")]
Positive = Annotated[float, Within(0, ends="(]")]
NonNegative = Annotated[float, Within(0)]
# A float hyperparameter that decides how long a loop is: never a traced leaf.
Ratio = Annotated[float, Within(0, ends="(]"), "static"]
# One that decides how many rows of a batch are of one kind, and how many of another: neither.
Share = Annotated[float, Within(0, 1), "static"]


def settle(settings: Any) -> None:
    """Make every field of a frozen dataclass a plain Python value of its type, in its range.

    Whole numbers become int, other numbers float, one float per seed an array [S] of float32, lists of widths
    tuples. What JAX traces is left as it is. Raises `ConfigError` naming the field, the value and the range.
    """
    for name, kind in kinds(type(settings)).items():
        vars(settings)[name] = plain(name, kind, vars(settings)[name])


@cache
def kinds(cls: type) -> dict[str, Any]:
    """Return {field of a dataclass: its type, annotations included}."""
    hints = typing.get_type_hints(cls, include_extras=True)
    return {f.name: hints[f.name] for f in fields(cls)}


def values(settings: Any) -> dict[str, Any]:
    """Return {field of a dataclass: its value}."""
    return {f.name: vars(settings)[f.name] for f in fields(settings)}


def plain(name: str, kind: Any, value: Any, *, per_seed: bool = True) -> Any:
    """`value` as a field of type `kind` holds it. Raises `ConfigError`."""
    if isinstance(value, Tracer):
        return value
    if is_optional(kind):
        return None if value is None else plain(name, typing.get_args(kind)[0], value, per_seed=False)
    base, within = parts(kind)
    if base is Any:
        return value
    if typing.get_origin(base) is tuple:
        return _several(name, typing.get_args(base)[0], value)
    if isinstance(value, np.generic | np.ndarray | jax.Array) and value.ndim == 0:
        value = value.item()
    if base is float:
        return _float(name, within, value, per_seed and is_traced(kind))
    if base is int:
        return _int(name, within, value)
    if base is bool and value in (0, 1) and isinstance(value, int | float):
        return bool(value)
    if isinstance(base, type) and type(value) is not base:
        raise ConfigError(f"{name} must be {called(base)}, not {shown(value)}")
    for allowed in typing.get_args(kind)[1:]:
        if isinstance(allowed, Among) and value not in allowed.names:
            raise ConfigError(unknown(name, str(value), allowed.names))
    return value


def parts(kind: Any) -> tuple[Any, Within]:
    """Split a field's type into the type without annotations, and the range among these; all finite numbers if there
    is none.
    """
    if typing.get_origin(kind) is not Annotated:
        return kind, Within()
    base, *rest = typing.get_args(kind)
    return base, next((x for x in rest if isinstance(x, Within)), Within())


def is_optional(kind: Any) -> bool:
    """Say whether the type is written `... | None`."""
    return typing.get_origin(kind) in (typing.Union, types.UnionType)


def is_traced(kind: Any) -> bool:
    """Say whether a field of this type is a leaf that JAX traces. Floats are, unless they are annotated as "static"."""
    return parts(kind)[0] is float and "static" not in typing.get_args(kind)


def refuse(when: Any, message: str) -> None:
    """Raise `ConfigError` where `when` holds, for any seed; while JAX traces, nothing is known and nothing raised."""
    if not isinstance(when, Tracer) and np.any(when):
        raise ConfigError(message)


def check_divides(name: str, parts: int, num_envs: int, num_steps: int) -> None:
    """Raise `ConfigError` unless a rollout can be cut in `parts` equal parts, with the nearest number that would do."""
    samples = num_envs * num_steps
    if samples % parts:
        near = min((m for m in range(1, samples + 1) if samples % m == 0), key=lambda m: abs(m - parts))
        raise ConfigError(
            f"{name}={parts} does not divide num_envs * num_steps = {num_envs} * {num_steps} = {samples}; "
            f"the nearest that does is {near}"
        )


def called(base: Any) -> str:
    """Write a type for a message."""
    names = {
        int: "a whole number",
        float: "a number, or a list of one per seed",
        bool: "True or False",
        str: "text",
    }
    return names.get(base, "a list of numbers")


def shown(value: Any) -> str:
    """Write a value for a message: what it is, in at most a line."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def _float(name: str, within: Within, value: Any, per_seed: bool) -> Any:
    if per_seed and isinstance(value, list | tuple | np.ndarray | jax.Array):
        return _per_seed(name, within, value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        wanted = called(float) if per_seed else "a number"
        raise ConfigError(f"{name} must be {wanted}, not {shown(value)}{_unquoted(value)}")
    _inside(name, within, value)
    return float(value)


def _per_seed(name: str, within: Within, value: Any) -> np.ndarray:
    """Return one number per seed: [S], float32 as JAX computes."""
    try:
        values = np.asarray(value)
    except ValueError:
        values = np.zeros(0)
    if values.ndim != 1 or values.size == 0 or values.dtype.kind not in "iuf":
        raise ConfigError(f"{name} must be {called(float)}, not {shown(value)}")
    for i, x in enumerate(values.tolist()):
        _inside(f"{name}[{i}]", within, x)
    return values.astype(np.float32)


def _int(name: str, within: Within, value: Any) -> int:
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole and not (isinstance(value, float) and value.is_integer()):
        raise ConfigError(f"{name} must be {called(int)}, not {shown(value)}{_unquoted(value)}")
    if int(value) not in within:
        most = "" if within.high == math.inf else f" and at most {within.high:.0f}"
        raise ConfigError(f"{name} must be at least {within.low:g}{most}, not {shown(value)}")
    return int(value)


def _several(name: str, kind: Any, value: Any) -> tuple:
    """Make a tuple, from any sequence or from a single value."""
    array = isinstance(value, np.ndarray | jax.Array) and value.ndim > 0
    values = tuple(value) if array or isinstance(value, list | tuple) else (value,)
    if not values:
        raise ConfigError(f"{name} must name at least one")
    return tuple(plain(name, kind, x) for x in values)


def _inside(name: str, within: Within, value: float) -> None:
    """Both the number and what float32 makes of it must lie in the range."""
    with np.errstate(over="ignore"):
        rounded = float(np.float32(value)) if abs(value) < 1e300 else math.inf
    if value not in within or rounded not in within:
        raise ConfigError(f"{name}={value:g} is out of range: it must be a number in {within}")


def _unquoted(value: Any) -> str:
    """Say what to do with text that spells a number."""
    try:
        return f"; write {float(value):g} without quotes" if isinstance(value, str) else ""
    except ValueError:
        return ""
