"""Programs that run for moments take most of their time to compile, so they are compiled with fewer optimisations."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import jax
from jax.core import Tracer

# LLVM's first level: on CPU what makes an agent compiles in less time. Training and evaluations keep XLA's own level:
# with the first an environment of many small operations, such as the track, runs slower.
QUICK = {"xla_backend_optimization_level": 1}


def quick() -> dict[str, Any]:
    """Return how `jax.jit` compiles what runs for moments. It starts JAX's back end."""
    return {"compiler_options": QUICK} if jax.default_backend() == "cpu" else {}


def traced(*args: Any) -> bool:
    """Return whether the caller itself is traced: then what it calls is a part of its program, without own options."""
    return any(isinstance(x, Tracer) for x in jax.tree.leaves(args))


def brief(*static: str) -> Callable[[Callable], "Brief"]:
    """Return a decorator for a function that runs for moments: `jax.jit` with these static arguments."""
    return lambda f: Brief(f, *static)


class Brief:
    """This is `jax.jit(f, static_argnames=static)` of a function that runs for moments.

    It is compiled when it is called for the first time, because only then the back end is known.
    """

    def __init__(self, f: Callable, *static: str):
        self.f, self.static = f, static

    @cached_property
    def compiled(self) -> Any:
        """Return the function that compiles, once for all calls."""
        return jax.jit(self.f, static_argnames=self.static, **quick())

    def __call__(self, *args: Any, **static: Any) -> Any:
        """Call it, compiled, or where a caller is traced as a part of that."""
        return (self.f if traced(args) else self.compiled)(*args, **static)
