"""Demonstrations of learnt models push the cart of `task:CartPoleSwingUp` at random, and learn from what came."""

from dataclasses import replace

import jax
import jax.numpy as jnp
from jax import Array

from swingup.dynamics.ensemble import Ensemble, ensemble
from swingup.dynamics.fit import Rows, fit
from swingup.envs import make
from swingup.envs.control import CartPoleSwingUp
from swingup.rollout import wander
from swingup.types import Rollout

ENV = CartPoleSwingUp()
NAME = "task:CartPoleSwingUp"
HIDDEN = (64, 64)


def pushed(key: Array, env_steps: int, num_envs: int = 4) -> Rollout:
    """Do `env_steps` env steps with random actions, from hanging: a rollout [T, N]."""
    k_start, k_run = jax.random.split(key)
    env = make(NAME, num_envs)
    return jax.jit(lambda a, b: wander(env, (a, b), env_steps // num_envs)[1])(k_start, k_run)


def rows_of(rollout: Rollout) -> Rows:
    """Return a rollout [T, N] as N T transitions, environment by environment; these actions are in the task's units
    already.
    """
    step = rollout.step

    def flat(x: Array) -> Array:
        return x.swapaxes(0, 1).reshape(-1, *x.shape[2:])

    found = map(flat, (rollout.obs, rollout.action, step.reward, step.next_obs, step.terminated))
    return Rows(*found, there=jnp.ones(step.reward.size, bool))


def learnt(
    rows: Rows, key: Array, members: int, gradient_steps: int = 1000, *, reward: bool = False
) -> Ensemble:
    """Fit an ensemble to transitions; it knows that nothing ends, and is given the reward or learns it, `reward`."""
    k_net, k_fit = jax.random.split(key)
    env = make(NAME, 1)
    made = replace(ensemble(env, k_net, members, HIDDEN, known=not reward), end=env.known_end)
    return fit(made, rows, k_fit, looks=10, gradient_steps=gradient_steps // 10, batch_size=128)[0]
