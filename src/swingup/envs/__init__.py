"""Environments have names: `make("CartPole-v1", 8)`. One registry for every kind.

An id is `suite:Name`; a bare `Name` takes the first suite that has it. Suites are imported on use. Tasks, tables, Brax,
games and those on the host take options behind the name: `task:BitFlip?bits=8`, `pgx:hex?opponent=random`.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from swingup.envs import suites
from swingup.envs.adapters.host import HostVec
from swingup.envs.adapters.identify import ON_HOST, Kind, is_vec, kind_of, lacks
from swingup.envs.adapters.identity import described
from swingup.envs.names import DEVICE, PROBES, SUITES, WITH_OPTIONS
from swingup.envs.pure import optional
from swingup.envs.vec import Hosted, Vec
from swingup.errors import ConfigError, unknown
from swingup.protocols import Algorithm, VecEnv


def canonical(name: str) -> str:
    """Return the full id `suite:Name`, options included. Raises `ConfigError` for an unknown one.

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
        return bare in import_module("envpool").list_all_envs()
    import gymnasium

    # `module:Name` imports the module that registers the name; "ALE/" is known once ale_py is imported.
    return bare in gymnasium.registry or ":" in bare or bare.startswith("ALE/")


def make(name: str | Any, num_envs: int, fresh: bool = False) -> VecEnv:
    """Open `num_envs` environments.

        name        an id; an `Env`; a gymnax-style object; a Gymnasium environment, its constructor, or a vector
                    environment of Gymnasium's; or a `VecEnv`, which is returned as it is
        num_envs    how many there are side by side
        fresh       never use a passed object: make others from its constructor or spec, or copy it before it is played

    On the device there is one object per id and size. Those on the host hold state, so each call opens new ones.
    `close()` of what is returned closes what was opened here. Raises `ConfigError` for an unknown id, for an object
    that is none of these or has another size, and with `fresh` for one that can be neither made again nor copied.
    """
    if isinstance(name, str):
        full = canonical(name)
        return (_make if full.partition(":")[0] in DEVICE else suites.on_host)(full, num_envs)
    if is_vec(name):
        return _another(name, num_envs) if fresh else _sized(name, num_envs)
    kind = kind_of(name)
    if kind is Kind.GYMNAX:
        from swingup.envs.adapters.gymnax import users

        return Vec(users(name), num_envs)
    if kind in ON_HOST:
        from swingup.envs.adapters.gymnasium import wrap

        return wrap(name, num_envs, fresh=fresh)
    if kind is Kind.ENV and not lacks(name, kind):
        return Vec(name, num_envs)
    raise ConfigError(
        f"{type(name).__name__} is not an environment: pass an id such as 'CartPole-v1', or an object with "
        "reset_env(key, params) and step_env(key, state, action, params) as in gymnax, or a gymnasium.Env"
    )


def _sized(env: VecEnv, num_envs: int) -> VecEnv:
    if env.num_envs != num_envs:
        raise ConfigError(f"the environment has num_envs={env.num_envs}, the algorithm wants {num_envs}")
    return env


def _another(env: Any, num_envs: int) -> VecEnv:
    """Make `num_envs` environments like those of a `VecEnv`, which is left alone."""
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
    """Do what `make` does, and close at the end what it opened, whatever happens; a passed `VecEnv` stays open."""
    env = make(name, num_envs, fresh)
    try:
        yield env
    finally:
        if env is not name:
            env.close()


def identity(name: str | Any) -> str:
    """Return what an environment is called in files: its full id or, for a user's own, `custom:` and what it is.

    For example `custom:my_module.MyEnv(length=8)`: see `swingup.envs.adapters.identity.described`.
    """
    if isinstance(name, Vec | Hosted | HostVec) and isinstance(name.source, str):
        name = name.source
    return canonical(name) if isinstance(name, str) else f"custom:{described(name)}"


def on_host(name: str | Any) -> bool:
    """Say whether `make` will open new environments on the host for this id or object."""
    if isinstance(name, str):
        return canonical(name).partition(":")[0] not in DEVICE
    return kind_of(name) in ON_HOST


def is_game(name: str | Any) -> bool:
    """Say whether it is a game for two, by id or an object, whose moves an algorithm chooses for both players."""
    if isinstance(name, str):
        # Only a name without its suite is looked up: an id may be of a suite that is not installed here.
        suite, _, rest = (name if name.partition(":")[0] in SUITES else canonical(name)).partition(":")
        return suite == "pgx" and "opponent" not in suites.options(rest, name)[1]
    return kind_of(name) not in ON_HOST and optional(name, "players") == 2


def check_players(algo: Algorithm, source: str | Any) -> None:
    """Raise `ConfigError` where an algorithm that plays alone is given a game for two, by id or an object; or one that
    moves for both players what is no such game.
    """
    source = source.source if isinstance(source, Vec | Hosted) else source
    if algo.plays_games == is_game(source):
        return
    by_id = isinstance(source, str)
    if algo.plays_games:
        raise ConfigError(
            f"{source if by_id else type(source).__name__} is no game in which {type(algo).__name__} moves for both "
            "players: try pgx:connect_four, without an opponent (`swingup list envs` shows all), or write a "
            "swingup.envs.games.Game"
        )
    cure = (
        f"name an opponent: '{canonical(source)}{'&' if '?' in source else '?'}opponent=random'"
        if by_id
        else ("give it an opponent: swingup.envs.games.Versus(game)")
    )
    raise ConfigError(
        f"{source if by_id else source.name} is a game for two, and {type(algo).__name__} plays alone: train alphazero "
        f"on it, or {cure}"
    )


@lru_cache
def _make(name: str, num_envs: int) -> Vec:
    """Make one object per id and size: compiled programs are cached by the identity of their environment."""
    env = Vec(suites.on_device(name), num_envs)
    env.source = name
    return env


__all__ = ["PROBES", "SUITES", "Hosted", "Vec", "canonical", "identity", "make", "opened"]
