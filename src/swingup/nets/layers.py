"""Networks are made of these layers: dense and convolutional, with orthogonal weights.

Every module is a pytree of arrays whose other fields are static, so plain `jit`, `grad`, `vmap` and `scan`
apply to it. Every module takes inputs with any leading axes.
"""

import math
from typing import Annotated, Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from swingup.ranges import Among

ACTIVATIONS = {"tanh": jnp.tanh, "relu": jax.nn.relu, "silu": jax.nn.silu, "gelu": jax.nn.gelu}
Activation = Annotated[str, Among(tuple(ACTIVATIONS))]


def orthogonal(key: Array, rows: int, columns: int, scale: float = 1.0) -> Array:
    """Draw a [rows, columns] matrix with orthonormal rows or columns (whichever are fewer), times `scale`.

    It is the orthogonal polar factor of a Gaussian matrix, which is uniform over such matrices, found by
    Newton-Schulz iterations (Björck & Bowie 1971):  X <- X (3 I - X'X) / 2.  Only matrix products: a batched
    LAPACK call, which a QR becomes when seeds are vmapped, deadlocks jaxlib's two-thread pool on CPU.
    """
    tall = max(rows, columns), min(rows, columns)
    x = jax.random.normal(key, tall)
    x = x / jnp.linalg.norm(x)  # singular values in (0, 1], where the iteration converges to 1
    eye = 1.5 * jnp.eye(tall[1])

    def improve(_, x):
        return x @ (eye - 0.5 * x.T @ x)

    # A singular value grows by 1.5 until it is near 1; 60 iterations bring one of 1e-9 there.
    x = jax.lax.fori_loop(0, 60, improve, x)
    return scale * (x if rows >= columns else x.T)


@jax.custom_jvp
def matmul(x: Array, weight: Array) -> Array:
    """Return x W for x [..., inputs] and W [inputs, outputs], with a faster gradient of W on CPU.

    That gradient is x'g, a product over the batch, which XLA runs slowly; here g is transposed first. With few inputs
    x W is a sum of that many terms, which unlike a product is fused with what follows.
    """
    if weight.shape[0] > 8:
        return x @ weight
    first, *others = (x[..., i : i + 1] * weight[i] for i in range(weight.shape[0]))
    return sum(others, first)


@matmul.defjvp
def _matmul_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    (x, weight), (dx, dweight) = primals, tangents
    rows = x.reshape(-1, x.shape[-1])
    # Going back, the lower barrier is g' and the upper one g'x, both written out: without them XLA undoes a transpose.
    upper = jax.lax.optimization_barrier(dweight.T)
    lower = jax.lax.optimization_barrier(jax.lax.dot_general(upper, rows, (((1,), (1,)), ((), ()))))
    return matmul(x, weight), dx @ weight + lower.T.reshape(*x.shape[:-1], -1)


class Dense(eqx.Module):
    """y = x W + b; W is [inputs, outputs], orthogonal times `scale`, and b starts at zero."""

    weight: Array
    bias: Array

    def __init__(self, inputs: int, outputs: int, scale: float, *, key: Array):
        self.weight = orthogonal(key, inputs, outputs, scale)
        self.bias = jnp.zeros(outputs)

    def __call__(self, x: Array) -> Array:
        return matmul(x, self.weight) + self.bias


class MLP(eqx.Module):
    """Dense layers follow each other, with an activation after each but the last."""

    layers: tuple[Any, ...]  # of `Dense`, or another layer with its arguments
    activation: str = eqx.field(static=True)

    def __init__(
        self, sizes: tuple[int, ...], activation: str, last_scale: float, *, dense: Any = Dense, key: Array
    ):
        """`sizes` lists inputs, hidden widths and outputs; hidden layers are scaled by √2."""
        scales = [math.sqrt(2)] * (len(sizes) - 2) + [last_scale]
        keys = jax.random.split(key, len(scales))
        self.layers = tuple(
            dense(n, m, scale, key=k) for n, m, scale, k in zip(sizes, sizes[1:], scales, keys, strict=False)
        )
        self.activation = activation

    def __call__(self, x: Array) -> Array:
        for layer in self.layers[:-1]:
            x = ACTIVATIONS[self.activation](layer(x))
        return self.layers[-1](x)


class Conv(eqx.Module):
    """This is a convolution without padding: [..., H, W, C] -> [..., (H - size) // stride + 1, the same of W, outputs].

    `size` is a multiple of `stride`. Squares of stride x stride pixels become channels, and what is left is
    slices and one matrix product. XLA's own convolution becomes a grouped one when seeds are vmapped, and
    inside a `scan` it is ten times slower on CPU (`benchmarks/conv.py`).
    """

    dense: Dense  # weight [size² C, outputs], rows in the order of `patches`
    size: int = eqx.field(static=True)
    stride: int = eqx.field(static=True)

    def __init__(self, inputs: int, outputs: int, size: int = 3, stride: int = 1, *, key: Array):
        self.dense = Dense(size**2 * inputs, outputs, math.sqrt(2), key=key)
        self.size, self.stride = size, stride

    def patches(self, x: Array) -> Array:
        """Return what each output sees: [..., H', W', size² C], the squares of one patch row by row."""
        *lead, height, width, channels = x.shape
        high, wide, n = height // self.stride, width // self.stride, self.size // self.stride
        x = x[..., : high * self.stride, : wide * self.stride, :]
        x = x.reshape(*lead, high, self.stride, wide, self.stride, channels).swapaxes(-3, -4)
        x = x.reshape(*lead, high, wide, self.stride**2 * channels)
        slices = [x[..., i : i + high - n + 1, j : j + wide - n + 1, :] for i in range(n) for j in range(n)]
        return jnp.concatenate(slices, -1)

    def __call__(self, x: Array) -> Array:
        x = self.patches(x)
        # As a product of two matrices it takes two thirds of the time of one with four axes.
        return self.dense(x.reshape(-1, x.shape[-1])).reshape(*x.shape[:-1], -1)


def layer_norm(a: Any, gain: Any = 1.0, bias: Any = 0.0, epsilon: float = 1e-5) -> Array:
    """Return (g / σ) (a - μ) + b, with μ and σ over the last axis of a [..., n] (Ba, Kiros & Hinton 2016).

    g and b are [n] and learnt. As everywhere in practice σ is sqrt(variance + ε), or equal entries would divide by 0.

    >>> [round(x, 3) for x in layer_norm(jnp.array([1.0, 3.0]), gain=2.0, bias=1.0).tolist()]
    [-1.0, 3.0]
    """
    mean, var = a.mean(-1, keepdims=True), a.var(-1, keepdims=True)
    return gain / jnp.sqrt(var + epsilon) * (a - mean) + bias
