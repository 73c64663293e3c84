"""Why `nn.Conv` is slices and one matrix product: time it against XLA's convolution, alone and vmapped.

python benchmarks/conv.py
"""

import time

import jax
import jax.numpy as jnp

from swingup.nn import Conv


def xla(weight: jax.Array, bias: jax.Array, x: jax.Array) -> jax.Array:
    kernel = weight.reshape(3, 3, x.shape[-1], -1)
    y = jax.lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return y + bias


def ours(weight: jax.Array, bias: jax.Array, x: jax.Array) -> jax.Array:
    h, w = x.shape[-3] - 2, x.shape[-2] - 2
    patches = [x[..., i : i + h, j : j + w, :] for i in range(3) for j in range(3)]
    return jnp.concatenate(patches, -1) @ weight + bias


def main() -> None:
    """Milliseconds of a gradient of the sum of squares, batch 1024 of 10x10x4, 16 filters; best of 5."""
    for seeds in (1, 4):
        keys = jax.random.split(jax.random.key(0), seeds)
        convs = jax.vmap(lambda k: Conv(4, 16, key=k))(keys)
        x = jax.random.normal(jax.random.key(1), (seeds, 1024, 10, 10, 4))
        for name, f in (("XLA convolution", xla), ("slices", ours)):

            def loss(w, b, x, f=f):
                return jnp.square(f(w, b, x)).sum()

            step = jax.jit(jax.vmap(jax.grad(loss, (0, 1))))
            args = convs.dense.weight, convs.dense.bias, x
            jax.block_until_ready(step(*args))
            best = float("inf")
            for _ in range(5):
                began = time.perf_counter()
                jax.block_until_ready(step(*args))
                best = min(best, time.perf_counter() - began)
            print(f"{seeds} seed(s)   {name:<16} {1000 * best:8.2f} ms")


if __name__ == "__main__":
    main()
