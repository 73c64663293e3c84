"""A trained agent is watched in environments that draw themselves, or in the picture of what it observes."""

import contextlib
import os
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from inspect import signature
from typing import Any

import gymnasium
import numpy as np
from PIL import Image

from swingup.envs import canonical, make, on_host
from swingup.envs.adapters.host import HostVec
from swingup.envs.games import Game, Seated, Versus
from swingup.envs.vec import Hosted, Vec
from swingup.errors import ConfigError
from swingup.play import boards, opengl
from swingup.play.gridworlds import scene_of
from swingup.play.scenes import SCENES, captioned, frame
from swingup.play.sketches import paint_of
from swingup.play.watched import Watched
from swingup.protocols import VecEnv
from swingup.spaces import Space

OBSERVED = "its observation is drawn"
RATES = {
    "CartPole-v1": 50,
    "Pendulum-v1": 20,
    "Acrobot-v1": 15,
    "SwingUp": 20,
    "PushBox": 6,
    "Track": 10,
    "MinAtar": 12,
    "tabular:": 4,
    "brax:": 50,
}
DRAWN_BY_ENVPOOL = (
    "atari",
    "box2d",
    "classic_control",
)  # others of its suites end the process or have no pictures


@dataclass
class Stage:
    """A stage has environments to play in, and knows how one of them is drawn."""

    env: VecEnv
    paint: Callable[[Any, np.ndarray, str], Image.Image]  # its state, its observation, a caption
    fps: float
    note: str = ""  # how it is drawn, if that must be said
    alone: bool = False  # it is one environment, which can be seeded as any row of others
    watched: Watched | None = None  # what looks at the environment, if that draws itself
    close: Callable[[], None] = lambda: None  # what was opened


def open_stage(
    source: Any,
    name: str,
    num_envs: int,
    greedy: Callable[[Space, np.ndarray], np.ndarray],
    exact: bool = False,
) -> Stage:
    """Open a stage for the environments that an experiment names; never the object itself that a user passed.

    `name` is what the experiment calls them. Where one environment cannot stand for `num_envs` of them, that many
    are opened. `greedy` gives the actions, of a space, for a batch of observations; it is for the pictures of tables.
    With `exact` episodes must be those of the environment itself: no other package's is played in its place. Raises
    `ConfigError` where a picture needs what is not there, naming it.
    """
    if isinstance(source, HostVec) and source.source is not None:
        source = source.source
    if isinstance(source, str) and canonical(source).startswith("envpool:"):
        return _envpool(canonical(source), greedy, exact)
    if on_host(source):
        return _gymnasium(source, greedy)
    env = make(source, num_envs, fresh=True)
    return _host(env, "", greedy) if isinstance(env, HostVec) else _device(env, name, greedy)


def _device(env: Any, name: str, greedy: Callable) -> Stage:
    """Draw by the environment's state, if it is known how; otherwise by its observation."""
    inner = env.env if isinstance(env, Vec | Hosted) else None
    fps = next((rate for part, rate in RATES.items() if part in name), 30)
    if name.startswith("brax:"):
        with contextlib.suppress(ConfigError):  # without OpenGL its observation is drawn
            opengl.choose()
            from swingup.play.robots import Body

            body = Body(inner)
            return Stage(env, body.paint, fps, close=body.close)
    if isinstance(inner, Versus):
        return Stage(env, partial(_game, inner.game), fps)
    if (paint := paint_of(inner)) is not None:
        return Stage(env, paint, fps)
    known = name.partition(":")[2].partition("?")[0] if name.startswith(("gymnax:", "task:")) else ""
    scene = scene_of(inner, env.observation_space, partial(greedy, env.action_space))
    note = OBSERVED if name.startswith("brax:") else ""
    return Stage(env, lambda state, obs, caption: frame(known, state, obs, caption, scene), fps, note)


def _game(game: Game, seated: Seated, obs: np.ndarray, caption: str) -> Image.Image:
    """Draw a game's board if it has one, otherwise what the player sees."""
    text = game.board(seated.game)
    if not text:
        return frame("", None, obs, caption)
    return boards.picture(boards.draw(boards.cells_of(text), game.name, caption))


def _host(
    host: Any, known: str, greedy: Callable, picture: Callable[[int], Any] | None = None, fps: float = 30
) -> Stage:
    """Draw by the environment itself if it gives a picture, otherwise by its observation."""
    scene = scene_of(None, host.observation_space, partial(greedy, host.action_space))
    watched = Watched(host, picture)

    def paint(state: Any, obs: np.ndarray, caption: str) -> Image.Image:
        if watched.seen is not None:
            return captioned(watched.seen, caption)
        stage.note = "" if known in SCENES else OBSERVED
        return frame(known, None, obs, caption, scene)

    fps = min(50, max(4, fps))
    stage = Stage(host, paint, fps, "", host.num_envs == 1, watched, host.close)
    return stage


# --- Gymnasium's ------------------------------------------------------------------------------------------------------


def _gymnasium(source: Any, greedy: Callable) -> Stage:
    """Open one environment where there is a constructor or an id; of other vector environments all."""
    from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv, VectorEnv

    from swingup.envs.adapters.gymnasium import ListPool

    _without_screen()
    known = ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if isinstance(source, str):
            known = canonical(source).partition(":")[2].partition("?")[0]
            host = _by_id(canonical(source), known)
        elif isinstance(source, SyncVectorEnv | AsyncVectorEnv):
            constructor: Any = source.env_fns
            host = make(partial(_constructed, constructor[0]), 1)
        elif isinstance(source, VectorEnv):
            host = make(source, source.num_envs, fresh=True)
        else:
            theirs = isinstance(source, gymnasium.Env)
            host = make(source if theirs else partial(_constructed, source), 1, fresh=True)
    pool = host.pool  # pyright: ignore[reportAttributeAccessIssue]
    alone = isinstance(pool, ListPool)
    env = pool.envs[0] if alone else pool.env
    if not isinstance(source, str):
        with contextlib.suppress(Exception):  # what is only told later to draw itself, may do so
            env.unwrapped.render_mode = env.unwrapped.render_mode or "rgb_array"
        if "mujoco" in sys.modules:
            with contextlib.suppress(ConfigError):  # it may draw without
                opengl.choose()

    def picture(row: int) -> Any:
        pictures = env.render()
        return pictures if alone or pictures is None else pictures[row]

    return _host(host, known, greedy, picture, env.metadata.get("render_fps") or 30)


def _without_screen() -> None:
    """pygame, which draws most of Gymnasium's, is to look for no screen, no sound card, and to say nothing."""
    quiet = {"PYGAME_HIDE_SUPPORT_PROMPT": "1", "SDL_AUDIODRIVER": "dummy"}
    if not os.environ.get("DISPLAY") and not os.environ.get("WAYLAND_DISPLAY"):
        quiet["SDL_VIDEODRIVER"] = "dummy"
    for name, value in quiet.items():
        os.environ.setdefault(name, value)


def _by_id(full: str, name: str) -> VecEnv:
    """One environment, with a picture if it can have one; in this process, wherever it was trained."""
    plain = full + ("&" if "?" in full else "?") + "vectorization=sync"
    if name in SCENES and find_spec("pygame") is None:
        return make(plain, 1)  # drawn here
    if _is_mujoco(name):
        opengl.choose()
    with contextlib.suppress(Exception):  # a constructor that does not know of pictures may refuse in any way
        return make(plain + "&render_mode=rgb_array", 1)
    return make(plain, 1)


def _is_mujoco(name: str) -> bool:
    """Say whether this is one of Gymnasium's environments that MuJoCo draws."""
    point = str(gymnasium.registry[name].entry_point) if name in gymnasium.registry else ""
    return name.startswith("Fetch") or point.startswith(("gymnasium.envs.mujoco", "gymnasium_robotics"))


def _constructed(source: Callable[..., Any]) -> Any:
    """An environment from its constructor, with a picture if it can have one."""
    try:
        takes = "render_mode" in signature(source).parameters
    except ValueError:  # a constructor that is not written in Python
        takes = False
    if takes:
        with contextlib.suppress(Exception):
            return source(render_mode="rgb_array")
    return source()


# --- EnvPool's --------------------------------------------------------------------------------------------------------


def _envpool(full: str, greedy: Callable, exact: bool) -> Stage:
    """Draw by EnvPool where it can; else in Gymnasium's environment of that name, with the same options, if there is
    one.
    """
    host: Any = make(full, 1)
    known = full.partition(":")[2].partition("?")[0]
    pool = host.pool
    if pool.family in DRAWN_BY_ENVPOOL:
        pool.options["render_mode"] = "rgb_array"
        return _host(host, known, greedy, pool.picture)
    twin = None if exact else _twin(full, host, greedy)
    if twin is None:
        return _host(host, known, greedy)
    host.close()
    return twin


def _twin(full: str, host: HostVec, greedy: Callable) -> Stage | None:
    """Open Gymnasium's environment of that name, if it has one with these options and spaces, and it can be drawn."""
    twin = None
    with contextlib.suppress(ConfigError):
        twin = _gymnasium(full.replace("envpool:", "gymnasium:", 1), greedy)
        if all(a.shape == b.shape for a, b in zip(_spaces(twin.env), _spaces(host), strict=True)):
            twin.note = f"drawn in Gymnasium's {full.partition(':')[2]}, as EnvPool has no picture of it"
            return twin
    if twin is not None:
        twin.close()
    return None


def _spaces(env: VecEnv) -> tuple[Space, Space]:
    return env.observation_space, env.action_space
