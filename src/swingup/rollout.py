"""A policy meets the world here: collect experience and cut it in minibatches, on the device or on the host."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from swingup.counters import around
from swingup.distributions import noise, uniform
from swingup.protocols import Replaying, VecEnv
from swingup.sharing import parted, whole
from swingup.spaces import Space, to_env, zeros
from swingup.types import Act, Actor, Choice, Recent, Rollout, Seen

Draw = Callable[[Space, Array, tuple[int, ...]], Any]  # as `distributions.noise` and `Algorithm.draw`
RECENT = 100  # episodes in the running average that is reported


def keys(key: Array) -> tuple[Array, Array, Array]:
    """Split the state's key into the three of an iteration: the next state's, the rollout's and the update's."""
    key, k_run, k_learn = jax.random.split(key, 3)
    return key, k_run, k_learn


def start(env: VecEnv, key: Array, memory: Any = ()) -> Actor:
    """Start environments at the beginning of their first episodes, with the memory with which a policy begins them.

    One that is stateful is not touched: zeros stand for its observations until the loop on the host resets it.
    """
    begun = ((), _blank(env)) if env.stateful else env.reset(key)
    return Actor(*begun, Recent(jnp.zeros(RECENT), jnp.int32(0)), memory)


def _blank(env: VecEnv) -> Array:
    return jnp.broadcast_to(zeros(env.observation_space), (env.num_envs, *env.observation_space.shape))


def collect(
    env: VecEnv,
    act: Act,
    actor: Actor,
    key: Array,
    num_steps: int,
    *,
    hold: int = 1,
    draw: Draw = noise,
    unroll: int = 2,
) -> tuple[Actor, Rollout]:
    """Run a policy for T = `num_steps` env steps in each of N environments, which go on where they were.

        env          N environments with auto-reset
        act          (Seen, noise) -> Choice: the policy
        actor        where the environments are, from `start` or from the last call
        key          what decides all of its random numbers
        num_steps    env steps in each environment, T
        draw         the policy's noise, if it is not the usual one: `algo.draw`
        hold         env steps for which one draw is held
        unroll       env steps in a turn of the compiled loop

    Returns the actor after it, and a `Rollout` with leading axes [T, N].
    """

    def body(carry, x):
        env_state, obs, memory = carry
        policy_noise, env_noise = x
        seen = Seen(obs, env.legal(env_state), env.world(env_state), memory)
        choice = act(seen, policy_noise)
        env_state, step = env.step(env_state, to_env(env.action_space, choice.action), env_noise)
        carry = env_state, step.obs, carry_on(choice.memory, step.done)
        return carry, Rollout(obs, choice.action, choice.extras, step, seen.legal)

    policy_noise, k_env = draws(draw, env.action_space, key, num_steps, env.num_envs, hold)
    xs = parted((policy_noise, env.draw(k_env, num_steps)), 1)
    # Two env steps a turn of the loop, because copying what it carries is a good part of its cost; one for planners,
    # whose search costs far more, and takes long to compile.
    loop = partial(jax.lax.scan, unroll=unroll) if env.jittable else host_scan
    (env_state, obs, memory), rollout = loop(body, (actor.env_state, actor.obs, actor.memory), xs)
    return Actor(env_state, obs, record(actor.recent, rollout), memory), rollout


def draws(
    draw: Draw, space: Space, key: Array, num_steps: int, num_envs: int, hold: int = 1
) -> tuple[Any, Array]:
    """Draw the policy's noise of a rollout, [T, N, ...], and the key of its environments.

    The noise is drawn before the loop: thousands of tiny draws inside cost more than the physics.
    """
    k_act, k_env = jax.random.split(key)
    policy_noise = draw(space, k_act, (-(-num_steps // hold), num_envs))
    if hold > 1:
        policy_noise = jax.tree.map(lambda x: jnp.repeat(x, hold, 0)[:num_steps], policy_noise)
    return policy_noise, k_env


def carry_on(memory: Any, done: Array) -> Any:
    """Return a policy's memory [*done.shape, ...] after an env step: zeros where an episode has ended.

    >>> carry_on(jnp.ones((2, 3)), jnp.array([True, False])).tolist()
    [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]
    """

    def keep(x: Array) -> Array:
        return jnp.where(done.reshape(*done.shape, *[1] * (x.ndim - done.ndim)), jnp.zeros_like(x), x)

    return jax.tree.map(keep, memory)


def wander(env: VecEnv, keys: tuple[Array, Array], num_steps: int, hold: int = 1) -> tuple[Actor, Rollout]:
    """Do `num_steps` env steps with uniformly random actions, each held for `hold` of them, from new episodes."""

    def act(seen: Seen, noise: Array) -> Choice:
        return Choice(uniform(env.action_space, noise, seen.legal))

    return collect(env, act, start(env, keys[0]), keys[1], num_steps, hold=hold)


def begin(algo: Replaying, env: VecEnv, learner: Any, keys: tuple[Array, Array]) -> tuple[Any, Actor]:
    """Return the learner with the warm-up in its replay, and the environments after it.

    The warm-up is `warmup_env_steps` random env steps, whose actions are held for `warmup_hold` of them each;
    `algo.remember` keeps them. A stateful environment is not touched, and its learner's replay stays empty: the
    loop on the host does for it what is done here (`warmup.warm_up`).
    """
    if env.stateful:
        return learner, start(env, keys[0])
    actor, rollout = wander(env, keys, algo.warmup_env_steps // algo.num_envs, algo.warmup_hold)
    return algo.remember(learner, rollout), actor


def host_scan(body: Callable, carry: Any, xs: Any) -> tuple[Any, Any]:
    """Run `lax.scan` as a Python loop, for environments on the host, and for stepping through in a debugger."""
    leaves, tree = jax.tree.flatten(xs)
    ys = []
    for row in zip(*map(list, leaves), strict=True):
        carry, y = body(carry, tree.unflatten(row))
        ys.append(y)
    return carry, jax.tree.map(lambda *y: jnp.asarray(np.stack(y)), *ys)


@jax.jit
def record(recent: Recent, rollout: Rollout) -> Recent:
    """Put the returns of the episodes that ended in the rollout [T, N] into the ring, in order of time."""
    ended = rollout.step.done.ravel()
    rank = jnp.cumsum(ended)  # 1 for the first episode that ended here, 2 for the second, ...
    total = rank[-1]
    keep = ended & (rank > total - RECENT)  # one rollout may end more episodes than the ring holds
    slot = jnp.where(keep, (recent.count + rank - 1) % RECENT, RECENT)  # RECENT: out of bounds, dropped
    returns = recent.returns.at[slot].set(rollout.step.ep_return.ravel(), mode="drop")
    return Recent(returns, around(recent.count + total.astype(jnp.int32), RECENT))


def successor_values(value_of: Callable[[Any], Array], value: Array, rollout: Rollout) -> Array:
    """V(s') [T, N] for a rollout whose V(s) is known, with as few new evaluations as can be.

    Where the episode goes on, s' is the next row's s, so V(s') is `value` one row on. New are the last row
    and the time limits: after those the next row is another episode's. `value_of` is asked for them, a few
    at a time, so that a rollout without any costs nothing. Where an episode terminated, the number is not
    V(s') and means nothing: `returns.gae` multiplies it by zero.
    """
    t, n = value.shape
    next_obs = rollout.step.next_obs
    shifted = jnp.concatenate([value[1:], value_of(jax.tree.map(lambda x: x[-1:], next_obs))])
    flat = jax.tree.map(lambda x: x.reshape(t * n, *x.shape[2:]), next_obs)
    some = min(8, t * n)

    def look(carry):
        todo, out = carry
        index = jnp.nonzero(todo, size=some)[0]  # filled up with 0, where V(s') is as good as anywhere
        fresh = value_of(jax.tree.map(lambda x: x[index], flat))
        return todo.at[index].set(False), out.at[index].set(fresh)

    todo = rollout.step.truncated.at[-1].set(False).ravel()
    return jax.lax.while_loop(lambda c: jnp.any(c[0]), look, (todo, shifted.ravel()))[1].reshape(t, n)


def episode_stats(actor: Actor, rollout: Rollout) -> dict[str, Array]:
    """Return metrics of the episodes that ended in a rollout, from raw rewards; NaN where none has ended yet.

    `nonfinite/obs` and `nonfinite/reward` count entries that are NaN or infinite: the driver stops on them.
    """
    ended, step = rollout.step.done, rollout.step
    count = ended.sum()

    def mean(x):
        return jnp.where(count > 0, jnp.where(ended, x, 0).sum() / jnp.maximum(count, 1), jnp.nan)

    filled = jnp.minimum(actor.recent.count, RECENT)
    recent = jnp.where(jnp.arange(RECENT) < filled, actor.recent.returns, 0).sum()
    return {
        "ep/count": count.astype(jnp.int32),
        "ep/return": mean(step.ep_return),
        "ep/length": mean(step.ep_length.astype(jnp.float32)),
        "ep/return_last100": jnp.where(filled > 0, recent / jnp.maximum(filled, 1), jnp.nan),
        "nonfinite/obs": nonfinite((rollout.obs, step.next_obs)),
        "nonfinite/reward": nonfinite(step.reward),
    }


def nonfinite(tree: Any) -> Array:
    """Count the entries of a tree's float arrays that are NaN or infinite."""
    floats = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.floating)]
    return sum((jnp.sum(~jnp.isfinite(x)) for x in floats), jnp.int32(0)).astype(jnp.int32)


def minibatches(data: Any, count: int, keys: Array) -> tuple[Array, Callable[[Array], Any]]:
    """Shuffle [T, N, ...] arrays for each of K epochs, with its key of `keys` [K], and cut it in `count` equal parts.

    Returns which samples are in each minibatch, [K count, T N / count], and the function that looks these up: it takes
    the samples of one minibatch, and returns arrays [T N / count, ...]. Every sample is in exactly one part of an
    epoch. `count` must divide T N.
    """
    t, n = jax.tree.leaves(data)[0].shape[:2]
    # The orders of all epochs are drawn at once, and a minibatch is looked up when it is needed: both are faster than
    # to shuffle the data themselves, and no copy of these is made.
    samples = jax.vmap(lambda key: permutation(key, t * n))(keys).reshape(len(keys) * count, -1)
    flat = jax.tree.map(lambda x: x.reshape(t * n, *x.shape[2:]), whole(data))

    def look_up(samples: Array) -> Any:
        return parted(jax.tree.map(lambda x: x[samples], flat))

    return samples, look_up


def permutation(key: Array, n: int) -> Array:
    """Return a random order of 0 .. n-1, by sorting random words whose low bits hold the index.

    Sorting one array is four times faster on CPU than `jax.random.permutation`, which sorts pairs and takes a
    tenth of a PPO iteration. Ties of the random bits (at least 16) keep their order: a bias below 2^-16 of a
    pair's. Above 65,536 samples it is JAX's own.
    """
    bits = max(n - 1, 1).bit_length()
    if bits > 16:
        return jax.random.permutation(key, n)
    low = jnp.uint32((1 << bits) - 1)
    words = (jax.random.bits(key, (n,), jnp.uint32) & ~low) | jnp.arange(n, dtype=jnp.uint32)
    return (jnp.sort(words) & low).astype(jnp.int32)
