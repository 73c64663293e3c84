"""Gymnasium's goal environments are asked for the rewards of goals that are put in the place of their own."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from swingup.envs.adapters.answers import check_float32, flags, rewards
from swingup.envs.adapters.calls import raised
from swingup.errors import EnvironmentFault

GoalReward = Callable[[Array, Array], tuple[Array, Array]]


def distance_reward(threshold: float, kind: str) -> GoalReward:
    """Return Gymnasium-Robotics' rewards of achieved and desired goals [..., G], by their distance d; nothing
    terminates.

    "sparse": -1 where d > `threshold`, else 0. "dense": -d.
    """

    def reward(achieved: Array, desired: Array) -> tuple[Array, Array]:
        d = jnp.linalg.norm(achieved - desired, axis=-1)
        value = -(d > threshold).astype(jnp.float32) if kind == "sparse" else -d
        return value, jnp.zeros(d.shape, bool)

    return reward


def asked(env: Any) -> GoalReward:
    """Call an environment's `compute_reward` and, where there is one, `compute_terminated` from compiled code.

    Both get goals [B, G], many at once, and an empty dictionary in the place of what `step` tells beside: the reward
    must not depend on anything but the goals.
    """
    ended: Callable[..., Any] = getattr(env, "compute_terminated", lambda achieved, desired, info: False)

    def ask(achieved: Any, desired: Any) -> tuple[np.ndarray, np.ndarray]:
        lead = achieved.shape[:-1]
        goals = [np.asarray(x, np.float64).reshape(-1, x.shape[-1]) for x in (achieved, desired)]
        count, name = len(goals[0]), type(env).__name__
        try:
            reward, over = env.compute_reward(*goals, {}), ended(*goals, {})
        except Exception as error:
            raise raised(
                name, "compute_reward", error, f"for goals {goals[0].shape}, many at once"
            ) from error
        if np.shape(reward) != (count,):
            raise EnvironmentFault(
                f"{name}: compute_reward returned {np.shape(reward)} for goals {goals[0].shape}: many are asked "
                "at once, and each has one reward (numpy.linalg.norm(..., axis=-1))",
                "goal-reward",
            )
        reward = rewards(reward, count, name)
        check_float32(reward, reward, name)
        over = np.broadcast_to(over, (count,))
        terminated, _ = flags(over, over, name)
        return reward.astype(np.float32).reshape(lead), terminated.reshape(lead)

    def reward(achieved: Array, desired: Array) -> tuple[Array, Array]:
        lead = achieved.shape[:-1]
        shapes = jax.ShapeDtypeStruct(lead, jnp.float32), jax.ShapeDtypeStruct(lead, jnp.bool_)
        return jax.pure_callback(ask, shapes, achieved, desired, vmap_method="broadcast_all")

    return reward


def goal_reward(env: Any, size: int) -> GoalReward | None:
    """Return the reward of a goal environment of Gymnasium's, or None where it has no `compute_reward`.

    It is the distance's where that is what the environment computes, because compiled code need not ask it then.
    """
    if not hasattr(env, "compute_reward"):
        return None
    whole = asked(env)
    if not {"distance_threshold", "reward_type"} <= set(dir(env)):
        return whole
    short = distance_reward(float(env.distance_threshold), env.reward_type)
    rng = np.random.default_rng(0)
    achieved = rng.normal(size=(64, size)).astype(np.float32)
    apart = rng.uniform(0, 2 * float(env.distance_threshold), (64, 1)) * rng.normal(size=(64, size))
    pairs = jnp.asarray(achieved), jnp.asarray((achieved + apart / np.sqrt(size)).astype(np.float32))
    ours, theirs = short(*pairs), whole(*pairs)
    same = all(np.allclose(a, b, atol=1e-5) for a, b in zip(ours, theirs, strict=True))
    return short if same else whole
