"""Probe environments are so small that the right answer is known, so each failure names its cause.

The first five follow Andy Jones' "Debugging RL, without the agonising pain" (2021); the others are ours. Each
has a `solution(gamma)`: observation -> (value of the optimal policy, best action or None), and says what a
wrong answer means.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from swingup.protocols import Env
from swingup.spaces import Box, Discrete, Space
from swingup.types import Transition

Solution = dict[tuple[float, ...], tuple[float, int | float | None]]


class Probe(Env):
    """The probes share a state that is (time, sign), seen as a vector of one number."""

    observation_space: Space = Box.of(-1.0, 1.0, (1,))
    action_space: Space = Discrete(2)
    failure = ""

    @property
    def name(self) -> str:
        return type(self).__name__

    def reset(self, key: Array) -> tuple[Any, Array]:
        state = jnp.int32(0), jnp.where(jax.random.bernoulli(key), 1.0, -1.0)
        return state, self.observe(*state)

    def step(self, state: Any, action: Array, key: Array) -> tuple[Any, Transition]:
        (time, sign), no = state, jnp.bool_(False)
        reward, terminated, truncated = self.respond(time, sign, action)
        state = time + 1, sign
        return state, Transition(self.observe(*state), jnp.float32(reward), no | terminated, no | truncated)

    def observe(self, time: Array, sign: Array) -> Array:
        return sign[None]

    def respond(self, time: Array, sign: Array, action: Array) -> tuple[Any, Any, Any]:
        raise NotImplementedError

    def solution(self, gamma: float) -> Solution:
        raise NotImplementedError


class ConstantReward(Probe):
    """An episode is one env step with reward 1: V = 1."""

    failure = "the value loss, or its optimiser"

    def observe(self, time, sign):
        return jnp.zeros(1)

    def respond(self, time, sign, action):
        return 1.0, True, False

    def solution(self, gamma):
        return {(0.0,): (1.0, None)}


class ObservedReward(Probe):
    """One step, the reward is the observation: V(s) = s."""

    failure = "the way of observations into the value network, or their pairing with returns in the batch"

    def respond(self, time, sign, action):
        return sign, True, False

    def solution(self, gamma):
        return {(-1.0,): (-1.0, None), (1.0,): (1.0, None)}


class DelayedReward(Probe):
    """An episode is two env steps with reward 1 at the second: V(first) = γ, V(second) = 1."""

    failure = "discounting, or the bootstrap from the next observation"

    def observe(self, time, sign):
        return jnp.where(time == 0, 0.0, 1.0)[None]

    def respond(self, time, sign, action):
        return jnp.where(time == 1, 1.0, 0.0), time == 1, False

    def solution(self, gamma):
        return {(0.0,): (gamma, None), (1.0,): (1.0, None)}


class PickAction(Probe):
    """An episode is one env step with reward +1 for action 1 and -1 for action 0."""

    failure = "the policy loss, the sign of advantages, or how actions are stored"

    def observe(self, time, sign):
        return jnp.zeros(1)

    def respond(self, time, sign, action):
        return jnp.where(action == 1, 1.0, -1.0), True, False

    def solution(self, gamma):
        return {(0.0,): (1.0, 1)}


class PickActionByObservation(Probe):
    """An episode is one env step with reward +1 for the action that matches the observation's sign, else -1."""

    failure = "policy and value together: the pairing of observations, actions and advantages"

    def respond(self, time, sign, action):
        return jnp.where((action == 1) == (sign > 0), 1.0, -1.0), True, False

    def solution(self, gamma):
        return {(-1.0,): (1.0, 0), (1.0,): (1.0, 1)}


class TimeLimit(Probe):
    """Each env step gives 1; where the observation is 1 the episode *terminates* at once, where it is -1 a time limit
    *truncates* it at once. So V(1) = 1, but V(-1) = 1 / (1 - γ): a time limit is not a death.
    """

    failure = "termination and truncation: the bootstrap's mask, or bootstrapping from the reset observation"

    def respond(self, time, sign, action):
        return 1.0, sign > 0, sign < 0

    def solution(self, gamma):
        return {(1.0,): (1.0, None), (-1.0,): (1.0 / (1.0 - gamma), None)}


class ContinuousTarget(Probe):
    """An episode is one env step with reward -(a - 2)² for an action in [1, 4]: the best action is 2, off the range's
    middle.
    """

    failure = "the scaling of actions to their bounds, or the Gaussian's log-probability"
    action_space: Space = Box.of(1.0, 4.0, (1,))

    def observe(self, time, sign):
        return jnp.zeros(1)

    def respond(self, time, sign, action):
        return -jnp.square(action[0] - 2.0), True, False

    def solution(self, gamma):
        return {(0.0,): (0.0, 2.0)}


PROBES: dict[str, type[Probe]] = {
    cls.__name__: cls
    for cls in (
        ConstantReward,
        ObservedReward,
        DelayedReward,
        TimeLimit,
        PickAction,
        PickActionByObservation,
        ContinuousTarget,
    )
}
