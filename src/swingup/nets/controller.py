"""A controller has so few weights that evolution finds them: they are one vector, so that candidates are a matrix."""

import equinox as eqx
import jax.numpy as jnp
from jax import Array

from swingup.distributions import masked
from swingup.spaces import Discrete, Space, entries


class Controller(eqx.Module):
    """This is an affine map from what is seen to an action, or one with a hidden layer of tanh units.

    It holds no weights, only how they are read.
    """

    space: Space = eqx.field(static=True)  # of the actions
    inputs: int = eqx.field(static=True)  # f
    hidden: int = eqx.field(static=True)  # units of the hidden layer; 0: none

    @property
    def size(self) -> int:
        """Return n, the number of weights."""
        outputs = entries(self.space)
        if not self.hidden:
            return (self.inputs + 1) * outputs
        return (self.inputs + 1) * self.hidden + (self.hidden + 1) * outputs

    def __call__(self, weights: Array, x: Array, legal: Array | None = None) -> Array:
        """Return actions [..., *shape] for weights [..., n] and what is seen, [..., f].

        Numbers are tanh of the outputs, in [-1, 1]; of actions that are counted it is that with the largest output.
        """
        if self.hidden:
            first = (self.inputs + 1) * self.hidden
            x, weights = jnp.tanh(affine(weights[..., :first], x)), weights[..., first:]
        out = affine(weights, x)
        if isinstance(self.space, Discrete):
            return jnp.argmax(masked(out, legal), -1)
        return jnp.tanh(out).reshape(*out.shape[:-1], *self.space.shape)


def affine(weights: Array, x: Array) -> Array:
    """Return W x + b, [..., A], for x [..., f] and weights [..., (f + 1) A]: W [f, A] row by row, and then b.

    >>> affine(jnp.array([2.0, 3.0, 1.0]), jnp.array([10.0, 100.0])).tolist()
    [321.0]
    """
    f = x.shape[-1]
    matrix = weights.reshape(*weights.shape[:-1], f + 1, -1)
    return jnp.einsum("...f,...fa->...a", x, matrix[..., :f, :]) + matrix[..., f, :]
