"""Environments by name: `make("CartPole-v1", 8)`. One registry for every kind.

An id is `suite:Name`; a bare `Name` takes the first suite that has it. Suites are imported on use. Tasks, tables, Brax
and those on the host take options behind the name: `task:BitFlip?bits=8`, `gymnasium:Ant-v5?reset_noise_scale=0.2`.
"""

import copy
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

from swingup.envs.adapters.host import HostVec
from swingup.envs.adapters.identity import described
from swingup.envs.names import DEVICE, PROBES, SUITES, WITH_OPTIONS
from swingup.envs.vec import Hosted, Vec
from swingup.errors import ConfigError, unknown
from swingup.protocols import VecEnv


def canonical(name: str) -> str:
    """The full id `suite:Name`, options included. Raises `ConfigError` with the nearest names for an unknown one.

    A bare name takes the first suite that knows it: those on the device, then Gymnasium, then EnvPool.
    """
    name, mark, options = name.partition("?")  # an option's value may hold a colon
    suite, colon, full = name.rpartition(":") if name.partition(":")[0] not in SUITES else name.partition(":")
    full += mark + options
    if colon and suite not in SUITES:
        raise ConfigError(unknown("environment suite", suite, SUITES))
    for candidate in [suite] if colon else SUITES:
        if _knows(candidate, full):
            return f"{candidate}:{full}"
    known = SUITES[suite] if colon else sorted({n for names in SUITES.values() for n in names})
    hint = unknown("environment", full.partition("?")[0], known).partition(" (known:")[0].rstrip(";")
    raise ConfigError(f"{hint} (`swingup list envs` shows all)")


def _knows(suite: str, name: str) -> bool:
    bare = name.partition("?")[0]
    if suite in DEVICE:
        return (bare if suite in WITH_OPTIONS else name) in DEVICE[suite]
    if bare in SUITES[suite]:
        return True
    if suite == "envpool":
        if find_spec("envpool") is None:
            return False
        import envpool  # pyright: ignore[reportMissingImports]

        return bare in envpool.list_all_envs()
    import gymnasium

    # `module:Name` imports the module that registers the name; "ALE/" is known once ale_py is imported.
    return bare in gymnasium.registry or ":" in bare or bare.startswith("ALE/")


def make(name: str | Any, num_envs: int, fresh: bool = False) -> VecEnv:
    """`num_envs` environments by id, from a gymnax-style object, from an `Env`; or a `VecEnv` as it is.

    Also from a Gymnasium environment, its constructor, or a Gymnasium vector environment. Environments on the
    device are one object per id and size; those on the host hold state, so each call opens new ones, and an
    object that is passed is used itself. With `fresh` it never is: others are made from its constructor or its
    spec, or it is copied as it stands, so call it before the object is played. `close()` of what is returned
    closes what this function opened. Raises `ConfigError` for an unknown id, an object that is none of these, and with
    `fresh` for one that can be neither made again nor copied.
    """
    if isinstance(name, str):
        full = canonical(name)
        return (_make if full.partition(":")[0] in DEVICE else _open)(full, num_envs)
    if is_vec(name):
        return _another(name, num_envs) if fresh else _sized(name, num_envs)
    if hasattr(name, "reset_env") and hasattr(name, "step_env"):
        from swingup.envs.adapters.gymnax import users

        return Vec(users(name), num_envs)
    if _gymnasiums(name):
        from swingup.envs.adapters.gymnasium import wrap

        return wrap(name, num_envs, fresh=fresh)  # pyright: ignore[reportArgumentType]
    if all(hasattr(name, a) for a in ("reset", "step", "observation_space", "action_space", "name")):
        return Vec(name, num_envs)
    raise ConfigError(
        f"{type(name).__name__} is not an environment: pass an id such as 'CartPole-v1', or an object with "
        "reset_env(key, params) and step_env(key, state, action, params) as in gymnax, or a gymnasium.Env"
    )


def is_vec(source: Any) -> bool:
    """Is this a `VecEnv`, ours or a user's? Raises `ConfigError` for one that lacks what a `VecEnv` has."""
    if isinstance(source, str) or not (hasattr(source, "num_envs") and hasattr(source, "jittable")):
        return False
    missing = [name for name in vars(VecEnv) if not name.startswith("_") and not hasattr(source, name)]
    if missing:
        raise ConfigError(
            f"{type(source).__name__} lacks {', '.join(missing)}: let it inherit from swingup.VecEnv, which has "
            "what is optional"
        )
    return True


def _sized(env: VecEnv, num_envs: int) -> VecEnv:
    if env.num_envs != num_envs:
        raise ConfigError(f"the environment has num_envs={env.num_envs}, the algorithm wants {num_envs}")
    return env


def _another(env: Any, num_envs: int) -> VecEnv:
    """`num_envs` environments like those of a `VecEnv`, which is left alone."""
    if isinstance(env, Vec | Hosted):
        if env.num_envs == num_envs:
            return env
        return Vec(env.env, num_envs) if isinstance(env, Vec) else Hosted(Vec(env.env, num_envs))
    if isinstance(env, HostVec) and env.source is not None:
        return make(env.source, num_envs, fresh=True)
    if not _sized(env, num_envs).stateful:
        return env
    try:
        return copy.deepcopy(env)
    except Exception:  # it is other people's code: anything may come
        raise ConfigError(
            f"{env.name} cannot be copied, and others like it are wanted: pass an id or a constructor instead"
        ) from None


@contextmanager
def opened(name: str | Any, num_envs: int, fresh: bool = False) -> Iterator[VecEnv]:
    """`make` for a while: closes afterwards what it opened, whatever happens; a `VecEnv` that is passed stays open."""
    env: Any = make(name, num_envs, fresh)
    try:
        yield env
    finally:
        if env is not name:
            env.close()


def identity(name: str | Any) -> str:
    """What an environment is called in files: its full id or, for a user's own, `custom:` and what it is.

    For example `custom:my_module.MyEnv(length=8)`: see `swingup.envs.adapters.identity.described`.
    """
    if isinstance(name, Vec | Hosted | HostVec) and isinstance(name.source, str):
        name = name.source
    return canonical(name) if isinstance(name, str) else f"custom:{described(name)}"


def on_host(name: str | Any) -> bool:
    """Will `make` open new environments on the host for this id or object?"""
    if isinstance(name, str):
        return canonical(name).partition(":")[0] not in DEVICE
    return not is_vec(name) and _gymnasiums(name)


def _gymnasiums(name: Any) -> bool:
    """Is this an environment of Gymnasium's, or a constructor of one?"""
    gymnasium = sys.modules.get("gymnasium")  # not imported: then it is none of its environments
    theirs = gymnasium is not None and isinstance(name, gymnasium.Env | gymnasium.vector.VectorEnv)
    return theirs or (callable(name) and not hasattr(name, "step_env"))


@lru_cache
def _make(name: str, num_envs: int) -> Vec:
    """One object per id and size: compiled programs are cached by the identity of their environment."""
    suite, _, bare = name.partition(":")
    makers = {"gymnax": _gymnax, "probe": _probe, "task": _task, "tabular": _tabular, "brax": _brax}
    env = Vec(makers[suite](bare), num_envs)
    env.source = name
    return env


def _open(name: str, num_envs: int) -> VecEnv:
    """Environments on the host, with the options behind their name."""
    suite, _, rest = name.partition(":")
    bare, options = _options(rest, name)
    if suite == "gymnasium":
        from swingup.envs.adapters.gymnasium import make_gymnasium as make_host
    elif find_spec("envpool") is None:
        raise ConfigError(f"{name} needs EnvPool: pip install 'swingup[envpool]'")
    else:
        from swingup.envs.adapters.envpool import make_envpool as make_host
    env = make_host(bare, num_envs, **options)
    env.source = name
    return env


def _options(rest: str, name: str) -> tuple[str, dict[str, Any]]:
    """The bare name, and the options behind it."""
    bare, _, query = rest.partition("?")
    return bare, dict(_option(text, name) for text in query.split("&") if text)


def _option(text: str, name: str) -> tuple[str, Any]:
    """`key=value`, the value as in JSON or else a string."""
    key, equals, value = text.partition("=")
    if not equals or not key.isidentifier() or key in ("name", "num_envs"):
        raise ConfigError(f"{name}: {text!r} is not an option; write ?key=value&key=value behind the id")
    try:
        return key, json.loads(value)
    except json.JSONDecodeError:
        return key, value


def _gymnax(bare: str):
    from swingup.envs.adapters.gymnax import make_gymnax

    return make_gymnax(bare)


def _brax(rest: str):
    if find_spec("brax") is None:
        raise ConfigError(f"brax:{rest} needs Brax: pip install 'swingup[brax]'")
    from swingup.envs.adapters.brax import make_brax

    bare, options = _options(rest, f"brax:{rest}")
    return make_brax(bare, **options)


def _task(rest: str):
    from swingup.envs import tasks

    bare, options = _options(rest, f"task:{rest}")
    return _called(f"task:{rest}", getattr(tasks, bare), **options)


def _tabular(rest: str):
    from swingup.envs.adapters.tabular import make_tabular

    bare, options = _options(rest, f"tabular:{rest}")
    return _called(f"tabular:{rest}", make_tabular, bare, **options)


def _called(name: str, make: Any, *args: Any, **options: Any) -> Any:
    """The environment, or an error that names the option that does not fit."""
    try:
        return make(*args, **options)
    except TypeError as error:
        raise ConfigError(f"{name} cannot be opened: {error}") from None


def _probe(bare: str):
    from swingup.envs import probes

    return getattr(probes, bare)()


__all__ = ["PROBES", "SUITES", "Hosted", "Vec", "canonical", "identity", "make", "opened"]
