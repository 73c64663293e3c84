"""A model becomes environments, in which any policy can act: `collect` runs imagined rollouts as it runs real ones.

It is made inside `step` or `update`, from what is learnt there, so its parameters stay traced:

    dream = Imagined(Learned(ensemble), begin, num_envs=400, like=env, limit=5)
    actor, rollout = collect(dream, act, start(dream, k_start), k_run, 5)

where `begin(key)` draws a state to start from, such as one of a replay.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from swingup.envs.vec import VecState, follow_on
from swingup.protocols import KnownEnd, KnownReward, Model, VecEnv
from swingup.spaces import Space
from swingup.types import Obs, Step

Begin = Callable[[Array], tuple[Any, Obs]]  # a key: the model's state of one row, and its observation


class Likeness(eqx.Module):
    """This is what imagined environments share with real ones. It has no numbers, so that a learner may hold it."""

    name: str = eqx.field(static=True)
    observation_space: Space = eqx.field(static=True)
    action_space: Space = eqx.field(static=True)
    known_reward: KnownReward | None = eqx.field(static=True)
    known_end: KnownEnd | None = eqx.field(static=True)


def likeness(env: VecEnv) -> Likeness:
    """Take the likeness of environments."""
    return Likeness(env.name, env.observation_space, env.action_space, env.known_reward, env.known_end)


class Imagined(VecEnv):
    """`num_envs` rows of a model reset themselves, in the same-step convention of `Step`: `Vec` of a model.

        model       what happens next
        begin       (key) -> (state, obs) of one row: where an episode begins; Exact's is `env.reset`
        num_envs    rows side by side
        like        the environments that the model is of, or their `Likeness`: for their spaces
        limit       env steps after which an episode is cut, as by a time limit; None: the model's own ends alone.
                    It may be traced, so that it changes from call to call of one compiled program

    With `Exact` and the environment's own `reset` it is `Vec` of that environment, to the bit.
    """

    jittable, stateful = True, False

    def __init__(
        self,
        model: Model,
        begin: Begin,
        num_envs: int,
        like: "VecEnv | Likeness",
        limit: Array | int | None = None,
    ):
        self.model, self.begin, self.num_envs, self.limit = model, begin, num_envs, limit
        self.name = f"imagined {like.name}"
        self.observation_space, self.action_space = like.observation_space, like.action_space
        self.known_reward, self.known_end = like.known_reward, like.known_end

    def world(self, state: VecState) -> Any:
        """Return the model's states, [N, ...]."""
        return state.env

    def reset(self, key: Array) -> tuple[VecState, Obs]:
        n = self.num_envs
        state, obs = jax.vmap(self.begin)(jax.random.split(key, n))
        return VecState(state, jnp.zeros(n), jnp.zeros(n, jnp.int32)), obs

    def draw(self, key: Array, num_steps: int) -> Any:
        """Draw the model's noise [T, N, ...], and what to begin anew from, [T, N, ...]: as `Vec.draw` does."""
        k_step, k_reset = jax.random.split(key)
        shape = (num_steps, self.num_envs)
        fresh = jax.vmap(jax.vmap(self.begin))(jax.random.split(k_reset, shape))
        return self.model.draw(k_step, shape), fresh

    def step(self, state: VecState, action: Array, noise: Any) -> tuple[VecState, Step]:
        drawn, fresh = noise
        after, t = self.model.step(state.env, action, drawn)
        if self.limit is not None:
            t = t._replace(truncated=t.truncated | (state.ep_length + 1 >= self.limit))
        return follow_on(state, after, t, fresh)
