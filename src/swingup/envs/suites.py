"""Each suite has a function that opens its environments, by name with options. Suites are imported on use."""

import json
from importlib.util import find_spec
from typing import Any

from swingup.envs.known import known
from swingup.errors import ConfigError
from swingup.protocols import Env, VecEnv


def on_device(name: str) -> Env:
    """Open one environment of a suite on the device, by its full id."""
    suite, _, rest = name.partition(":")
    makers = {
        "gymnax": _gymnax,
        "probe": _probe,
        "task": _task,
        "tabular": _tabular,
        "brax": _brax,
        "pgx": _pgx,
    }
    return makers[suite](rest)


def on_host(name: str, num_envs: int) -> VecEnv:
    """Open environments on the host, with the options behind their name."""
    suite, _, rest = name.partition(":")
    bare, given = options(rest, name)
    if suite == "gymnasium":
        from swingup.envs.adapters.gymnasium import make_gymnasium as make_host
    elif find_spec("envpool") is None:
        raise ConfigError(f"{name} needs EnvPool: pip install 'swingup[envpool]'")
    else:
        from swingup.envs.adapters.envpool import make_envpool as make_host
    env = make_host(bare, num_envs, **given)
    env.source = name
    listed = known(f"{suite}:{bare}", given)
    env.known_reward = listed.reward or env.known_reward  # what the environment's own class gives
    env.known_end = listed.end or env.known_end
    return env


def options(rest: str, name: str) -> tuple[str, dict[str, Any]]:
    """Split an id into the bare name and the options behind it."""
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

    env = make_gymnax(bare)
    env.known_reward, env.known_end = known(f"gymnax:{bare}", {})
    return env


def _brax(rest: str):
    if find_spec("brax") is None:
        raise ConfigError(f"brax:{rest} needs Brax: pip install 'swingup[brax]'")
    from swingup.envs.adapters.brax import make_brax

    bare, given = options(rest, f"brax:{rest}")
    env = make_brax(bare, **given)
    env.known_reward, env.known_end = known(f"brax:{bare}", given)
    return env


def _task(rest: str):
    from swingup.envs import tasks

    bare, given = options(rest, f"task:{rest}")
    return _called(f"task:{rest}", tasks.TASKS[bare], **given)


def _tabular(rest: str):
    from swingup.envs.adapters.tabular import make_tabular

    bare, given = options(rest, f"tabular:{rest}")
    return _called(f"tabular:{rest}", make_tabular, bare, **given)


def _called(name: str, make: Any, *args: Any, **options: Any) -> Any:
    """Make the environment, or raise an error that names the option which does not fit."""
    try:
        return make(*args, **options)
    except TypeError as error:
        raise ConfigError(f"{name} cannot be opened: {error}") from None


def _probe(bare: str):
    from swingup.envs import probes

    return probes.PROBES[bare]()


def _pgx(rest: str):
    if find_spec("pgx") is None:
        raise ConfigError(f"pgx:{rest} needs Pgx: pip install 'swingup[games]'")
    from swingup.envs.adapters.pgx import make_pgx

    bare, given = options(rest, f"pgx:{rest}")
    return _called(f"pgx:{rest}", make_pgx, bare, **given)
