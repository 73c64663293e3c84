"""Seeds have rows side by side: `vmap` axes of settings, devices that share the seeds, environments of each."""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from swingup.protocols import Algorithm, VecEnv
from swingup.types import State

Tree = TypeVar("Tree")


def axes(algo: Algorithm) -> Any:
    """Return the `vmap` axes of an algorithm: a float hyperparameter given as an array [S] differs between seeds."""
    return jax.tree.map(lambda x: 0 if np.ndim(x) else None, algo)


def mesh_of(seeds: int) -> Mesh | None:
    """Return the devices that share the seeds, equally: as many as divide their number. None if that is one.

    On CPU there is one device unless `machine.set_up` made one per core.
    """
    devices = jax.local_devices()
    count = max(n for n in range(1, len(devices) + 1) if seeds % n == 0)
    return Mesh(np.array(devices[:count]), ("seed",)) if count > 1 else None


def place(state: Tree, mesh: Mesh | None) -> Tree:
    """Put the state, or any tree of arrays [S, ...], on the devices of the mesh, each with its part of the seeds."""
    return state if mesh is None else jax.device_put(state, NamedSharding(mesh, PartitionSpec("seed")))


def kept(program: Callable, mesh: Mesh | None) -> Callable:
    """Put the state that a compiled program returns back in its place: XLA gives empty arrays none in particular."""

    def call(*args: Any) -> tuple[Any, Any]:
        state, rest = program(*args)
        return place(state, mesh), rest

    return call


def place_shapes(shapes: State, mesh: Mesh | None) -> State:
    """Return the shapes of what `place` gives, from those of what it takes."""
    sharding = None if mesh is None else NamedSharding(mesh, PartitionSpec("seed"))
    return jax.tree.map(lambda x: x.update(sharding=sharding), shapes)


def shard(f: Callable, algo: Algorithm, mesh: Mesh | None, *, shared: int = 0) -> Callable:
    """Call `f(algo, tree [S], ..., *shared)` on every device of the mesh for its part of the seeds.

    The last `shared` arguments are the same for all. Seeds never talk to each other, so no device waits.
    """
    if mesh is None:
        return f
    mine, all_ = PartitionSpec("seed"), PartitionSpec()
    settings = jax.tree.map(lambda x: mine if np.ndim(x) else all_, algo)

    def call(algo: Algorithm, *args: Any) -> Any:
        specs = (settings, *[mine] * (len(args) - shared), *[all_] * shared)
        return jax.shard_map(f, mesh=mesh, in_specs=specs, out_specs=mine, check_vma=False)(algo, *args)

    return call


def over_seeds(algo: Algorithm, mesh: Mesh | None, f: Callable, **how: Any) -> Any:
    """Compile `f(algo, ...)` of one seed for all of them, on all devices of the mesh; `how` goes to `jax.jit`.

    The program goes with the function that is returned, so nothing in `f` is kept alive by a cache.
    """

    def every(algo: Algorithm, *args: Any) -> Any:
        return jax.vmap(f, in_axes=(axes(algo), *[0] * len(args)))(algo, *args)

    return jax.jit(shard(every, algo, mesh), **how)


def part(env: VecEnv, i: int, seeds: int) -> VecEnv:
    """Return the environments of the i-th seed."""
    count = env.num_envs // seeds
    return env.part(i * count, count) if env.divisible and seeds > 1 else env
