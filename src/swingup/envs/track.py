"""A car on a closed road is seen from above, in frames that do not show how fast it drives."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from swingup.errors import ConfigError, unknown
from swingup.protocols import Env
from swingup.spaces import Box, Discrete
from swingup.types import Transition

RADIUS, HALF = 30.0, 4.0  # m: the road's mean distance from the middle, and half its width
WAVES, SIZES = (
    (2, 3, 4),
    (0.15, 0.08, 0.04),
)  # the road's shape: waves per lap, and the largest share of the radius
STRIPES = 16  # dark stripes across the road per lap
PIXELS, ABOVE, LEFT = (
    32,
    24,
    16,
)  # along a side, of 1 m each; rows above the car's place, and columns left of it
GRASS, LIGHT, DARK, CAR = 60.0, 200.0, 150.0, 255.0  # brightness
AHEAD = (4.0, 8.0, 12.0, 18.0, 24.0)  # m: where the features tell how the road goes on
OBSERVED = ("pixels", "features")
# What the five discrete actions do: (steering, pedal). To the left is positive; a pedal below 0 brakes.
CONTROLS = ((0.0, 0.0), (1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0))


class Driving(NamedTuple):
    shape: Array  # [2, 3] cosines and sines of the road's waves, as shares of the radius
    way: Array  # 1: round anticlockwise is forward; -1: clockwise
    place: Array  # [2] m from the middle
    heading: Array  # rad, anticlockwise from x
    speed: Array  # m/s
    time: Array  # env steps since the episode began
    past: Any  # [32, 32, frames - 1] the frames before; (): none is observed


class Track(Env):
    """Drive a car round a closed road, as far as it gets in 20 seconds. Each episode has a road of its own.

    *Road.* Its middle is at the distance 30 m (1 + Σ a_k cos kφ + b_k sin kφ), k = 2, 3, 4, from the origin in the
    direction φ. How far a place is from it, `away` says: the difference along the ray, divided by the slope's length.
    Up to 4 m is road, the rest is grass. The car starts in the middle of the road and looks along it to within 0.2 rad,
    one way round or the other, which is the way forward then. It starts with 4 to 8 m/s.

    *Car.* An env step is 0.1 s. The pedal accelerates by 6 m/s² or brakes by 10 m/s², and drag takes 0.2 v from that,
    on the grass 1 v; the speed stays in [0, 20] m/s. Then the car turns with steering · min(v / 6 m, 8 m/s² / v) rad/s:
    curves have a radius of at least 6 m, and who is fast cannot turn as sharply. Then it moves straight.

    *Actions.* `actions="discrete"`: 0 nothing, 1 left, 2 right, 3 accelerate, 4 brake. `actions="continuous"`:
    [steering, pedal] in [-1, 1].

    *Reward.* 10 · (angle gone forward) / 2π, so a lap is worth 10, if the car is on the road before and after the env
    step; otherwise no way counts. And -0.1 if it is on the grass after it. A car that is more than 10 m from the road's
    middle is lost, which terminates the episode. After 200 env steps the time is up, which truncates it.

    *Observations.* `obs="pixels"`: the newest `frames` frames [32, 32, frames] of bytes, the newest last, the first one
    repeated at the beginning. A pixel is 1 m; the car is at row 24 of column 16 and looks up. A frame is drawn from the
    road and the car's place and heading alone, so one frame does not show the speed; stripes on the road tell it from
    one frame to the next. `obs="features"`: 14 numbers, as `features` lists them, the speed among them.
    """

    LIMIT, DT, LOST = 200, 0.1, 10.0  # env steps of an episode, s per env step, m from the road's middle
    costly_reset = True  # a first frame costs as much as an env step

    def __init__(self, obs: str = "pixels", actions: str = "discrete", frames: int = 1):
        if obs not in OBSERVED:
            raise ConfigError(unknown("obs", str(obs), OBSERVED))
        if actions not in ("discrete", "continuous"):
            raise ConfigError(unknown("actions", str(actions), ("discrete", "continuous")))
        if isinstance(frames, bool) or frames not in range(1, 5):
            raise ConfigError(f"frames must be a whole number from 1 to 4, not {frames!r}")
        if obs == "features" and frames > 1:
            raise ConfigError("obs=features has no frames: leave out frames, or observe pixels")
        self.obs, self.actions, self.frames = obs, actions, frames
        self.name = f"Track?obs={obs}&actions={actions}&frames={frames}"
        pixels = Box.of(0, 255, (PIXELS, PIXELS, frames), "uint8")
        self.observation_space = pixels if obs == "pixels" else Box.of(-np.inf, np.inf, (4 + 2 * len(AHEAD),))
        self.action_space = Discrete(len(CONTROLS)) if actions == "discrete" else Box.of(-1.0, 1.0, (2,))

    def reset(self, key: Array) -> tuple[Driving, Array]:
        drawn = jax.random.uniform(key, (10,))
        size, turn, (angle, side, lean, swift) = drawn[:3], drawn[3:6], drawn[6:]
        turn = 2 * math.pi * turn
        shape = jnp.array(SIZES) * size * jnp.stack([jnp.cos(turn), jnp.sin(turn)])
        way = jnp.where(side < 0.5, -1.0, 1.0)
        place, along = middle(shape, 2 * math.pi * angle)
        heading = jnp.arctan2(way * along[1], way * along[0]) + 0.4 * (lean - 0.5)
        speed = 4.0 + 4.0 * swift
        state = Driving(shape, way, place, heading, speed, jnp.int32(0), ())
        if self.frames > 1:
            first = frame(shape, place, heading)[..., None]
            state = state._replace(past=jnp.tile(first, self.frames - 1))
        return state, self.observe(state)

    def observe(self, state: Driving) -> Array:
        """Return what is seen of a state: [32, 32, frames] bytes, or [14] features."""
        if self.obs == "features":
            return features(state)
        newest = frame(state.shape, state.place, state.heading)[..., None]
        return newest if self.frames == 1 else jnp.concatenate([state.past, newest], -1)

    def step(self, state: Driving, action: Array, key: Array) -> tuple[Driving, Transition]:
        steering, pedal = (
            jnp.array(CONTROLS)[action] if self.actions == "discrete" else jnp.clip(action, -1, 1)
        )
        before = away(state.shape, state.place) <= HALF
        drag = jnp.where(before, 0.2, 1.0) * state.speed
        push = jnp.where(pedal > 0, 6.0, 10.0) * pedal - drag
        speed = jnp.clip(state.speed + self.DT * push, 0.0, 20.0)
        heading = state.heading + self.DT * steering * jnp.minimum(
            speed / 6.0, 8.0 / jnp.maximum(speed, 1e-3)
        )
        place = state.place + self.DT * speed * jnp.stack([jnp.cos(heading), jnp.sin(heading)])
        off = away(state.shape, place)
        on_road = off <= HALF
        forward = jnp.where(before & on_road, state.way * between(state.place, place), 0.0)
        reward = 10 * forward / (2 * math.pi) - 0.1 * ~on_road
        after = Driving(state.shape, state.way, place, heading, speed, state.time + 1, state.past)
        obs = self.observe(after)
        if self.frames > 1:
            after = after._replace(past=obs[..., 1:])
        return after, Transition(obs, reward, off > self.LOST, after.time >= self.LIMIT)


# --- the road ---------------------------------------------------------------------------------------------------------


def waves(shape: Array, cos: Array, sin: Array) -> tuple[Array, Array]:
    """Return the road's distance from the origin and its derivative by φ, [...] m, from cos φ and sin φ."""
    one, slope, (c, s) = jnp.ones_like(cos), jnp.zeros_like(cos), (cos, sin)
    for i, k in enumerate(WAVES):
        c, s = c * cos - s * sin, s * cos + c * sin  # cos kφ and sin kφ
        one = one + shape[0, i] * c + shape[1, i] * s
        slope = slope + k * (shape[1, i] * c - shape[0, i] * s)
    return RADIUS * one, RADIUS * slope


def polar(place: Array) -> tuple[Array, Array, Array]:
    """Return the distance from the origin, at least 1 mm, and cosine and sine of the direction of places [..., 2]."""
    x, y = place[..., 0], place[..., 1]
    distance = jnp.maximum(jnp.sqrt(x * x + y * y), 1e-3)
    return distance, x / distance, y / distance


def away(shape: Array, place: Array) -> Array:
    """Return how far places [..., 2] are from the road's middle, [...] m: exactly on a straight road, else nearly."""
    distance, cos, sin = polar(place)
    there, slope = waves(shape, cos, sin)
    return jnp.abs(distance - there) / jnp.sqrt(1 + (slope / there) ** 2)


def middle(shape: Array, angle: Array) -> tuple[Array, Array]:
    """Return the place [..., 2] of the road's middle in a direction, and the unit vector [..., 2] along it."""
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    there, slope = waves(shape, cos, sin)
    along = jnp.stack([slope * cos - there * sin, slope * sin + there * cos], -1)
    return jnp.stack([there * cos, there * sin], -1), along / jnp.linalg.norm(along, axis=-1, keepdims=True)


def between(a: Array, b: Array) -> Array:
    """Return the angle from a to b [..., 2], as seen from the origin, in [-π, π]."""
    return jnp.arctan2(a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0], (a * b).sum(-1))


# --- what is seen -----------------------------------------------------------------------------------------------------


def frame(shape: Array, place: Array, heading: Array) -> Array:
    """Draw what lies around the car, [32, 32] bytes: what is in front of it is above, what is left of it is left.

    A pixel has the brightness of its centre's place, with edges that are blurred over 1 m, so a road that is shifted by
    less than a pixel looks different. The road has dark stripes across it, one half of its length, evenly by angle.
    """
    rows, columns = jnp.arange(PIXELS, dtype=jnp.float32)[:, None], jnp.arange(PIXELS, dtype=jnp.float32)
    front, left = ABOVE - rows, LEFT - columns
    cos, sin = jnp.cos(heading), jnp.sin(heading)
    seen = jnp.stack([place[0] + cos * front - sin * left, place[1] + sin * front + cos * left], -1)
    distance, c, s = polar(seen)
    there, slope = waves(shape, c, s)
    off = jnp.abs(distance - there) / jnp.sqrt(1 + (slope / there) ** 2)
    for _ in range(int(math.log2(STRIPES))):
        c, s = c * c - s * s, 2 * c * s  # of twice the angle
    bright = jnp.clip(0.5 + 2 * c, 0.0, 1.0)
    road = jnp.clip(0.5 + HALF - off, 0.0, 1.0)
    level = GRASS + road * (DARK + (LIGHT - DARK) * bright - GRASS)
    car = (jnp.abs(front) <= 1.5) & (jnp.abs(left) <= 1.0)
    return jnp.rint(jnp.where(car, CAR, level)).astype(jnp.uint8)


def features(state: Driving) -> Array:
    """Return 14 numbers: speed / 20 m/s, how far left of the road's middle / 4 m, cosine and sine of the angle by which
    the car looks left of the way forward; and 5 times where the road's middle is, 4, 8, 12, 18 and 24 m ahead as
    measured at the mean radius: how far in front of the car and how far left of it, / 24 m.
    """
    distance, cos, sin = polar(state.place)
    there, slope = waves(state.shape, cos, sin)
    _, along = middle(state.shape, jnp.arctan2(sin, cos))
    along = state.way * along
    look = jnp.stack([jnp.cos(state.heading), jnp.sin(state.heading)])
    outward = (distance - there) / jnp.sqrt(
        1 + (slope / there) ** 2
    )  # to the right of who drives anticlockwise
    lean = jnp.stack([(look * along).sum(), along[0] * look[1] - along[1] * look[0]])
    points, _ = middle(state.shape, jnp.arctan2(sin, cos) + state.way * jnp.array(AHEAD) / RADIUS)
    to = (points - state.place) / AHEAD[-1]
    front, left = to @ look, to @ jnp.stack([-look[1], look[0]])
    own = jnp.stack([state.speed / 20.0, -state.way * outward / HALF])
    return jnp.concatenate([own, lean, jnp.stack([front, left], -1).ravel()])
