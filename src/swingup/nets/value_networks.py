"""Algorithms that learn Q have networks of all actions at once, or of one action that is an input."""

from collections.abc import Callable
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from swingup.errors import ConfigError, unknown
from swingup.nets.actor_critic import ACTIVATIONS, CNN, MLP, NatureCNN, encoder
from swingup.nets.layers import Dense
from swingup.nets.noisy import NoisyDense
from swingup.nets.observations import features, role
from swingup.spaces import Box, Discrete, Space

Network = TypeVar("Network")


class QNetwork(eqx.Module):
    """This network says Q(s, ·) of discrete actions, or its distribution as M numbers for each: [..., A] or [..., A,
    M].

    With `dueling` (Wang et al. 2016, eq. 9): Q(s, a) = V(s) + A(s, a) - mean over actions of A(s, ·), with
    separate MLPs for V and A after the shared CNN, if there is one. With `noisy` every dense layer is a `NoisyDense`.
    """

    body: CNN | NatureCNN | None
    advantage: MLP
    value: MLP | None
    observation_space: Space = eqx.field(static=True)
    kind: str = eqx.field(static=True)  # the role of the observations
    shape: tuple[int, ...] = eqx.field(static=True)

    def __init__(
        self,
        observation_space: Space,
        action_space: Space,
        hidden: tuple[int, ...],
        activation: str,
        *,
        dueling: bool = False,
        atoms: int | None = None,
        noisy: bool = False,
        body: str = "auto",
        key: Array,
    ):
        """Raise `ConfigError` for an unknown activation, actions that are not discrete, or a `body` that the
        observations do not fit.
        """
        if activation not in ACTIVATIONS:
            raise ConfigError(unknown("activation", activation, ACTIVATIONS))
        if not isinstance(action_space, Discrete):
            raise ConfigError("this algorithm chooses among discrete actions; for a box use ddpg, td3 or sac")
        k_body, k_advantage, k_value = jax.random.split(key, 3)
        dense = NoisyDense if noisy else Dense
        self.observation_space, self.kind = observation_space, role(observation_space, body)
        self.body, sizes = encoder(observation_space, hidden, self.kind, dense=dense, key=k_body)
        self.shape = (action_space.n,) if atoms is None else (action_space.n, atoms)
        outputs = action_space.n * (atoms or 1)
        self.advantage = MLP((*sizes, outputs), activation, 1.0, dense=dense, key=k_advantage)
        last = (*sizes, atoms or 1)
        self.value = MLP(last, activation, 1.0, dense=dense, key=k_value) if dueling else None

    def __call__(self, obs: Array) -> Array:
        x = features(self.observation_space, obs, self.kind)
        x = x if self.body is None else self.body(x)
        q = self.advantage(x).reshape(*x.shape[:-1], *self.shape)
        if self.value is None:
            return q
        axis = -len(self.shape)
        value = self.value(x)
        return (value if len(self.shape) == 1 else value[..., None, :]) + q - q.mean(axis, keepdims=True)


class Critic(eqx.Module):
    """This network says Q(s, a) of a vector action in normalised units: observations [..., *shape] and actions [...,
    D] to [...].
    """

    body: CNN | NatureCNN | None
    mlp: MLP
    observation_space: Space = eqx.field(static=True)
    kind: str = eqx.field(static=True)  # the role of the observations

    def __init__(
        self,
        observation_space: Space,
        action_space: Space,
        hidden: tuple[int, ...],
        activation: str,
        *,
        body: str = "auto",
        key: Array,
    ):
        """Raise `ConfigError` for actions that are not a vector with finite bounds, or a `body` that the observations
        do not fit.
        """
        k_body, k_mlp = jax.random.split(key)
        self.observation_space, self.kind = observation_space, role(observation_space, body)
        self.body, (inputs, *_) = encoder(observation_space, hidden, self.kind, key=k_body)
        # After a CNN too all of `hidden` follows: with one width Q would be linear in the action.
        sizes = (inputs + dimensions(action_space), *hidden, 1)
        self.mlp = MLP(sizes, activation, 1.0, key=k_mlp)

    def __call__(self, obs: Array, action: Array) -> Array:
        x = features(self.observation_space, obs, self.kind)
        x = x if self.body is None else self.body(x)
        return self.mlp(jnp.concatenate([x, action], -1))[..., 0]


class Critics(eqx.Module):
    """Several critics are asked together: observations [..., *shape] and actions [..., D] to [L, ...]."""

    members: Critic  # every leaf [L, ...]

    def __call__(self, obs: Array, action: Array) -> Array:
        return each(self.members, obs, action)


class ActorNetwork(eqx.Module):
    """This network gives numbers for a policy over vector actions: observations [..., *shape] to [..., outputs * D]."""

    body: CNN | NatureCNN | None
    mlp: MLP
    observation_space: Space = eqx.field(static=True)
    kind: str = eqx.field(static=True)  # the role of the observations

    def __init__(
        self,
        observation_space: Space,
        action_space: Space,
        hidden: tuple[int, ...],
        activation: str,
        outputs: int = 1,
        *,
        body: str = "auto",
        key: Array,
    ):
        """Raise `ConfigError` for an unknown activation, actions that are not a vector with finite bounds, or a `body`
        that the observations do not fit.
        """
        if activation not in ACTIVATIONS:
            raise ConfigError(unknown("activation", activation, ACTIVATIONS))
        outputs = outputs * dimensions(action_space)
        k_body, k_mlp = jax.random.split(key)
        self.observation_space, self.kind = observation_space, role(observation_space, body)
        self.body, sizes = encoder(observation_space, hidden, self.kind, key=k_body)
        self.mlp = MLP((*sizes, outputs), activation, 0.01, key=k_mlp)

    def __call__(self, obs: Array) -> Array:
        x = features(self.observation_space, obs, self.kind)
        return self.mlp(x if self.body is None else self.body(x))


def dimensions(action_space: Space) -> int:
    """Return D of actions that are a vector with finite bounds; raises `ConfigError` for others."""
    bounded = isinstance(action_space, Box) and np.isfinite(action_space.bounds).all()
    if not bounded or len(action_space.shape) != 1:
        raise ConfigError(
            "this algorithm needs actions that are a vector between finite bounds; for discrete ones use dqn"
        )
    return action_space.shape[0]


def twins(critic: Callable[[Array], Network], key: Array, count: int = 2) -> Network:
    """Make `count` critics with their own weights, stacked along a leading axis: one product serves them all."""
    return jax.vmap(critic)(jax.random.split(key, count))


def each(critics: Critic, obs: Array, action: Array) -> Array:
    """Return the judgement of every critic: [count, B]."""
    return jax.vmap(lambda critic: critic(obs, action))(critics)


def smaller(q: Array) -> Array:
    """Return min(Q_1, Q_2), by a choice: [2, ...] to [...].

    JAX's gradient of a minimum over an axis asks where the result equals its operand. If a compiler computes the
    operand twice, with other roundings, it does so nowhere, and the gradient is 0 / 0. That of a choice is exact.

    >>> smaller(jnp.array([[1.0, 5.0], [2.0, 3.0]]))
    Array([1., 3.], dtype=float32)
    """
    return jnp.where(q[0] < q[1], q[0], q[1])
