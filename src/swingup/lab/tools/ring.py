"""In a ring of states each leads to the next, and the values are linear in two features: (cos, sin) of the place.

The semi-gradient's field is then g(w) = ½ (γ R - I)(w - w*), with R the rotation by -2π / states. It leads to w*, and
turns on the way; the residual gradient's Jacobian is a multiple of I, and its way is straight.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from swingup.envs.tabular import MDP, mdp
from swingup.theory.fitted import equally, residual_gradient, semi_gradient

STATES, GAMMA = 12, 0.99


def ring(solution: np.ndarray) -> tuple[MDP, np.ndarray]:
    """Let each state lead to the next, with rewards such that Φ solution is V; return the features Φ [S, 2] too."""
    angle = 2 * np.pi * np.arange(STATES) / STATES
    features = np.stack([np.cos(angle), np.sin(angle)], 1)
    following = np.roll(np.eye(STATES), 1, axis=1)
    reward = features @ solution - GAMMA * following @ features @ solution
    return mdp(following[:, None], reward[:, None], np.full(STATES, 1 / STATES), gamma=GAMMA), features


def fields(process: MDP, features: np.ndarray) -> dict[str, Any]:
    """Return semi-gradient and residual gradient as functions of w [2]."""
    weight = equally(process)

    def q(w: Array) -> Array:
        return (jnp.asarray(features) @ w)[:, None]

    return {
        "semi-gradient": lambda w: semi_gradient(process, q, w, weight),
        "residual gradient": lambda w: residual_gradient(process, q, w, weight),
    }


def path(field: Any, start: np.ndarray, rate: float, updates: int) -> Array:
    """Repeat w <- w + rate g(w): [updates + 1, 2]."""
    return jax.lax.scan(lambda w, _: (w + rate * field(w), w), jnp.asarray(start), length=updates + 1)[1]


def turns(way: np.ndarray, centre: np.ndarray) -> float:
    """Count how often a path [N, 2] goes round a point, anticlockwise."""
    angle = np.unwrap(np.arctan2(*(way - centre).T[::-1]))
    return float((angle[-1] - angle[0]) / (2 * np.pi))
