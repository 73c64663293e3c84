"""Small environments of our own that a lesson needs and no suite has."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from swingup.envs.control import LQ, CartPoleSwingUp
from swingup.envs.pushbox import PushBox
from swingup.envs.track import Track
from swingup.errors import ConfigError
from swingup.protocols import Env
from swingup.spaces import Box, Discrete
from swingup.types import Transition


class Bits(NamedTuple):
    now: Array  # [n] of 0 and 1
    goal: Array  # [n]
    time: Array


class BitFlip(Env):
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
        """Return [2 n]: the bits, which are the achieved goal, and the desired ones."""
        return jnp.concatenate([state.now, state.goal])

    def step(self, state: Bits, action: Array, key: Array) -> tuple[Bits, Transition]:
        now = state.now.at[action].set(1 - state.now[action])
        state = Bits(now, state.goal, state.time + 1)
        reward, there = self.goal_reward(now, state.goal)
        return state, Transition(self.observe(state), reward, there, ~there & (state.time >= self.bits))

    def goal_reward(self, achieved: Array, desired: Array) -> tuple[Array, Array]:
        """Return reward and termination, for goals [..., n]."""
        there = jnp.all(achieved == desired, -1)
        return there.astype(jnp.float32) - 1, there


class Cue(NamedTuple):
    window: Array  # [K, cues + 1] the last K observations, the present one last, zeros before the first
    cue: Array
    time: Array


class Recall(Env):
    """The agent has to name at the end what was shown at the beginning, so the task needs memory.

    The first env step shows one of `cues` cues, with a 1 behind it that says that it counts. The others show random
    cues and a 0. The last of `length` actions gets reward 1 if it is the cue; all else gets 0. The observation is a
    window of the last `window` of these vectors, zeros before the first; 0, the default, means all of the episode.

    With `window=1` only the present is seen. It tells nothing of the cue, so no policy without a memory of its own
    gets more than 1 / cues on average; nor does any that reads a window shorter than the episode. A window of the
    whole episode can be flattened and read by an MLP too: then a memory is convenient, not necessary.
    """

    def __init__(self, length: int = 8, cues: int = 4, window: int = 0):
        for name, value, low in (("length", length, 2), ("cues", cues, 2), ("window", window, 0)):
            if not isinstance(value, int) or not low <= value <= 64:
                raise ConfigError(f"{name} must be a whole number from {low} to 64, not {value!r}")
        if window > length:
            raise ConfigError(f"window={window} is longer than the episode, length={length}")
        self.length, self.cues, self.window = length, cues, window or length
        self.name = f"Recall?length={length}&cues={cues}&window={self.window}"
        self.observation_space = Box.of(0.0, 1.0, (self.window, cues + 1))
        self.action_space = Discrete(cues)

    def reset(self, key: Array) -> tuple[Cue, Array]:
        cue = jax.random.randint(key, (), 0, self.cues)
        blank = jnp.zeros((self.window, self.cues + 1))
        state = Cue(blank.at[-1].set(self.shown(cue, 1.0)), cue, jnp.int32(0))
        return state, state.window

    def shown(self, cue: Array, counts: float) -> Array:
        """Return [cues + 1]: a cue as a one-hot vector, and whether it counts."""
        return jnp.append(jax.nn.one_hot(cue, self.cues), counts)

    def step(self, state: Cue, action: Array, key: Array) -> tuple[Cue, Transition]:
        distraction = self.shown(jax.random.randint(key, (), 0, self.cues), 0.0)
        time, last = state.time + 1, state.time == self.length - 1
        reward = (last & (action == state.cue)).astype(jnp.float32)
        window = jnp.concatenate([state.window[1:], distraction[None]])
        return Cue(window, state.cue, time), Transition(window, reward, last, jnp.bool_(False))


TASKS: dict[str, type[Env]] = {
    cls.__name__: cls for cls in (BitFlip, Recall, CartPoleSwingUp, LQ, PushBox, Track)
}
