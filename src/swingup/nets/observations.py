"""An observation is a number, a vector or an image to a network, and becomes floats here.

The shape and the bounds of a space decide, and the option `body` of every deep algorithm overrules them. Environments,
replay and `Run.policy` keep observations as the environment gives them: an image with its channels first is turned
here, on its way into a network.
"""

import math
from typing import Annotated, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from swingup.errors import ConfigError, unknown
from swingup.normalise import Moments, Off, RewardScale, moments, reward_scale
from swingup.protocols import VecEnv
from swingup.ranges import Among
from swingup.spaces import Box, Discrete, Space

BODIES = ("auto", "cnn", "mlp")
Body = Annotated[str, Among(BODIES)]
LEVELS = 16  # bytes that take no more values than this are flags or codes, and are not scaled
LEAST = 3  # pixels along the shorter side of the smallest image: the filters of the smallest body


def check_body(body: str, memory: str = "none") -> None:
    """Raise `ConfigError` for an unknown body, or for one beside a memory, which is a body itself."""
    if body not in BODIES:
        raise ConfigError(unknown("body", body, BODIES))
    if memory != "none" and body != "auto":
        raise ConfigError(
            f"memory={memory!r} is the body that reads the observations: leave body='auto' with it"
        )


def role(space: Space, body: str = "auto") -> str:
    """Say what observations of a space are: "one-hot", "vector", "channels last", "channels first" or "matrix".

    An integer becomes one-hot, and an array of rank 0, 1 or 2 a vector. An array [a, b, c] is an image if one of its
    axes is clearly the channels:

        channels last     if a = b, or if c is the smallest axis
        channels first    else, if b = c, or if a is at most half of both others

    An array that is neither, or whose image has a side below 3, is a vector. `body` "mlp" makes a vector of any array.
    `body` "cnn" makes an image of any array of rank 2 ("matrix", of one channel) or 3 (by default with channels last).

    >>> [role(Box.of(0, 255, shape)) for shape in ((210, 160, 3), (4, 84, 84), (10, 10, 10), (6, 7, 8), (2, 2, 3))]
    ['channels last', 'channels first', 'channels last', 'vector', 'vector']

    Raises `ConfigError` for arrays of rank 4 and more, unless `body` is "mlp", and for a "cnn" of what is no image.
    """
    check_body(body)
    if isinstance(space, Discrete):
        if body == "cnn":
            raise ConfigError("body='cnn' needs observations that are images; here they are integers")
        return "one-hot"
    shape = space.shape
    if body == "mlp":
        return "vector"
    if len(shape) > 3:
        raise ConfigError(
            f"observations of shape {list(shape)} have {len(shape)} axes; an image has three, [height, width, "
            "channels]: put stacked frames into the channels, or set body='mlp', which flattens all axes"
        )
    if body == "auto":
        kind = _guess(shape)
        return kind if kind != "vector" and min(image_shape(space, kind)[:2]) >= LEAST else "vector"
    if len(shape) < 2:
        raise ConfigError(
            f"body='cnn' needs observations that are images; here their shape is {list(shape)}: use body='mlp'"
        )
    guess = _guess(shape)
    kind = "matrix" if len(shape) == 2 else "channels last" if guess == "vector" else guess
    if min(image_shape(space, kind)[:2]) < LEAST:
        raise ConfigError(
            f"body='cnn' needs images of at least {LEAST} x {LEAST} pixels; observations of shape {list(shape)} "
            f"have {' x '.join(map(str, image_shape(space, kind)[:2]))}: use body='mlp'"
        )
    return kind


def _guess(shape: tuple[int, ...]) -> str:
    if len(shape) != 3:
        return "vector"
    a, b, c = shape
    if a == b or c < min(a, b):
        return "channels last"
    return "channels first" if b == c or 2 * a <= min(b, c) else "vector"


def image_shape(space: Space, kind: str) -> tuple[int, int, int]:
    """Return height, width and channels of the images that `features` makes of a space with a role that is an image."""
    shape = space.shape
    if kind == "matrix":
        return (*shape, 1)  # pyright: ignore[reportReturnType]
    return (*shape[1:], shape[0]) if kind == "channels first" else shape  # pyright: ignore[reportReturnType]


def features(space: Space, obs: Array, kind: str) -> Array:
    """Turn observations [..., *shape] into floats: one-hot [..., n], flat [..., d], or images [..., height, width,
    channels].

    Bytes are scaled from their bounds to [0, 1]; see `scale`. A "window" (of `nn.encoder`) is left in its shape.
    """
    if isinstance(space, Discrete):
        return jax.nn.one_hot(obs, space.n)
    obs = jnp.asarray(obs, jnp.float32)
    low, span = scale(space, kind)
    obs = obs - low if np.any(low) else obs
    obs = obs / span if np.any(span != 1) else obs
    if kind == "vector":
        return obs.reshape(*obs.shape[: obs.ndim - len(space.shape)], math.prod(space.shape))
    if kind == "matrix":
        return obs[..., None]
    return jnp.moveaxis(obs, -3, -1) if kind == "channels first" else obs


def scale(space: Box, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Return offset and divisor of each entry: low and high - low of bytes, 0 and 1 of what stays as it is.

    Bytes are entries of type uint8, and images of any type whose bounds are 0 and 255. Entries of at most 16 levels
    are flags, codes or one-hots, and stay. So do all other integers, and floats.

    >>> scale(Box.of([0, 0, 10], [255, 1, 60], (3,), "uint8"), "vector")[1].tolist()
    [255.0, 1.0, 50.0]
    """
    low, high = space.bounds
    pixels = kind not in ("vector", "window") and np.all(low == 0) and np.all(high == 255)
    with np.errstate(invalid="ignore"):  # inf - inf, of floats that stay as they are
        scaled = (space.dtype == "uint8" or pixels) & (high - low >= LEVELS)
        low, span = np.where(scaled, low, 0), np.where(scaled, high - low, 1)
    same = low.size and np.all(low == low.flat[0]) and np.all(span == span.flat[0])
    return (low.flat[0], span.flat[0]) if same else (low, span)


def obs_moments(space: Space, body: str = "auto") -> Moments | Off:
    """Return the running statistics of `normalise_obs` at their beginning; `Off` for what is not to be normalised.

    Integers are one-hot, and bytes and bounded images are in a known range already: each would lose its meaning.
    Vectors of floats and of integers are normalised, and images of floats without bounds.
    """
    if isinstance(space, Discrete):
        return Off()
    kind = role(space, body)
    bounded = kind != "vector" and bool(np.isfinite(space.bounds).all())
    return Off() if bounded or np.any(scale(space, kind)[1] != 1) else moments(space.shape)


class Normalising(Protocol):
    """These settings may have observations normalised."""

    @property
    def body(self) -> str: ...
    @property
    def normalise_obs(self) -> bool: ...


class NormalisingRewards(Normalising, Protocol):
    """These settings may have rewards scaled too."""

    @property
    def num_envs(self) -> int: ...
    @property
    def normalise_reward(self) -> bool: ...


def first_moments(algo: Normalising, env: VecEnv) -> Moments | Off:
    """Return the statistics of observations with which learning begins; `Off` without `normalise_obs`."""
    return obs_moments(env.observation_space, algo.body) if algo.normalise_obs else Off()


def first_statistics(algo: NormalisingRewards, env: VecEnv) -> tuple[Moments | Off, RewardScale | Off]:
    """Return the running statistics with which learning begins; `normalise.statistics` carries them on."""
    scale = reward_scale(algo.num_envs) if algo.normalise_reward else Off()
    return first_moments(algo, env), scale
