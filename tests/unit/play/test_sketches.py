"""What is drawn from a state stands where the state says."""

import math

import numpy as np
import pytest
from PIL import ImageColor

from swingup.envs.pushbox import PushBox, Pushing
from swingup.envs.track import Driving, Track
from swingup.play.scenes import ACCENT, GREY, INK, PALE, TOL, WHITE
from swingup.play.sketches import paint_of, road, room
from swingup.play.stage import open_stage


def colour(image, x: float, y: float) -> str:
    return "#{:02x}{:02x}{:02x}".format(*image.getpixel((round(x), round(y))))


def pixels(image, name: str) -> np.ndarray:
    """The (x, y) of all pixels of a colour, [n, 2]."""
    near = abs(np.asarray(image, int) - ImageColor.getrgb(name)) <= 24
    return np.argwhere(near.all(-1))[:, ::-1]


def test_walls_goals_boxes_and_the_agent_are_in_their_cells() -> None:
    planes = np.zeros((7, 7, 4), np.uint8)
    planes[0, :, 0] = planes[2, 4, 0] = 1
    planes[3, 2, 1] = planes[4, 4, 1] = 1
    planes[4, 4, 2] = planes[5, 1, 2] = 1
    planes[2, 5, 3] = 1
    image = room(Pushing(planes, 0), planes, "a level")  # pyright: ignore[reportArgumentType]
    assert image.size == (320, 352)
    cell = 300 / 7

    def at(row: int, column: int, aside: float = 0.0) -> str:
        return colour(image, 10 + (column + 0.5 + aside) * cell, 42 + (row + 0.5) * cell)

    assert {at(0, c) for c in range(7)} | {at(2, 4)} == {INK}
    assert at(2, 5) == ACCENT  # row 2, column 5: not the other way round
    assert at(5, 2) == at(1, 1) == at(3, 2) == PALE
    assert at(3, 2, 0.24) == TOL[6]  # a goal is a ring
    assert at(5, 1) == at(5, 1, 0.24) == TOL[1]
    assert at(4, 4) == TOL[6]  # a box on a goal is green, and its ring white
    assert at(4, 4, 0.24) == WHITE


@pytest.mark.parametrize("heading", [0.0, 2.0, -1.5])
def test_the_car_the_road_the_frame_and_the_speed(heading: float) -> None:
    place, rng = (25.0, 14.0), np.random.default_rng(0)
    shape = np.zeros((2, 3), np.float32)  # a circle of 30 m
    state = Driving(shape, 1.0, np.array(place), heading, 5.0, 0, ())  # pyright: ignore[reportArgumentType]
    obs = rng.integers(0, 256, (32, 32, 2)).astype(np.uint8)
    image = road(state, obs, "a drive")
    assert image.size == (480, 320)
    car = pixels(image, ACCENT) - [160 + 3 * place[0], 182 - 3 * place[1]]
    front = car @ [math.cos(heading), -math.sin(heading)]
    assert 6.5 < front.max() < 10  # 3 m ahead, of 3 pixels each, and 2 m behind; a tip is pale
    assert -8 < front.min() < -4
    assert abs((car @ [math.sin(heading), math.cos(heading)]).mean()) < 1
    for radius, seen in ((30, GREY), (33.5, GREY), (26.5, GREY), (35, WHITE), (25, WHITE), (0, WHITE)):
        assert colour(image, 160 - 3 * radius, 182) == seen
    right = np.asarray(image)[95:239, 326:470]  # 144 pixels of two frames, halved: the newest
    blocks = right.reshape(16, 9, 16, 9, 3).mean((1, 3, 4))
    np.testing.assert_allclose(blocks, obs[..., 1].reshape(16, 2, 16, 2).mean((1, 3)), atol=2)
    bar = pixels(image, INK)
    bar = bar[(bar[:, 1] > 240) & (bar[:, 0] > 320)]
    assert np.ptp(bar[:, 0]) == pytest.approx(144 * 5 / 20, abs=2)


def test_features_leave_the_frame_out() -> None:
    state = Driving(np.zeros((2, 3)), 1.0, np.array([30.0, 0.0]), 1.5, 20.0, 0, ())  # pyright: ignore[reportArgumentType]
    image = road(state, np.zeros(14), "")
    assert np.all(np.asarray(image)[124:240, 326:470] == 255)


def test_both_tasks_are_drawn_so() -> None:
    for name, paint in (("task:PushBox?boxes=2", room), ("task:Track?obs=features", road)):
        stage = open_stage(name, name, 1, lambda space, obs: np.zeros(len(obs), np.int32))
        assert stage.paint is paint
        assert not stage.note
    assert paint_of(PushBox()) is room
    assert paint_of(Track()) is road
    assert paint_of(None) is None
