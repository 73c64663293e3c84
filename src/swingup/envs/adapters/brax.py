"""Brax environments become `Env`: physics on the accelerator, without Brax's own wrappers.

Brax ends and resets episodes in wrappers that give the first observation of the next episode for the successor,
and start every episode of a row from the same state. Here neither happens: `Vec` resets, and draws new starts.
"""

import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from swingup.errors import ConfigError, unknown
from swingup.protocols import Env
from swingup.spaces import Box, Space
from swingup.types import EnvState, Obs, Transition

BACKENDS = ("spring", "positional", "generalized", "mjx")


class BraxEnv(Env):
    """This is a Brax environment with a time limit of `episode_length` env steps; actions are in [-1, 1].

    The state is Brax's own, and how many env steps old the episode is.
    """

    costly_reset = True  # a start is computed by the physics engine

    def __init__(self, name: str, env: Any, episode_length: int = 1000):
        self.name, self.env, self.episode_length = name, env, episode_length
        if not isinstance(env.observation_size, int):
            raise ConfigError(f"{name}: observations that are dictionaries are not supported")
        self.observation_space: Space = Box.of(-jnp.inf, jnp.inf, (env.observation_size,))
        self.action_space: Space = Box.of(-1, 1, (env.action_size,))

    def reset(self, key: Array) -> tuple[EnvState, Obs]:
        state = quietly(self.env.reset, key)
        return (state, jnp.int32(0)), state.obs

    def step(self, state: EnvState, action: Array, key: Array) -> tuple[EnvState, Transition]:
        own = jax.tree.map(
            lambda x: x, state[0]
        )  # some write into the metrics of the state that they are given
        state, time = quietly(self.env.step, own, action), state[1] + 1
        terminated = state.done.astype(bool)
        return (state, time), Transition(state.obs, state.reward, terminated, time >= self.episode_length)


def make_brax(name: str, *, backend: str = "spring", episode_length: int = 1000, **options: Any) -> BraxEnv:
    """Make a Brax environment by its bare id; other options go to its constructor.

    Raises `ConfigError` for an unknown back end or option.
    """
    if backend not in BACKENDS:
        raise ConfigError(unknown("back end of Brax", backend, BACKENDS))
    try:
        env = quietly(get_environment, name, backend=backend, **options)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise ConfigError(f"brax:{name} with the back end {backend} cannot be made: {error}") from None
    return BraxEnv(name, env, episode_length)


def get_environment(name: str, **options: Any) -> Any:
    return import_module("brax.envs").get_environment(name, **options)


def quietly(f: Callable, *args: Any, **options: Any) -> Any:
    """Silence Brax's remarks on parts of MuJoCo and JAX that it uses and that will go."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return f(*args, **options)
