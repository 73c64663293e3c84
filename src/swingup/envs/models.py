"""What happens next, exactly: an environment's own dynamics as a `Model`, for planners."""

from functools import partial
from typing import Any

import jax
from jax import Array

from swingup.envs.pure import advance
from swingup.errors import ConfigError
from swingup.protocols import Env, Model, VecEnv
from swingup.spaces import to_env


class Exact(Model):
    """The model that is the environment itself. Its states are those of `VecEnv.world`.

    A time limit is no end: it stops an episode, and takes nothing from the value of the state in which it does.
    """

    def __init__(self, env: Env):
        self.env = env

    def step(self, state: Any, action: Array, key: Array) -> tuple[Any, Array, Array]:
        """Successors [B, ...], rewards [B] and ends [B] for actions [B, ...] in the policy's units."""
        keys = jax.random.split(key, len(action))
        after, t = jax.vmap(partial(advance, self.env))(state, to_env(self.env.action_space, action), keys)
        return after, t.reward, t.terminated


def exact(env: VecEnv) -> Exact:
    """The model of the environments that a run plays. Raises `ConfigError` for those that are not pure functions."""
    if env.single is None:
        raise ConfigError(
            f"{env.name} lives on the host, where its states cannot be read: an exact model needs an environment of "
            "pure functions, such as gymnax:CartPole-v1"
        )
    return Exact(env.single)
