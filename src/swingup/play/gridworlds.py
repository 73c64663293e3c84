"""A finite MDP is drawn as a gridworld's map or a row of states, with the agent and the greedy action everywhere."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np

from swingup.envs.adapters.tabular import TableState, Tabular
from swingup.envs.tabular import MOVES, cells
from swingup.play.scenes import ACCENT, GREY, INK, PALE, TOL, WHITE, Draw, _font
from swingup.spaces import Discrete, Space

FLOOR = {"G": TOL[6], "H": INK, "C": TOL[1], "S": GREY}  # goal, hole, cliff, start
MOST = 24  # states in a row that can be told apart
CELLS = 1000  # states in a picture


def scene_of(
    env: Any, space: Space, greedy: Callable[[np.ndarray], np.ndarray]
) -> Callable[[Draw, Any, Any], None] | None:
    """Say how to draw numbered states, for `render.frame`; None for other environments, or too many states.

    `env` is a table, or any other environment, or None; `space` is what is observed: numbers without a table are
    cells in rows. `greedy` gives the actions for observations [S].
    """
    if isinstance(env, Tabular) and (env.layout or env.mdp.num_states <= MOST):
        layout = env.layout or ("." * env.mdp.num_states,)
        numbers = jnp.arange(env.mdp.num_states)
        actions = None if env.mix else greedy(np.asarray(env.observe(numbers)))
        return partial(_draw, layout, env.mdp.terminal, actions, bool(env.layout))
    if not isinstance(space, Discrete) or space.n > CELLS:
        return None
    wide = space.n if space.n <= MOST else math.ceil(math.sqrt(1.75 * space.n))
    layout = tuple("." * min(wide, space.n - start) for start in range(0, space.n, wide))
    actions = greedy(np.arange(space.n, dtype=np.int32)) if space.n <= MOST else None
    actions = None if actions is None or actions.ndim > 1 else actions  # numbers alone have room
    return partial(_draw, layout, np.zeros(space.n, bool), actions, False)


def _draw(
    layout: Sequence[str], terminal: np.ndarray, actions: Any, moves: bool, draw: Draw, obs: Any, state: Any
) -> None:
    side = min(904 / len(layout[0]), 520 / len(layout))
    left, top = 480 - side * len(layout[0]) / 2, 350 - side * len(layout) / 2
    for s, (row, column) in enumerate(cells(layout)):
        x, y, half = left + (column + 0.5) * side, top + (row + 0.5) * side, 0.47 * side
        floor = FLOOR.get(layout[row][column], TOL[6] if terminal[s] else PALE)
        draw.rounded_rectangle((x - half, y - half, x + half, y + half), side / 10, fill=floor)
        here = s == int(state.state if isinstance(state, TableState) else obs.ravel()[0])
        if here:
            draw.circle((x, y), 0.38 * side, fill=ACCENT)
        if actions is None or terminal[s]:
            continue
        if not moves:
            draw.text(
                (x, y), str(actions[s]), fill=WHITE if here else INK, font=_font(side / 2.5), anchor="mm"
            )
            continue
        down, right = (0.2 * side * step for step in MOVES[actions[s]])
        tip, tail = (x + right, y + down), (x - right / 2, y - down / 2)
        corners = [(tail[0] + turn * down, tail[1] + turn * right) for turn in (-1, 1)]
        draw.polygon([tip, *corners], fill=WHITE if here else INK)
