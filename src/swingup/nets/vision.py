"""Two bodies read images [..., height, width, channels]: one layer for small ones, strided layers for larger ones."""

import math

import equinox as eqx
import jax
from jax import Array

from swingup.nets.layers import Conv, Dense
from swingup.nets.noisy import NoisyDense

STRIDED = 36  # pixels along both sides from which on an image gets the strided body
WIDTH = 512  # units of that body's dense layer, at least
PLACES = 10  # along a side of its last map, at most: more strided layers keep the dense layer small


class CNN(eqx.Module):
    """The MinAtar body (Young & Tian 2019) has 16 filters of 3x3, then one dense layer, relu after each."""

    conv: Conv
    dense: Dense | NoisyDense

    def __init__(self, shape: tuple[int, int, int], outputs: int, *, dense: type = Dense, key: Array):
        k_conv, k_dense = jax.random.split(key)
        height, width, channels = shape
        self.conv = Conv(channels, 16, key=k_conv)
        self.dense = dense((height - 2) * (width - 2) * 16, outputs, math.sqrt(2), key=k_dense)

    def __call__(self, x: Array) -> Array:
        x = jax.nn.relu(self.conv(x))
        return jax.nn.relu(self.dense(x.reshape(*x.shape[:-3], -1)))


class NatureCNN(eqx.Module):
    """The body of DQN (Mnih et al. 2015) has 3 convolutions, one dense layer, relu after each; from 36x36 pixels on.

    Frames of 84x84 become maps of 20x20, 9x9 and 7x7. Where the last map would have more than 10 places along a
    side, further layers of 64 filters of 4x4 with stride 2 come before the last convolution, so that the dense
    layer has at most some three million weights.
    """

    convs: tuple[Conv, ...]
    dense: Dense | NoisyDense

    def __init__(self, shape: tuple[int, int, int], outputs: int, *, dense: type = Dense, key: Array):
        height, width, inputs = shape
        layers, places = plan(height, width)
        k_dense, *keys = jax.random.split(key, 1 + len(layers))
        convs = []
        for (filters, size, stride), k in zip(layers, keys, strict=True):
            convs.append(Conv(inputs, filters, size, stride, key=k))
            inputs = filters
        self.convs = tuple(convs)
        self.dense = dense(places * inputs, outputs, math.sqrt(2), key=k_dense)

    def __call__(self, x: Array) -> Array:
        for conv in self.convs:
            x = jax.nn.relu(conv(x))
        return jax.nn.relu(self.dense(x.reshape(*x.shape[:-3], -1)))


def plan(height: int, width: int) -> tuple[list[tuple[int, int, int]], int]:
    """Return the convolutions of the strided body, each (filters, size, stride), and the places of the last one's map.

    >>> plan(84, 84)
    ([(32, 8, 4), (64, 4, 2), (64, 3, 1)], 49)
    """

    def after(sides, layer):
        return [(n - layer[1]) // layer[2] + 1 for n in sides]

    first, more, last = (32, 8, 4), (64, 4, 2), (64, 3, 1)
    layers, sides = [first, more], after(after((height, width), first), more)
    while max(after(sides, last)) > PLACES and min(after(sides, more)) >= last[1]:
        layers, sides = [*layers, more], after(sides, more)
    return [*layers, last], math.prod(after(sides, last))


def vision(
    shape: tuple[int, int, int], hidden: tuple[int, ...], *, dense: type = Dense, key: Array
) -> tuple[CNN | NatureCNN, int]:
    """Return the body for images of a shape, and the width of what it gives.

    From 36x36 pixels on it is the strided one, whose dense layer has at least 512 units, however narrow `hidden` is:
    what it reads is rich. Below it is the small one, with `hidden[0]` units.
    """
    if min(shape[:2]) >= STRIDED:
        width = max(WIDTH, hidden[0])
        return NatureCNN(shape, width, dense=dense, key=key), width
    return CNN(shape, hidden[0], dense=dense, key=key), hidden[0]
