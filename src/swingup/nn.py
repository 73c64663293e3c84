"""Networks: the standard bodies, and the actor-critic built from them.

Every module is a pytree of arrays whose other fields are static, so plain `jit`, `grad`, `vmap` and `scan`
apply to it. Every module takes inputs with any leading axes. The layers are in `swingup.layers`, the bodies that read
a window of observations in `swingup.sequences`.
"""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from swingup.distributions import Categorical, Distribution, Normal
from swingup.errors import ConfigError, unknown
from swingup.layers import ACTIVATIONS, MLP, Conv, Dense, matmul, orthogonal
from swingup.sequences import LSTM, MEMORIES, Attention
from swingup.spaces import Box, Discrete, Space


class CNN(eqx.Module):
    """The MinAtar body (Young & Tian 2019): 16 filters of 3x3, then one dense layer, relu after each."""

    conv: Conv
    dense: Dense

    def __init__(self, shape: tuple[int, int, int], outputs: int, *, key: Array):
        k_conv, k_dense = jax.random.split(key)
        height, width, channels = shape
        self.conv = Conv(channels, 16, key=k_conv)
        self.dense = Dense((height - 2) * (width - 2) * 16, outputs, math.sqrt(2), key=k_dense)

    def __call__(self, x: Array) -> Array:
        x = jax.nn.relu(self.conv(x))
        return jax.nn.relu(self.dense(x.reshape(*x.shape[:-3], -1)))


class NatureCNN(eqx.Module):
    """The body of DQN (Mnih et al. 2015) for frames [84, 84, C]: 3 convolutions, one dense layer, relu after each."""

    convs: tuple[Conv, ...]
    dense: Dense

    def __init__(self, channels: int, outputs: int, *, key: Array):
        k_dense, k1, k2, k3 = jax.random.split(key, 4)
        first, second = Conv(channels, 32, 8, 4, key=k1), Conv(32, 64, 4, 2, key=k2)  # sizes, then strides
        self.convs = first, second, Conv(64, 64, 3, 1, key=k3)
        self.dense = Dense(7 * 7 * 64, outputs, math.sqrt(2), key=k_dense)

    def __call__(self, x: Array) -> Array:
        for conv in self.convs:
            x = jax.nn.relu(conv(x))
        return jax.nn.relu(self.dense(x.reshape(*x.shape[:-3], -1)))


def features(space: Space, obs: Array, window: bool = False) -> Array:
    """Observations as float arrays: integers one-hot, arrays flattened, images [H, W, C] and windows as they are."""
    if isinstance(space, Discrete):
        return jax.nn.one_hot(obs, space.n)
    obs = jnp.asarray(obs, jnp.float32)
    if space.dtype == "uint8":
        obs = obs / 255
    lead = obs.shape[: obs.ndim - len(space.shape)]
    return obs if len(space.shape) == 3 or window else obs.reshape(*lead, math.prod(space.shape))


def body(
    space: Space, hidden: tuple[int, ...], memory: str = "none", *, key: Array
) -> tuple[Any, tuple[int, ...]]:
    """What comes before the heads: the CNN of a space of images, None for others; and the heads' widths but the last.

    Images of type uint8 and 84x84, as Atari's are, get the `NatureCNN`, whose dense layer has 512 units there.
    With `memory` it is what reads a window of observations [K, d]; raises `ConfigError` if these are none.
    """
    if memory != "none":
        if not isinstance(space, Box) or len(space.shape) != 2:
            raise ConfigError(
                f"memory={memory!r} reads a window of the last K observations, of shape [K, d]; here observations "
                f"have the shape {list(space.shape)}: use memory='none', or an environment such as task:Recall"
            )
        return MEMORIES[memory](*space.shape, hidden[0], key=key), hidden
    if not isinstance(space, Box) or len(space.shape) != 3:
        inputs = space.n if isinstance(space, Discrete) else math.prod(space.shape)
        return None, (inputs, *hidden)
    atari = (*space.shape[:2], space.dtype) == (84, 84, "uint8")
    cnn = NatureCNN(space.shape[2], hidden[0], key=key) if atari else CNN(space.shape, hidden[0], key=key)
    return cnn, hidden


class ActorCritic(eqx.Module):
    """Policy and value function: two separate MLPs for vectors, one shared body for images and windows."""

    body: CNN | NatureCNN | LSTM | Attention | None
    actor: MLP
    critic: MLP
    log_std: Array | None  # [D] for continuous actions: one per dimension, the same in every state
    observation_space: Space = eqx.field(static=True)

    def __init__(
        self,
        observation_space: Space,
        action_space: Space,
        hidden: tuple[int, ...],
        activation: str,
        log_std_init: float | Array = 0.0,
        *,
        memory: str = "none",
        key: Array,
    ):
        """`hidden` are the widths of both MLPs; with a shared body, of its output and of what follows it.

        Raises `ConfigError` for an unknown activation or an action space without a policy head.
        """
        if activation not in ACTIVATIONS:
            raise ConfigError(unknown("activation", activation, ACTIVATIONS))
        k_body, k_actor, k_critic = jax.random.split(key, 3)
        self.observation_space, self.log_std = observation_space, None
        self.body, sizes = body(observation_space, hidden, memory, key=k_body)
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
        x = features(self.observation_space, obs, isinstance(self.body, LSTM | Attention))
        return x if self.body is None else self.body(x)

    def __call__(self, obs: Array) -> tuple[Distribution, Array]:
        """π(·|s) and V(s) for observations [..., *shape]. One pass through a shared body, and one back."""
        x = self.encode(obs)
        output = self.actor(x)
        pi = Categorical(output) if self.log_std is None else Normal(output, self.log_std)
        return pi, self.critic(x)[..., 0]

    def policy(self, obs: Array) -> Distribution:
        """π(·|s) alone."""
        return self(obs)[0]

    def value(self, obs: Array) -> Array:
        """V(s) alone: [...]."""
        return self(obs)[1]


__all__ = [
    "ACTIVATIONS",
    "CNN",
    "MLP",
    "ActorCritic",
    "Conv",
    "Dense",
    "NatureCNN",
    "body",
    "features",
    "matmul",
    "orthogonal",
]
