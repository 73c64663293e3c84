"""Gymnasium's spaces become ours, or an error says what is missing where there is no counterpart."""

from typing import Any

import numpy as np

from swingup.envs.adapters.answers import GOALS, Observations
from swingup.errors import ConfigError
from swingup.spaces import Box, Discrete, Space

NARROW = {"int64": "int32", "uint64": "uint32"}  # as JAX has them
WIDEST = 2**24  # integers that a float32 of a policy can tell apart
FLATTEN = "flatten it with gymnasium.wrappers.FlattenObservation"
CURES = {
    ("Tuple", "observation"): FLATTEN,
    ("MultiDiscrete", "observation"): FLATTEN + ", which makes each part one-hot",
    ("OneOf", "observation"): FLATTEN,
    ("Text", "observation"): "encode it as numbers of a fixed length in a gymnasium.ObservationWrapper",
    ("Sequence", "observation"): "pad it to a Box of a fixed length in a gymnasium.ObservationWrapper",
    ("Graph", "observation"): "write it as a Box of a fixed size in a gymnasium.ObservationWrapper",
    (
        "MultiDiscrete",
        "action",
    ): "number its combinations 0, 1, ... as one Discrete in a gymnasium.ActionWrapper; or, "
    "where its values are ordered, declare gymnasium.spaces.Box with an integer dtype",
    (
        "MultiBinary",
        "action",
    ): "number its combinations 0, 1, ... as one Discrete in a gymnasium.ActionWrapper, or "
    "declare gymnasium.spaces.Box(0, 1, shape, numpy.int8)",
}
ACTION = "build it from one Discrete or one Box in a gymnasium.ActionWrapper"


def convert(space: Any, name: str, role: str) -> Space:
    """Translate a Gymnasium space into ours; floats become float32 and long integers int32, as JAX has them.

    A Discrete that does not count from 0 becomes one that does: the adapters shift. A MultiBinary observation is a
    Box of the bytes 0 and 1. Raises `ConfigError` naming the kind for a space without a counterpart; `role` is
    "observation" or "action".
    """
    kinds = [c.__name__ for c in type(space).__mro__]
    if "Discrete" in kinds:
        return Discrete(int(space.n))
    try:
        if "MultiBinary" in kinds and role == "observation":
            return Box.of(0, 1, tuple(space.shape), "int8")
        if "Box" in kinds:
            box = Box.of(space.low, space.high, tuple(space.shape), narrow(space.dtype))
            return _reachable(box) if role == "action" else box
    except ValueError as error:
        raise ConfigError(f"{name}: its {role} space cannot be used: {error}") from None
    if "Dict" in kinds and role == "observation" and set(space.spaces) == set(GOALS):
        return goal_space([convert(space[key], name, role) for key in GOALS], name)
    if "Dict" in kinds and role == "observation":
        keys = list(map(str, space.spaces))
        raise ConfigError(
            f"{name}: its observation space has the keys {', '.join(keys)}; swingup takes dictionaries of exactly "
            f"{', '.join(GOALS)}. {_cure(keys)}"
        )
    cure = CURES.get(
        (kinds[0], role), ACTION if role == "action" else "turn it into one of these in a wrapper"
    )
    raise ConfigError(
        f"{name}: {role} spaces of kind {kinds[0]} are not supported, only Box and Discrete; {cure}"
    )


def _cure(keys: list[str]) -> str:
    if set(GOALS) <= set(keys):
        more = ", ".join(k for k in keys if k not in GOALS)
        return f"Put {more} into `observation`, or leave the goals aside: {FLATTEN}"
    return f"If it has goals, name its parts so; else {FLATTEN}"


def _reachable(box: Box) -> Box:
    """Raise `ValueError` where a policy, whose actions are float32, could not choose each of the integers."""
    if box.is_integer:
        low, high = (np.broadcast_to(np.asarray(b, np.float64), box.shape) for b in (box.low, box.high))
        if not (np.all(high - low < WIDEST) and np.all(np.abs([low, high]) < 2.0**31)):
            raise ValueError(
                "a policy cannot choose between more than 2^24 integers, nor beyond int32: narrow its bounds, or "
                "declare floats and round them in a gymnasium.ActionWrapper"
            )
    return box


def goal_space(parts: list[Any], name: str) -> Box:
    """Join the three parts to the space of one vector, in the order of `Box.goal` and of Gymnasium's
    FlattenObservation.
    """
    vectors = all(isinstance(part, Box) and len(part.shape) == 1 for part in parts)
    if not vectors or parts[0].shape != parts[1].shape:
        raise ConfigError(
            f"{name}: goals must be two vectors of one length, and what is observed beside them a vector"
        )
    low, high = (np.concatenate([p.bounds[i] for p in parts]) for i in (0, 1))
    return Box.of(low, high, low.shape, goal=parts[0].shape[0])


def reader(space: Any, name: str) -> Observations:
    """How observations of a Gymnasium space are read: its `space` is ours."""
    ours = convert(space, name, "observation")
    parts = {key: tuple(space[key].shape) for key in GOALS} if isinstance(ours, Box) and ours.goal else None
    return Observations(ours, name, first(space), parts)


def first(space: Any) -> int:
    """Return what a Gymnasium space counts from: 0, or the `start` of a Discrete."""
    return int(getattr(space, "start", 0)) if np.ndim(getattr(space, "start", 0)) == 0 else 0


def narrow(dtype: Any) -> str:
    """Return the dtype that observations have on arrival: float32 for every float, int32 for int64."""
    dtype = np.dtype(dtype)
    return "float32" if dtype.kind == "f" else NARROW.get(str(dtype), str(dtype))


class Actions:
    """Our actions [n, *shape] as a Gymnasium space has them: its dtype, its bounds, and numbers from its `start`."""

    def __init__(self, space: Any):
        self.dtype, self.start = space.dtype, first(space)
        # A float32 may lie beyond a bound of float64: 0.1 as float32 is more than 0.1.
        wide = self.dtype == np.float64 and hasattr(space, "low")
        self.bounds = (space.low, space.high) if wide else None

    def __call__(self, action: np.ndarray) -> np.ndarray:
        """Return a copy, which an environment may write over."""
        out = action.astype(self.dtype)
        if self.bounds is not None:
            return np.clip(out, *self.bounds)
        return out + self.dtype.type(self.start) if self.start else out
