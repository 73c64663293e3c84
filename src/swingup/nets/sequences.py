"""Two bodies read a window of the last K observations: an LSTM, and causal self-attention.

Both map [..., K, d] to [..., width], for any leading axes, and start anew in every window: what is older than K env
steps is forgotten. `read` gives the output at every place of the window, of which a body uses the last.
"""

import math
from typing import Annotated

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from swingup.nets.layers import MLP, Dense, layer_norm, matmul, orthogonal
from swingup.ranges import Among


def lstm_step(gates: Array, cell: Array) -> tuple[Array, Array]:
    """Do one step of a long short-term memory (Hochreiter & Schmidhuber 1997; forget gate: Gers et al. 2000).

        i, f, g, o = gates = W x + U h + b
        c <- σ(f) c + σ(i) tanh(g)          the cell: what is kept, and what is written
        h <- σ(o) tanh(c)                   what is shown of it

    `gates` is [..., 4 H] and the cell [..., H]; returns the new h and c. Nothing is kept if f is very low:

    >>> h, c = lstm_step(jnp.array([9.0, -9.0, 9.0, 9.0]), jnp.array([5.0]))
    >>> round(float(c[0]), 2)
    1.0
    """
    i, f, g, o = jnp.split(gates, 4, -1)
    cell = jax.nn.sigmoid(f) * cell + jax.nn.sigmoid(i) * jnp.tanh(g)
    return jax.nn.sigmoid(o) * jnp.tanh(cell), cell


def attention(query: Array, key: Array, value: Array) -> Array:
    """Return causal attention (Vaswani et al. 2017, eq. 1): softmax(Q K' / √d, over the present and the past) V.

    Keys and values are [..., K, d], queries [..., Q, d] of the last Q places of these. Each place mixes the values of
    those up to its own; so the first has no choice:

    >>> x = jnp.array([[1.0], [3.0]])
    >>> attention(0 * x, x, x)
    Array([[1.],
           [2.]], dtype=float32)
    """
    score = query @ jnp.swapaxes(key, -1, -2) / math.sqrt(query.shape[-1])
    queries, places = score.shape[-2:]
    past = jnp.tril(jnp.ones((queries, places), bool), places - queries)
    return jax.nn.softmax(jnp.where(past, score, -jnp.inf)) @ value


class LSTM(eqx.Module):
    """This LSTM reads the window from its oldest observation to the present one; the output is its last h."""

    inputs: Dense  # W [d, 4 H] and b
    recurrent: Array  # U [H, 4 H]

    def __init__(self, window: int, inputs: int, width: int, *, key: Array):
        """The four gates' W and U are orthogonal, and f starts at 1, so that the cell forgets slowly
        (Jozefowicz et al. 2015). Any `window` will do."""
        k_inputs, k_recurrent = jax.random.split(key)
        # Rows of length 2 over four gates: about 1 for each.
        dense = Dense(inputs, 4 * width, 2.0, key=k_inputs)
        bias = dense.bias.at[width : 2 * width].set(1.0)
        self.inputs = eqx.tree_at(lambda dense: dense.bias, dense, bias)
        blocks = jax.vmap(lambda key: orthogonal(key, width, width))(jax.random.split(k_recurrent, 4))
        self.recurrent = jnp.concatenate(list(blocks), -1)

    def read(self, x: Array) -> Array:
        """Return h after each observation: [..., K, d] -> [..., K, H]."""

        def step(carry, gates):
            hidden, cell = lstm_step(gates + matmul(carry[0], self.recurrent), carry[1])
            return (hidden, cell), hidden

        gates = jnp.moveaxis(self.inputs(x), -2, 0)
        start = jnp.zeros((*gates.shape[1:-1], self.recurrent.shape[0]), gates.dtype)
        return jnp.moveaxis(jax.lax.scan(step, (start, start), gates)[1], 0, -2)

    def step(self, x: Array, memory: tuple[Array, Array]) -> tuple[Array, Array]:
        """Go on by one observation [..., d] from h and c, both [..., H]: return the new ones."""
        hidden, cell = memory
        return lstm_step(self.inputs(x) + matmul(hidden, self.recurrent), cell)

    def __call__(self, x: Array) -> Array:
        return self.read(x)[..., -1, :]


class Attention(eqx.Module):
    """This is one block of a Transformer (Vaswani et al. 2017), normalised before each part (Xiong et al. 2020).

    x = E o + p;  x <- x + attention(norm(x));  x <- x + MLP(norm(x));  and a last norm. p, the places, is learnt.
    """

    embed: Dense
    place: Array  # [K, width]
    query: Dense
    key: Dense
    value: Dense
    output: Dense
    mlp: MLP
    gain: Array  # [3, width]: of the three norms
    bias: Array  # [3, width]
    heads: int = eqx.field(static=True)

    def __init__(self, window: int, inputs: int, width: int, *, key: Array):
        """Make four heads, or as many as divide `width`."""
        keys = jax.random.split(key, 7)
        self.embed = Dense(inputs, width, 1.0, key=keys[0])
        self.place = 0.1 * jax.random.normal(keys[1], (window, width))
        # The four in one: each orthogonal matrix is a loop to compile.
        four = jax.vmap(lambda key: Dense(width, width, 1.0, key=key))(jnp.stack(keys[2:6]))
        parts = [jax.tree.map(lambda x, i=i: x[i], four) for i in range(4)]
        self.query, self.key, self.value, self.output = parts
        self.mlp = MLP((width, 2 * width, width), "gelu", 1.0, key=keys[6])
        self.gain, self.bias = jnp.ones((3, width)), jnp.zeros((3, width))
        self.heads = math.gcd(4, width)

    def attend(self, x: Array, last: int) -> Array:
        """Let each head attend to its own part of the projected vectors: [..., K, width] -> [..., last, width]."""

        def split(x):
            return jnp.swapaxes(
                x.reshape(*x.shape[:-1], self.heads, -1), -2, -3
            )  # [..., heads, K, width / heads]

        query = self.query(x[..., -last:, :])
        mixed = attention(split(query), split(self.key(x)), split(self.value(x)))
        return self.output(jnp.swapaxes(mixed, -2, -3).reshape(query.shape))

    def read(self, x: Array, last: int) -> Array:
        """Return the output at the last `last` places: [..., K, d] -> [..., last, width]."""
        x = self.embed(x) + self.place[: x.shape[-2]]
        x = x[..., -last:, :] + self.attend(layer_norm(x, self.gain[0], self.bias[0]), last)
        x = x + self.mlp(layer_norm(x, self.gain[1], self.bias[1]))
        return layer_norm(x, self.gain[2], self.bias[2])

    def __call__(self, x: Array) -> Array:
        return self.read(x, 1)[..., 0, :]


MEMORIES = {"lstm": LSTM, "attention": Attention}
Reader = Annotated[str, Among(("none", *MEMORIES))]
