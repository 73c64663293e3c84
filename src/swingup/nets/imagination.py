"""A network reads what a model imagines, beside what is there (Racanière et al. 2017, arXiv:1707.06203, figure 1)."""

import math
from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from swingup.distributions import Categorical, masked
from swingup.nets.layers import MLP, Dense
from swingup.nets.observations import features
from swingup.nets.sequences import LSTM
from swingup.nets.vision import CNN
from swingup.spaces import Box


class Future(NamedTuple):
    """This is what is imagined of each of A actions, for L env steps from there."""

    frames: Array  # [..., A, L, H, W, C] observations; zeros behind an end
    reward: Array  # [..., A, L] rewards; zeros behind an end


class Sight(NamedTuple):
    """A network sees this."""

    obs: Array  # [..., H, W, C]
    future: Future | None = None  # what is imagined; None: nothing


class Encoder(eqx.Module):
    """A rollout becomes a code: an LSTM reads its frames and rewards backwards in time, as a backup goes."""

    eye: CNN
    memory: LSTM

    def __init__(self, shape: tuple[int, int, int], width: int, *, key: Array):
        k_eye, k_memory = jax.random.split(key)
        self.eye = CNN(shape, width, key=k_eye)
        self.memory = LSTM(0, width + 1, width, key=k_memory)

    def __call__(self, frames: Array, reward: Array) -> Array:
        """Return codes [..., K] of rollouts whose frames are [..., L, H, W, C] and whose rewards [..., L]."""
        seen = jnp.concatenate([self.eye(frames), reward[..., None]], -1)
        return self.memory(jnp.flip(seen, -2))


class Guess(eqx.Module):
    """The rollout policy π̂ is a small network of its own, which only looks at what is there."""

    eye: CNN
    head: Dense

    def __init__(self, shape: tuple[int, int, int], width: int, actions: int, *, key: Array):
        k_eye, k_head = jax.random.split(key)
        self.eye, self.head = CNN(shape, width, key=k_eye), Dense(width, actions, 0.01, key=k_head)

    def __call__(self, frames: Array) -> Categorical:
        return Categorical(self.head(self.eye(frames)))


class Imaginative(eqx.Module):
    """The agent joins a path without a model with the codes of A rollouts; two MLPs make π and V of both.

    Without `code` it has the path alone, and no π̂.
    """

    path: CNN
    encoder: Encoder | None
    guess: Guess | None
    actor: MLP
    critic: MLP
    space: Box = eqx.field(static=True)
    actions: int = eqx.field(static=True)

    def __init__(
        self,
        space: Box,
        actions: int,
        hidden: tuple[int, ...],
        activation: str,
        *,
        width: int,
        code: int,
        key: Array,
    ):
        """`hidden` are the widths of both MLPs, `width` that of the path and `code` that of a rollout's code."""
        k_path, k_encoder, k_guess, k_actor, k_critic = jax.random.split(key, 5)
        shape: tuple[int, int, int] = space.shape  # pyright: ignore[reportAssignmentType]
        self.space, self.actions, self.path = space, actions, CNN(shape, width, key=k_path)
        self.encoder = Encoder(shape, code, key=k_encoder) if code else None
        self.guess = Guess(shape, max(1, code // 2), actions, key=k_guess) if code else None
        sizes = width + actions * code, *hidden
        self.actor = MLP((*sizes, actions), activation, 0.01, key=k_actor)
        self.critic = MLP((*sizes, 1), activation, 1.0, key=k_critic)

    def frames(self, obs: Array) -> Array:
        """Return observations [..., H, W, C] as floats."""
        return features(self.space, obs, "channels last")

    def __call__(self, sight: Sight, legal: Array | None = None) -> tuple[Categorical, Array]:
        """Return π(·|s) and V(s) [...]; the policy is one among the actions that are `legal` [..., A]."""
        x = self.path(self.frames(sight.obs))
        if self.encoder is not None:
            assert sight.future is not None
            codes = self.encoder(self.frames(sight.future.frames), sight.future.reward)
            x = jnp.concatenate([x, codes.reshape(*codes.shape[:-2], -1)], -1)
        return Categorical(masked(self.actor(x), legal)), self.critic(x)[..., 0]

    def policy(self, sight: Sight, legal: Array | None = None) -> Categorical:
        """Return π(·|s) alone."""
        return self(sight, legal)[0]

    def value(self, sight: Sight) -> Array:
        """Return V(s) alone: [...]."""
        return self(sight)[1]

    def guessed(self, obs: Array) -> Categorical:
        """Return π̂(·|s)."""
        assert self.guess is not None
        return self.guess(self.frames(obs))


def network(
    space: Box,
    actions: int,
    hidden: tuple[int, ...],
    activation: str,
    code: int,
    *,
    imagines: bool,
    key: Array,
) -> Imaginative:
    """Return the network of an agent that imagines, or of one that does not and has as many weights.

    The weights of the latter grow by the same number with each unit of its path, so they are equal to within half of
    that number.
    """
    make = partial(Imaginative, space, actions, hidden, activation, key=key)
    if imagines:
        return make(width=hidden[0], code=code)
    wanted = weights(jax.eval_shape(lambda: make(width=hidden[0], code=code)))
    one, two = (weights(jax.eval_shape(lambda w=w: make(width=w, code=0))) for w in (1, 2))
    return make(width=max(1, 1 + round((wanted - one) / (two - one))), code=0)


def weights(net: eqx.Module) -> int:
    """Count the weights of a network, or of its shapes.

    >>> weights(Dense(2, 3, 1.0, key=jax.random.key(0)))
    9
    """
    return sum(math.prod(x.shape) for x in jax.tree.leaves(net))
