"""Numbers that only grow are counted in 32 bits: here none wraps at 2^31, stops in float32 at 2^24, or runs out.

JAX has no 64-bit integers by default. A number whose size matters, such as env steps, is a `Counter` of two words. A
number of which only its place in a ring matters goes `around`, and one that tells how long ago something was, in a ring
whose entries it numbers, counts modulo the `cycle` of that ring. Adam's count of gradient steps is optax's own: it
stops at 2^31 - 1, where its bias correction 1 - β^count has long been 1 to the last bit, so it changes nothing.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

BITS = 30
LIMIT = 2**BITS  # of one word; twice as much still fits in an int32


class Counter(NamedTuple):
    """A counter is high · 2^30 + low, below 2^61; both words have the same shape. `int` gives the exact number."""

    high: Array
    low: Array

    def __int__(self) -> int:
        return (int(self.high) << BITS) + int(self.low)


def counter(number: int = 0) -> Counter:
    """Make a counter that begins at `number`."""
    return Counter(jnp.int32(number >> BITS), jnp.int32(number & (LIMIT - 1)))


def add(count: Counter, number: Array | int) -> Counter:
    """Return the counter moved on by `number`, which is at most 2^30.

    >>> int(add(add(counter(2**31 - 1), 2**30), 1)) == 2**31 + 2**30
    True
    """
    low = count.low + number
    return Counter(count.high + (low >> BITS), low & (LIMIT - 1))


def real(count: Counter) -> Array:
    """Return the number as float32, for schedules: within 2^-24 of it in proportion, however large it is.

    >>> float(real(counter(3 * 2**31)))
    6442450944.0
    """
    return count.high * float(LIMIT) + count.low


def around(number: Array, size: int) -> Array:
    """`number` as it is below 2^30; from there on its place in a ring of `size`, plus `size`: the ring is full.

    So it goes on for ever where only `number % size`, and whether `number` is below `size`, is asked for.

    >>> [int(around(jnp.int32(n), 7)) for n in (3, 8, 2**30)]
    [3, 8, 8]
    """
    return jnp.where(number < LIMIT, number, (size + number % size).astype(number.dtype))


def cycle(size: int) -> int:
    """Return the largest multiple of `size` up to 2^30: numbers modulo it keep their places in a ring of `size`.

    How far two of them are apart is told by their difference modulo the cycle.

    >>> cycle(7) % 7, 2**30 - cycle(7) < 7
    (0, True)
    """
    return LIMIT // size * size
