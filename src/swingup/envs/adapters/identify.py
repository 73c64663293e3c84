"""This is the one place that asks what kind of environment a user has passed."""

import sys
from enum import Enum
from typing import Any, TypeGuard

from swingup.errors import ConfigError
from swingup.protocols import VecEnv

# All that a `VecEnv` has, in the order of the protocol, and all that an `Env` must have.
OF_A_VEC = (*VecEnv.__annotations__, *(n for n, x in vars(VecEnv).items() if callable(x) and n[0] != "_"))
OF_AN_ENV = "name", "observation_space", "action_space", "reset", "step"


class Kind(Enum):
    """`make` takes environments of these kinds. Each says what tells it from the others."""

    ID = "a string"
    VEC = "a VecEnv, ours or a user's: it says how many environments it holds"
    GYMNAX = "an environment in gymnax's form, with reset_env and step_env"
    GYMNASIUM = "a gymnasium.Env"
    GYMNASIUM_VECTOR = "a gymnasium.vector.VectorEnv"
    CONSTRUCTOR = "a callable that makes a gymnasium.Env"
    ENV = "an Env, pure functions: it has a step"
    NONE = "no environment"


ON_HOST = (
    Kind.GYMNASIUM,
    Kind.GYMNASIUM_VECTOR,
    Kind.CONSTRUCTOR,
)  # for these `make` opens environments on the host


def kind_of(source: Any) -> Kind:
    """Say what a user's object is meant to be; `lacks` tells whether it is that."""
    has = {n: hasattr(source, n) for n in ("num_envs", "jittable", "reset_env", "step_env", "step")}
    gymnasium = sys.modules.get("gymnasium")  # not imported: then it is none of its environments
    if isinstance(source, str):
        return Kind.ID
    if has["num_envs"] and has["jittable"]:
        return Kind.VEC
    if has["reset_env"] and has["step_env"]:
        return Kind.GYMNAX
    if gymnasium is not None and isinstance(source, gymnasium.vector.VectorEnv):
        return Kind.GYMNASIUM_VECTOR
    if gymnasium is not None and isinstance(source, gymnasium.Env):
        return Kind.GYMNASIUM
    if has["num_envs"]:
        return Kind.VEC
    if callable(source) and not has["step_env"]:
        return Kind.CONSTRUCTOR
    return Kind.ENV if has["step"] else Kind.NONE


def lacks(source: Any, kind: Kind) -> list[str]:
    """List what an object has not got, and its kind must have: names of attributes and methods."""
    wanted = {Kind.VEC: OF_A_VEC, Kind.ENV: OF_AN_ENV}.get(kind, ())
    return [name for name in wanted if not hasattr(source, name)]


def is_vec(source: Any) -> TypeGuard[VecEnv]:
    """Say whether this is a `VecEnv`, ours or a user's. Raises `ConfigError` for one that lacks what a `VecEnv` has."""
    if kind_of(source) is not Kind.VEC:
        return False
    if missing := lacks(source, Kind.VEC):
        raise ConfigError(
            f"{type(source).__name__} lacks {', '.join(missing)}: let it inherit from swingup.VecEnv, which has "
            "what is optional"
        )
    return True


def fixed_size(source: Any) -> int | None:
    """Return how many environments an object is, None if as many as are wanted can be made."""
    return source.num_envs if is_vec(source) or kind_of(source) is Kind.GYMNASIUM_VECTOR else None
