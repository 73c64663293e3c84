"""The car drives as a plain simulation does, and frames are those of a slow drawing, pixel by pixel."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from swingup.envs.track import CONTROLS, Driving, Track, features, frame
from swingup.errors import ConfigError

ROWS = 256
CAR = Track(obs="features", actions="continuous")
FRAMES, FEATURES = jax.jit(jax.vmap(frame)), jax.jit(jax.vmap(features))
STEP = jax.jit(jax.vmap(CAR.step))
KEYS = jax.random.split(jax.random.key(0), ROWS)


# --- what the docstring says, once more, in double precision ----------------------------------------------------------


def road_at(shape, angle):
    """The distance from the origin in a direction, and its slope: dr/dφ / r."""
    waves = list(zip((2, 3, 4), *np.asarray(shape, float), strict=True))
    r = 1 + sum(a * np.cos(k * angle) + b * np.sin(k * angle) for k, a, b in waves)
    dr = sum(k * (b * np.cos(k * angle) - a * np.sin(k * angle)) for k, a, b in waves)
    return 30 * r, dr / r


def off(shape, x, y):
    """How far a place is from the road's middle, to the left of who drives clockwise."""
    r, slope = road_at(shape, np.arctan2(y, x))
    return (np.hypot(x, y) - r) / np.hypot(1, slope)


def driven(shape, way, x, y, heading, speed, steering, pedal):
    """Where the car is, looks and how fast it is after an env step; the reward and whether it is lost."""
    on = abs(off(shape, x, y)) <= 4
    drag = (0.2 if on else 1.0) * speed
    speed = min(20, max(0, speed + 0.1 * ((6 if pedal > 0 else 10) * pedal - drag)))
    heading += 0.1 * steering * (min(speed / 6, 8 / speed) if speed else 0)
    before = math.atan2(y, x)
    x, y = x + 0.1 * speed * math.cos(heading), y + 0.1 * speed * math.sin(heading)
    gone = way * math.remainder(math.atan2(y, x) - before, 2 * math.pi)
    away = abs(off(shape, x, y))
    reward = (10 * gone / (2 * math.pi) if on and away <= 4 else 0) - (0 if away <= 4 else 0.1)
    return x, y, heading, speed, reward, away > 10


def drawing(shape, x, y, heading) -> np.ndarray:
    picture = np.zeros((32, 32))
    for row, column in np.ndindex(32, 32):
        front, left = 24 - row, 16 - column
        there = complex(x, y) + complex(front, left) * complex(math.cos(heading), math.sin(heading))
        bright = min(1, max(0, 0.5 + 2 * math.cos(16 * math.atan2(there.imag, there.real))))
        road = min(1, max(0, 4.5 - abs(off(shape, there.real, there.imag))))
        picture[row, column] = 60 + road * (150 + 50 * bright - 60)
        if abs(front) <= 1.5 and abs(left) <= 1:
            picture[row, column] = 255
    return picture


@pytest.fixture(scope="module")
def cars() -> Driving:
    """Cars on and beside their roads, [ROWS]."""
    rng = np.random.default_rng(0)
    state, _ = jax.jit(jax.vmap(CAR.reset))(KEYS)
    place = np.asarray(state.place) + rng.normal(0, 4, (ROWS, 2)).astype(np.float32)
    heading = rng.uniform(-7, 7, ROWS).astype(np.float32)
    speed = (rng.uniform(0, 20, ROWS) * (rng.random(ROWS) > 0.1)).astype(np.float32)
    return jax.tree.map(np.asarray, state._replace(place=place, heading=heading, speed=speed))


def test_cars_start_in_the_middle_of_the_road_and_look_along_it() -> None:
    state, _ = jax.jit(jax.vmap(CAR.reset))(KEYS)
    rows = list(zip(*map(np.asarray, (state.shape, state.place, state.way, state.heading)), strict=True))
    np.testing.assert_allclose([off(shape, *place) for shape, place, _, _ in rows], 0, atol=1e-3)
    for shape, place, way, heading in rows:
        angle = math.atan2(place[1], place[0])
        _, slope = road_at(shape, angle)
        along = np.exp(1j * angle) * complex(slope, 1) * way  # d/dφ of r e^iφ
        assert abs(np.angle(along * np.exp(-1j * float(heading)))) < 0.201
    assert 64 < np.sum(np.asarray(state.way) > 0) < 192  # of 256: outside once in 10^15
    speed = np.asarray(state.speed)
    assert 4 <= speed.min() < 4.5
    assert 7.5 < speed.max() <= 8


def test_the_car_drives_as_a_plain_simulation_does(cars: Driving) -> None:
    rng = np.random.default_rng(1)
    actions = np.array(CONTROLS)[rng.integers(0, 5, ROWS)] * rng.uniform(0, 1.5, (ROWS, 1))
    actions = actions.astype(np.float32)
    after, t = STEP(cars, actions, KEYS)
    rows = zip(
        cars.shape, cars.way, *cars.place.T, cars.heading, cars.speed, *np.clip(actions, -1, 1).T, strict=True
    )
    wanted = np.array([driven(shape, *map(float, rest)) for shape, *rest in rows])
    got = np.column_stack([*after.place.T, after.heading, after.speed, t.reward, t.terminated])
    places = np.stack([cars.place, wanted[:, :2]], 1)
    away = np.array([np.abs(off(s, *p.T)) for s, p in zip(cars.shape, places, strict=True)])
    clear = np.min([abs(away - 4), abs(away - 10)], (0, 2)) > 1e-3  # at a border rounding decides
    np.testing.assert_allclose(got[clear], wanted[clear], atol=2e-4)
    assert clear.sum() > 0.95 * ROWS
    assert min(wanted[:, 5].sum(), (wanted[:, 4] > 0).sum(), (wanted[:, 4] < -0.1).sum()) > 1


def test_frames_are_those_of_a_slow_drawing(cars: Driving) -> None:
    fast = np.asarray(FRAMES(cars.shape, cars.place, cars.heading), float)[:8]
    rows = zip(cars.shape, cars.place, cars.heading, strict=True)
    slow = np.array([drawing(s, *map(float, (*p, h))) for _, (s, p, h) in zip(range(8), rows, strict=False)])
    assert np.abs(fast - slow).max() <= 1.0  # half a level is rounding's, the rest that of 32 bits
    assert {60, 255} <= set(fast.ravel().astype(int))


def test_a_road_mirrored_is_a_frame_mirrored(cars: Driving) -> None:
    """And of the features those change their sign that tell left from right."""
    mirror = np.array([1, -1], np.float32)
    twins = cars._replace(
        shape=cars.shape * mirror[:, None], way=-cars.way, place=cars.place * mirror, heading=-cars.heading
    )
    one, other = (np.asarray(FRAMES(c.shape, c.place, c.heading), int) for c in (cars, twins))
    assert np.abs(one[:, :, 1:] - other[:, :, :0:-1]).max() <= 1  # the car is in column 16
    sides = np.array([1, -1, 1, -1, *[1, -1] * 5])
    np.testing.assert_allclose(FEATURES(twins), FEATURES(cars) * sides, atol=1e-4)


def test_features_tell_where_the_road_is(cars: Driving) -> None:
    """From what is ahead the places on the road come again, by the car's own place."""
    seen = np.asarray(FEATURES(cars), float)
    np.testing.assert_allclose(seen[:, 0], cars.speed / 20, rtol=1e-6)
    for row, shape, way, place, heading in zip(
        seen, cars.shape, cars.way, cars.place, cars.heading.astype(float), strict=True
    ):
        own = complex(*place)
        _, slope = road_at(shape, np.angle(own))
        np.testing.assert_allclose(row[1], -way * off(shape, *place) / 4, atol=1e-4)
        along = own / abs(own) * complex(slope, 1) * way
        lean = np.exp(1j * heading) * np.conj(along / abs(along))
        np.testing.assert_allclose(row[2:4], [lean.real, lean.imag], atol=1e-4)
        ahead = own + 24 * (row[4::2] + 1j * row[5::2]) * np.exp(1j * heading)
        angles = np.angle(ahead * np.conj(own))
        np.testing.assert_allclose(angles, way * np.array([4, 8, 12, 18, 24]) / 30, atol=1e-4)
        np.testing.assert_allclose(off(shape, ahead.real, ahead.imag), 0, atol=1e-3)


def test_one_frame_does_not_show_the_speed_and_two_do(cars: Driving) -> None:
    """A state has the same frame at any speed; after an env step the next frame tells it."""
    two = Track(frames=2)
    state, obs = jax.jit(two.reset)(KEYS[0])
    np.testing.assert_array_equal(obs[..., 0], obs[..., 1])
    observe, step = jax.jit(Track().observe), jax.jit(partial(two.step, key=KEYS[0]))
    for speed in (0.0, 20.0):
        one = observe(state._replace(speed=jnp.float32(speed)))
        assert one.shape == (32, 32, 1)
        np.testing.assert_array_equal(one[..., 0], obs[..., 0])
    answers = [step(state._replace(speed=jnp.float32(v)), jnp.int32(0)) for v in (3.0, 15.0)]
    for after, t in answers:
        np.testing.assert_array_equal(t.obs[..., 0], obs[..., 0])
        np.testing.assert_array_equal(after.past[..., 0], t.obs[..., 1])
    assert np.mean(answers[0][1].obs[..., 1] != answers[1][1].obs[..., 1]) > 0.05


def test_a_lap_is_worth_10_either_way(cars: Driving) -> None:
    """A car is put on the middle of the road at each of 256 places, and goes to the next one."""
    angles = np.linspace(0, 2 * math.pi, ROWS + 1)
    places = road_at(cars.shape[0], angles)[0] * np.exp(1j * angles)
    gone = np.diff(places)
    where = np.column_stack([np.real(places), np.imag(places)])[:-1]
    speed = abs(gone) / 0.1 / 0.98  # drag takes 2 % of it
    shapes, ways = np.tile(cars.shape[:1], (ROWS, 1, 1)), np.ones(ROWS)
    rows = (np.asarray(x, np.float32) for x in (shapes, ways, where, np.angle(gone), speed))
    state = cars._replace(**dict(zip(("shape", "way", "place", "heading", "speed"), rows, strict=True)))
    for way in (1, -1):
        _, t = STEP(state._replace(way=way * state.way), np.zeros((ROWS, 2), np.float32), KEYS)
        assert float(t.reward.sum()) == pytest.approx(10 * way, rel=1e-3)


def test_how_far_the_road_is_nearly_the_true_distance(cars: Driving) -> None:
    """For places within 4 m of it: by the nearest of 4,000 points of the middle."""
    angles, rng = np.linspace(0, 2 * math.pi, 4_001), np.random.default_rng(0)
    for shape in cars.shape[:40]:
        points = road_at(shape, angles)[0] * np.exp(1j * angles)
        places = points[::200] + rng.uniform(-3, 3, (2, 21)).T @ [1, 1j]
        true = abs(places[:, None] - points).min(1)
        near = true < 4
        claimed = abs(off(shape, np.real(places), np.imag(places)))
        np.testing.assert_allclose(claimed[near], true[near], rtol=0.2, atol=0.1)


def test_the_time_truncates_and_being_lost_terminates(cars: Driving) -> None:
    state, _ = jax.jit(jax.vmap(CAR.reset))(KEYS)
    time = np.arange(ROWS, dtype=np.int32)
    for lost in (False, True):
        place = state.place * (1.6 if lost else 1.0)
        after, t = STEP(state._replace(time=time, place=place), np.zeros((ROWS, 2), np.float32), KEYS)
        np.testing.assert_array_equal(after.time, time + 1)
        np.testing.assert_array_equal(t.truncated, time >= 199)
        np.testing.assert_array_equal(t.terminated, lost)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"obs": "pixel"}, "did you mean 'pixels'"),
        ({"actions": "both"}, "actions"),
        ({"frames": 0}, "frames must be a whole number from 1 to 4"),
        ({"frames": True}, "frames must be"),
        ({"obs": "features", "frames": 2}, "has no frames"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message) -> None:
    with pytest.raises(ConfigError, match=message):
        Track(**options)
