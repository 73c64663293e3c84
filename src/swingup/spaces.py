"""Spaces of observations and actions are frozen and hashable, so they can be static arguments of compiled code."""

import math
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from swingup.errors import ConfigError

FLOAT32_MAX = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Discrete:
    """The actions, or observations, are the integers 0 .. n-1."""

    n: int
    goal: ClassVar[int] = 0  # no entries: a number holds no goals

    @property
    def shape(self) -> tuple[int, ...]:
        return ()

    def sample(self, key: Array) -> Array:
        return jax.random.randint(key, (), 0, self.n)


@dataclass(frozen=True)
class Box:
    """A box holds arrays of one shape, bounded per entry; a bound may be infinite.

    `low` and `high` are floats that hold for all entries, or nested tuples of the space's shape. With `goal`
    the vector begins with the goal that has been achieved, of `goal` entries, and then the one that is desired.
    """

    low: float | tuple
    high: float | tuple
    shape: tuple[int, ...]
    dtype: str = "float32"
    goal: int = 0

    @staticmethod
    def of(low, high, shape: tuple[int, ...], dtype="float32", goal: int = 0) -> "Box":
        """Build from arrays or floats. An entry whose bounds are equal is a constant.

        Raises `ValueError` where a low bound lies above its high bound or is no number, and for a shape without
        entries.
        """
        if 0 in shape:
            raise ValueError(
                f"a Box of shape {tuple(shape)} has no entries; a constant one, np.zeros(1), will do"
            )
        low, high = (np.broadcast_to(np.asarray(b, np.float64), shape) for b in (low, high))
        # The largest float32 and what is beyond mean "no bound": so gymnax and others write it.
        low, high = (np.where(np.abs(b) >= FLOAT32_MAX, np.copysign(np.inf, b), b) for b in (low, high))
        if not np.all((low < high) | ((low == high) & np.isfinite(low))):
            raise ValueError(f"Box needs low <= high in every entry; got low {low} and high {high}")
        return Box(_compact(low), _compact(high), tuple(shape), np.dtype(dtype).name, goal)

    def sample(self, key: Array) -> Array:
        """Sample uniformly where bounded on both sides, standard normal (clipped) where not; integers are equally
        likely.
        """
        if self.is_integer:
            return to_env(self, jax.random.uniform(key, self.shape, minval=-1.0, maxval=1.0))
        low, high = self.bounds
        bounded = np.isfinite(low) & np.isfinite(high)
        k_uniform, k_normal = jax.random.split(key)
        u = jax.random.uniform(k_uniform, self.shape)
        first, last = np.where(bounded, low, 0), np.where(bounded, high, 1)
        uniform = jnp.clip((1 - u) * first + u * last, first, last)  # last - first may overflow
        normal = jnp.clip(jax.random.normal(k_normal, self.shape), low, high)
        return jnp.where(bounded, uniform, normal).astype(self.dtype)

    @property
    def is_integer(self) -> bool:
        """Say whether its values are whole numbers. Those of the dtype bool are 0 and 1."""
        return np.dtype(self.dtype).kind in "iub"

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Return `low` and `high` as float32 arrays of the space's shape."""
        low, high = (np.broadcast_to(np.asarray(b, np.float32), self.shape) for b in (self.low, self.high))
        return low, high


Space = Discrete | Box


def choices(space: Space) -> int:
    """Return how many actions there are to choose from. Raises `ConfigError` unless they can be counted.

    >>> choices(Discrete(3))
    3
    """
    if not isinstance(space, Discrete):
        raise ConfigError(f"actions that can be counted are needed, a Discrete space; got {space}")
    return space.n


def entries(space: Space) -> int:
    """Return how many numbers `vector` makes of an action or an observation."""
    return space.n if isinstance(space, Discrete) else math.prod(space.shape)


def vector(space: Space, x: Array) -> Array:
    """Return actions or observations [..., *shape] as vectors [..., n]: integers as one-hot, all others flattened.

    >>> vector(Discrete(3), jnp.array([2])).tolist()
    [[0.0, 0.0, 1.0]]
    """
    if isinstance(space, Discrete):
        return jax.nn.one_hot(x, space.n)
    return x.reshape(*x.shape[: x.ndim - len(space.shape)], entries(space))


def to_env(space: Space, action: Array) -> Array:
    """Return what the environment receives for an action that a policy drew: [..., *shape] -> the same shape.

    Policies act in normalised units, in which [-1, 1] spans the bounds of each dimension. An action
    outside is clipped *here and nowhere else*: log-probabilities stay those of the unclipped action.
    A dimension without two finite bounds is passed in its own units, clipped to the bound it has. Where actions
    are integers, each of them has an equal share of [-1, 1], the bounds included; without two finite bounds
    they are rounded.

    >>> to_env(Box.of([-2.0, 0.0], [2.0, 1.0], (2,)), jnp.array([0.5, -3.0]))
    Array([1., 0.], dtype=float32)
    >>> to_env(Box.of(0, 2, (4,), "int32"), jnp.array([-1.0, -0.3, 0.3, 0.4]))
    Array([0, 1, 1, 2], dtype=int32)
    """
    if isinstance(space, Discrete):
        return action
    low, high = space.bounds
    bounded = np.isfinite(low) & np.isfinite(high)
    if space.is_integer:
        return _whole(space, action, bounded)
    first, last = (
        np.where(bounded, low, -1.0).astype(np.float64),
        np.where(bounded, high, 1.0).astype(np.float64),
    )
    half, middle = np.float32(0.5 * (last - first)), np.float32(0.5 * (last + first))
    scaled = jnp.where(bounded, middle + half * jnp.clip(action, -1.0, 1.0), action)
    return jnp.clip(scaled, low, high).astype(space.dtype)  # rounding must not cross a bound


def _whole(space: Box, action: Array, bounded: np.ndarray) -> Array:
    """Equal shares of [-1, 1] for the integers of a box; what has no two bounds is rounded."""
    low, high = (np.broadcast_to(np.asarray(b, np.float64), space.shape) for b in (space.low, space.high))
    first, last = np.ceil(np.where(bounded, low, 0.0)), np.floor(np.where(bounded, high, 0.0))
    count = last - first + 1
    share = jnp.floor((jnp.clip(action, -1.0, 1.0) + 1) * np.float32(0.5 * count))
    # Which share is a small number and exact; the sum of it and the bound is taken in integers.
    kind = jnp.uint32 if space.dtype == "uint32" else jnp.int32
    inside = first.astype(kind) + jnp.clip(share, 0, np.float32(count - 1)).astype(kind)
    edge = np.float32(2**31 - 128)  # the last float32 that an int32 holds
    free = jnp.round(jnp.clip(action, np.maximum(space.bounds[0], -edge), np.minimum(space.bounds[1], edge)))
    return jnp.where(bounded, inside, free.astype(kind)).astype(space.dtype)


def is_image(space: Space) -> bool:
    """Say whether it is kept in frames: images are, and whatever has entries of a byte."""
    return isinstance(space, Box) and (len(space.shape) == 3 or space.dtype in ("uint8", "bool"))


def zeros(space: Space) -> Array:
    """An entry of the space as a replay keeps it: integers and bytes as they are, every float as float32."""
    if not isinstance(space, Box):
        return jnp.int32(0)
    kind = np.dtype(space.dtype)
    return jnp.zeros(space.shape, "float32" if kind.kind == "f" else jax.dtypes.canonicalize_dtype(kind))


def drawn(space: Space) -> Array:
    """An action as a policy draws it, and a replay keeps it: in its own units, floats whatever the box holds."""
    return jnp.int32(0) if isinstance(space, Discrete) else jnp.zeros(space.shape, jnp.float32)


def _compact(bound: np.ndarray) -> float | tuple:
    """Return one float when all entries agree, else nested tuples."""

    def nested(x):
        return tuple(map(nested, x)) if isinstance(x, list) else float(x)

    return float(bound.flat[0]) if bound.size and np.all(bound == bound.flat[0]) else nested(bound.tolist())
