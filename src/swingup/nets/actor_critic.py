"""A network has a body before its heads; the actor-critic has a policy and a value function.

Every module is a pytree of arrays whose other fields are static, so plain `jit`, `grad`, `vmap` and `scan`
apply to it. Every module takes inputs with any leading axes. The layers are in `swingup.nets.layers`, the bodies that
read images in `swingup.nets.vision`, those that read a window of observations in `swingup.nets.sequences`.
"""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from swingup.distributions import Categorical, Distribution, Normal, masked
from swingup.errors import ConfigError, unknown
from swingup.nets.layers import ACTIVATIONS, MLP, Conv, Dense, matmul, orthogonal
from swingup.nets.observations import features, image_shape, role
from swingup.nets.sequences import LSTM, MEMORIES, Attention
from swingup.nets.vision import CNN, NatureCNN, vision
from swingup.spaces import Box, Discrete, Space


def encoder(
    space: Space, hidden: tuple[int, ...], kind: str, memory: str = "none", *, dense: Any = Dense, key: Array
) -> tuple[Any, tuple[int, ...]]:
    """Return what comes before the heads, or None for vectors and integers; and the widths of the heads but the last.

    `kind` is the role of the observations (`observations.role`). Images get a body of `swingup.nets.vision`.
    With `memory` it is what reads a window of observations [K, d]; raises `ConfigError` if these are none.
    """
    if memory != "none":
        if not isinstance(space, Box) or len(space.shape) != 2:
            raise ConfigError(
                f"memory={memory!r} reads a window of the last K observations, of shape [K, d]; here observations "
                f"have the shape {list(space.shape)}: use memory='none', or an environment such as task:Recall"
            )
        return MEMORIES[memory](*space.shape, hidden[0], key=key), hidden
    if isinstance(space, Discrete) or kind == "vector":
        return None, (space.n if isinstance(space, Discrete) else math.prod(space.shape), *hidden)
    net, width = vision(image_shape(space, kind), hidden, dense=dense, key=key)
    return net, (width, *hidden[1:])


class ActorCritic(eqx.Module):
    """Policy and value function are two separate MLPs for vectors, and share one body for images and windows."""

    body: CNN | NatureCNN | LSTM | Attention | None
    actor: MLP
    critic: MLP
    log_std: Array | None  # [D] for continuous actions: one per dimension, the same in every state
    observation_space: Space = eqx.field(static=True)
    kind: str = eqx.field(static=True)  # the role of the observations

    def __init__(
        self,
        observation_space: Space,
        action_space: Space,
        hidden: tuple[int, ...],
        activation: str,
        log_std_init: float | Array = 0.0,
        *,
        memory: str = "none",
        body: str = "auto",
        key: Array,
    ):
        """`hidden` are the widths of both MLPs; with a shared body, of its output and of what follows it.

        Raises `ConfigError` for an unknown activation, an action space without a policy head, or a `body` that the
        observations do not fit.
        """
        if activation not in ACTIVATIONS:
            raise ConfigError(unknown("activation", activation, ACTIVATIONS))
        k_body, k_actor, k_critic = jax.random.split(key, 3)
        self.observation_space, self.log_std = observation_space, None
        self.kind = role(observation_space, body) if memory == "none" else "window"
        self.body, sizes = encoder(observation_space, hidden, self.kind, memory, key=k_body)
        if isinstance(action_space, Discrete):
            outputs = action_space.n
        elif len(action_space.shape) == 1:
            outputs = action_space.shape[0]
            self.log_std = jnp.full(outputs, log_std_init, jnp.float32)
        else:
            raise ConfigError(f"actions of shape {action_space.shape} have no policy head; use a vector")
        # A last policy layer near zero starts every state with nearly the same distribution.
        self.actor = MLP((*sizes, outputs), activation, 0.01, key=k_actor)
        self.critic = MLP((*sizes, 1), activation, 1.0, key=k_critic)

    def encode(self, obs: Array) -> Array:
        x = features(self.observation_space, obs, self.kind)
        return x if self.body is None else self.body(x)

    def __call__(self, obs: Array, legal: Array | None = None) -> tuple[Distribution, Array]:
        """Return π(·|s) and V(s) for observations [..., *shape]. One pass through a shared body, and one back.

        The policy is one among the actions that are `legal` [..., A]; None allows all.
        """
        x = self.encode(obs)
        output = self.actor(x)
        pi = Categorical(masked(output, legal)) if self.log_std is None else Normal(output, self.log_std)
        return pi, self.critic(x)[..., 0]

    def policy(self, obs: Array, legal: Array | None = None) -> Distribution:
        """Return π(·|s) alone."""
        return self(obs, legal)[0]

    def value(self, obs: Array) -> Array:
        """Return V(s) alone: [...]."""
        return self(obs)[1]


__all__ = [
    "ACTIVATIONS",
    "CNN",
    "MLP",
    "ActorCritic",
    "Conv",
    "Dense",
    "NatureCNN",
    "encoder",
    "features",
    "matmul",
    "orthogonal",
]
