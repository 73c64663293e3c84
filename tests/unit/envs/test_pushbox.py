"""Pushes are those of a plain simulation, and every level has a solution, which a search finds."""

from collections import deque
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from swingup.envs import make
from swingup.envs.models import exact
from swingup.envs.pushbox import PushBox, Pushing, level, push
from swingup.errors import ConfigError
from swingup.types import Seen, Transition

LEVELS = 200
MOVES = {0: (-1, 0), 1: (0, 1), 2: (1, 0), 3: (0, -1)}  # up, right, down, left, as its docstring says
PUSH, STEP = jax.jit(jax.vmap(push)), jax.jit(PushBox().step)


class Board(NamedTuple):
    """This is a level in plain Python: sets of (row, column)."""

    wall: frozenset
    goal: frozenset
    box: frozenset
    agent: tuple[int, int]


def board_of(planes: np.ndarray) -> Board:
    wall, goal, box, agent = ({(int(r), int(c)) for r, c in np.argwhere(planes[..., i])} for i in range(4))
    assert len(agent) == 1
    return Board(frozenset(wall), frozenset(goal), frozenset(box), agent.pop())


def played(board: Board, action: int) -> tuple[Board, float, bool]:
    """One env step, as the docstring of `PushBox` tells it."""
    down, right = MOVES[action]
    ahead = board.agent[0] + down, board.agent[1] + right
    behind = ahead[0] + down, ahead[1] + right
    after = board
    if ahead in board.box:
        if behind not in board.wall | board.box:
            after = board._replace(box=board.box - {ahead} | {behind}, agent=ahead)
    elif ahead not in board.wall:
        after = board._replace(agent=ahead)
    solved = after.box <= after.goal
    reward = -0.1 + len(after.box & after.goal) - len(board.box & board.goal) + 10 * solved
    return after, reward, solved


def solution(board: Board) -> int | None:
    """The number of env steps of the shortest solution, by a search in breadth; None: there is none."""
    seen, queue = {(board.agent, board.box)}, deque([(board, 0)])
    while queue:
        now, length = queue.popleft()
        for action in MOVES:
            after, _, solved = played(now, action)
            if solved:
                return length + 1
            if (after.agent, after.box) not in seen:
                seen.add((after.agent, after.box))
                queue.append((after, length + 1))
    return None


@pytest.fixture(scope="module", params=[1, 2], ids=["one box", "two boxes"])
def levels(request) -> tuple[int, np.ndarray]:
    """The number of boxes, and levels [LEVELS, 7, 7, 4]."""
    env = PushBox(request.param)
    draw = jax.jit(jax.vmap(lambda key: level(key, env.boxes, env.most)))
    return request.param, np.asarray(draw(jax.random.split(jax.random.key(0), LEVELS)))


def test_every_level_has_a_solution_within_the_time(levels) -> None:
    boxes, planes = levels
    env = PushBox(boxes)
    lengths = [solution(board_of(p)) for p in planes[: 200 // boxes]]
    assert None not in lengths
    assert max(filter(None, lengths)) <= env.most < env.limit
    assert np.median(np.array(lengths, int)) >= 5  # they are puzzles: random walks seldom solve them


def test_levels_are_whole_and_not_solved(levels) -> None:
    boxes, planes = levels
    assert planes.dtype == np.uint8
    assert planes.max() == 1
    assert len(np.unique(planes.reshape(LEVELS, -1), axis=0)) > 0.9 * LEVELS
    np.testing.assert_array_equal(planes.sum((1, 2))[:, 1:], np.tile([boxes, boxes, 1], (LEVELS, 1)))
    edge = np.ones((7, 7), bool)
    edge[1:-1, 1:-1] = False
    assert planes[:, edge, 0].all()
    assert not planes[:, edge, 1:].any()
    inner = planes[:, ~edge, 0].sum(1)
    assert set(inner) == {0, 1, 2, 3}
    walls, goal, box, agent = np.moveaxis(planes, -1, 0).astype(bool)
    assert not (walls & (goal | box | agent)).any()
    assert not (box & agent).any()
    assert (box & ~goal).any((1, 2)).all()
    assert goal[:, 1:-1, 1:-1].any(0).sum() >= 20  # of 25: five are missed together once in 10^14


def test_pushes_are_those_of_a_plain_simulation(levels) -> None:
    rng = np.random.default_rng(0)
    boards = [board_of(p) for p in levels[1][:64]]
    seen, actions, expected = [], [], []
    for board in boards:
        for action in rng.integers(0, 4, 30):
            after, reward, solved = played(board, int(action))
            seen.append(board)
            actions.append(action)
            expected.append((after, reward, solved))
            board = after
    planes, reward, solved = PUSH(jnp.array([planes_of(b) for b in seen]), jnp.array(actions))
    np.testing.assert_array_equal(planes, [planes_of(b) for b, _, _ in expected])
    np.testing.assert_allclose(reward, [r for _, r, _ in expected], rtol=1e-6)
    np.testing.assert_array_equal(solved, [s for _, _, s in expected])
    pushed = sum(a.box != b.box for a, (b, _, _) in zip(seen, expected, strict=True))
    blocked = sum(a == b for a, (b, _, _) in zip(seen, expected, strict=True))
    assert min(pushed, blocked) > 50


def planes_of(board: Board) -> np.ndarray:
    planes = np.zeros((7, 7, 4), np.uint8)
    for i, cells in enumerate((board.wall, board.goal, board.box, {board.agent})):
        for cell in cells:
            planes[*cell, i] = 1
    return planes


def pushed_right(column: int, time: int) -> tuple[Pushing, Transition]:
    """Push a box to the right, whose goal is in this column, after `time` env steps."""
    planes = np.zeros((7, 7, 4), np.uint8)
    planes[..., 0] = 1
    planes[1:-1, 1:-1, 0] = 0
    planes[3, column, 1] = planes[3, 3, 2] = planes[3, 2, 3] = 1
    return STEP(Pushing(jnp.array(planes), jnp.int32(time)), jnp.int32(1), jax.random.key(0))


def test_the_time_truncates_and_the_solution_terminates() -> None:
    ends = {}
    for name, column, time in (("on", 5, 0), ("late", 5, 39), ("solved", 4, 0), ("early", 5, 38)):
        state, t = pushed_right(column, time)
        assert int(state.time) == time + 1
        ends[name] = bool(t.terminated), bool(t.truncated), round(float(t.reward), 3)
    assert ends == {
        "on": (False, False, -0.1),
        "early": (False, False, -0.1),
        "late": (False, True, -0.1),
        "solved": (True, False, 10.9),
    }


def test_the_exact_model_goes_on_from_observations(levels) -> None:
    """What is observed is the state but for the time, so the model needs no more: its answers are the rules'."""
    obs, actions = levels[1][:64], np.arange(64) % 4
    model = exact(make(f"task:PushBox?boxes={levels[0]}", 64))
    start = model.start(Seen(jnp.array(obs)))
    np.testing.assert_array_equal(start.planes, obs)
    _, imagined = jax.jit(model.step)(start, jnp.array(actions), model.draw(jax.random.key(2), (64,)))
    wanted = [played(board_of(planes), int(action)) for planes, action in zip(obs, actions, strict=True)]
    np.testing.assert_array_equal(imagined.obs, [planes_of(board) for board, _, _ in wanted])
    np.testing.assert_allclose(imagined.reward, [reward for _, reward, _ in wanted], rtol=1e-6)
    np.testing.assert_array_equal(imagined.terminated, [solved for _, _, solved in wanted])


@pytest.mark.parametrize("boxes", [0, 3, 1.5, "two", True])
def test_other_numbers_of_boxes_are_refused(boxes) -> None:
    with pytest.raises(ConfigError, match="boxes must be 1 or 2"):
        PushBox(boxes)
