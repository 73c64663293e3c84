"""Seeds have rows side by side: `vmap` axes of settings, devices that share the seeds, environments of each.

Devices share the seeds if each can have equally many: no device ever waits for another. Else they may share the
environments of every seed, and each has a copy of what learns. The axis of the mesh says which of both it is.
"""

from collections.abc import Callable
from typing import Any, TypeGuard, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from swingup.errors import ConfigError
from swingup.protocols import Algorithm, VecEnv
from swingup.sharing import ENVS
from swingup.types import Actor, State

Tree = TypeVar("Tree")
SEEDS = "seed"  # the mesh's axis of devices that share seeds


def axes(algo: Algorithm) -> Any:
    """Return the `vmap` axes of an algorithm: a float hyperparameter given as an array [S] differs between seeds."""
    return jax.tree.map(lambda x: 0 if np.ndim(x) else None, algo)


def mesh_of(seeds: int, asked: int | None = None) -> Mesh | None:
    """Return the devices that share the seeds, equally: as many as divide their number. None if that is one.

    If it is `asked` for a number of devices, it is that, and where it does not divide the seeds the devices share the
    environments. Raises `ConfigError` if there are fewer. On CPU there is one device unless `machine.set_up`
    made one per core.
    """
    devices = jax.local_devices() if asked is None else jax.devices()
    count = max(n for n in range(1, len(devices) + 1) if seeds % n == 0) if asked is None else asked
    if not 1 <= count <= len(devices):
        cpu = " On a CPU the command makes one for each core, and from Python `machine.set_up` does."
        more = cpu if devices[0].platform == "cpu" else ""
        raise ConfigError(f"devices={count} must be from 1 to {len(devices)}: there are no more.{more}")
    return Mesh(np.array(devices[:count]), (ENVS if seeds % count else SEEDS,)) if count > 1 else None


def mesh_of_seeds(seeds: int, asked: int | None = None) -> Mesh | None:
    """Return the devices that share the seeds in an evaluation, as `mesh_of`: it shares no environments."""
    mesh = mesh_of(seeds, asked)
    return None if shares_envs(mesh) else mesh


def shared(algo: Algorithm, env: VecEnv, seeds: int, asked: int | None) -> Mesh | None:
    """Return `mesh_of`. Raises `ConfigError` for devices that can share neither the seeds nor the environments."""
    mesh = mesh_of(seeds, asked)
    if not shares_envs(mesh):
        if mesh is not None and mesh.is_multi_process:
            raise ConfigError(
                "several processes share environments only: let each of them train its own seeds"
            )
        return mesh
    n, why = mesh.size, f"seeds={seeds} is no multiple of it"
    if not env.jittable:
        raise ConfigError(
            f"devices={n}: the environments of {env.name} live on the host, where devices share seeds only, and {why}"
        )
    if algo.num_envs % n:
        fits = [str(k) for k in range(1, n) if algo.num_envs % k == 0 or seeds % k == 0]
        raise ConfigError(
            f"devices={n} must divide the seeds or the environments of a seed: {why}, nor is num_envs="
            f"{algo.num_envs}. Take devices={' or '.join(fits)}, or num_envs={-(-algo.num_envs // n) * n}"
        )
    return mesh


def shares_envs(mesh: Mesh | None) -> TypeGuard[Mesh]:
    """Do devices share the environments of every seed? Else they share the seeds, or there is one."""
    return mesh is not None and ENVS in mesh.axis_names


def layout(state: Tree, mesh: Mesh) -> Tree:
    """Return where on the devices each array of the state lies, or of any tree of arrays [S, ...].

    Where environments are shared, each device has its part of what is [S, N, ...], and all of the rest.
    """
    if not shares_envs(mesh):
        return jax.tree.map(lambda _: NamedSharding(mesh, PartitionSpec(SEEDS)), state)
    all_, mine = NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec(None, ENVS))
    where: Any = jax.tree.map(lambda _: all_, state)
    if not isinstance(state, State):
        return where
    obs, actor = state.actor.obs, state.actor
    n = jax.tree.leaves(obs)[0].shape[1]
    each = jax.tree.map(
        lambda x: mine if x.ndim > 1 and x.shape[1] == n else all_, (actor.env_state, obs, actor.memory)
    )
    return where._replace(actor=Actor(each[0], each[1], where.actor.recent, each[2]))


def place(state: Tree, mesh: Mesh | None) -> Tree:
    """Put the state, or any tree of arrays [S, ...], on the devices of the mesh, each with its part.

    If these are of several processes, each of them calls this with the same numbers.
    """
    if mesh is None:
        return state
    if mesh.is_multi_process:
        return jax.tree.map(_across, state, layout(state, mesh))
    return jax.device_put(state, layout(state, mesh))


def _across(x: Any, where: NamedSharding) -> Any:
    """Put one array on devices of several processes: `jax.device_put` reaches those of its own alone."""
    if isinstance(x, jax.Array) and not x.is_fully_addressable:
        return jax.jit(lambda x: x, out_shardings=where)(x)
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(_across(jax.random.key_data(x), where), impl=jax.random.key_impl(x))
    data = np.asarray(x)
    return jax.make_array_from_callback(data.shape, where, lambda index: data[index])


def pinned(state: Tree, mesh: Mesh | None) -> Tree:
    """Keep a traced tree where `place` puts it, if devices share environments: XLA might think of another place."""
    return jax.lax.with_sharding_constraint(state, layout(state, mesh)) if shares_envs(mesh) else state


def copies(mesh: Mesh | None) -> int:
    """Count how often the memory of this machine has what learns: on CPU the devices have no memory of their own."""
    cpus = [d for d in mesh.local_devices if d.platform == "cpu"] if shares_envs(mesh) else []
    return max(1, len(cpus))


def agreed(n: int) -> int:
    """Return what the first of several processes says: they run one program, each for as many iterations."""
    return int(multihost_utils.broadcast_one_to_all(np.int32(n))) if jax.process_count() > 1 else n


def alone(tree: Tree) -> Tree:
    """Leave arrays of which several devices have a copy on one of these."""

    def one(x: Any) -> Any:
        copied = isinstance(x, jax.Array) and x.is_fully_replicated and len(x.sharding.device_set) > 1
        return x.addressable_data(0) if copied else x

    return jax.tree.map(one, tree)


def kept(program: Callable, mesh: Mesh | None) -> Callable:
    """Put the state that a compiled program returns back in its place: XLA gives empty arrays none in particular."""

    def call(*args: Any) -> tuple[Any, Any]:
        state, rest = program(*args)
        return place(state, mesh), rest

    return call


def place_shapes(shapes: State, mesh: Mesh | None) -> State:
    """Return the shapes of what `place` gives, from those of what it takes."""
    if mesh is None:
        return shapes
    return jax.tree.map(lambda x, where: x.update(sharding=where), shapes, layout(shapes, mesh))


def shard(f: Callable, algo: Algorithm, mesh: Mesh | None, *, shared: int = 0) -> Callable:
    """Call `f(algo, tree [S], ..., *shared)` on every device of the mesh for its part of the seeds.

    The last `shared` arguments are the same for all. Seeds never talk to each other, so no device waits. If devices
    share the environments, `f` is called once, and XLA splits it.
    """
    if mesh is None:
        return f
    if shares_envs(mesh):

        def split(*args: Any) -> Any:
            with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
                return tuple(pinned(x, mesh) for x in f(*args))

        return split
    mine, all_ = PartitionSpec(SEEDS), PartitionSpec()
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
