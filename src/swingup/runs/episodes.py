"""Whole episodes are played for all seeds at once, one in each environment: `episodes.evaluate` in pieces that can be
stopped.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from swingup import episodes, rollout
from swingup.episodes import env_step_keys
from swingup.protocols import Algorithm, VecEnv
from swingup.training import host_loop, parallel
from swingup.training.brief import brief
from swingup.training.rows import rows
from swingup.types import Seen

SLICE_SECONDS = 0.5  # how long compiled code may run before the host looks
Watch = Callable[[int, np.ndarray], None]  # of env steps so far, and which episodes [S, N] go on


def on_host(
    algo: Algorithm,
    env: VecEnv,
    learner: Any,
    keys: Array,
    *,
    devices: int | None = None,
    limit: int | None = None,
    greedy: bool = True,
    watch: Watch = lambda env_steps, running: None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Do what `episodes.evaluate` does for all seeds at once: return returns, lengths and which were cut, [S, N].

    Actions are greedy, or drawn from the policy. `watch` is called after every env step with how many there were
    and which episodes go on; it may raise to stop.
    """
    seeds = len(keys)
    per_seed = env.num_envs // seeds if env.stateful else env.num_envs
    all_, learner = rows(env, seeds, per_seed), algo.acting(learner)
    act = parallel.over_seeds(algo, parallel.mesh_of_seeds(seeds, devices), partial(host_loop.act_in, env))
    k_reset, k_run = jnp.moveaxis(jax.vmap(jax.random.split)(keys), 1, 0)

    @jax.jit
    def drawn(t: int) -> tuple[Array, tuple]:
        k_act, k_env = jax.vmap(lambda key: env_step_keys(key, t))(k_run)
        draw = jax.vmap(lambda key: algo.draw(env.action_space, key, (per_seed,)))
        return k_env, () if greedy else (draw(k_act),)

    env_state, obs = all_.reset(k_reset)
    memory = jax.tree.map(
        lambda x: np.broadcast_to(x, (seeds, *x.shape)), algo.start_memory(env.action_space, per_seed)
    )
    returns, lengths = np.zeros((seeds, per_seed), np.float32), np.zeros((seeds, per_seed), np.int32)
    running, t = np.ones((seeds, per_seed), bool), 0
    while running.any() and (limit is None or t < limit):
        k_env, policy_noise = drawn(t)
        env_noise = jax.tree.map(lambda x: x[0], all_.draw(k_env, 1))
        seen = Seen(obs, all_.legal(env_state), all_.world(env_state), memory)
        choice, action = act(algo, learner, seen, *policy_noise)
        env_state, step = all_.step(env_state, np.asarray(action), env_noise)
        memory = rollout.carry_on(choice.memory, step.done)
        obs, returns = step.obs, np.where(running, step.ep_return, returns)
        lengths = np.where(running, step.ep_length, lengths)
        running, t = running & ~np.asarray(step.done), t + 1
        watch(t, running)
    return returns, lengths, running


def on_device(
    algo: Algorithm,
    env: VecEnv,
    learner: Any,
    keys: Array,
    *,
    devices: int | None = None,
    limit: int | None = None,
    greedy: bool = True,
    watch: Watch = lambda env_steps, running: None,
) -> tuple[np.ndarray, ...]:
    """Do what `on_host` does for environments that can be compiled, in slices between which `watch` is called."""
    mesh, most = parallel.mesh_of_seeds(len(keys), devices), 2**31 - 1 if limit is None else limit
    keys, playing = _first(algo, keys, env=env, mesh=mesh)
    until, n = 0, 1000
    while True:
        began, until = time.monotonic(), min(until + n, most)
        playing = _on(algo, learner, keys, playing, jnp.int32(until), env=env, mesh=mesh, greedy=greedy)
        running = np.asarray(playing.running)
        if not running.any() or until == most:
            return np.asarray(playing.returns), np.asarray(playing.lengths), running
        watch(until, running)
        n = 2 * n if time.monotonic() - began < SLICE_SECONDS else n


def compile_ahead(
    algo: Algorithm,
    env: VecEnv,
    learner: Any,
    keys: Array,
    *,
    devices: int | None = None,
    greedy: bool = True,
) -> None:
    """Compile what `on_device` will call with a learner of these shapes, [S, ...], and with keys as these."""
    mesh = parallel.mesh_of_seeds(len(keys), devices)
    _first.compiled.lower(algo, keys, env=env, mesh=mesh).compile()
    shapes = jax.eval_shape(partial(_first.f, env=env, mesh=mesh), algo, keys)
    where = [parallel.place_shapes(x, mesh) for x in (learner, *shapes)]
    _on.lower(algo, *where, jnp.int32(0), env=env, mesh=mesh, greedy=greedy).compile()


@brief("env", "mesh")
def _first(algo: Algorithm, keys: Array, *, env: VecEnv, mesh: Any) -> tuple[Array, episodes.Playing]:
    def one(key):
        k_reset, k_run = jax.random.split(key)
        return k_run, episodes.first_episodes(env, k_reset, algo.start_memory(env.action_space, env.num_envs))

    return parallel.shard(lambda algo, keys: jax.vmap(one)(keys), algo, mesh)(algo, keys)


@partial(jax.jit, static_argnames=("env", "mesh", "greedy"))
def _on(
    algo: Algorithm,
    learner: Any,
    keys: Array,
    playing: Any,
    until: Array,
    *,
    env: VecEnv,
    mesh: Any,
    greedy: bool,
) -> episodes.Playing:
    def one(algo, learner, key, playing, until):
        def act(seen, noise):
            return algo.act(learner, seen, None if greedy else noise)

        return episodes.play_on(env, act, key, playing, until, algo.draw)

    every = jax.vmap(one, in_axes=(parallel.axes(algo), 0, 0, 0, None))
    return parallel.shard(every, algo, mesh, shared=1)(algo, learner, keys, playing, until)
