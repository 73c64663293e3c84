"""What environments on the host answer is taken as it is, or refused with the field, the value and the cure.

A cast that loses something turns an environment into another one without a word: 0.9 becomes 0 under a space of
bytes, 1e300 infinite, "False" true. So dtypes are compared each time, which costs next to nothing, and values only
where the cast of one dtype to the other can lose any. Floats may be rounded to float32, and are.
"""

from typing import Any

import numpy as np

from swingup.errors import EnvironmentFault
from swingup.spaces import FLOAT32_MAX, Discrete, Space, choices

BOOL = np.dtype(bool)
GOALS = "achieved_goal", "desired_goal", "observation"


class Observations:
    """Turn the observations of several environments into one new array [n, *shape] of the space's dtype.

    `start` is the first value of a Gymnasium space that does not count from 0; ours does.
    """

    def __init__(self, space: Space, name: str, start: Any = 0, parts: dict[str, tuple] | None = None):
        self.space, self.name, self.start, self.parts = space, name, start, parts
        self.dtype = np.dtype(np.int32 if isinstance(space, Discrete) else space.dtype)
        self.shape, self.counts = space.shape, isinstance(space, Discrete)

    def __call__(self, rows: Any) -> np.ndarray:
        """Accept a list of observations, an array of them, or a dictionary of arrays [n, ...] with goals. Raises
        `EnvironmentFault`.
        """
        if self.parts is not None:
            rows = self._joined(rows) if isinstance(rows, dict) else [self._joined(row) for row in rows]
        try:
            out = np.array(rows)
        except (ValueError, TypeError):  # rows of several shapes
            out = np.array(None)
        if out.dtype == self.dtype and out.shape[1:] == self.shape and not self.counts:
            return out
        if out.shape[1:] != self.shape or not out.ndim:
            got = sorted({_shape(row) for row in rows})
            raise EnvironmentFault(
                f"{self.name}: observations have the shapes {', '.join(got)}, the space says "
                f"{self.shape}: return arrays of that shape, or change observation_space",
                "obs-shape",
            )
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
        """Join the parts of an observation with goals, one after the other; of several observations, along the last
        axis.
        """
        parts = self.parts or {}
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


class Masks:
    """They are the actions that Gymnasium's environments allow: `info["action_mask"]` of `reset` and `step`.

    An array of A zeros and ones, as in Gymnasium's Taxi and in PettingZoo. `rows` [n, A] are those of now, all True
    where nothing was said; None until an environment has said something.
    """

    def __init__(self, space: Space, count: int, name: str):
        self.space, self.count, self.name = space, count, name
        self.rows: np.ndarray | None = None

    def told(self, info: dict) -> bool:
        """Say whether this tells of allowed actions that can be numbered."""
        return isinstance(self.space, Discrete) and "action_mask" in info

    def read(self, row: int, info: dict) -> None:
        """Take over what is said of one environment. Raises `EnvironmentFault` for what is no mask."""
        if not self.told(info):
            if self.rows is not None:
                self.rows[row] = True
            return
        mask, actions = np.asarray(info["action_mask"]), choices(self.space)
        if mask.shape != (actions,) or mask.dtype.kind not in "biu" or np.any((mask != 0) & (mask != 1)):
            raise EnvironmentFault(
                f"{self.name}: info['action_mask'] has shape {mask.shape} and dtype {mask.dtype}: return {actions} "
                "zeros and ones, one for each action",
                "info",
            )
        if self.rows is None:
            self.rows = np.ones((self.count, actions), bool)
        self.rows[row] = mask


def rewards(values: Any, count: int, name: str) -> np.ndarray:
    """Return rewards [n] in float64, from numbers or arrays of size one. Raises `EnvironmentFault` where one is
    neither.
    """
    out = _flat(values, count)
    if out is None or out.dtype.kind not in "biuf":
        wrong = next((v for v in values if not _is_number(v)), values)
        what = f"an array of shape {np.shape(wrong)}" if _is_array(wrong) else _shown(wrong)
        raise EnvironmentFault(f"{name}: a reward is {what}, not a number: return a float", "reward-type")
    return out.astype(np.float64, copy=False)


def check_float32(reward: np.ndarray, total: np.ndarray, name: str) -> None:
    """Raise `EnvironmentFault` where a reward, or the return of its episode, is too large for float32.

    Where the squares of the returns add up to less than 1e76, no return is as large as 1e38, and no reward is twice
    that, because it takes one return to another. So one product settles it, unless a return is not finite.
    """
    if total.dot(total) < 1e76:
        return
    for what, x in (("a reward", reward), ("a return", total)):
        lost = np.isfinite(x) & (np.abs(x) > FLOAT32_MAX)
        if lost.any():
            raise EnvironmentFault(
                f"{name}: {what} is {x[lost][0]:g}, which float32 cannot hold: scale rewards down",
                "reward-cast",
            )


def flags(terminated: Any, truncated: Any, name: str) -> np.ndarray:
    """Return both flags, [2, n], from bools, the integers 0 and 1, or arrays of size one of these.

    Raises `EnvironmentFault` for anything else: nobody can tell what "False", None or 0.5 should mean.
    """
    count = len(terminated)
    try:
        out = np.array((terminated, truncated))
        if out.dtype == BOOL and out.shape == (2, count):
            return out
    except ValueError:  # some are arrays and some are not
        pass
    return np.stack(
        [_flags(x, count, name, f) for f, x in (("terminated", terminated), ("truncated", truncated))]
    )


def _flags(values: Any, count: int, name: str, field: str) -> np.ndarray:
    out = _flat(values, count)
    if out is not None and (
        out.dtype == BOOL or (out.dtype.kind in "iu" and ((out == 0) | (out == 1)).all())
    ):
        return out.astype(bool)
    wrong = next((v for v in values if not _is_flag(v)), values)
    what = f"an array of shape {np.shape(wrong)}" if np.ndim(wrong) else _shown(wrong)
    raise EnvironmentFault(f"{name}: {field} is {what}: return a bool, such as bool({field})", "flag-cast")


def _flat(values: Any, count: int) -> np.ndarray | None:
    """Return one value of each environment [n]; None where there are not as many, or they are no plain numbers."""
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
