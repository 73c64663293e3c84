"""Trees of small arrays as rows of 32-bit words, so that to write or read one is a single operation.

A layout is what the words mean: the tree's structure, then shape and dtype of each leaf. It is hashable.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array


def width_of(layout: tuple) -> int:
    """Return W, the words per row."""
    return sum(math.prod(shape) for shape, _ in layout[1])


def pack(tree: Any, layout: tuple, lead: int) -> Array:
    """Pack a tree of arrays with `lead` leading axes into words [..., W]. Bits are kept: nothing is rounded."""
    out = []
    for x, (shape, dtype) in zip(jax.tree.leaves(tree), layout[1], strict=True):
        x = jnp.asarray(x).astype(dtype).reshape(*x.shape[:lead], math.prod(shape))
        wide = x.dtype.itemsize == 4
        out.append(jax.lax.bitcast_convert_type(x, jnp.uint32) if wide else x.astype(jnp.uint32))
    return jnp.concatenate(out, -1)


def unpack(words: Array, layout: tuple) -> Any:
    """Undo `pack`: turn words [..., W] into the tree."""
    tree, kinds = layout
    leaves, at = [], 0
    for shape, dtype in kinds:
        size, dtype = math.prod(shape), jnp.dtype(dtype)
        x = words[..., at : at + size].reshape(*words.shape[:-1], *shape)
        leaves.append(jax.lax.bitcast_convert_type(x, dtype) if dtype.itemsize == 4 else x.astype(dtype))
        at += size
    return jax.tree.unflatten(tree, leaves)
