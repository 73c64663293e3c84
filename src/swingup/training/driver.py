"""The loop around every algorithm has four parts: compile a chunk of iterations, run it for all seeds at once, look,
repeat.

Nothing is called back from inside compiled code: callbacks act between chunks. The number of iterations in a
chunk is a run-time argument, so one compilation serves every length, and neither the chunk size nor the
logging interval can change a number.
"""

import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh

from swingup.envs import check_players
from swingup.errors import EnvironmentFault, NonFiniteError
from swingup.protocols import Algorithm, Replaying, VecEnv, env_steps
from swingup.replay import capacity, ring
from swingup.rollout import nonfinite
from swingup.training import parallel
from swingup.training.brief import brief, quick, traced
from swingup.training.clock import Clock
from swingup.training.finite import faults, stop
from swingup.training.host_loop import Loop, changed
from swingup.training.warmup import warm_up
from swingup.types import State

Metrics = dict[str, np.ndarray]
SLICE_SECONDS = 1.0  # how long compiled code may run before the host looks
CHUNK = 512  # iterations that one call of compiled code may run; the size of its log of metrics


class Progress(NamedTuple):
    """A callback sees this after a chunk. It may read everything; it must not alter anything."""

    algo: Algorithm
    env: VecEnv
    iteration: int  # iterations done since the run began
    iterations: int  # iterations of the whole run
    state: State  # leading axis [S]; donated to the next chunk, so copy what you keep
    metrics: Metrics  # {name: [S, chunk]}
    clock: Clock


Callback = Callable[[Progress], None]


def root_key(seed: int, purpose: str) -> Array:
    """Return the key of one consumer: the seed's root key, folded with the consumer's name."""
    return jax.random.fold_in(jax.random.key(seed), zlib.crc32(purpose.encode()))


def root_keys(seeds: Sequence[int], purpose: str) -> Array:
    """Return the `root_key` of every seed, [S], in one call: the same bits."""
    words = np.array(seeds, np.uint64).astype(np.uint32)
    return _root_keys(words, np.uint32(zlib.crc32(purpose.encode())))


@jax.jit
def _root_keys(seeds: Array, purpose: Array) -> Array:
    return jax.vmap(lambda seed: jax.random.fold_in(jax.random.key(seed), purpose))(seeds)


def init(algo: Algorithm, env: VecEnv, seeds: Sequence[int], devices: int | None = None) -> State:
    """Return the training states of all seeds, stacked along a leading axis [S].

    A stateful environment is not touched, so this is traceable and gives shapes by `jax.eval_shape`; `begin` also
    resets it and does the warm-up. Raises `ConfigError` if the replays do not fit in memory, and for a game for two if
    the algorithm plays alone.
    """
    check_players(algo, env)
    mesh = parallel.shared(algo, env, len(seeds), devices)
    capacity.check_room(algo, env, len(seeds), parallel.copies(mesh))
    keys = root_keys(seeds, "train")
    if env.stateful:
        view = parallel.part(env, 0, len(seeds))  # whose spaces and size are those of every seed
        how = {} if traced(keys) else quick()
        return parallel.over_seeds(algo, mesh, lambda algo, key: algo.init(view, key), **how)(algo, keys)
    return _init(algo, keys, env=env.traceable())


def begin(
    algo: Algorithm, env: VecEnv, seeds: Sequence[int], clock: Clock | None = None, devices: int | None = None
) -> State:
    """Return what `run` starts from: `init`, environments that are reset, replays that hold their warm-up.

    On the device, another core compiles meanwhile the chunk that `run` needs. The clock learns what was compiling and
    what, of a warm-up on the host, was running. Raises `ConfigError` if the replays do not fit in memory.
    """
    clock = clock or Clock()
    with clock.compiling:
        if env.jittable:
            return _begin_on_device(algo, env, seeds, devices)
        if not env.stateful:
            return init(algo, env, seeds, devices)
        obs = _first(env, seeds, 0)  # before `init`: only then it can be told whether actions are forbidden
        state = jax.block_until_ready(init(algo, env, seeds, devices))
        state = state._replace(actor=state.actor._replace(obs=obs))
    if not env_steps(algo, 0):
        return state
    try:
        mesh = parallel.shared(algo, env, len(seeds), devices)
        return warm_up(cast(Replaying, algo), env, state, root_keys(seeds, "warm-up"), clock, mesh)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            "stopped in the warm-up: nothing was learnt yet, so nothing is saved"
        ) from None


def _begin_on_device(algo: Algorithm, env: VecEnv, seeds: Sequence[int], devices: int | None) -> State:
    """Call `init`; meanwhile, on another core, compile from shapes alone the chunk that `run` needs."""
    mesh = parallel.shared(algo, env, len(seeds), devices)
    placed = parallel.place_shapes(shapes(algo, env, seeds, devices), mesh)
    with ThreadPoolExecutor(1) as pool:
        state = pool.submit(init, algo, env, seeds, devices)
        program(algo, env, placed, CHUNK, mesh)
        return jax.block_until_ready(state.result())


def shapes(algo: Algorithm, env: VecEnv, seeds: Sequence[int], devices: int | None = None) -> State:
    """Return the shapes and dtypes of what `init` returns, without a computation."""
    return jax.eval_shape(lambda: init(algo, env, seeds, devices))


def restart(env: VecEnv, state: State, seeds: Sequence[int], done: int) -> State:
    """Return a state after `done` iterations whose environments begin anew, where these live on the host."""
    if not env.stateful:
        return state
    obs = _first(env, seeds, done)
    learner, memory = state.learner, jax.tree.map(jnp.zeros_like, state.actor.memory)
    if done:
        learner = ring.in_rings(jax.jit(jax.vmap(ring.interrupt), donate_argnums=0), learner)
    return state._replace(learner=learner, actor=state.actor._replace(obs=obs, memory=memory))


def _first(env: VecEnv, seeds: Sequence[int], done: int) -> np.ndarray:
    """Reset the environments of all seeds, which are stateful: the first observations [S, N, ...]."""
    parts = [parallel.part(env, i, len(seeds)) for i in range(len(seeds))]
    keys = root_keys(seeds, f"environments from iteration {done}")
    return np.stack([view.reset(key)[1] for view, key in zip(parts, keys, strict=True)])


@brief("env")
def _init(algo: Algorithm, keys: Array, *, env: VecEnv) -> State:
    return jax.vmap(lambda algo, key: algo.init(env, key), in_axes=(parallel.axes(algo), 0))(algo, keys)


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
    settings: Callable[[Algorithm, int], Algorithm] | None = None,
    devices: int | None = None,
    clock: Clock | None = None,
    diverged: Callable[[NonFiniteError], None] = stop,
) -> State:
    """Train `state` [S], which is consumed, from iteration `done` to `iterations`.

    Callbacks run at each multiple of the numbers in `every`, whatever `done` is, so that a resumed run does the same;
    and in between after `chunk` iterations or about a second. They may raise. `settings(algo, done)` may change floats
    of the next chunk. `diverged` is called with the error of each row that is not finite: it raises, or the others go
    on as they would have. `devices` are for `parallel.shared`. Raises an environment's `EnvironmentFault` after them.
    """
    clock, mesh = clock or Clock(), parallel.shared(algo, env, len(jax.tree.leaves(state)[0]), devices)
    state = parallel.place(state, mesh)
    with clock.compiling:
        if env.jittable:
            advance = partial(parallel.kept(program(algo, env, state, chunk, mesh), mesh), algo)
        else:
            advance = Loop(algo, env, state, clock, mesh)
    n, first, before, progress = 1, done, clock.run_seconds, None
    fault: EnvironmentFault | None = None
    while done < iterations:
        n = min(n, iterations - done, chunk, *(k - done % k for k in every))
        if settings:
            algo, advance = changed(advance, settings(algo, done))
        with clock.running:
            state, metrics = advance(state, jnp.int32(n))
            metrics = {name: np.asarray(x)[:, :n] for name, x in metrics.items()}
        if isinstance(advance, Loop) and (fault := advance.fault):
            n = advance.complete
        if n:
            for error in faults(metrics, algo, done):
                diverged(error)
            done += n
            progress = Progress(algo, env, done, iterations, state, metrics, clock)
            for callback in callbacks:
                callback(progress)
        if fault:
            fault.progress = progress and progress._replace(state=state)
            raise fault
        n = parallel.agreed(max(1, int(SLICE_SECONDS * (done - first) / (clock.run_seconds - before))))
    return state


def program(
    algo: Algorithm, env: VecEnv, state: State, chunk: int, mesh: Mesh | None = None
) -> Callable[..., tuple[State, Any]]:
    """Return the compiled program of a chunk, `(algo, state, n) -> (state, metrics)`.

    `state` [S] is as `place` gives it, or the shapes of that. JAX keeps what it has compiled: a second call for states
    of the same form returns at once.
    """
    return _device_chunk.lower(algo, state, jnp.int32(0), env=env, chunk=chunk, mesh=mesh).compile()


@partial(jax.jit, static_argnames=("env", "chunk", "mesh"), donate_argnames="state")
def _device_chunk(
    algo: Algorithm, state: State, n: Array, *, env: VecEnv, chunk: int, mesh: Mesh | None
) -> tuple[State, Any]:
    """Run up to `chunk` iterations of all seeds in one program; `n`, how many, is known only when it runs.

    Settings are an argument and environments of one id are one object, so a second run that differs in
    floats alone compiles nothing.
    """

    def loop(algo: Algorithm, state: State, n: Array):
        step = jax.vmap(lambda algo, state: algo.step(env, state), in_axes=(parallel.axes(algo), 0))

        def body(i, carry):
            state, log = carry
            state, metrics = step(algo, state)
            state = parallel.pinned(state, mesh)
            return state, {name: log[name].at[:, i].set(x) for name, x in metrics.items()}

        shapes = jax.eval_shape(step, algo, state)[1]
        log = {name: jnp.zeros((x.shape[0], chunk), x.dtype) for name, x in shapes.items()}
        state, log = jax.lax.fori_loop(0, n, body, (state, log))
        # Once a chunk, for the sake of speed: what is not finite shows in the next iteration's losses anyway,
        # and no state that is not gets past the end of a chunk into a checkpoint.
        log["nonfinite/learner"] = (
            jnp.zeros_like(log["nonfinite/obs"])
            .at[:, n - 1]
            .set(jax.vmap(nonfinite)(ring.without(state.learner)))
        )
        return state, log

    return parallel.shard(loop, algo, mesh, shared=1)(algo, state, n)
