"""Two tasks of control whose rewards and ends are known functions: what a learned model of dynamics can be given."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from swingup.envs.known import never
from swingup.errors import ConfigError
from swingup.protocols import Env
from swingup.spaces import Box
from swingup.types import Transition


class Moving(NamedTuple):
    """This is the state of both tasks."""

    x: Array  # [4] of the cart-pole: place, velocity, angle, its velocity; [2] of LQ
    time: Array  # env steps since the episode began


class CartPoleSwingUp(Env):
    """A pole hangs from a cart. Swing it up by pushing the cart, and hold it there, in the middle of the track.

    The reward of an env step is at most 1,

        r = exp(-d² / l²) - 0.01 u²

    with d the distance of the pole's tip from where it is when the pole is upright in the middle, l the pole's length
    and u in [-1, 1] the push. It is the reward of PETS' cart-pole (Chua et al. 2018): nothing tells where to go from
    far away, so random actions hardly ever see any of it. An episode has 200 env steps, and nothing ends it before.

    The cart has 0.5 kg and a little friction, the pole 0.5 kg and l = 0.6 m, the push is of at most 10 N, and an env
    step takes 0.05 s, by the classical method of Runge and Kutta. `noise` is the standard deviation of the noise that
    both velocities get in each env step; 0, the default, is none.
    """

    LENGTH, LIMIT, DT = 0.6, 200, 0.05  # of the pole in m; of an episode in env steps; s per env step
    CART, POLE, FRICTION, GRAVITY, FORCE = 0.5, 0.5, 0.1, 9.81, 10.0  # kg, kg, N s/m, m/s², N

    def __init__(self, noise: float = 0.0):
        self.noise = checked_noise(noise)
        self.name = f"CartPoleSwingUp?noise={noise}" if noise else "CartPoleSwingUp"
        self.observation_space = Box.of(-np.inf, np.inf, (5,))
        self.action_space = Box.of(-1.0, 1.0, (1,))

    def reset(self, key: Array) -> tuple[Moving, Array]:
        hanging = jnp.array([0.0, 0.0, jnp.pi, 0.0])
        state = Moving(hanging + 0.05 * jax.random.normal(key, (4,)), jnp.int32(0))
        return state, self.observe(state)

    def observe(self, state: Moving) -> Array:
        """Return [5]: the cart's place and velocity, cosine and sine of the pole's angle from upright, its velocity."""
        place, velocity, angle, turning = state.x
        return jnp.stack([place, velocity, jnp.cos(angle), jnp.sin(angle), turning])

    def step(self, state: Moving, action: Array, key: Array) -> tuple[Moving, Transition]:
        force, dt = self.FORCE * jnp.clip(action[0], -1, 1), self.DT
        k1 = self.flow(state.x, force)
        k2 = self.flow(state.x + dt / 2 * k1, force)
        k3 = self.flow(state.x + dt / 2 * k2, force)
        k4 = self.flow(state.x + dt * k3, force)
        x = state.x + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        if self.noise:
            x = x + self.noise * jnp.array([0.0, 1.0, 0.0, 1.0]) * jax.random.normal(key, (4,))
        after = Moving(x, state.time + 1)
        obs = self.observe(after)
        reward = self.known_reward(self.observe(state), action, obs)
        return after, Transition(obs, reward, jnp.bool_(False), after.time >= self.LIMIT)

    def flow(self, x: Array, force: Array) -> Array:
        """Return dx/dt: the equations of a cart and a uniform rod (Florian 2007), the angle clockwise from upright."""
        _, velocity, angle, turning = x
        half, total = self.LENGTH / 2, self.CART + self.POLE
        sin, cos = jnp.sin(angle), jnp.cos(angle)
        pushed = (force - self.FRICTION * velocity + self.POLE * half * turning**2 * sin) / total
        turned = (self.GRAVITY * sin - cos * pushed) / (half * (4 / 3 - self.POLE * cos**2 / total))
        return jnp.stack([velocity, pushed - self.POLE * half * turned * cos / total, turning, turned])

    def known_reward(self, obs: Array, action: Array, next_obs: Array) -> Array:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Return r(s, a, s') [...] for observations [..., 5] and actions [..., 1]."""
        place, _, cos, sin, _ = jnp.moveaxis(next_obs, -1, 0)
        d2 = (place + self.LENGTH * sin) ** 2 + (self.LENGTH * cos - self.LENGTH) ** 2
        return jnp.exp(-d2 / self.LENGTH**2) - 0.01 * jnp.square(jnp.clip(action, -1, 1)).sum(-1)

    known_end = staticmethod(never)


class LQ(Env):
    """Bring a mass to rest at the origin: the linear-quadratic task, whose optimal actions are known exactly.

        x' = A x + B u + σ w,      r = -(x·x + 0.1 u²),      w ~ N(0, 1) in each entry

    The state, which is observed, is [place, velocity]; u in [-10, 10] accelerates for 0.1 s. Starts are uniform in
    [-1, 1]², from where the best actions never touch their bounds. An episode is over by time after `length` env
    steps. `noise` is σ; 0, the default, is none.
    """

    A, B = ((1.0, 0.1), (0.0, 1.0)), ((0.005,), (0.1,))  # a mass of 1, pushed for 0.1 s
    Q, R = ((1.0, 0.0), (0.0, 1.0)), ((0.1,),)  # what a state and an action cost

    def __init__(self, noise: float = 0.0, length: int = 50):
        if not isinstance(length, int) or length < 1:
            raise ConfigError(f"length must be a whole number of env steps from 1 on, not {length!r}")
        self.noise, self.length = checked_noise(noise), length
        self.name = f"LQ?noise={noise}&length={length}"
        self.observation_space = Box.of(-np.inf, np.inf, (2,))
        self.action_space = Box.of(-10.0, 10.0, (1,))

    def reset(self, key: Array) -> tuple[Moving, Array]:
        x = jax.random.uniform(key, (2,), minval=-1.0, maxval=1.0)
        return Moving(x, jnp.int32(0)), x

    def step(self, state: Moving, action: Array, key: Array) -> tuple[Moving, Transition]:
        x = jnp.array(self.A) @ state.x + jnp.array(self.B) @ action
        if self.noise:
            x = x + self.noise * jax.random.normal(key, (2,))
        time = state.time + 1
        reward = self.known_reward(state.x, action, x)
        return Moving(x, time), Transition(x, reward, jnp.bool_(False), time >= self.length)

    def known_reward(self, obs: Array, action: Array, next_obs: Array) -> Array:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Return -(x·Q x + u·R u) [...] for observations [..., 2] and actions [..., 1]."""
        state, act = (obs @ jnp.array(self.Q) * obs).sum(-1), (action @ jnp.array(self.R) * action).sum(-1)
        return -(state + act)

    known_end = staticmethod(never)


def checked_noise(noise: float) -> float:
    """Return the noise as a float. Raises `ConfigError` for what is no standard deviation."""
    if isinstance(noise, bool) or not isinstance(noise, int | float) or not 0 <= noise < np.inf:
        raise ConfigError(f"noise must be a standard deviation, a number from 0 on, not {noise!r}")
    return float(noise)
