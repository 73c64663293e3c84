"""The loop around every algorithm: compile a chunk of iterations, run it for all seeds at once, look, repeat.

Nothing is called back from inside compiled code: callbacks act between chunks. The number of iterations in a
chunk is a run-time argument, so one compilation serves every length, and neither the chunk size nor the
logging interval can change a number.
"""

import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from swingup.errors import NonFiniteError
from swingup.rollout import nonfinite
from swingup.types import Algorithm, State, VecEnv

Metrics = dict[str, np.ndarray]
SLICE_SECONDS = 1.0  # how long compiled code may run before the host looks
CHUNK = 512  # iterations that one call of compiled code may run; the size of its log of metrics


class Progress(NamedTuple):
    """What a callback sees after a chunk. It may read everything; it must not alter anything."""

    algo: Algorithm
    env: VecEnv
    iteration: int  # iterations done since the run began
    iterations: int  # iterations of the whole run
    state: State  # leading axis [S]; donated to the next chunk, so copy what you keep
    metrics: Metrics  # {name: [S, chunk]}
    clock: "Clock"


Callback = Callable[[Progress], None]


@dataclass
class Clock:
    """Seconds, by what they were spent on; durations come from a monotonic clock."""

    compile_seconds: float = 0.0
    run_seconds: float = 0.0
    env_seconds: float = 0.0  # of run_seconds, on the host
    act_seconds: float = 0.0
    update_seconds: float = 0.0

    def split(self) -> dict[str, float]:
        """On the host: the seconds of stepping environments, of acting, of updates."""
        parts = {name: getattr(self, name) for name in ("env_seconds", "act_seconds", "update_seconds")}
        return {name: round(x, 3) for name, x in parts.items()} if self.env_seconds else {}

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Add the duration of a block to `name`."""
        began = time.perf_counter()
        try:
            yield
        finally:
            setattr(self, name, getattr(self, name) + time.perf_counter() - began)


def root_key(seed: int, purpose: str) -> Array:
    """The key of one consumer: the seed's root key, folded with the consumer's name."""
    return jax.random.fold_in(jax.random.key(seed), zlib.crc32(purpose.encode()))


def init(algo: Algorithm, env: VecEnv, seeds: Sequence[int]) -> State:
    """The training states of all seeds, stacked along a leading axis [S]."""
    keys = jnp.stack([root_key(seed, "train") for seed in seeds])
    if env.jittable:
        return _init(algo, keys, env)
    states = [setting(algo, i).init(part(env, i, len(keys)), key) for i, key in enumerate(keys)]
    return jax.tree.map(lambda *x: jnp.stack(x), *states)


def restart(env: VecEnv, state: State, seeds: Sequence[int], done: int) -> State:
    """A state after `done` iterations with fresh environments, where these live on the host and are lost."""
    if not hasattr(env, "part"):
        return state
    parts = [part(env, i, len(seeds)) for i in range(len(seeds))]
    keys = [root_key(seed, f"environments from iteration {done}") for seed in seeds]
    obs = np.stack([view.reset(key)[1] for view, key in zip(parts, keys, strict=True)])
    return state._replace(actor=state.actor._replace(obs=obs))


def part(env: Any, i: int, seeds: int) -> VecEnv:
    """The environments of the i-th seed."""
    count = env.num_envs // seeds
    return env.part(i * count, count) if hasattr(env, "part") and seeds > 1 else env


@partial(jax.jit, static_argnames="env")
def _init(algo: Algorithm, keys: Array, env: VecEnv) -> State:
    return jax.vmap(lambda algo, key: algo.init(env, key), in_axes=(axes(algo), 0))(algo, keys)


def axes(algo: Algorithm) -> Any:
    """`vmap` axes of an algorithm: a float hyperparameter given as an array [S] differs between seeds."""
    return jax.tree.map(lambda x: 0 if np.ndim(x) else None, algo)


def mesh_of(seeds: int) -> Mesh | None:
    """The devices that share the seeds, equally: as many as divide their number. None if that is one.

    On CPU there is one device unless `machine.set_up` made one per core.
    """
    devices = jax.local_devices()
    count = max(n for n in range(1, len(devices) + 1) if seeds % n == 0)
    return Mesh(np.array(devices[:count]), ("seed",)) if count > 1 else None


def shard(f: Callable, algo: Algorithm, mesh: Mesh | None, *, shared: int = 0) -> Callable:
    """`f(algo, tree [S], ..., *shared)` on every device of the mesh for its part of the seeds.

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


def setting(algo: Algorithm, i: int) -> Algorithm:
    """The settings of the i-th seed."""
    return jax.tree.map(lambda x: x[i] if np.ndim(x) else x, algo)


def run(
    algo: Algorithm,
    env: VecEnv,
    state: State,
    iterations: int,
    *,
    done: int = 0,
    chunk: int = CHUNK,
    every: Sequence[int] = (),
    callbacks: Sequence[Callback] = (),
    clock: Clock | None = None,
) -> State:
    """Advance `state` [S], which is consumed, from iteration `done` to `iterations`.

    Callbacks run at each multiple of the numbers in `every`, whatever `done` is, so that a resumed run saves
    and evaluates at the same points; and in between after `chunk` iterations or about a second, so that a
    slow run shows its progress and can be stopped. Raises `NonFiniteError` when a NaN or infinity appears; callbacks
    may raise to stop.
    """
    clock = clock or Clock()
    before = clock.run_seconds
    seeds = len(jax.tree.leaves(state)[0])
    mesh = mesh_of(seeds)
    if mesh is not None:
        state = jax.device_put(state, NamedSharding(mesh, PartitionSpec("seed")))
    with clock.measure("compile_seconds"):
        if env.jittable:
            advance = partial(_device_chunk, algo, env=env, chunk=chunk, mesh=mesh)
            state, _ = advance(state, jnp.int32(0))  # no iterations: it compiles
        else:
            from swingup.hosts import Loop  # which builds on this module

            advance = Loop(algo, env, seeds, clock)
            advance.compile(state)
    n, first = 1, done
    while done < iterations:
        n = min(n, iterations - done, chunk, *(k - done % k for k in every))
        with clock.measure("run_seconds"):
            state, metrics = advance(state, jnp.int32(n))
            metrics = {name: np.asarray(x)[:, :n] for name, x in metrics.items()}
        check_finite(metrics, algo, done)
        done += n
        for callback in callbacks:
            callback(Progress(algo, env, done, iterations, state, metrics, clock))
        n = max(1, int(SLICE_SECONDS * (done - first) / (clock.run_seconds - before)))
    return state


@partial(jax.jit, static_argnames=("env", "chunk", "mesh"), donate_argnames="state")
def _device_chunk(
    algo: Algorithm, state: State, n: Array, *, env: VecEnv, chunk: int, mesh: Mesh | None
) -> tuple[State, Any]:
    """Up to `chunk` iterations of all seeds in one program; `n`, how many, is known only when it runs.

    Settings are an argument and environments of one id are one object, so a second run that differs in
    floats alone compiles nothing.
    """

    def loop(algo: Algorithm, state: State, n: Array):
        step = jax.vmap(lambda algo, state: algo.step(env, state), in_axes=(axes(algo), 0))

        def body(i, carry):
            state, log = carry
            state, metrics = step(algo, state)
            return state, {name: log[name].at[:, i].set(x) for name, x in metrics.items()}

        shapes = jax.eval_shape(step, algo, state)[1]
        log = {name: jnp.zeros((x.shape[0], chunk), x.dtype) for name, x in shapes.items()}
        state, log = jax.lax.fori_loop(0, n, body, (state, log))
        # Once a chunk, for the sake of speed: what is not finite shows in the next iteration's losses anyway,
        # and no state that is not gets past the end of a chunk into a checkpoint.
        log["nonfinite/learner"] = (
            jnp.zeros_like(log["nonfinite/obs"]).at[:, n - 1].set(jax.vmap(nonfinite)(state.learner))
        )
        return state, log

    return shard(loop, algo, mesh, shared=1)(algo, state, n)


CAUSES = {
    "nonfinite/obs": "an observation",
    "nonfinite/reward": "a reward",
    "nonfinite/learner": "the parameters or the optimiser's state",
}


def check_finite(metrics: Metrics, algo: Algorithm, done: int) -> None:
    """Raise `NonFiniteError` naming what became NaN or infinite first, in which seed, and when."""
    names = [*CAUSES, *(name for name in metrics if name.startswith("loss/"))]
    bad = {name: ~np.isfinite(metrics[name]) if name not in CAUSES else metrics[name] > 0 for name in names}
    if not any(x.any() for x in bad.values()):
        return
    when = min(int(np.argmax(x.any(0))) for x in bad.values() if x.any())
    what = next(name for name in names if bad[name][:, when].any())  # causes first, consequences later
    row = int(np.argmax(bad[what][:, when]))
    iteration = done + when + 1
    upto = iteration * algo.env_steps_per_iteration
    raise NonFiniteError(
        f"NaN or infinity in {CAUSES.get(what, what)} (row {row} of the seeds) in iteration {iteration}, "
        f"between env steps {upto - algo.env_steps_per_iteration} and {upto}. "
        + (
            "The environment returned it: check its dynamics."
            if what in ("nonfinite/obs", "nonfinite/reward")
            else "Training diverged: try a smaller --lr, or --normalise-obs and --normalise-reward."
        )
    )
