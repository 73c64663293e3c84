"""The environments of all seeds are reset and stepped as one, whether each seed has its own or a part of many."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array

from swingup.errors import ConfigError
from swingup.protocols import VecEnv
from swingup.training.parallel import part
from swingup.types import Step


class Rows(NamedTuple):
    """These are `S` seeds with `N` environments each; every array has leading axes [S, N]."""

    reset: Callable[[Array], tuple[Any, Any]]  # keys [S]
    draw: Callable[[Array, int], Any]  # keys [S], T -> [T, S, N, ...]
    step: Callable[[Any, np.ndarray, Any], tuple[Any, Step]]
    legal: Callable[[Any], Any]  # the actions that are allowed, [S, N, A], or None
    world: Callable[[Any], Any]  # the environments' own states, [S, N, ...], or None


def each(f: Callable[[Any], Any], tree: Any) -> Any:
    """Return `f` of each array of a tree; nothing stays nothing at once: walking it would cost as much as acting.

    >>> each(lambda x: x[0], (np.array([1, 2]), np.array([3, 4])))
    (np.int64(1), np.int64(3))
    >>> each(lambda x: x[0], ()), each(lambda x: x[0], None)
    ((), None)
    """
    return tree if tree is None or (isinstance(tree, tuple) and not tree) else jax.tree.map(f, tree)


def rows(env: VecEnv, seeds: int, num_envs: int) -> Rows:
    """Return the environments of all seeds. Raises `ConfigError` if they are not seeds x num_envs."""
    if not env.stateful:  # pure: its state says which environments they are
        draw = jax.jit(jax.vmap(env.draw, (0, None), 1), static_argnums=1)
        over = [jax.jit(jax.vmap(f)) for f in (env.reset, env.step, env.legal, env.world)]
        reset, step, legal, world = over
        return Rows(reset, draw, step, legal, world)
    if seeds == 1 and env.num_envs == num_envs:
        first, add = partial(each, lambda x: x[0]), partial(each, lambda x: np.asarray(x)[None])
        return Rows(
            lambda keys: add(env.reset(keys[0])),
            lambda keys, t: jax.tree.map(lambda x: x[:, None], env.draw(keys[0], t)),
            lambda state, action, noise: add(env.step(first(state), action[0], first(noise))),
            lambda state: add(env.legal(first(state))),
            lambda state: add(env.world(first(state))),
        )
    if env.num_envs != seeds * num_envs or not env.divisible:
        raise ConfigError(
            f"{seeds} seeds of {num_envs} environments are {seeds * num_envs}; {env.name} has {env.num_envs}: "
            "train on one seed, or pass an id or a constructor"
        )

    def split(x):
        return x.reshape(seeds, num_envs, *x.shape[1:])

    def step(_, action, __):
        return (), jax.tree.map(split, env.step((), action.reshape(-1, *action.shape[2:]), ())[1])

    def reset(keys):
        return (), np.stack([part(env, i, seeds).reset(key)[1] for i, key in enumerate(keys)])

    return Rows(
        reset,
        lambda keys, t: (),
        step,
        lambda state: each(split, env.legal(())),
        lambda state: each(split, env.world(())),
    )
