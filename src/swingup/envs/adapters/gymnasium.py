"""Gymnasium's environments become `VecEnv`: by id, from an environment, its constructor, or a vector environment."""

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

from swingup.envs.adapters.answers import Masks, flags, rewards
from swingup.envs.adapters.calls import check_reset, check_seed, check_steps, raised
from swingup.envs.adapters.copies import built, close, in_processes, several, vectors
from swingup.envs.adapters.given import given
from swingup.envs.adapters.goals import goal_reward
from swingup.envs.adapters.gymnasium_spaces import Actions, convert, reader
from swingup.envs.adapters.gymnasium_vector import VectorPool
from swingup.envs.adapters.host import Answer, HostVec, Pool, name_of
from swingup.envs.adapters.running import refuse_statistics
from swingup.errors import ConfigError, EnvironmentFault
from swingup.spaces import Box, Space

VECTORIZATIONS = ("sync", "async")
Source = gymnasium.Env | VectorEnv | Callable[[], gymnasium.Env]
EXTRAS = {
    "gymnasium.envs.mujoco": "mujoco",
    "gymnasium.envs.box2d": "box2d",
    "gymnasium_robotics": "robotics",
}


def make_gymnasium(name: str, num_envs: int, vectorization: str = "sync", **options: Any) -> HostVec:
    """Make `num_envs` environments by Gymnasium's id; `options` go to `gymnasium.make`, for Atari to `make_game`.

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
    except EnvironmentFault as fault:
        error = fault.__cause__
        if isinstance(error, ImportError | gymnasium.error.DependencyNotInstalled):
            cure = f"; pip install 'swingup[{extra}]'" if extra else ""
            raise ConfigError(f"{name} cannot be opened: {error}{cure}") from None
        if isinstance(error, gymnasium.error.Error | TypeError):
            raise ConfigError(f"{name} cannot be opened: {error}") from None
        raise
    except (ImportError, gymnasium.error.Error) as error:
        raise ConfigError(f"{name} cannot be opened: {error}") from None


def _register_robotics() -> None:
    """Importing it registers its environments, and prints a remark on some that are not asked for."""
    with contextlib.redirect_stderr(io.StringIO()):
        import_module("gymnasium_robotics")


def rewards_of(env: gymnasium.Env, space: Space) -> Any:
    """Return the `goal_reward` of an environment with goals, None of any other."""
    return goal_reward(env.unwrapped, space.goal) if isinstance(space, Box) and space.goal else None


@contextlib.contextmanager
def _without_log() -> Iterator[None]:
    """Keep MuJoCo 4 from warning of an attribute in Gymnasium's own models, once for each environment and in a file."""
    try:
        mujoco = import_module("mujoco")
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
    """Make a `VecEnv` on the host of a Gymnasium environment, its constructor, or a vector environment.

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
        envs, theirs = several(source, count, fresh), int(isinstance(source, gymnasium.Env) and not fresh)
        env = HostVec(_closing(envs[theirs:], lambda: ListPool(envs, name, theirs)), reward_sign)
        env.known_reward, env.known_end = given(envs[0])
    elif isinstance(source, gymnasium.Env):
        raise ConfigError(
            "vectorization='async' needs a constructor, such as lambda: MyEnv(), not an environment"
        )
    else:
        one, processes = built([source])[0], in_processes([source] * count)
        refuse_statistics(one, name or name_of(one))
        pool = _closing([processes], lambda: VectorPool(processes, name))
        pool.goal_reward = rewards_of(one, pool.observation_space)  # of one in this process
        pool.opened.append(one)
        env = HostVec(pool, reward_sign)
        env.known_reward, env.known_end = given(one)
    env.source = source
    return env


def _vector_pool(source: VectorEnv, num_envs: int | None, name: str | None, fresh: bool) -> Any:
    if fresh:
        others = vectors(source, num_envs or source.num_envs)
        if isinstance(others, list):
            return _closing(others, lambda: ListPool(others, name))
        return _closing([others], lambda: VectorPool(others, name))
    if num_envs not in (None, source.num_envs):
        raise ConfigError(f"the environment has num_envs={source.num_envs}, the algorithm wants {num_envs}")
    return VectorPool(source, name, theirs=True)


def _closing(envs: list[Any], pool: Callable[[], Any]) -> Any:
    """Return the pool of environments that were opened for it; they are closed if there cannot be one."""
    try:
        return pool()
    except BaseException:
        close(list(envs))
        raise


class ListPool(Pool):
    """These environments are stepped one after the other. Unlike `SyncVectorEnv` it can step some and leave the others.

    The first `theirs` of them were passed by somebody, who closes them.
    """

    def __init__(self, envs: Sequence[gymnasium.Env], name: str | None = None, theirs: int = 0):
        self.envs, self.num_envs, self.name = list(envs), len(envs), name or name_of(envs[0])
        self._open, first = self.envs[theirs:], envs[0]
        for env in envs:
            if (env.observation_space, env.action_space) != (first.observation_space, first.action_space):
                raise ConfigError(f"{self.name}: the environments of one batch differ in their spaces")
        refuse_statistics(first, self.name)
        self._read = reader(first.observation_space, self.name)
        self.observation_space = self._read.space
        self.action_space = convert(first.action_space, self.name, "action")
        self.goal_reward = rewards_of(first, self.observation_space)
        self._actions = Actions(first.action_space)
        self._masks = Masks(self.action_space, self.num_envs, self.name)
        self._masked = False  # as long as no reset has told otherwise
        self._steps: dict[int, int] = {}  # of the rows from each start on, for what is said of faults

    @property
    def legal(self) -> np.ndarray | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self._masks.rows

    def masked(self) -> bool:
        """Say whether a reset has told of allowed actions so far; nothing is reset to see that."""
        return self._masked

    def reset(self, start: int, seeds: list[int]) -> np.ndarray:
        rows = range(start, start + len(seeds))
        return self._begin(rows, [{"seed": seed} for seed in seeds])

    def restart(self, rows: np.ndarray) -> np.ndarray:
        return self._begin(rows, [{}] * len(rows))

    def _begin(self, rows: Any, options: list[dict]) -> np.ndarray:
        out, i = [], 0
        try:
            for i, how in zip(rows, options, strict=True):
                answer = self.envs[i].reset(**how)
                out.append(check_reset(answer, self.name))
                self._masks.read(i, answer[1])
                self._masked = self._masked or self._masks.told(answer[1])
        except EnvironmentFault:
            raise
        except Exception as error:
            check_seed(self.envs[i], self.name)
            raise raised(self.name, "reset", error, self._where(i)) from error
        return self._read(out)

    def step(self, start: int, action: np.ndarray) -> Answer:
        count, before, answers = len(action), self._steps.get(start, 0), []
        add = answers.append
        try:
            for env, a in zip(self.envs[start : start + count], self._actions(action), strict=True):
                add(env.step(a))
        except Exception as error:
            raise raised(self.name, "step", error, self._where(start + len(answers))) from error
        if not before:
            check_steps(answers, self.name)
        self._steps[start] = before + 1
        try:
            obs, reward, terminated, truncated, infos = zip(*answers, strict=True)
        except (TypeError, ValueError):
            check_steps(answers, self.name)
            raise
        if self._masked:
            for i, info in enumerate(infos, start):
                self._masks.read(i, info)
        ends = flags(terminated, truncated, self.name)
        return Answer(self._read(obs), rewards(reward, count, self.name), ends[0], ends[1])

    def _where(self, row: int) -> str:
        steps = self._steps.get(max((start for start in self._steps if start <= row), default=0), 0)
        return f"environment {row} of {self.num_envs}, after {steps:,} of its env steps"

    def close(self) -> None:
        close(self._open)
