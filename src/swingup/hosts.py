"""Environments on the host: the loop of one iteration in Python, for all seeds at once.

One call steps seeds x num_envs environments; `act` and `update` are the algorithm's own, compiled and vmapped
over seeds. What happens, and with which keys, is what `algo.step` does for one seed.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from swingup.clock import Clock
from swingup.distributions import noise
from swingup.envs import Hosted
from swingup.errors import EnvironmentFault
from swingup.frames import newest, restore
from swingup.parallel import mesh_of, over_seeds
from swingup.rollout import episode_stats, nonfinite, record
from swingup.rows import keeps_frames, rows
from swingup.spaces import to_env
from swingup.types import Actor, Algorithm, Rollout, State, Step, VecEnv

AHEAD = 1024  # env steps for which randomness is drawn at once
PRIVATE = "replay", "priorities", "target", "opt_state"


class Loop:
    """Iterations of an algorithm for all seeds; the clock learns where their seconds went.

    With a replay the environments go on while an update runs: it is sent from a thread of its own, as JAX runs
    on a CPU what one thread sends in its order, and what acts meanwhile is one update behind.
    """

    def __init__(self, algo: Algorithm, env: VecEnv, seeds: int, clock: Clock):
        self.algo, self.clock = algo, clock
        self.stacked = keeps_frames(env)  # then a rollout holds each frame once
        self.rows, self.pure = rows(env, seeds, algo.num_envs), isinstance(env, Hosted)
        over = partial(over_seeds, algo, mesh_of(seeds))
        ahead = max(1, AHEAD // algo.env_steps_per_iteration)
        self.draw, self.act = over(partial(_draw, env, ahead)), over(partial(_act, env))
        self.finish = over(_finish, donate_argnums=2)
        overlaps = hasattr(algo, "replay_size") and not self.pure
        self.worker = ThreadPoolExecutor(1) if overlaps else None
        self.behind, self.drawn = None, []
        self.fault: EnvironmentFault | None = None
        self.complete = 0

    def __call__(self, state: State, n: Array | int) -> tuple[State, dict[str, np.ndarray]]:
        """`n` iterations, at least one: the state and metrics {name: [S, n]}. The state is consumed.

        If an environment fails, `fault` is what it raised, `complete` is how many iterations were, and the state and
        metrics are those after the last of these: as they came if there is none.
        """
        learner, (env_state, obs, recent), key = state
        running, log, self.fault = None, [], None
        key: Any = np.asarray(jax.random.key_data(key))
        for _ in range(int(n)):
            with self.clock.measure("act_seconds"):
                after, k_learn, k_env, noise = self.randomness(key)
            acting = public(learner) if self.behind is None else self.behind
            first = obs if self.stacked else ()
            try:
                env_state, obs, rollout = self.collect(acting, env_state, obs, k_env, noise)
            except EnvironmentFault as fault:
                self.fault = fault
                break
            key = after
            with self.clock.measure("update_seconds"):
                if running is not None:
                    learner, recent, metrics = running.result()
                    log.append(metrics)
                if self.worker is not None:
                    self.behind = public(learner)
                running = self.update(learner, recent, rollout, k_learn, first)
                if self.worker is None:
                    learner = running.result()[0]
        with self.clock.measure("update_seconds"):
            if running is not None:
                learner, recent, metrics = running.result()
                log.append(metrics)
            names, self.complete = log[0] if log else (), len(log)
            metrics = {name: np.stack([np.asarray(row[name]) for row in log], 1) for name in names}
        return State(learner, Actor(env_state, obs, recent), jax.random.wrap_key_data(key)), metrics

    def compile(self, state: State) -> None:
        """Compile by an iteration that touches no environment and is thrown away."""
        learner = jax.tree.map(jnp.copy, state.learner)  # the update takes the replay's memory for its own
        zero = np.zeros(jax.tree.leaves(state.actor.obs)[0].shape[:2], np.float32)
        fields: Any = state.actor.obs, state.actor.obs, zero, zero > 0, zero > 0, zero, zero.astype(np.int32)
        step = jax.tree.map(np.asarray, Step(*fields))
        real = self.rows, self.clock
        self.rows = self.rows._replace(step=lambda env_state, action, noise: (env_state, step))
        self.clock = Clock()
        self(state._replace(learner=learner), 1)
        (self.rows, self.clock), self.behind = real, None

    def randomness(self, key: np.ndarray) -> tuple[Any, Any, Any, Any]:
        """The next iteration's, of what is drawn for several at once: thousands of small draws cost much."""
        if not self.drawn or not np.array_equal(self.drawn[0][0], key):
            # Before: the key that it starts from. After: where the next one starts.
            after, *rest = jax.device_get(self.draw(self.algo, key))
            before = [key, *(after[:, i] for i in range(after.shape[1] - 1))]
            self.drawn = [(b, after[:, i], *(x[:, i] for x in rest)) for i, b in enumerate(before)]
        return self.drawn.pop(0)[1:]

    def collect(
        self, learner: Any, env_state: Any, obs: Any, key: Any, noise: Any
    ) -> tuple[Any, Any, Rollout]:
        """T env steps in all environments: their states, what to act on next, and the rollout [S, T, N]."""
        drawn, record = (), []
        if self.pure:
            drawn = self.rows.draw(jax.random.wrap_key_data(key), self.algo.num_steps)
        for t in range(self.algo.num_steps):
            with self.clock.measure("act_seconds"):
                action, extras, sent = self.act(self.algo, learner, obs, noise[:, t])
                sent = np.asarray(sent)  # waits for it
            with self.clock.measure("env_seconds"):
                now = jax.tree.map(lambda x, t=t: x[t], drawn)
                env_state, step = self.rows.step(env_state, sent, now)
            row = Rollout(obs, action, extras, step)
            record.append(newest(row) if self.stacked else row)
            obs = step.obs
        return env_state, obs, jax.tree.map(lambda *x: np.stack([np.asarray(y) for y in x], 1), *record)

    def update(self, learner: Any, recent: Any, rollout: Rollout, key: Any, first: Any) -> Any:
        """A future of the learner, the recent returns and the metrics; it is done unless there is a worker."""

        def work() -> Any:
            rest = private(learner)
            return jax.block_until_ready(
                self.finish(self.algo, public(learner), rest, recent, rollout, key, first)
            )

        if self.worker is not None:
            return self.worker.submit(work)
        done: Future = Future()
        done.set_result(work())
        return done


def _draw(env: VecEnv, count: int, algo: Any, key: Array) -> Any:
    """Keys' data and the policy's noise [count, T, N, ...] of so many iterations, as `step` and `collect` make them."""

    def body(key, _):
        key, k_run, k_learn = jax.random.split(key, 3)
        k_act, k_env = jax.random.split(k_run)
        drawn = noise(env.action_space, k_act, (algo.num_steps, algo.num_envs))
        return key, (*map(jax.random.key_data, (key, k_learn, k_env)), drawn)

    return jax.lax.scan(body, jax.random.wrap_key_data(key), None, length=count)[1]


def _act(
    env: VecEnv, algo: Any, learner: Any, obs: Any, noise: Array | None = None
) -> tuple[Array, Any, Array]:
    action, extras = algo.act(learner, obs, noise)
    return action, extras, to_env(env.action_space, action)


def apart(learner: Any) -> tuple[Any, Any]:
    """A learner without its replay, and the replay; None for algorithms that have none."""
    replay = getattr(learner, "replay", None)
    return (learner, None) if replay is None else (learner._replace(replay=None), replay)


def private(learner: Any) -> dict[str, Any]:
    """What an algorithm's `act` never reads: an update may write over it."""
    return {name: getattr(learner, name) for name in PRIVATE if hasattr(learner, name)}


def public(learner: Any) -> Any:
    """What `act` may read."""
    return learner._replace(**dict.fromkeys(private(learner)))


def _finish(
    algo: Any, learner: Any, rest: dict[str, Any], recent: Any, rollout: Rollout, key: Array, first: Any
) -> tuple[Any, Any, dict]:
    if not isinstance(first, tuple):
        rollout = restore(rollout, first)
    learner, metrics = algo.update(learner._replace(**rest), rollout, jax.random.wrap_key_data(key))
    recent = record(recent, rollout)
    finite = nonfinite(apart(learner)[0])
    stats = episode_stats(Actor((), (), recent), rollout) | {"nonfinite/learner": finite}
    return learner, recent, metrics | stats
