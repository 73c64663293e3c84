"""More Gymnasium environments like one that a user brings are made from its constructor, from its spec, or by copying.

An environment on the host holds the state of its episode, so it has one user: whoever else wants to play, an
evaluation for example, gets another one.
"""

import contextlib
import copy
from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakValueDictionary

import gymnasium
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv

from swingup.envs.adapters.calls import raised
from swingup.envs.adapters.host import name_of
from swingup.errors import ConfigError

PLAIN = bool, int, float, str
IN_USE: WeakValueDictionary[int, gymnasium.Env] = (
    WeakValueDictionary()
)  # by id, because some cannot be hashed


def several(source: Any, count: int, fresh: bool = False) -> list[gymnasium.Env]:
    """Make `count` environments from an environment or its constructor; with `fresh` the environment is none of them.

    Raises `ConfigError` where an environment can be neither made again nor copied, and where a constructor
    returns one that is in use.
    """
    if not isinstance(source, gymnasium.Env):
        return claim(built([source] * count))
    envs = [] if fresh else [source]
    while len(envs) < count:
        envs.append(twin(source, count))
    return envs


def built(functions: Sequence[Callable[[], Any]]) -> list[Any]:
    """Call each constructor for an environment. Raises `EnvironmentFault` from what a constructor raises."""
    envs = []
    for make in functions:
        try:
            envs.append(make())
        except Exception as error:
            close(envs)
            name = getattr(make, "__qualname__", type(make).__name__)
            raise raised(name, "the constructor", error, f"for environment {len(envs)}") from error
    return envs


def close(envs: list[Any]) -> None:
    """Close these, the last ones first, even if some of them fail to."""
    release(envs)
    while envs:
        with contextlib.suppress(Exception):  # of what one has to say at its end, the others must not suffer
            envs.pop().close()


def claim(envs: list[gymnasium.Env]) -> list[gymnasium.Env]:
    """Mark environments that a constructor returned as in use from now on, until `release`.

    Raises `ConfigError` where one of them is in use already: two users of one state disturb each other.
    """
    for env in envs:
        if not isinstance(env, gymnasium.Env):
            raise ConfigError(f"a constructor must return a gymnasium.Env, not {type(env).__name__}")
        inner = env.unwrapped
        if IN_USE.get(id(inner)) is inner:
            raise ConfigError(
                f"{name_of(env)}: the constructor returned the same environment twice, or one that is in use: "
                "build a new one in each call"
            )
        IN_USE[id(inner)] = inner
    return envs


def release(envs: Sequence[gymnasium.Env]) -> None:
    """These are not in use any more."""
    for env in envs:
        if isinstance(env, gymnasium.Env):
            IN_USE.pop(id(env.unwrapped), None)


def twin(source: gymnasium.Env, count: int = 1) -> gymnasium.Env:
    """Make another environment like this one: from its spec if that gives the same, or else by copying it.

    Raises `ConfigError` where neither can be had.
    """
    made: gymnasium.Env | None = None
    # Either may fail in any way: a spec that lacks a wrapper, a handle that cannot be copied.
    with contextlib.suppress(Exception):
        made = gymnasium.make(source.spec) if source.spec else None
    if made is not None and not _alike(made, source):
        with contextlib.suppress(Exception):
            made.close()
        made = None
    if made is None:
        with contextlib.suppress(Exception):
            made = copy.deepcopy(source)
    if made is None:
        raise ConfigError(
            f"{type(source.unwrapped).__name__} cannot be copied, and {count} are wanted beside what plays "
            "already: pass a constructor instead, such as lambda: MyEnv(), or use --num-envs 1"
        )
    return made


def _alike(a: Any, b: Any) -> bool:
    """Say whether all layers are of the same classes, with the same plain attributes. A user may have set one after
    `make`.
    """
    while True:
        if type(a) is not type(b):
            return False
        first, second = (
            {k: v for k, v in vars(x).items() if isinstance(v, PLAIN) and not k.startswith("_")}
            for x in (a, b)
        )
        if first != second:
            return False
        if not isinstance(a, gymnasium.Wrapper):
            return True
        a, b = a.env, b.env


def vectors(source: VectorEnv, count: int) -> VectorEnv | list[gymnasium.Env]:
    """Make `count` new environments like those of a user's vector environment.

    From its constructors, its spec, or as a copy, which has as many as it has. Raises `ConfigError`.
    """
    kept = source.env_fns if type(source) is SyncVectorEnv or type(source) is AsyncVectorEnv else None
    if isinstance(kept, list | tuple):  # not an iterator, which is used up
        functions = [kept[i % len(kept)] for i in range(count)]
        if type(source) is SyncVectorEnv:
            return claim(built(functions))
        return in_processes(functions)
    made: VectorEnv | None = None
    with contextlib.suppress(Exception):
        made = gymnasium.make_vec(source.spec, num_envs=count) if source.spec else None
    if (made is None or type(made) is not type(source)) and count == source.num_envs:
        with contextlib.suppress(Exception):
            made = copy.deepcopy(source)
    if made is None:
        raise ConfigError(
            f"{type(source).__name__} with its {source.num_envs} environments cannot be made again or copied, and "
            f"{count} more are wanted: pass the constructor of one environment instead, such as lambda: MyEnv()"
        )
    return made


def in_processes(functions: Sequence[Callable[[], gymnasium.Env]]) -> AsyncVectorEnv:
    """Start a process for each environment. They are spawned: a fork of a process in which JAX has threads may wait
    for ever.
    """
    return AsyncVectorEnv(functions, context="spawn", autoreset_mode=AutoresetMode.DISABLED)
