"""Settings become JSON and come back; a damaged or foreign file is refused with a message."""

import typing
from typing import Any

import numpy as np

from swingup import ranges
from swingup.algos import algorithm, name_of
from swingup.errors import ConfigError, unknown


def to_json(algo: Any) -> dict[str, Any]:
    """Return {"name": "ppo", hyperparameter: value, ...}; arrays (one value per seed) become lists."""

    def plain(x):
        if isinstance(x, tuple):
            return list(x)
        return x.astype(np.float64).tolist() if isinstance(x, np.ndarray) else x

    return {"name": name_of(algo)} | {name: plain(x) for name, x in ranges.values(algo).items()}


def from_json(data: Any) -> Any:
    """Undo `to_json`. Raises `ConfigError` for unknown names and values of a wrong type."""
    if not isinstance(data, dict) or not isinstance(data.get("name"), str):
        raise ConfigError("the algorithm's settings must be an object with a name")
    cls = algorithm(data["name"])
    fields = ranges.kinds(cls)
    values = {}
    for name, value in data.items():
        if name == "name":
            continue
        if name not in fields:
            raise ConfigError(unknown(f"hyperparameter of {data['name']}", name, fields))
        values[name] = _checked(f"{data['name']}.{name}", fields[name], value)
    return cls(**values)


def _checked(name: str, kind: Any, value: Any) -> Any:
    """`value` if `to_json` may have written it for a field of type `kind`; its range is checked with all others'."""
    if ranges.is_optional(kind):
        return None if value is None else _checked(name, typing.get_args(kind)[0], value)
    base = ranges.parts(kind)[0]
    if typing.get_origin(base) is tuple and isinstance(value, list):
        return tuple(_checked(name, typing.get_args(base)[0], v) for v in value)
    number = type(value) in (int, float)
    per_seed = isinstance(value, list) and value and all(type(v) in (int, float) for v in value)
    if (base is float and (number or per_seed)) or type(value) is base:
        return value
    raise ConfigError(f"{name} must be {ranges.called(base)}, not {ranges.shown(value)}")


def changed(algo: Any) -> dict[str, Any]:
    """Return the hyperparameters that differ from the algorithm's defaults."""
    defaults, values = to_json(type(algo)()), to_json(algo)
    return {name: values[name] for name in values if values[name] != defaults[name]}
