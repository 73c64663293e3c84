"""Environments on the host: the loop of one iteration in Python, for all seeds at once.

One call steps seeds x num_envs environments; `act` and `update` are the algorithm's own, compiled and vmapped
over seeds. What happens, and with which keys, is what `algo.step` does for one seed.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from swingup.clock import Clock
from swingup.distributions import noise
from swingup.envs import Hosted
from swingup.errors import ConfigError
from swingup.frames import newest, restore
from swingup.parallel import axes, mesh_of, part, shard
from swingup.rollout import episode_stats, nonfinite, record
from swingup.spaces import to_env
from swingup.types import Actor, Algorithm, Rollout, State, Step, VecEnv


class Rows(NamedTuple):
    """`S` seeds with `N` environments each; every array has leading axes [S, N]."""

    reset: Callable[[Array], tuple[Any, Any]]  # keys [S]
    draw: Callable[[Array, int], Any]  # keys [S], T -> [T, S, N, ...]
    step: Callable[[Any, np.ndarray, Any], tuple[Any, Step]]


def rows(env: VecEnv, seeds: int, num_envs: int) -> Rows:
    """The environments of all seeds. Raises `ConfigError` if they are not seeds x num_envs."""
    if isinstance(env, Hosted):  # pure: its state says which environments they are
        draw = jax.jit(jax.vmap(env.draw, (0, None), 1), static_argnums=1)
        return Rows(jax.jit(jax.vmap(env.reset)), draw, jax.jit(jax.vmap(env.step)))
    if seeds == 1 and env.num_envs == num_envs:
        first, add = (
            partial(jax.tree.map, lambda x: x[0]),
            partial(jax.tree.map, lambda x: np.asarray(x)[None]),
        )
        return Rows(
            lambda keys: add(env.reset(keys[0])),
            lambda keys, t: jax.tree.map(lambda x: x[:, None], env.draw(keys[0], t)),
            lambda state, action, noise: add(env.step(first(state), action[0], first(noise))),
        )
    if env.num_envs != seeds * num_envs or not hasattr(env, "part"):
        raise ConfigError(
            f"{seeds} seeds of {num_envs} environments are {seeds * num_envs}; {env.name} has {env.num_envs}: "
            "train on one seed, or pass an id or a constructor"
        )

    def split(x):
        return x.reshape(seeds, num_envs, *x.shape[1:])

    def step(_, action, __):
        return (), jax.tree.map(split, env.step((), action.reshape(-1, *action.shape[2:]), ())[1])

    def reset(keys):
        return (), np.stack([part(env, i, seeds).reset(key)[1] for i, key in enumerate(keys)])

    return Rows(reset, lambda keys, t: (), step)


class Loop:
    """Iterations of an algorithm for all seeds; the clock learns where their seconds went."""

    def __init__(self, algo: Algorithm, env: VecEnv, seeds: int, clock: Clock):
        self.algo, self.clock = algo, clock
        self.stacked = getattr(env, "stacked", False)  # then a rollout holds each frame once
        self.rows = rows(env, seeds, algo.num_envs)
        mesh = mesh_of(seeds)
        over = partial(_over_seeds, algo, mesh)
        self.begin, self.act = over(partial(_begin, env)), over(partial(_act, env))
        self.finish = over(_finish, donate_argnums=2)
        # With a replay, the environments go on while an update runs: what acts is one update behind.
        self.behind, self.overlaps = None, not isinstance(env, Hosted)

    def __call__(self, state: State, n: Array | int) -> tuple[State, dict[str, np.ndarray]]:
        """`n` iterations: the state and metrics {name: [S, n]}."""
        log = []
        for _ in range(int(n)):
            state, metrics = self.iterate(state)
            log.append(metrics)
        with self.clock.measure("update_seconds"):
            return state, {name: np.stack([np.asarray(row[name]) for row in log], 1) for name in log[0]}

    def compile(self, state: State) -> None:
        """Compile by an iteration that touches no environment and is thrown away."""
        learner = jax.tree.map(jnp.copy, state.learner)  # the update takes the replay's memory for its own
        state = state._replace(learner=learner)
        zero = np.zeros(jax.tree.leaves(state.actor.obs)[0].shape[:2], np.float32)
        fields: Any = state.actor.obs, state.actor.obs, zero, zero > 0, zero > 0, zero, zero.astype(np.int32)
        step = Step(*fields)
        pretend = self.rows._replace(
            step=lambda env_state, action, noise: (env_state, jax.tree.map(np.asarray, step))
        )
        self.rows, rows = pretend, self.rows
        self.clock, clock = Clock(), self.clock
        self.iterate(state)
        self.rows, self.clock, self.behind = rows, clock, None

    def iterate(self, state: State) -> tuple[State, dict[str, Array]]:
        """One iteration: collect T env steps, then `update`."""
        algo, (env_state, obs, recent) = self.algo, state.actor
        learner, replay = apart(state.learner)
        actor = learner if self.behind is None else self.behind
        key, k_learn, k_env, policy_noise = jax.device_get(self.begin(algo, state.key))
        env_noise = self.rows.draw(k_env, algo.num_steps)
        record = []
        for t in range(algo.num_steps):
            with self.clock.measure("act_seconds"):
                action, extras, sent = self.act(algo, actor, obs, policy_noise[:, t])
                sent = np.asarray(sent)  # waits for it
            with self.clock.measure("env_seconds"):
                env_state, step = self.rows.step(
                    env_state, sent, jax.tree.map(lambda x, t=t: x[t], env_noise)
                )
            row = Rollout(obs, action, extras, step)
            record.append(newest(row) if self.stacked else row)
            obs = step.obs
        with self.clock.measure("update_seconds"):
            rollout = jax.tree.map(lambda *x: np.stack([np.asarray(y) for y in x], 1), *record)
            first = state.actor.obs if self.stacked else ()
            results = self.finish(algo, learner, replay, recent, rollout, k_learn, first)
            if replay is None:
                results = jax.block_until_ready(results)
            elif self.overlaps:
                self.behind = learner
            learner, recent, metrics = results
        return State(learner, Actor(env_state, obs, recent), key), metrics


def _over_seeds(algo: Algorithm, mesh: Any, f: Callable, **how: Any) -> Callable:
    """`f(algo, ...)` of one seed, compiled for all of them, on all devices of the mesh."""

    def every(algo, *args):
        return jax.vmap(f, in_axes=(axes(algo), *[0] * len(args)))(algo, *args)

    return jax.jit(shard(every, algo, mesh), **how)


def _begin(env: VecEnv, algo: Any, key: Array) -> tuple[Array, Array, Array, Array]:
    """The keys of an iteration and the policy's noise [T, N, ...], as `step` and `collect` make them."""
    key, k_run, k_learn = jax.random.split(key, 3)
    k_act, k_env = jax.random.split(k_run)
    return key, k_learn, k_env, noise(env.action_space, k_act, (algo.num_steps, algo.num_envs))


def _act(
    env: VecEnv, algo: Any, learner: Any, obs: Any, noise: Array | None = None
) -> tuple[Array, Any, Array]:
    action, extras = algo.act(learner, obs, noise)
    return action, extras, to_env(env.action_space, action)


def apart(learner: Any) -> tuple[Any, Any]:
    """A learner without its replay, and the replay; None for algorithms that have none."""
    replay = getattr(learner, "replay", None)
    return (learner, None) if replay is None else (learner._replace(replay=None), replay)


def _finish(
    algo: Any, learner: Any, replay: Any, recent: Any, rollout: Rollout, key: Array, first: Any
) -> tuple[Any, Any, dict]:
    if replay is not None:
        learner = learner._replace(replay=replay)
    if not isinstance(first, tuple):
        rollout = restore(rollout, first)
    learner, metrics = algo.update(learner, rollout, key)
    recent = record(recent, rollout)
    finite = nonfinite(apart(learner)[0])
    stats = episode_stats(Actor((), (), recent), rollout) | {"nonfinite/learner": finite}
    return learner, recent, metrics | stats


def evaluate(algo: Algorithm, env: VecEnv, learner: Any, keys: Array, limit: int = 10_000) -> np.ndarray:
    """`rollout.evaluate` for all seeds at once: greedy returns [S, N] of one episode in each environment."""
    seeds = len(keys)
    per_seed = env.num_envs if isinstance(env, Hosted) else env.num_envs // seeds
    all_, learner = rows(env, seeds, per_seed), apart(learner)[0]
    act = _over_seeds(algo, mesh_of(seeds), partial(_act, env))
    k_reset, k_run = jnp.moveaxis(jax.vmap(jax.random.split)(keys), 1, 0)

    @jax.jit
    def keys_of(t):
        return jax.vmap(lambda k: jax.random.split(jax.random.fold_in(k, t))[1])(k_run)

    env_state, obs = all_.reset(k_reset)
    returns, running, t = np.zeros((seeds, per_seed), np.float32), np.ones((seeds, per_seed), bool), 0
    while running.any() and t < limit:
        env_noise = jax.tree.map(lambda x: x[0], all_.draw(keys_of(t), 1))
        env_state, step = all_.step(env_state, np.asarray(act(algo, learner, obs)[2]), env_noise)
        obs, returns = step.obs, np.where(running, step.ep_return, returns)
        running, t = running & ~np.asarray(step.done), t + 1
    return returns
