"""Environments on the host need the loop of one iteration in Python, for all seeds at once.

One call steps seeds x num_envs environments; `act` and `update` are the algorithm's own, compiled and vmapped
over seeds. What happens, and with which keys, is what `algo.step` does for one seed.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import Array
from jax.sharding import Mesh

from swingup.errors import EnvironmentFault
from swingup.protocols import Algorithm, VecEnv
from swingup.replay import ring
from swingup.replay.frames import newest, restore
from swingup.rollout import carry_on, draws, episode_stats, keys, nonfinite, record
from swingup.spaces import to_env
from swingup.training.clock import Clock
from swingup.training.parallel import over_seeds, place
from swingup.training.rows import each, rows
from swingup.types import Actor, Choice, Rollout, Seen, State, Step

AHEAD = 1024  # env steps for which randomness is drawn at once
Halves = tuple[list, list]  # a learner's leaves: what `act` reads, and the rest; None in the other's places


class Loop:
    """The loop does iterations of an algorithm for all seeds, compiled for states of one form; the clock learns where
    seconds went.

    With a replay the environments go on while an update runs: it is sent from a thread of its own, because JAX runs
    on a CPU what one thread sends in its order, and what acts meanwhile is one update behind.
    """

    def __init__(self, algo: Algorithm, env: VecEnv, state: State, clock: Clock, mesh: Mesh | None = None):
        self.algo, self.env, self.clock, self.mesh = algo, env, clock, mesh
        self.rows = rows(env, len(state.key), algo.num_envs)
        self.draw, self.act, self.finish = self.compiled(state, mesh)
        overlaps = algo.replay_size and env.stateful and not algo.up_to_date
        self.worker = ThreadPoolExecutor(1) if overlaps else None
        self.behind, self.drawn = None, []
        self.fault: EnvironmentFault | None = None
        self.complete = 0

    def using(self, algo: Algorithm) -> "Loop":
        """Go on with settings that differ in the values of floats alone: nothing is compiled."""
        self.algo, self.drawn = algo, []
        return self

    def __call__(self, state: State, n: Array | int) -> tuple[State, dict[str, np.ndarray]]:
        """Do `n` iterations, at least one: return the state and metrics {name: [S, n]}. The state is consumed.

        If an environment fails, `fault` is what it raised, `complete` is how many iterations were, and the state and
        metrics are those after the last of these: as they came if there is none.
        """
        learner, actor, key = state
        running, log, self.fault = None, [], None
        recent, bits = actor.recent, np.asarray(jax.random.key_data(key))
        for _ in range(int(n)):
            with self.clock.acting:
                after, k_learn, k_env, noise = self.randomness(bits)
            acting = self.algo.acting(learner) if self.behind is None else self.behind
            first = actor.obs if self.env.stacked else ()
            try:
                actor, rollout = self.collect(acting, actor, k_env, noise)
            except EnvironmentFault as fault:
                self.fault = fault
                break
            bits = after
            with self.clock.updating:
                if running is not None:
                    learner, recent, metrics = running.result()
                    log.append(metrics)
                if self.worker is not None:
                    self.behind = self.algo.acting(learner)
                running = self.update(learner, recent, rollout, k_learn, first)
                if self.worker is None:
                    learner = running.result()[0]
        with self.clock.updating:
            if running is not None:
                learner, recent, metrics = running.result()
                log.append(metrics)
            names, self.complete = log[0] if log else (), len(log)
            metrics = {name: np.stack([np.asarray(row[name]) for row in log], 1) for name in names}
        return State(
            learner, actor._replace(recent=recent), jax.random.wrap_key_data(jax.numpy.asarray(bits))
        ), metrics

    def compiled(self, state: State, mesh: Mesh | None) -> tuple[Any, Any, Any]:
        """Compile the programs of `_draw`, `_act` and `_finish`, from shapes alone."""
        algo, env, (learner, actor, key) = self.algo, self.env, state
        over = partial(over_seeds, algo, mesh)
        bits, acting = np.asarray(jax.random.key_data(key)), algo.acting(learner)
        ahead = max(1, AHEAD // algo.env_steps_per_iteration)
        draw = over(partial(_draw, env, ahead)).lower(algo, bits).compile()
        _, k_learn, _, noise = jax.tree.map(lambda x: shape(x, drop=1), draw.out_info)
        seen = self.seen(actor)
        now = jax.tree.map(lambda x: shape(x, drop=1), noise)
        act_in = over(partial(_act, env, jax.tree.structure(acting)))
        act = act_in.lower(algo, jax.tree.leaves(acting), seen, now).compile()
        choice, _ = act.out_info
        obs = jax.tree.map(np.asarray, actor.obs)
        number = np.zeros(obs.shape[:2], np.float32)
        counts = number, number.astype(np.int32)
        step = Step._make((obs, obs, number, number > 0, number > 0, *counts, seen.legal))
        row = Rollout(obs, choice.action, choice.extras, step, seen.legal)
        row = newest(row) if env.stacked else row
        rollout = jax.tree.map(lambda x: shape(x, add=algo.num_steps), row)
        update = over(partial(_finish, jax.tree.structure(learner)), donate_argnums=2)
        first = obs if env.stacked else ()
        arguments = *halves(learner, acting), actor.recent, (rollout, first), k_learn
        return draw, act, update.lower(algo, *arguments).compile()

    def randomness(self, key: np.ndarray) -> tuple[Any, Any, Any, Any]:
        """Take the next iteration's keys and noise, drawn for several at once: thousands of small draws cost much."""
        if not self.drawn or not np.array_equal(self.drawn[0][0], key):
            after, *rest = jax.device_get(self.draw(self.algo, key))  # [S, several, ...]
            before = [key, *(after[:, i] for i in range(after.shape[1] - 1))]
            self.drawn = [
                (b, after[:, i], *jax.tree.map(lambda x, i=i: x[:, i], rest)) for i, b in enumerate(before)
            ]
        return self.drawn.pop(0)[1:]

    def seen(self, actor: Actor) -> Seen:
        """Return what the policies of all seeds see now."""
        state = actor.env_state
        return Seen(actor.obs, self.rows.legal(state), self.rows.world(state), actor.memory)

    def collect(self, learner: Any, actor: Actor, key: Any, noise: Any) -> tuple[Actor, Rollout]:
        """Do T env steps in all environments: return the actors after them, and the rollout [S, T, N]."""
        drawn, record = (), []
        if not self.env.stateful:
            drawn = self.rows.draw(jax.random.wrap_key_data(key), self.algo.num_steps)
        leaves = jax.tree.leaves(learner)  # once: walking networks at each env step takes as long as acting
        arrays, tree = jax.tree.flatten(noise)
        for t in range(self.algo.num_steps):
            with self.clock.acting:
                seen = self.seen(actor)
                choice, sent = self.act(self.algo, leaves, seen, tree.unflatten([x[:, t] for x in arrays]))
                sent = np.asarray(sent)  # waits for it
            with self.clock.stepping:
                now = each(lambda x, t=t: x[t], drawn)
                env_state, step = self.rows.step(actor.env_state, sent, now)
            row = Rollout(seen.obs, choice.action, choice.extras, step, seen.legal)
            record.append(newest(row) if self.env.stacked else row)
            memory = each(partial(carry_on, done=step.done), choice.memory)
            actor = actor._replace(env_state=env_state, obs=step.obs, memory=memory)
        return actor, jax.tree.map(lambda *x: np.stack([np.asarray(y) for y in x], 1), *record)

    def update(self, learner: Any, recent: Any, rollout: Rollout, key: Any, first: Any) -> Any:
        """Return a future of the learner, the recent returns and the metrics; it is done unless there is a worker."""

        def work() -> Any:
            kept, rest = halves(learner, self.algo.acting(learner))
            done = self.finish(self.algo, kept, rest, recent, (rollout, first), key)
            *state, metrics = jax.block_until_ready(done)
            return *place(state, self.mesh), metrics  # XLA gives empty arrays no place in particular

        if self.worker is not None:
            return self.worker.submit(work)
        done: Future = Future()
        done.set_result(work())
        return done


def changed(advance: Any, algo: Algorithm) -> tuple[Algorithm, Any]:
    """Return the settings, and what goes on with them: they differ in the values of floats alone."""
    return algo, advance.using(algo) if isinstance(advance, Loop) else partial(advance.func, algo)


def shape(x: Any, drop: int | None = None, add: int | None = None) -> jax.ShapeDtypeStruct:
    """Return the shape of an array [S, ...] without its axis `drop`, or with a second axis of length `add`."""
    axes = list(x.shape)
    if drop is not None:
        axes.pop(drop)
    if add is not None:
        axes.insert(1, add)
    return jax.ShapeDtypeStruct(axes, x.dtype)


def halves(learner: Any, acting: Any) -> Halves:
    """A learner's leaves in two: those of `acting`, which last while it acts, and those that may be written over."""
    kept, leaves = set(map(id, jax.tree.leaves(acting))), jax.tree.leaves(learner)
    return [x if id(x) in kept else None for x in leaves], [None if id(x) in kept else x for x in leaves]


def _draw(env: VecEnv, count: int, algo: Algorithm, key: Array) -> Any:
    """Draw the keys of `count` iterations in bits, and the policy's noise [count, T, N, ...]: as `step` and `collect`
    do.
    """

    def body(key, _):
        key, k_run, k_learn = keys(key)
        drawn, k_env = draws(algo.draw, env.action_space, k_run, algo.num_steps, algo.num_envs)
        return key, (*map(jax.random.key_data, (key, k_learn, k_env)), drawn)

    return jax.lax.scan(body, jax.random.wrap_key_data(key), None, length=count)[1]


def act_in(env: VecEnv, algo: Algorithm, learner: Any, seen: Seen, noise: Any = None) -> tuple[Choice, Array]:
    """Return what the policy chooses, and its action in the environment's units."""
    choice = algo.act(learner, seen, noise)
    return choice, to_env(env.action_space, choice.action)


def _act(env: VecEnv, tree: Any, algo: Algorithm, leaves: list, *seen_and_noise: Any) -> tuple[Choice, Array]:
    """Return `act_in` of a learner that comes as its leaves."""
    return act_in(env, algo, jax.tree.unflatten(tree, leaves), *seen_and_noise)


def _finish(
    tree: Any,
    algo: Algorithm,
    kept: list,
    rest: list,
    recent: Any,
    experience: tuple[Rollout, Any],
    key: Array,
) -> tuple[Any, Any, dict]:
    """Return the update of one seed, and what is reported of it."""
    rollout, first = experience
    if not isinstance(first, tuple):
        rollout = restore(rollout, first)
    learner = jax.tree.unflatten(tree, [y if x is None else x for x, y in zip(kept, rest, strict=True)])
    learner, metrics = algo.update(learner, rollout, jax.random.wrap_key_data(key))
    recent = record(recent, rollout)
    finite = nonfinite(ring.without(learner))
    stats = episode_stats(Actor((), (), recent), rollout) | {"nonfinite/learner": finite}
    return learner, recent, metrics | stats
