"""Gymnasium environments behind `VecEnv`: by id, from an environment, its constructor, or a vector environment."""

import contextlib
import io
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import VectorEnv

from swingup.envs.adapters.copies import in_processes, release, several, vectors
from swingup.envs.adapters.goals import goal_reward
from swingup.envs.adapters.gymnasium_vector import VectorPool
from swingup.envs.adapters.host import HostVec, Outcome, convert, gather, name_of
from swingup.errors import ConfigError
from swingup.spaces import Box, Space

VECTORIZATIONS = ("sync", "async")
Source = gymnasium.Env | VectorEnv | Callable[[], gymnasium.Env]
EXTRAS = {
    "gymnasium.envs.mujoco": "mujoco",
    "gymnasium.envs.box2d": "box2d",
    "gymnasium_robotics": "robotics",
}


def make_gymnasium(name: str, num_envs: int, vectorization: str = "sync", **options: Any) -> HostVec:
    """`num_envs` environments by Gymnasium's id; `options` go to `gymnasium.make`, for Atari to `make_game`.

    `vectorization` is "sync", one after the other in this process, or "async", a process for each.
    Raises `ConfigError` for an unknown vectorization, a missing extra, or a space that is not supported.
    """
    atari = name.startswith("ALE/")
    sign = atari and options.pop("reward_clip", True)
    if name.startswith("Fetch") and find_spec("gymnasium_robotics"):
        _register_robotics()
    point = str(getattr(gymnasium.registry.get(name), "entry_point", ""))
    extra = "atari" if atari else next((EXTRAS[m] for m in EXTRAS if point.startswith(m)), None)
    build = partial(gymnasium.make, name, disable_env_checker=True, **options)
    try:
        if atari:
            from swingup.envs.adapters.atari import make_game

            build = partial(make_game, name, **options)
        with _without_log() if extra in ("mujoco", "robotics") else contextlib.nullcontext():
            env = wrap(build, num_envs, vectorization, name=name, reward_sign=sign)
            env.stacked = atari
            return env
    except (ImportError, gymnasium.error.DependencyNotInstalled) as error:
        cure = f"; pip install 'swingup[{extra}]'" if extra else ""
        raise ConfigError(f"{name} cannot be opened: {error}{cure}") from None
    except (gymnasium.error.Error, TypeError) as error:
        raise ConfigError(f"{name} cannot be opened: {error}") from None


def _register_robotics() -> None:
    """Importing it registers its environments, and prints a remark on some that are not asked for."""
    with contextlib.redirect_stderr(io.StringIO()):
        import_module("gymnasium_robotics")


def rewards_of(env: gymnasium.Env, space: Space) -> Any:
    """`goal_reward` of an environment with goals, None of any other."""
    return goal_reward(env.unwrapped, space.goal) if isinstance(space, Box) and space.goal else None


@contextlib.contextmanager
def _without_log() -> Iterator[None]:
    """MuJoCo 4 warns of an attribute in Gymnasium's own models, for each environment and in a file; not here."""
    try:
        mujoco: Any = import_module("mujoco")
    except ImportError:  # Gymnasium says it better
        yield
        return
    before = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(lambda text: None if "settotalmass" in text else print(text, file=sys.stderr))
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(before)


def wrap(
    source: Source,
    num_envs: int | None = None,
    vectorization: str = "sync",
    *,
    name: str | None = None,
    reward_sign: bool = False,
    fresh: bool = False,
) -> HostVec:
    """A Gymnasium environment, its constructor, or a vector environment, as a `VecEnv` on the host.

    An environment is used itself and, for more than one, made again from its spec or copied; with `fresh` it
    is left alone, and all are made from it. A vector environment may reset itself in any mode that can be
    turned into the same-step convention. `reward_sign`: the algorithm sees the sign of each reward, episode
    returns count the reward itself. Raises `ConfigError` where that is not possible, saying what to do instead.
    """
    if vectorization not in VECTORIZATIONS:
        raise ConfigError(f"vectorization is 'sync' or 'async', not {vectorization!r}")
    if isinstance(source, VectorEnv):
        env = HostVec(_vector_pool(source, num_envs, name, fresh), reward_sign)
    elif (count := 1 if num_envs is None else num_envs) < 1:
        raise ConfigError(f"num_envs must be at least 1, not {count}")
    elif vectorization == "sync":
        theirs = int(isinstance(source, gymnasium.Env) and not fresh)
        env = HostVec(ListPool(several(source, count, fresh), name, theirs), reward_sign)
    elif isinstance(source, gymnasium.Env):
        raise ConfigError(
            "vectorization='async' needs a constructor, such as lambda: MyEnv(), not an environment"
        )
    else:
        pool = VectorPool(in_processes([source] * count), name)
        pool.goal_reward = rewards_of(source(), pool.observation_space)  # of one in this process
        env = HostVec(pool, reward_sign)
    env.source = source
    return env


def _vector_pool(source: VectorEnv, num_envs: int | None, name: str | None, fresh: bool) -> Any:
    if fresh:
        others = vectors(source, num_envs or source.num_envs)
        return ListPool(others, name) if isinstance(others, list) else VectorPool(others, name)
    if num_envs not in (None, source.num_envs):
        raise ConfigError(f"the environment has num_envs={source.num_envs}, the algorithm wants {num_envs}")
    return VectorPool(source, name, theirs=True)


class ListPool:
    """Environments stepped one after the other. Unlike `SyncVectorEnv` it can step some and leave the others.

    The first `theirs` of them were passed by somebody, who closes them.
    """

    def __init__(self, envs: Sequence[gymnasium.Env], name: str | None = None, theirs: int = 0):
        self.envs, self.num_envs, self.name = list(envs), len(envs), name or name_of(envs[0])
        self._open, first = self.envs[theirs:], envs[0]
        for env in envs:
            if (env.observation_space, env.action_space) != (first.observation_space, first.action_space):
                raise ConfigError(f"{self.name}: the environments of one batch differ in their spaces")
        self.observation_space = convert(first.observation_space, self.name, "observation")
        self.action_space = convert(first.action_space, self.name, "action")
        self.goal_reward = rewards_of(first, self.observation_space)
        self._action_type = first.action_space.dtype

    def reset(self, start: int, seeds: list[int]) -> np.ndarray:
        rows = [env.reset(seed=seed)[0] for env, seed in zip(self.envs[start:], seeds, strict=False)]
        return gather(rows, self.observation_space, self.name)

    def restart(self, rows: np.ndarray) -> np.ndarray:
        return gather([self.envs[i].reset()[0] for i in rows], self.observation_space, self.name)

    def step(self, start: int, action: np.ndarray) -> Outcome:
        envs = self.envs[start : start + len(action)]
        answers = [env.step(a) for env, a in zip(envs, action.astype(self._action_type), strict=True)]
        obs, reward, terminated, truncated, _ = zip(*answers, strict=True)
        reward = np.array(reward, np.float64)
        if reward.shape != (len(envs),):
            raise ConfigError(f"{self.name}: a reward is an array of shape {reward.shape[1:]}, not a number")
        obs = gather(obs, self.observation_space, self.name)
        return Outcome(obs, reward, np.array(terminated, bool), np.array(truncated, bool))

    def close(self) -> None:
        release(self._open)
        while self._open:
            self._open.pop().close()
