"""What environments on the host answer: taken as it is, or refused with the field, the value and the cure.

A cast that loses something turns an environment into another one without a word: 0.9 becomes 0 under a space of
bytes, 1e300 infinite, "False" true. So dtypes are compared each time, which costs next to nothing, and values only
where the cast of one dtype to the other can lose any. Floats may be rounded to float32, and are.
"""

from typing import Any

import numpy as np

from swingup.errors import EnvironmentFault
from swingup.spaces import Discrete, Space

GOALS = "achieved_goal", "desired_goal", "observation"


class Observations:
    """Observations of several environments as one new array [n, *shape] of the space's dtype.

    `start` is the first value of a Gymnasium space that does not count from 0; ours does.
    """

    def __init__(self, space: Space, name: str, start: Any = 0, parts: dict[str, tuple] | None = None):
        self.space, self.name, self.start, self.parts = space, name, start, parts
        self.dtype = np.dtype(np.int32 if isinstance(space, Discrete) else space.dtype)

    def __call__(self, rows: Any) -> np.ndarray:
        """Rows, an array of them, or a dictionary of arrays [n, ...] with goals. Raises `EnvironmentFault`."""
        if self.parts is not None:
            rows = self._joined(rows) if isinstance(rows, dict) else [self._joined(row) for row in rows]
        try:
            out = np.array(rows)
        except (ValueError, TypeError):  # rows of several shapes
            out = np.array(None)
        if out.shape[1:] != self.space.shape or not out.ndim:
            got = sorted({_shape(row) for row in rows})
            raise EnvironmentFault(
                f"{self.name}: observations have the shapes {', '.join(got)}, the space says "
                f"{self.space.shape}: return arrays of that shape, or change observation_space",
                "obs-shape",
            )
        if out.dtype == self.dtype and not isinstance(self.space, Discrete):
            return out
        return self._cast(out)

    def _cast(self, out: np.ndarray) -> np.ndarray:
        if out.dtype.kind not in "biuf":
            self._lost(out, np.ones(out.shape, bool))
        whole = out - np.int64(self.start) if self.start else out
        with np.errstate(over="ignore", invalid="ignore"):
            kept = whole.astype(self.dtype)
            if self.dtype.kind == "f":
                bad = np.isinf(kept) & np.isfinite(out)
            elif isinstance(self.space, Discrete):
                bad = (kept != whole) | (kept < 0) | (kept >= self.space.n)
            elif np.can_cast(out.dtype, self.dtype):
                return kept
            else:
                bad = kept != whole
        if bad.any():
            self._lost(out, bad)
        return kept

    def _lost(self, out: np.ndarray, bad: np.ndarray) -> None:
        value = out[tuple(np.argwhere(bad)[0])] if bad.ndim else out[()]
        if isinstance(self.space, Discrete):
            last = self.start + self.space.n - 1
            holds, cure = f"the integers {self.start} to {last}", "change observation_space, or number anew"
        else:
            holds = f"entries of {self.dtype}"
            cure = (
                "declare observation_space with the dtype of what reset and step return, or convert it there"
            )
            if self.dtype.kind == "f":
                cure = "rescale or clip it"
        raise EnvironmentFault(
            f"{self.name}: an observation holds {_shown(value)} (dtype {out.dtype}), the space says {holds}: {cure}",
            "obs-cast",
        )

    def _joined(self, obs: Any) -> np.ndarray:
        """The parts of an observation with goals, one after the other; or of several, along the last axis."""
        parts: Any = self.parts
        if not isinstance(obs, dict) or set(obs) != set(parts):
            got = sorted(map(str, obs)) if isinstance(obs, dict) else type(obs).__name__
            raise EnvironmentFault(
                f"{self.name}: an observation is {got}, the space says a dictionary of {', '.join(parts)}",
                "obs-shape",
            )
        arrays = [np.asarray(obs[key]) for key in GOALS]
        for key, array in zip(GOALS, arrays, strict=True):
            if array.shape[-1:] != parts[key] or array.ndim > 2:
                raise EnvironmentFault(
                    f"{self.name}: the observation's part {key} has shape {array.shape}, the space says {parts[key]}",
                    "obs-shape",
                )
        return np.concatenate(arrays, -1)


def rewards(values: Any, count: int, name: str) -> np.ndarray:
    """Rewards [n] float64, from numbers or arrays of size one. Raises `EnvironmentFault` where one is neither."""
    out = _flat(values, count)
    if out is None or out.dtype.kind not in "biuf":
        wrong = next((v for v in values if not _is_number(v)), values)
        what = f"an array of shape {np.shape(wrong)}" if _is_array(wrong) else _shown(wrong)
        raise EnvironmentFault(f"{name}: a reward is {what}, not a number: return a float", "reward-type")
    return out.astype(np.float64, copy=False)


def float32(values: np.ndarray, name: str, what: str) -> np.ndarray:
    """Rewards or returns as the learner gets them. Raises `EnvironmentFault` where one is too large for float32."""
    with np.errstate(over="ignore"):
        out = values.astype(np.float32)
    if not np.isfinite(out).all() and (lost := np.isinf(out) & np.isfinite(values)).any():
        raise EnvironmentFault(
            f"{name}: {what} is {values[lost][0]:g}, which float32 cannot hold: scale rewards down",
            "reward-cast",
        )
    return out


def flags(values: Any, count: int, name: str, field: str) -> np.ndarray:
    """`terminated` or `truncated` [n], from bools, the integers 0 and 1, or arrays of size one of these.

    Raises `EnvironmentFault` for anything else: nobody can tell what "False", None or 0.5 should mean.
    """
    out = _flat(values, count)
    if out is not None and out.dtype == bool:
        return out
    if out is not None and out.dtype.kind in "iu" and ((out == 0) | (out == 1)).all():
        return out.astype(bool)
    wrong = next((v for v in values if not _is_flag(v)), values)
    what = f"an array of shape {np.shape(wrong)}" if np.ndim(wrong) else _shown(wrong)
    raise EnvironmentFault(f"{name}: {field} is {what}: return a bool, such as bool({field})", "flag-cast")


def _flat(values: Any, count: int) -> np.ndarray | None:
    """One value of each environment [n]; None where there are not as many, or they are no plain numbers."""
    try:
        out = np.array(values)
        if out.shape == (count,):
            return out
    except ValueError:  # some are arrays and some are not
        out = None
    try:
        out = np.array([np.asarray(v).reshape(()) for v in values])
    except (ValueError, TypeError):
        return None
    return out if out.shape == (count,) else None


def _is_array(x: Any) -> bool:
    return isinstance(x, list | tuple | np.ndarray | np.generic) or hasattr(x, "__array__")


def _shape(x: Any) -> str:
    try:
        return str(np.shape(x)) if _is_array(x) else type(x).__name__
    except ValueError:
        return type(x).__name__


def _is_number(x: Any) -> bool:
    return isinstance(x, int | float) or (
        _is_array(x) and np.asarray(x).dtype.kind in "biuf" and np.size(x) == 1
    )


def _is_flag(x: Any) -> bool:
    return np.asarray(x).dtype.kind in "biu" and np.size(x) == 1 and np.asarray(x).ravel()[0] in (0, 1)


def _shown(x: Any) -> str:
    text = str(x) if isinstance(x, np.number | np.bool_) else repr(x)
    return text if len(text) <= 60 else f"a {type(x).__name__}"
