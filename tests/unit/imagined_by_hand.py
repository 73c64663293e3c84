"""Here are levels by hand, and the networks of an agent that imagines in plain NumPy, for several tests."""

from typing import Any

import numpy as np

from swingup.envs.pushbox import AGENT, BOX, GOAL, WALL
from swingup.nets.imagination import Encoder, Imaginative
from swingup.nets.vision import CNN


def room(agent: tuple[int, int], box: tuple[int, int], goal: tuple[int, int]) -> np.ndarray:
    """A level without walls inside."""
    obs = np.zeros((7, 7, 4), np.uint8)
    obs[[0, -1], :, WALL] = obs[:, [0, -1], WALL] = 1
    obs[(*agent, AGENT)] = obs[(*box, BOX)] = obs[(*goal, GOAL)] = 1
    return obs


# In the first the second action, right, solves it; the others take longer.
LEVELS = np.stack([room((3, 2), (3, 3), (3, 4)), room((2, 2), (3, 3), (5, 3)), room((4, 4), (4, 3), (1, 1))])


def affine(layer: Any, x: np.ndarray) -> np.ndarray:
    return x @ np.float64(layer.weight) + np.float64(layer.bias)


def slow_cnn(cnn: CNN, x: np.ndarray) -> np.ndarray:
    """Filters of 3x3 without padding, patch by patch, then a dense layer; relu after each."""
    height, width, _ = x.shape
    seen = [
        affine(cnn.conv.dense, x[i : i + 3, j : j + 3].ravel())
        for i in range(height - 2)
        for j in range(width - 2)
    ]
    return np.maximum(affine(cnn.dense, np.maximum(np.concatenate(seen), 0)), 0)


def slow_code(encoder: Encoder, frames: np.ndarray, reward: np.ndarray) -> np.ndarray:
    """The last imagined env step is read first, the first last: h after that."""
    size = encoder.memory.recurrent.shape[0]
    h, c = np.zeros(size), np.zeros(size)

    def squash(x: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-x))

    for step in range(len(reward) - 1, -1, -1):
        x = np.append(slow_cnn(encoder.eye, frames[step].astype(np.float64)), reward[step])
        gates = affine(encoder.memory.inputs, x) + h @ np.float64(encoder.memory.recurrent)
        i, f, g, o = np.split(gates, 4)
        c = squash(f) * c + squash(i) * np.tanh(g)
        h = squash(o) * np.tanh(c)
    return h


def slow_heads(net: Imaginative, sight: Any, b: int) -> tuple[np.ndarray, float]:
    """Logits and V of one row."""
    future, encoder = sight.future, net.encoder
    assert encoder is not None
    codes = [slow_code(encoder, future.frames[b, a], future.reward[b, a]) for a in range(net.actions)]
    x = np.concatenate([slow_cnn(net.path, sight.obs[b].astype(np.float64)), *codes])

    def mlp(layers: Any) -> np.ndarray:
        return affine(layers[1], np.tanh(affine(layers[0], x)))

    return mlp(net.actor.layers), mlp(net.critic.layers)[0]
