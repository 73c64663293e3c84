"""Boxes are pushed onto goals, and a wrong push cannot be taken back: a puzzle that is seen as planes."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from swingup.envs.tabular import MOVES
from swingup.errors import ConfigError
from swingup.protocols import Env
from swingup.spaces import Box, Discrete
from swingup.types import Transition

SIDE, PLANES = 7, ("wall", "goal", "box", "agent")
WALL, GOAL, BOX, AGENT = range(4)
SLOTS = 3  # walls inside the room, at most


class Pushing(NamedTuple):
    planes: Array  # [7, 7, 4] of 0 and 1: what is observed, and all but the time
    time: Array  # env steps since the episode began


class PushBox(Env):
    """Push every box onto a goal, in a room of 5x5 cells with walls around and up to three inside.

    It is a small Sokoban, with the rewards that I2A's paper gives (Weber et al. 2017, arXiv:1707.06203): -0.1 per env
    step, 1 for a box that comes onto a goal, -1 for one that leaves it, and 10 for the env step after which every box
    is on a goal. That terminates the episode; after 40 env steps per box the time is up, which does not.

    The actions are up, right, down and left. The agent moves by one cell, unless a wall is there. A box that is there
    is pushed by one cell, if neither a wall nor a box is behind it; if one is, nothing moves. Nobody can pull, so a box
    in a corner stays there for good.

    The observation [7, 7, 4] has a plane of zeros and ones for each of walls, goals, boxes and the agent, the room's
    own walls included. It is the state but for the time, so `state_of` turns it back, and `envs.models.Exact` looks
    ahead from observations alone.

    Each episode has a level of its own. It is made backwards from its solution: boxes stand on their goals, and the
    agent walks and pulls. So there is a solution of at most 30 env steps per box. `boxes` is 1 or 2.
    """

    costly_reset = True  # a level is more work than all env steps of an episode

    def __init__(self, boxes: int = 1):
        if boxes not in (1, 2) or isinstance(boxes, bool):
            raise ConfigError(f"boxes must be 1 or 2, not {boxes!r}")
        self.boxes, self.limit, self.most = boxes, 40 * boxes, 30 * boxes
        self.name = f"PushBox?boxes={boxes}"
        self.observation_space = Box.of(0, 1, (SIDE, SIDE, len(PLANES)), "uint8")
        self.action_space = Discrete(len(MOVES))

    def reset(self, key: Array) -> tuple[Pushing, Array]:
        planes = level(key, self.boxes, self.most)
        return Pushing(planes, jnp.int32(0)), planes

    def state_of(self, obs: Array) -> Pushing:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Return the state that is observed as [7, 7, 4], as if its episode began now."""
        return Pushing(obs, jnp.int32(0))

    def step(self, state: Pushing, action: Array, key: Array) -> tuple[Pushing, Transition]:
        planes, reward, solved = push(state.planes, action)
        after = Pushing(planes, state.time + 1)
        return after, Transition(planes, reward, solved, after.time >= self.limit)


def push(planes: Array, action: Array) -> tuple[Array, Array, Array]:
    """Move the agent of a level [7, 7, 4]; return the level after it, the reward [], and whether it is solved now [].

    Only planes are shifted and compared, so a level that a model has garbled, with two agents or none, has an answer
    too. It is solved when no box is beside a goal.
    """
    wall, goal, box, agent = (planes[..., i] > 0 for i in range(len(PLANES)))
    down, right = jnp.array(MOVES)[action]

    def shifted(plane: Array) -> Array:
        return jnp.roll(plane, (down, right), (0, 1))

    ahead = shifted(agent)
    pushed = ahead & box
    stuck = (shifted(pushed) & (wall | box)).any()
    blocked = (ahead & wall).any() | stuck
    box_after = jnp.where(blocked, box, (box & ~pushed) | shifted(pushed))
    agent_after = jnp.where(blocked, agent, ahead)
    done = ~(box_after & ~goal).any()
    gained = (box_after & goal).sum() - (box & goal).sum()
    reward = gained.astype(jnp.float32) - 0.1 + 10.0 * done
    after = jnp.stack([wall, goal, box_after, agent_after], -1).astype(planes.dtype)
    return after, reward, done


# --- levels -----------------------------------------------------------------------------------------------------------


class Way(NamedTuple):
    """This is a level on its way back from the solution, and the farthest that the boxes have been."""

    agent: Array  # [2] row and column
    boxes: Array  # [B, 2]
    length: Array  # env steps from here to the solution, at most
    farthest: (
        Array  # 100 per box that was on no goal, and the cells between boxes and their goals; -1 at first
    )
    best: tuple[Array, Array, Array]  # agent, boxes and length then


@partial(jax.jit, static_argnums=(1, 2))  # so that a reset outside of a compiled program compiles it once
def level(key: Array, boxes: int, most: int) -> Array:
    """Make a level that is not solved, and can be in at most `most` env steps: planes [7, 7, 4] of bytes.

    Six times per box the agent walks to a side of a box, which is drawn from those that it can reach, and pulls the box
    by one cell. The first pull leaves a goal for a cell that is none; and a later position replaces that one only if
    boxes are as far from their goals there. At last the agent walks to a place that is drawn.
    """
    k_room, k_pulls, k_end = jax.random.split(key, 3)
    wall, goals, first = room(k_room, boxes)
    moves = jnp.array(MOVES)
    wish = jax.random.uniform(k_pulls, (6 * boxes, boxes, len(MOVES))).at[0, 0, first].set(2.0)
    beside = goals[0] + moves[first]
    start = Way(beside, goals, jnp.int32(0), jnp.int32(-1), (beside, goals, jnp.int32(0)))

    def back(way: Way, wish: Array) -> tuple[Way, None]:
        free = empty(wall, way.boxes)
        walk = distances(free, way.agent)
        stand = way.boxes[:, None] + moves  # [B, 4, 2]
        beyond = jnp.clip(stand + moves, 0, SIDE - 1)
        length = way.length + walk[stand[..., 0], stand[..., 1]] + 1
        possible = free[beyond[..., 0], beyond[..., 1]] & (length <= most)
        box, side = jnp.divmod(jnp.argmax(wish + 10 * possible), len(MOVES))
        pulled = way.boxes.at[box].set(stand[box, side])
        moved = Way(beyond[box, side], pulled, length[box, side], way.farthest, way.best)
        way = jax.tree.map(lambda new, old: jnp.where(possible[box, side], new, old), moved, way)
        off = ~(way.boxes[:, None] == goals).all(-1).any(-1)
        far = 100 * off.sum() + jnp.abs(way.boxes - goals).sum()
        there = way.agent, way.boxes, way.length
        best = jax.tree.map(lambda new, old: jnp.where(far >= way.farthest, new, old), there, way.best)
        return way._replace(farthest=jnp.maximum(far, way.farthest), best=best), None

    agent, stood, length = jax.lax.scan(back, start, wish)[0].best
    near = length + distances(empty(wall, stood), agent) <= most
    place = jnp.argmax(jax.random.uniform(k_end, near.shape) + near)
    agent = jnp.stack(jnp.divmod(place, SIDE))
    blank = jnp.zeros((SIDE, SIDE), jnp.uint8)
    there = [blank.at[cells[:, 0], cells[:, 1]].set(1) for cells in (goals, stood, agent[None])]
    return jnp.stack([wall.astype(jnp.uint8), *there], -1)


def empty(wall: Array, boxes: Array) -> Array:
    """Return the cells [7, 7] where neither a wall nor one of the boxes [B, 2] is."""
    return (~wall).at[boxes[:, 0], boxes[:, 1]].set(False)


def distances(free: Array, agent: Array) -> Array:
    """Return how many env steps it takes the agent to walk to each cell, [7, 7]; 1,000 where it cannot in 16."""
    here = jnp.zeros(free.shape, bool).at[agent[0], agent[1]].set(True)

    def spread(carry: tuple[Array, Array], time: Array) -> tuple[tuple[Array, Array], None]:
        reached, first = carry
        wider = reached
        for down, right in MOVES:
            wider |= jnp.roll(reached, (down, right), (0, 1))
        wider &= free
        return (wider | reached, jnp.where(wider & ~reached, time, first)), None

    return jax.lax.scan(spread, (here, jnp.where(here, 0, 1_000)), jnp.arange(1, 17))[0][1]


def room(key: Array, boxes: int) -> tuple[Array, Array, Array]:
    """Draw walls [7, 7], goals [B, 2], and a direction [] in which the first goal's box can be pulled.

    The two cells for that, beside the goal, are free. There is always such a direction: a room of five cells has two
    free ones on one side of any cell.
    """
    k_whole, k_order, k_first = jax.random.split(key, 3)
    row, column, count = jax.random.randint(k_whole, (3,), 0, jnp.array([SIDE - 2, SIDE - 2, SLOTS + 1]))
    goal = 1 + jnp.stack([row, column])
    path = goal + jnp.arange(3)[:, None, None] * jnp.array(MOVES)  # [3, 4, 2] cells in each direction
    possible = ((path[2] >= 1) & (path[2] <= SIDE - 2)).all(-1)
    first = jnp.argmax(jax.random.uniform(k_first, (len(MOVES),)) + possible)
    wall = jnp.ones((SIDE, SIDE), bool).at[1:-1, 1:-1].set(False)
    kept = wall.at[path[:, first, 0], path[:, first, 1]].set(True)
    order = jnp.where(kept, -1.0, jax.random.uniform(k_order, wall.shape)).ravel()
    _, cells = jax.lax.top_k(order, boxes - 1 + SLOTS)
    cells = jnp.stack(jnp.divmod(cells, SIDE), -1)
    goals, slots = jnp.concatenate([goal[None], cells[: boxes - 1]]), cells[boxes - 1 :]
    return wall.at[slots[:, 0], slots[:, 1]].max(jnp.arange(SLOTS) < count), goals, first
