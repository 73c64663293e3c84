"""Small environments of our own that a lesson needs and no suite has."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from swingup.errors import ConfigError
from swingup.spaces import Box, Discrete
from swingup.types import Transition


class Bits(NamedTuple):
    now: Array  # [n] of 0 and 1
    goal: Array  # [n]
    time: Array


class BitFlip:
    """Turn n bits into the goal's n bits, one per env step (Andrychowicz et al. 2017, section 3.1).

    The reward is -1 until the bits are the goal, and 0 for the env step that makes them so, which terminates
    the episode; after n env steps the time is up. From a random start n / 2 env steps suffice on average, but
    random actions hardly ever get there: with n = 15 an untrained agent sees no reward but -1.
    """

    def __init__(self, bits: int = 15):
        if not isinstance(bits, int) or not 1 <= bits <= 64:
            raise ConfigError(f"bits must be a whole number from 1 to 64, not {bits!r}")
        self.bits, self.name = bits, f"BitFlip?bits={bits}"
        self.observation_space = Box.of(0.0, 1.0, (2 * bits,), goal=bits)
        self.action_space = Discrete(bits)

    def reset(self, key: Array) -> tuple[Bits, Array]:
        now, goal = jax.random.bernoulli(key, shape=(2, self.bits)).astype(jnp.float32)
        state = Bits(now, goal, jnp.int32(0))
        return state, self.observe(state)

    def observe(self, state: Bits) -> Array:
        """[2 n]: the bits, which are the achieved goal, and the desired one."""
        return jnp.concatenate([state.now, state.goal])

    def step(self, state: Bits, action: Array, key: Array) -> tuple[Bits, Transition]:
        now = state.now.at[action].set(1 - state.now[action])
        state = Bits(now, state.goal, state.time + 1)
        reward, there = self.goal_reward(now, state.goal)
        return state, Transition(self.observe(state), reward, there, ~there & (state.time >= self.bits))

    def goal_reward(self, achieved: Array, desired: Array) -> tuple[Array, Array]:
        """Reward and termination, for goals [..., n]."""
        there = jnp.all(achieved == desired, -1)
        return there.astype(jnp.float32) - 1, there
