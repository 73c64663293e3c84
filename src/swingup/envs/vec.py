"""Many copies of one environment: batch, auto-reset, episode statistics. The only place with that logic."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from swingup.envs.pure import advance, begin, optional
from swingup.protocols import Env, VecEnv
from swingup.types import Obs, Step


class VecState(NamedTuple):
    env: Any  # the environments' own states, [N, ...]
    ep_return: Array  # [N]
    ep_length: Array  # [N]


class Vec(VecEnv):
    """`num_envs` copies of a pure `Env`, stepped together, in the same-step convention of `Step`."""

    jittable, stateful = True, False

    def __init__(self, env: Env, num_envs: int):
        self.env = self.single = env
        self.num_envs, self.name = num_envs, env.name
        self.source: Any = env  # or the id from which it was made
        self.observation_space, self.action_space = env.observation_space, env.action_space
        self.goal_reward, self.mdp = optional(env, "goal_reward"), optional(env, "mdp")
        self._costly_reset, self._legal = optional(env, "costly_reset"), optional(env, "legal")

    def legal(self, state: VecState) -> Array | None:
        """[N, A] the actions that are allowed now; None: all of them."""
        return None if self._legal is None else jax.vmap(self._legal)(state.env)

    def world(self, state: VecState) -> Any:
        """[N, ...] the environments' own states."""
        return state.env

    def reset(self, key: Array) -> tuple[VecState, Obs]:
        n = self.num_envs
        env_state, obs = jax.vmap(self._begin)(jax.random.split(key, n))
        return VecState(env_state, jnp.zeros(n), jnp.zeros(n, jnp.int32)), obs

    def _begin(self, key: Array) -> tuple[Any, Obs]:
        return begin(self.env, key)

    def draw(self, key: Array, num_steps: int) -> Any:
        """All randomness of `num_steps` env steps: keys [T, N], and what to reset to, [T, N, ...].

        A fresh start is drawn for each env step whether or not an episode ends there: drawing them
        together is far cheaper than a few at a time inside the loop. An environment whose attribute
        `costly_reset` is true gets one for each row: two episodes of a row that end in the same
        `num_steps` are followed by the same start.
        """
        k_step, k_reset = jax.random.split(key)
        shape = (num_steps, self.num_envs)
        if self._costly_reset:
            once = jax.vmap(self._begin)(jax.random.split(k_reset, self.num_envs))
            fresh = jax.tree.map(lambda x: jnp.broadcast_to(x, (num_steps, *x.shape)), once)
        else:
            fresh = jax.vmap(jax.vmap(self._begin))(jax.random.split(k_reset, shape))
        return jax.random.split(k_step, shape), fresh

    def step(self, state: VecState, action: Array, noise: Any) -> tuple[VecState, Step]:
        keys, (fresh_state, fresh_obs) = noise
        env_state, t = jax.vmap(partial(advance, self.env))(state.env, action, keys)
        truncated = t.truncated & ~t.terminated  # where both hold, the MDP's own end wins
        done = t.terminated | truncated
        ep_return, ep_length = state.ep_return + t.reward, state.ep_length + 1
        step = Step(
            obs=select(done, fresh_obs, t.obs),
            next_obs=t.obs,
            reward=t.reward,
            terminated=t.terminated,
            truncated=truncated,
            ep_return=ep_return,
            ep_length=ep_length,
        )
        env_state = select(done, fresh_state, env_state)
        return VecState(env_state, jnp.where(done, 0.0, ep_return), jnp.where(done, 0, ep_length)), step


def select(condition: Array, on_true: Any, on_false: Any) -> Any:
    """`jnp.where` over trees whose leaves have the leading axis [N] of the condition."""

    def pick(x, y):
        return jnp.where(condition.reshape(-1, *[1] * (x.ndim - 1)), x, y)

    return jax.tree.map(pick, on_true, on_false)


class Hosted(VecEnv):
    """A device environment behind the host interface: the same dynamics, stepped from a Python loop.

    It lets every algorithm run on both paths and be compared, and shows what a host adapter must offer.
    """

    jittable, stateful = False, False

    def __init__(self, env: Vec):
        self.vec, self.source = env, env.source
        self.env = self.single = env.env
        self.num_envs, self.name = env.num_envs, env.name
        self.observation_space, self.action_space = env.observation_space, env.action_space
        self.goal_reward, self.mdp = env.goal_reward, env.mdp
        self.reset, self.step = jax.jit(env.reset), jax.jit(env.step)
        self.draw = jax.jit(env.draw, static_argnums=1)

    def legal(self, state: VecState) -> Array | None:
        """[N, A] the actions that are allowed now; None: all of them."""
        return self.vec.legal(state)

    def world(self, state: VecState) -> Any:
        """[N, ...] the environments' own states."""
        return self.vec.world(state)

    def traceable(self) -> Vec:
        """The environments that this object hides from compiled programs."""
        return self.vec
