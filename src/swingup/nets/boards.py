"""These networks read a board: one body with two heads, as in AlphaZero."""

import math
from typing import Annotated, Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from swingup.nets.layers import ACTIVATIONS, MLP, Conv, Dense, layer_norm
from swingup.nets.observations import features
from swingup.protocols import Env
from swingup.ranges import Among
from swingup.spaces import Box, Discrete

ILLEGAL = -1e9  # the logit of a move that the rules forbid: not -inf, whose products with 0 are NaN
Board = Annotated[str, Among(("mlp", "residual"))]  # what reads it


class Residual(eqx.Module):
    """This is a tower of residual blocks of 3x3 convolutions over a board [..., H, W, C] (Silver et al. 2017, methods).

    Their batch normalisation became layer normalisation over the filters, which needs no statistics of a batch. Each
    of `widths` but the first is a block; the first layer has no shortcut, and all layers have the first's width.
    """

    convs: tuple[Conv, ...]

    def __init__(self, channels: int, widths: tuple[int, ...], *, key: Array):
        keys = jax.random.split(key, 2 * len(widths) - 1)
        inputs = [channels, *[widths[0]] * (2 * len(widths) - 2)]
        self.convs = tuple(Conv(n, widths[0], key=k) for n, k in zip(inputs, keys, strict=True))

    def __call__(self, x: Array) -> Array:
        def layer(conv: Conv, x: Array) -> Array:
            around = [(0, 0)] * (x.ndim - 3) + [(1, 1), (1, 1), (0, 0)]
            return layer_norm(conv(jnp.pad(x, around)))

        x = jax.nn.relu(layer(self.convs[0], x))
        for first, second in zip(self.convs[1::2], self.convs[2::2], strict=True):
            x = jax.nn.relu(x + layer(second, jax.nn.relu(layer(first, x))))
        return x


class PolicyValue(eqx.Module):
    """The network is (p, v) = f(s): logits of the moves, and the expected result for who moves next, in [-1, 1].

    It holds the rules of its game, with which a planner steps.
    """

    body: Any  # MLP or Residual
    policy: Dense
    value: MLP
    game: Any = eqx.field(static=True)  # an envs.games.Game
    kind: str = eqx.field(static=True)

    def __init__(self, game: Env, hidden: tuple[int, ...], body: str, activation: str, *, key: Array):
        """`hidden` are the widths of the layers; of a residual body the filters, one for each block."""
        k_body, k_policy, k_value = jax.random.split(key, 3)
        space, moves = game.observation_space, game.action_space
        assert isinstance(space, Box)
        assert isinstance(moves, Discrete)
        self.game = game
        if body == "residual":
            *board, channels = space.shape
            self.kind, self.body = "channels last", Residual(channels, hidden, key=k_body)
            width = math.prod(board) * hidden[0]
        else:
            self.kind = "vector"
            self.body = MLP((math.prod(space.shape), *hidden), activation, math.sqrt(2), key=k_body)
            width = hidden[-1]
        self.policy = Dense(width, moves.n, 0.01, key=k_policy)
        self.value = MLP((width, 64, 1), activation, 1.0, key=k_value)

    def __call__(self, obs: Array, legal: Array) -> tuple[Array, Array]:
        """Return logits [..., A], of moves that are not legal -1e9, and values [...] of boards [..., *shape]."""
        x = self.body(features(self.game.observation_space, obs, self.kind))
        if self.kind == "vector":
            x = ACTIVATIONS[self.body.activation](x)
        else:
            x = x.reshape(*x.shape[:-3], -1)
        return jnp.where(legal, self.policy(x), ILLEGAL), jnp.tanh(self.value(x)[..., 0])
