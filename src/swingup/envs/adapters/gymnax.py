"""gymnax environments, and a user's own in the same form, as `Env`."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from swingup.errors import ConfigError
from swingup.spaces import Box, Discrete, Space
from swingup.types import EnvState, Obs, Transition


class GymnaxEnv:
    """A gymnax-style environment: `reset_env(key, params)` and `step_env(key, state, action, params)`.

    `step_env` returns `obs, state, reward, terminated, info`. The time limit is read from the method
    `is_truncated(state, params)`, else from `params.max_steps_in_episode` and `state.time`.
    """

    def __init__(self, env: Any, params: Any = None, name: str | None = None):
        self.env = env
        self.params = env.default_params if params is None else params
        self.name = str(name or getattr(env, "name", type(env).__name__))
        self.observation_space = convert(env.observation_space(self.params), self.name)
        self.action_space = convert(env.action_space(self.params), self.name)
        # Resets and steps must agree on dtypes (gymnax states start with Python ints), or no loop over them
        # compiles. What a step returns is the rule.
        key = jax.random.key(0)
        state = jax.eval_shape(lambda: env.reset_env(key, self.params)[1])
        action = jax.eval_shape(self.action_space.sample, key)
        self._types = jax.eval_shape(self._step_env, state, action, key)[:2]

    def reset(self, key: Array) -> tuple[EnvState, Obs]:
        obs, state = self.env.reset_env(key, self.params)
        return _cast((state, obs), self._types)

    def step(self, state: EnvState, action: Array, key: Array) -> tuple[EnvState, Transition]:
        state, obs, reward, terminated, truncated = self._step_env(state, action, key)
        state, obs = _cast((state, obs), self._types)
        reward, terminated = jnp.asarray(reward, jnp.float32), jnp.asarray(terminated, bool)
        return state, Transition(obs, reward, terminated, jnp.asarray(truncated, bool))

    def _step_env(self, state, action, key):
        obs, state, reward, terminated, _ = self.env.step_env(key, state, action, self.params)
        if self.name == "MountainCarContinuous-v0":
            obs, state = _stop_at_wall(self.env, state, self.params)
        return state, obs, reward, terminated, self._is_truncated(state)

    def _is_truncated(self, state) -> Array:
        if hasattr(self.env, "is_truncated"):
            return self.env.is_truncated(state, self.params)
        limit = getattr(self.params, "max_steps_in_episode", None)
        return jnp.bool_(False) if limit is None else state.time >= limit


def make_gymnax(name: str) -> GymnaxEnv:
    """A gymnax environment by its bare id."""
    with postponed("seaborn", "matplotlib.pyplot"):
        import gymnax
    return GymnaxEnv(*gymnax.make(name), name=name)


@contextmanager
def postponed(*names: str) -> Iterator[None]:
    """Imports of these modules inside the block take place when something of them is first used.

    gymnax imports them for the pictures of two environments, which takes longer than all else it does.
    """
    later = {name: Later(name) for name in names if name not in sys.modules}
    sys.modules.update(later)
    try:
        yield
    finally:
        for name, module in later.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]


class Later(ModuleType):
    """Stands for a module until something of it is asked for."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # the import system's own questions
            raise AttributeError(name)
        return getattr(importlib.import_module(self.__name__), name)


def _stop_at_wall(env, state, params):
    """gymnax 1.0.1 lets the car keep its speed at the left wall; Gymnasium sets it to zero, and so do we."""
    at_wall = (state.position <= params.min_position) & (state.velocity < 0)
    state = state.replace(velocity=jnp.where(at_wall, 0.0, state.velocity))
    return env.get_obs(state), state


def convert(space: Any, name: str) -> Space:
    """A gymnax or Gymnasium space as ours. Raises `ConfigError` for kinds without a counterpart."""
    scalar = not hasattr(space, "nvec") and getattr(space, "shape", ()) in ((), None)
    if hasattr(space, "n") and scalar and getattr(space, "start", 0) == 0:
        return Discrete(int(space.n))
    if hasattr(space, "low") and hasattr(space, "high"):
        return Box.of(space.low, space.high, tuple(space.shape), jnp.dtype(space.dtype).name)
    raise ConfigError(f"{name}: a space of type {type(space).__name__} is not supported; use Discrete or Box")


def _cast(tree, types):
    return jax.tree.map(lambda x, t: jnp.asarray(x, t.dtype), tree, types)
