"""gymnax environments, and a user's own in the same form, become `Env`."""

import dataclasses
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from swingup.envs.adapters.calls import described
from swingup.envs.pure import traced, two
from swingup.errors import ConfigError, EnvironmentFault
from swingup.protocols import Env
from swingup.spaces import Box, Discrete, Space
from swingup.types import EnvState, Obs, Transition


class GymnaxEnv(Env):
    """A gymnax-style environment has two methods: `reset_env(key, params)` and `step_env(key, state, action, params)`.

    `step_env` returns `obs, state, reward, terminated, info`. The time limit is read from the method
    `is_truncated(state, params)`, else from `params.max_steps_in_episode` and `state.time`.
    """

    def __init__(self, env: Any, params: Any = None, name: str | None = None):
        self.env = env
        self.params = env.default_params if params is None else params
        self.name = str(name or getattr(env, "name", type(env).__name__))
        spaces = env.observation_space(self.params), env.action_space(self.params)
        self.observation_space, self.action_space = (convert(space, self.name) for space in spaces)
        self._first = tuple(int(getattr(s, "start", 0)) for s in spaces)  # what each counts from
        # Resets and steps must agree on dtypes (gymnax states start with Python ints), or no loop over them
        # compiles. What a step returns is the rule.
        key = jax.random.key(0)
        state = jax.eval_shape(lambda: self._reset_env(key)[0])
        action = jax.eval_shape(self.action_space.sample, key)
        self._types, self.obs_type = jax.eval_shape(self._step_env, state, action, key)[:2]

    def reset(self, key: Array) -> tuple[EnvState, Obs]:
        state, obs = self._reset_env(key)
        return _cast(state, self._types), obs

    def step(self, state: EnvState, action: Array, key: Array) -> tuple[EnvState, Transition]:
        state, *answer = self._step_env(state, action, key)
        return _cast(state, self._types), Transition(*answer)

    def _reset_env(self, key):
        answer = traced(self.name, "reset_env", self.env.reset_env, key, self.params)
        obs, state = two(answer, self.name, "reset_env", "obs, state")
        return state, self._numbered(obs)

    def _step_env(self, state, action, key):
        if self._first[1]:
            action = action + self._first[1]
        answer = traced(self.name, "step_env", self.env.step_env, key, state, action, self.params)
        if not (isinstance(answer, tuple) and len(answer) == 5):
            raise EnvironmentFault(
                f"{self.name}: step_env returned {described(answer)}; wanted are obs, state, reward, terminated, info",
                "step-returns",
            )
        obs, state, reward, terminated, _ = answer
        if self.name == "MountainCarContinuous-v0":
            obs, state = _stop_at_wall(self.env, state, self.params)
        truncated = traced(self.name, "is_truncated", self._is_truncated, state)
        return state, self._numbered(obs), reward, terminated, truncated

    def _numbered(self, obs):
        return obs - self._first[0] if self._first[0] else obs

    def _is_truncated(self, state) -> Array:
        if hasattr(self.env, "is_truncated"):
            return self.env.is_truncated(state, self.params)
        limit = getattr(self.params, "max_steps_in_episode", None)
        return jnp.bool_(False) if limit is None else state.time >= limit


def users(env: Any) -> GymnaxEnv:
    """Wrap a user's environment in gymnax's form.

    Raises `EnvironmentFault` where it is in the form that gymnax had before 1.0, in which `done` contains the time
    limit: nothing then tells a limit from a death.
    """
    ours = GymnaxEnv(env)
    if limit_in_done(ours):
        raise EnvironmentFault(
            f"{ours.name}: the fourth value of step_env contains the time limit of {ours.params.max_steps_in_episode} "
            "env steps, as in gymnax before 1.0, so that it would be taken for a death. Return there what ends the "
            "task, without the clock, and give the class a method is_truncated(state, params) that says whether "
            "the time is up; let that return False if the clock is part of the task",
            "limit-in-done",
        )
    return ours


def limit_in_done(env: GymnaxEnv) -> bool:
    """Say whether a step from one state terminates at the time limit, and not at the start of an episode."""
    limit = getattr(env.params, "max_steps_in_episode", None)
    keys = jax.random.split(jax.random.key(0), 8)
    shape = jax.eval_shape(env.reset, keys[0])[0]
    if limit is None or not hasattr(shape, "time"):
        return False

    def ends(key: Array, time: Any) -> tuple[Array, Array]:
        state = env.reset(key)[0]
        state = _replaced(state, time=jnp.asarray(time, state.time.dtype).reshape(state.time.shape))
        t = env.step(state, env.action_space.sample(key), key)[1]
        return jnp.asarray(t.terminated).any(), jnp.asarray(t.truncated).any()

    @jax.jit
    def only_late(keys: Array) -> Array:
        early, late = (jax.vmap(lambda k, t=t: ends(k, t))(keys) for t in (0, limit))
        return jnp.any(~early[0] & late[0] & late[1])

    try:
        return bool(only_late(keys))
    except TypeError:  # its state cannot be set from outside
        return False


def _replaced(state: Any, **fields: Any) -> Any:
    """Return a state with other fields, be it a NamedTuple, a dataclass of flax or chex, or a plain one."""
    if hasattr(state, "_replace"):
        return state._replace(**fields)
    return state.replace(**fields) if hasattr(state, "replace") else dataclasses.replace(state, **fields)


def make_gymnax(name: str) -> GymnaxEnv:
    """Make a gymnax environment by its bare id."""
    with postponed("seaborn", "matplotlib.pyplot"):
        import gymnax
    env = GymnaxEnv(*gymnax.make(name), name=name)
    space, kind = env.observation_space, env.obs_type.dtype
    if isinstance(space, Box) and space.is_integer and jnp.issubdtype(kind, jnp.floating):
        env.observation_space = dataclasses.replace(
            space, dtype="float32"
        )  # Catch observes floats, and says integers
    return env


@contextmanager
def postponed(*names: str) -> Iterator[None]:
    """Postpone the imports of these modules inside the block until something of them is first used.

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
    """Translate a gymnax or Gymnasium space into ours. Raises `ConfigError` for kinds without a counterpart."""
    scalar = not hasattr(space, "nvec") and getattr(space, "shape", ()) in ((), None)
    if hasattr(space, "n") and scalar:
        return Discrete(int(space.n))
    if hasattr(space, "low") and hasattr(space, "high"):
        return Box.of(space.low, space.high, tuple(space.shape), jnp.dtype(space.dtype).name)
    raise ConfigError(f"{name}: a space of type {type(space).__name__} is not supported; use Discrete or Box")


def _cast(tree, types):
    """Return it with the dtypes of `types`; where the structure is another one, as it is: `advance` says so."""
    if jax.tree.structure(tree) != jax.tree.structure(types):
        return tree

    def cast(x: Any, t: Any) -> Any:
        x = x if isinstance(x, Array) else jnp.asarray(x)
        loses = x.dtype.kind not in "biuf" or (x.dtype.kind == "f" and t.dtype.kind != "f")
        return x if x.dtype == t.dtype or loses else x.astype(t.dtype)

    return jax.tree.map(cast, tree, types)
