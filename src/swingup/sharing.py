"""Arrays can say which of their axes the devices share that share one seed's environments.

These are hints for XLA, which splits a compiled program by itself and adds what the devices must tell each other. They
change where a number is computed, and no number but by rounding. Where devices share no environments they do nothing.
"""

from typing import TypeVar

import jax
from jax import Array
from jax.sharding import PartitionSpec

Tree = TypeVar("Tree")
ENVS = "env"  # the mesh's axis of devices that share environments


def parted(tree: Tree, axis: int = 0) -> Tree:
    """Give each device its part of this axis of every array, if the devices divide it."""

    def part(x: Array) -> Array:
        if x.ndim <= axis or x.shape[axis] % devices:
            return x
        return jax.lax.with_sharding_constraint(x, PartitionSpec(*[None] * axis, ENVS))

    devices = _devices()
    return jax.tree.map(part, tree) if devices > 1 else tree


def whole(tree: Tree) -> Tree:
    """Give every device all of every array: what is shuffled, or kept in a replay that each device has a copy of."""
    if _devices() == 1:
        return tree
    return jax.tree.map(lambda x: jax.lax.with_sharding_constraint(x, PartitionSpec()), tree)


def _devices() -> int:
    """Count the devices that share the environments of what is being traced."""
    return dict(jax.sharding.get_abstract_mesh().shape).get(ENVS, 1)
