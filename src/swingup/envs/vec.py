"""Many copies of one environment become a batch, with auto-reset and episode statistics. The only place with that
logic.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from swingup.envs.pure import advance, begin, optional
from swingup.protocols import Env, VecEnv
from swingup.types import Obs, Step, Transition


class VecState(NamedTuple):
    env: Any  # the environments' own states, [N, ...]
    ep_return: Array  # [N]
    ep_length: Array  # [N]


class Vec(VecEnv):
    """`num_envs` copies of a pure `Env` are stepped together, in the same-step convention of `Step`."""

    jittable, stateful = True, False

    def __init__(self, env: Env, num_envs: int):
        self.env = self.single = env
        self.num_envs, self.name = num_envs, env.name
        self.source: Any = env  # or the id from which it was made
        self.observation_space, self.action_space = env.observation_space, env.action_space
        self.goal_reward, self.mdp = optional(env, "goal_reward"), optional(env, "mdp")
        self.known_reward, self.known_end = optional(env, "known_reward"), optional(env, "known_end")
        self._costly_reset, self._legal = optional(env, "costly_reset"), optional(env, "legal")
        self.players, self.masked = optional(env, "players"), self._legal is not None

    def legal(self, state: VecState) -> Array | None:
        """Return which actions are allowed now, [N, A], or None if all are."""
        return self._allowed(state.env)

    def _allowed(self, env_state: Any) -> Array | None:
        return None if self._legal is None else jax.vmap(self._legal)(env_state)

    def world(self, state: VecState) -> Any:
        """Return the environments' own states, [N, ...]."""
        return state.env

    def reset(self, key: Array) -> tuple[VecState, Obs]:
        n = self.num_envs
        env_state, obs = jax.vmap(self._begin)(jax.random.split(key, n))
        return VecState(env_state, jnp.zeros(n), jnp.zeros(n, jnp.int32)), obs

    def _begin(self, key: Array) -> tuple[Any, Obs]:
        return begin(self.env, key)

    def draw(self, key: Array, num_steps: int) -> Any:
        """Draw all randomness of `num_steps` env steps: keys [T, N], and what to reset to, [T, N, ...].

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
        keys, fresh = noise
        env_state, t = jax.vmap(partial(advance, self.env))(state.env, action, keys)
        return follow_on(state, env_state, t, fresh, self._allowed(env_state))


def follow_on(
    state: VecState, after: Any, t: Transition, fresh: tuple[Any, Obs], next_legal: Array | None = None
) -> tuple[VecState, Step]:
    """Go on from N transitions: count what is counted, and reset the environments whose episodes have ended.

    state         the batch before the env step
    after         the environments' own states after it, [N, ...]
    t             what they answered, [N, ...]
    fresh         states and first observations of new episodes, [N, ...], should one begin
    next_legal    which actions are allowed in `after`, [N, A]; None: all
    """
    truncated = t.truncated & ~t.terminated  # where both hold, the MDP's own end wins
    done = t.terminated | truncated
    ep_return, ep_length = state.ep_return + t.reward, state.ep_length + 1
    fresh_state, fresh_obs = fresh
    step = Step(
        obs=select(done, fresh_obs, t.obs),
        next_obs=t.obs,
        reward=t.reward,
        terminated=t.terminated,
        truncated=truncated,
        ep_return=ep_return,
        ep_length=ep_length,
        next_legal=next_legal,
    )
    env_state = select(done, fresh_state, after)
    return VecState(env_state, jnp.where(done, 0.0, ep_return), jnp.where(done, 0, ep_length)), step


def select(condition: Array, on_true: Any, on_false: Any) -> Any:
    """`jnp.where` over trees whose leaves have the leading axis [N] of the condition."""

    def pick(x, y):
        return jnp.where(condition.reshape(-1, *[1] * (x.ndim - 1)), x, y)

    return jax.tree.map(pick, on_true, on_false)


class Hosted(VecEnv):
    """A device environment stands behind the host interface: it has the same dynamics, stepped from a Python loop.

    It lets every algorithm run on both paths and be compared, and shows what a host adapter must offer.
    """

    jittable, stateful = False, False

    def __init__(self, env: Vec):
        self.vec, self.source = env, env.source
        self.env = self.single = env.env
        self.num_envs, self.name = env.num_envs, env.name
        self.observation_space, self.action_space = env.observation_space, env.action_space
        self.goal_reward, self.mdp = env.goal_reward, env.mdp
        self.known_reward, self.known_end = env.known_reward, env.known_end
        self.players, self.masked = env.players, env.masked
        self.reset, self.step = jax.jit(env.reset), jax.jit(env.step)
        self.draw = jax.jit(env.draw, static_argnums=1)

    def legal(self, state: VecState) -> Array | None:
        """Return which actions are allowed now, [N, A], or None if all are."""
        return self.vec.legal(state)

    def world(self, state: VecState) -> Any:
        """Return the environments' own states, [N, ...]."""
        return self.vec.world(state)

    def traceable(self) -> Vec:
        """Return the environments that this object hides from compiled programs."""
        return self.vec
