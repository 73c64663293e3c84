"""Measure why `nn.Conv` is slices and one matrix product: time it against XLA's convolution, alone, vmapped, in a scan.

python benchmarks/conv.py
"""

import time

import jax
import jax.numpy as jnp

from swingup.nets.actor_critic import Conv, NatureCNN


def xla(weight: jax.Array, bias: jax.Array, x: jax.Array) -> jax.Array:
    kernel = weight.reshape(3, 3, x.shape[-1], -1)
    y = jax.lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return y + bias


def ours(weight: jax.Array, bias: jax.Array, x: jax.Array) -> jax.Array:
    h, w = x.shape[-3] - 2, x.shape[-2] - 2
    patches = [x[..., i : i + h, j : j + w, :] for i in range(3) for j in range(3)]
    return jnp.concatenate(patches, -1) @ weight + bias


def strided(conv: Conv, x: jax.Array) -> jax.Array:
    """XLA's convolution with the weights of `conv`; their order does not matter here."""
    kernel = conv.dense.weight.reshape(conv.size, conv.size, x.shape[-1], -1)
    strides, axes = (conv.stride, conv.stride), ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, kernel, strides, "VALID", dimension_numbers=axes) + conv.dense.bias


def atari() -> None:
    """Milliseconds of a gradient step of 256 Atari observations, alone and as one of two in a scan; best of 3."""
    net = NatureCNN((84, 84, 4), 512, key=jax.random.key(0))
    x = jax.random.uniform(jax.random.key(1), (256, 84, 84, 4))
    for name, convolve in (("XLA convolution", strided), ("slices", lambda conv, x: conv(x))):

        def loss(net, x, convolve=convolve):
            for conv in net.convs:
                x = jax.nn.relu(convolve(conv, x))
            return jnp.square(net.dense(x.reshape(len(x), -1))).sum()

        def step(net, x, loss=loss):
            return jax.tree.map(lambda p, g: p - 1e-9 * g, net, jax.grad(loss)(net, x))

        def scan(net, x, step=step):
            return jax.lax.scan(lambda net, _: (step(net, x), None), net, None, length=2)[0]

        for where, f, steps in (("alone", jax.jit(step), 1), ("in a scan", jax.jit(scan), 2)):
            jax.block_until_ready(f(net, x))
            best = float("inf")
            for _ in range(3):
                began = time.perf_counter()
                jax.block_until_ready(f(net, x))
                best = min(best, time.perf_counter() - began)
            print(f"Atari, {where:<9}   {name:<16} {1000 * best / steps:8.1f} ms", flush=True)


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
    atari()


if __name__ == "__main__":
    main()
