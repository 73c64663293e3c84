"""Measure why `rollout.permutation` is one sort of packed words: time it against `jax.random.permutation`.

python benchmarks/shuffle.py
"""

import time
from collections.abc import Callable

import jax

from swingup.rollout import permutation

REPEATS = 1000


def microseconds(shuffle: Callable[[jax.Array, int], jax.Array], n: int) -> float:
    """Measure one shuffle of `n` samples inside a compiled loop; return the best of 5 loops."""
    keys = jax.random.split(jax.random.key(0), REPEATS)
    loop = jax.jit(lambda keys: jax.lax.scan(lambda _, key: (0, shuffle(key, n)[0]), 0, keys)[1])
    best = float("inf")
    for _ in range(6):
        began = time.perf_counter()
        jax.block_until_ready(loop(keys))
        best = min(best, time.perf_counter() - began)
    return 1e6 * best / REPEATS


if __name__ == "__main__":
    for n in (512, 8192):
        print(f"{n:>6} samples   ours {microseconds(permutation, n):8.1f} us", end="")
        print(f"   jax.random.permutation {microseconds(jax.random.permutation, n):8.1f} us")
