"""An environment of a user's own is called by a text that tells it from others, in any file and any process.

Two environments whose dynamics differ must not share a name, or their curves would be pooled, and a policy would be
loaded for the wrong one. So the name holds the module, the class or function, and its arguments where they can be told.
"""

import dataclasses
import functools
import hashlib
import sys
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType, MethodType
from typing import Any

import jax
import numpy as np

from swingup.envs.adapters.gymnax import GymnaxEnv
from swingup.envs.adapters.host import HostVec
from swingup.envs.vec import Hosted, Vec

DEPTH = 5  # of objects that hold objects
LONG = 100  # characters of arguments that are written out; longer ones become a hash
UNSEEN = "OrderEnforcing", "PassiveEnvChecker"  # gymnasium.make puts them around every environment


def described(source: Any, depth: int = 0) -> str:
    """Write `my_module.MyEnv(length=8)` for an environment, its constructor, or an argument of either.

    Arguments are those of `gymnasium.make` and of Gymnasium's wrappers, of `functools.partial`, the fields of a
    dataclass, and all attributes of an environment on the device, which is a pure function and never changes
    them. A lambda, or a function inside another one, is told by a hash of its code, its constants, its defaults
    and what it holds of the function around it.
    """
    if depth > DEPTH:
        return _named(type(source))
    below = functools.partial(described, depth=depth + 1)
    if isinstance(source, Vec | Hosted):
        return described(source.env, depth)
    if isinstance(source, GymnaxEnv):
        usual, params = below(getattr(source.env, "default_params", None)), below(source.params)
        return described(source.env, depth) + (f"|{params}" if params != usual else "")
    if isinstance(source, HostVec):
        return described(source.source, depth)
    if isinstance(source, functools.partial):
        return below(source.func) + _arguments(source.args, source.keywords, below)
    if isinstance(source, type):
        return _named(source)
    if isinstance(source, MethodType):
        return f"{below(source.__self__)}.{source.__func__.__name__}"
    if isinstance(source, FunctionType):
        return _function(source, below)
    if isinstance(source, bool | int | float | str | None | np.generic):
        return repr(source.item() if isinstance(source, np.generic) else source)
    if isinstance(source, np.ndarray | jax.Array):
        return f"array{list(source.shape)}#{_hash(np.asarray(source).tobytes())}"
    if isinstance(source, tuple | list | dict):
        return _container(source, below)
    return _object(source, below)


def _object(source: Any, below: Callable[[Any], str]) -> str:
    gymnasium = sys.modules.get("gymnasium")
    if gymnasium is not None and isinstance(source, gymnasium.Env):
        return "|".join(_layers(source, gymnasium, below))
    if gymnasium is not None and isinstance(source, gymnasium.vector.VectorEnv):
        return "|".join(_vector(source, gymnasium, below))
    if dataclasses.is_dataclass(source):
        fields = {f.name: getattr(source, f.name) for f in dataclasses.fields(source) if f.init}
        return _named(type(source)) + _arguments((), fields, below)
    pure = hasattr(source, "step_env") or (hasattr(source, "step") and hasattr(source, "reset"))
    return _named(type(source)) + (_arguments((), vars(source), below) if pure else "")


def _layers(env: Any, gymnasium: Any, below: Callable[[Any], str]) -> Iterator[str]:
    """Return the environment itself, then its wrappers from the inside out."""
    chain = [env]
    while isinstance(chain[-1], gymnasium.Wrapper):
        chain.append(chain[-1].env)
    base = chain.pop()
    options = base.spec.kwargs if base.spec else getattr(base, "_ezpickle_kwargs", {})
    given = () if base.spec else getattr(base, "_ezpickle_args", ())
    if dataclasses.is_dataclass(base):
        options = {f.name: getattr(base, f.name) for f in dataclasses.fields(base) if f.init}
    yield _named(type(base)) + _arguments(given, options, below)
    for wrapper in reversed(chain):
        if type(wrapper).__name__ not in UNSEEN:
            name = type(wrapper).__name__ if _gymnasiums(wrapper) else _named(type(wrapper))
            yield name + _arguments((), getattr(wrapper, "_saved_kwargs", {}), below)


def _vector(env: Any, gymnasium: Any, below: Callable[[Any], str]) -> Iterator[str]:
    """Return the environments of a vector environment, then its wrappers from the inside out."""
    chain = [env]
    while isinstance(chain[-1], gymnasium.vector.VectorWrapper):
        chain.append(chain[-1].env)
    base = chain.pop()
    rows = next((r for r in _rows(base) if isinstance(r, list | tuple) and r), ())
    kinds = list(dict.fromkeys(map(below, rows)))
    name = type(base).__name__ if _gymnasiums(base) else _named(type(base))
    yield f"{name}[{', '.join(kinds)}]" if kinds else name
    for wrapper in reversed(chain):
        name = type(wrapper).__name__ if _gymnasiums(wrapper) else _named(type(wrapper))
        yield name + _arguments((), getattr(wrapper, "_saved_kwargs", {}), below)


def _rows(env: Any) -> Iterator[Any]:
    yield getattr(env, "env_fns", None)  # an iterator, if the user gave one, is used up
    yield getattr(env, "envs", None)


def _gymnasiums(layer: Any) -> bool:
    return type(layer).__module__.startswith("gymnasium.")


def _named(kind: Any) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _arguments(args: Any, options: dict[str, Any], below: Callable[[Any], str]) -> str:
    """Write `(8, length=9)`, nothing where there are none; how it is drawn does not make another environment."""
    texts = [below(x) for x in args]
    texts += [f"{k}={below(v)}" for k, v in sorted(options.items()) if k != "render_mode"]
    text = ", ".join(texts)
    return "" if not texts else f"({text})" if len(text) <= LONG else f"(#{_hash(text.encode())})"


def _container(source: Any, below: Callable[[Any], str]) -> str:
    if isinstance(source, dict):
        return "{" + ", ".join(sorted(f"{below(k)}: {below(v)}" for k, v in source.items())) + "}"
    text = ", ".join(map(below, source))
    return f"{type(source).__name__}({text})"


def _function(f: FunctionType, below: Callable[[Any], str]) -> str:
    """Return a function's name; one that has no name of its own is told by what it does."""
    name = _named(f)
    if "<" not in f.__qualname__:
        return name
    held = []
    for cell in f.__closure__ or ():
        try:
            held.append(below(cell.cell_contents))
        except ValueError:  # a cell that is not filled yet
            held.append("")
    defaults = [below(x) for x in (f.__defaults__ or ())]
    options = [f"{k}={below(v)}" for k, v in sorted((f.__kwdefaults__ or {}).items())]
    text = "\n".join([*_code(f.__code__), *held, *defaults, *options])
    return f"{name}#{_hash(text.encode())}"


def _code(code: CodeType) -> Iterator[str]:
    """Return what a function does, without the file and the lines in which it is written."""
    yield code.co_code.hex()
    yield repr(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _code(constant)
        else:
            # The order of a set differs between processes.
            yield repr(sorted(map(repr, constant)) if isinstance(constant, frozenset) else constant)


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:8]
