"""A policy is judged by whole episodes, one in each environment, on the device or on the host."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jax import Array

from swingup.distributions import noise
from swingup.protocols import VecEnv
from swingup.rollout import Draw, carry_on
from swingup.spaces import to_env
from swingup.types import Act, Seen

Carry = TypeVar("Carry")


class Playing(NamedTuple):
    """One episode in each of N environments, as far as it has come."""

    time: Array  # env steps since the beginning
    env_state: Any
    obs: Any  # [N, ...]
    memory: Any  # [N, ...] of the policy
    returns: Array  # [N] undiscounted, of the episode that is counted
    lengths: Array  # [N] in env steps
    running: Array  # [N] has it not ended yet?


def evaluate(
    env: VecEnv, act: Act, key: Array, limit: int | None = None, *, memory: Any = (), draw: Draw = noise
) -> tuple[Array, Array, Array]:
    """Play exactly one episode in each of the N environments.

        env       N environments with auto-reset
        act       (Seen, noise) -> Choice: a policy
        key       what decides all of its random numbers
        limit     env steps after which an episode is cut, and counts with its return so far; None: never
        memory    with what the policy begins an episode, [N, ...]: `algo.start_memory(space, N)`
        draw      what the policy's noise is drawn by, if not as usual: `algo.draw`

    Returns the undiscounted returns [N], the lengths [N] in env steps, and which episodes were cut [N]. It plays one
    episode each, because "the first N episodes to end" would favour short ones. Without a limit it returns when the
    last episode has ended. It raises nothing of its own; what an environment raises passes through.
    """
    k_reset, k_run = jax.random.split(key)
    most = jnp.int32(2**31 - 1 if limit is None else limit)
    played = play_on(env, act, k_run, first_episodes(env, k_reset, memory), most, draw)
    return played.returns, played.lengths, played.running


def first_episodes(env: VecEnv, key: Array, memory: Any = ()) -> Playing:
    """Start every environment at the beginning of the episode that is counted."""
    n = env.num_envs
    counts = jnp.zeros(n), jnp.zeros(n, jnp.int32), jnp.ones(n, bool)
    return Playing(jnp.int32(0), *env.reset(key), memory, *counts)


def play_on(env: VecEnv, act: Act, key: Array, playing: Playing, until: Array, draw: Draw = noise) -> Playing:
    """Go on until all episodes have ended, or to env step `until` of them."""

    def body(p: Playing) -> Playing:
        k_act, k_env = env_step_keys(key, p.time)
        seen = Seen(p.obs, env.legal(p.env_state), env.world(p.env_state), p.memory)
        choice = act(seen, draw(env.action_space, k_act, (env.num_envs,)))
        env_noise = jax.tree.map(lambda x: x[0], env.draw(k_env, 1))
        env_state, step = env.step(p.env_state, to_env(env.action_space, choice.action), env_noise)
        returns = jnp.where(p.running, step.ep_return, p.returns)
        lengths = jnp.where(p.running, step.ep_length, p.lengths)
        memory, running = carry_on(choice.memory, step.done), p.running & ~step.done
        return Playing(p.time + 1, env_state, step.obs, memory, returns, lengths, running)

    loop = jax.lax.while_loop if env.jittable else host_while
    return loop(lambda p: (p.time < until) & jnp.any(p.running), body, playing)


def env_step_keys(key: Array, time: Array | int) -> tuple[Array, Array]:
    """Derive the two keys of one env step of an evaluation: that of the policy, and that of the environments."""
    k_act, k_env = jax.random.split(jax.random.fold_in(key, time))
    return k_act, k_env


def host_while(condition: Callable[[Carry], Any], body: Callable[[Carry], Carry], carry: Carry) -> Carry:
    """Run `lax.while_loop` as a Python loop."""
    while condition(carry):
        carry = body(carry)
    return carry
