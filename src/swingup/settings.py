"""Settings as JSON and back: strict, so that a damaged or foreign file is refused with a message."""

import dataclasses
import types
import typing
from typing import Any

import numpy as np

from swingup.algos import algorithm, name_of
from swingup.errors import ConfigError, unknown


def to_json(algo: Any) -> dict[str, Any]:
    """{"name": "ppo", hyperparameter: value, ...}; arrays (one value per seed) become lists."""

    def plain(x):
        if isinstance(x, tuple):
            return list(x)
        return np.asarray(x, np.float64).tolist() if hasattr(x, "shape") else x

    return {"name": name_of(algo)} | {f.name: plain(getattr(algo, f.name)) for f in dataclasses.fields(algo)}


def from_json(data: Any) -> Any:
    """The inverse of `to_json`. Raises `ConfigError` for unknown names and values of a wrong type."""
    if not isinstance(data, dict) or not isinstance(data.get("name"), str):
        raise ConfigError("the algorithm's settings must be an object with a name")
    cls = algorithm(data["name"])
    fields = {f.name: f.type for f in dataclasses.fields(cls)}
    values = {}
    for name, value in data.items():
        if name == "name":
            continue
        if name not in fields:
            raise ConfigError(unknown(f"hyperparameter of {data['name']}", name, fields))
        values[name] = _checked(f"{data['name']}.{name}", fields[name], value)
    return cls(**values)


def _checked(name: str, kind: Any, value: Any) -> Any:
    """`value` as a field of type `kind`."""
    if isinstance(kind, types.UnionType):
        kinds = [k for k in typing.get_args(kind) if k is not type(None)]
        return None if value is None else _checked(name, kinds[0], value)
    if typing.get_origin(kind) is tuple and isinstance(value, list):
        return tuple(_checked(name, typing.get_args(kind)[0], v) for v in value)
    if kind is float and isinstance(value, list) and value and all(type(v) in (int, float) for v in value):
        return np.asarray(value, np.float32)
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is kind:
        return value
    raise ConfigError(f"{name} must be of type {getattr(kind, '__name__', kind)}, not {value!r}")


def changed(algo: Any) -> dict[str, Any]:
    """The hyperparameters that differ from the algorithm's defaults."""
    defaults, values = to_json(type(algo)()), to_json(algo)
    return {name: values[name] for name in values if values[name] != defaults[name]}
