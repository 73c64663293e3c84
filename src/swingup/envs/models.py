"""A planner gets what happens next exactly: an environment's own dynamics as a `Model`."""

from functools import partial
from typing import Any

import equinox as eqx
import jax
from jax import Array

from swingup.envs.pure import advance, optional
from swingup.errors import ConfigError
from swingup.protocols import Env, VecEnv
from swingup.types import Seen, Transition


class Exact(eqx.Module):
    """This model is the environment itself. Its states are those of `VecEnv.world`, its noise are keys.

    A time limit is no end: it stops an episode, and takes nothing from the value of the state in which it does.
    """

    env: Env = eqx.field(static=True)

    def start(self, seen: Seen) -> Any:
        """Return the environments' own states [B, ...], or what `Env.state_of` makes of observations.

        Raises `ConfigError` where no states are seen, and observations do not tell them.
        """
        if seen.world is None:
            inverse = optional(self.env, "state_of")
            if inverse is not None:
                return jax.vmap(inverse)(seen.obs)
            raise ConfigError(
                f"no plan starts from an observation: {self.env.name} must be played, and its state be seen, for an "
                "exact model to go on from there (Run.evaluate, swingup play)"
            )
        return seen.world

    def draw(self, key: Array, lead: tuple[int, ...]) -> Array:
        """Draw a key for each row of each step, [*lead]."""
        return jax.random.split(key, lead)

    def step(self, state: Any, action: Array, noise: Array) -> tuple[Any, Transition]:
        """Return the states after actions [B, ...] in the environment's units, and the transitions [B, ...]."""
        return jax.vmap(partial(advance, self.env))(state, action, noise)


def exact(env: VecEnv) -> Exact:
    """Return the model of the environments that a run plays. Raises `ConfigError` for those that are not pure
    functions.
    """
    if env.single is None:
        raise ConfigError(
            f"{env.name} lives on the host, where its states cannot be read: an exact model needs an environment of "
            "pure functions, such as gymnax:Pendulum-v1"
        )
    return Exact(env.single)
