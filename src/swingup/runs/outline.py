"""What can be known of a run without playing: its spaces, and the shapes of its training state."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np

from swingup.envs import make, opened
from swingup.envs.adapters.host import joined
from swingup.errors import ConfigError
from swingup.protocols import VecEnv
from swingup.runs.evaluation import fixed_size, seeds_apart
from swingup.runs.experiment import Experiment
from swingup.spaces import Box, Space
from swingup.training import driver
from swingup.types import State


@dataclass(frozen=True)
class Outline(VecEnv):
    """What `init` reads of environments that hold their state; nothing is open."""

    name: str
    num_envs: int
    observation_space: Space
    action_space: Space
    goal_reward: Any
    stacked: bool
    jittable: bool = False
    stateful: bool = True
    mdp: Any = None


def outline(experiment: Experiment) -> Any:
    """One seed's environments as `init` sees them. On the host one is opened and closed; none is reset or stepped."""
    count = experiment.algo.num_envs
    if not seeds_apart(experiment.env):
        return make(experiment.env, count)
    with opened(experiment.env, fixed_size(experiment.env) or 1) as one:
        env: Any = one
        spaces = env.observation_space, env.action_space
        return Outline(env.name, count, *spaces, env.goal_reward, env.stacked)  # pyright: ignore[reportAbstractUsage]


def shapes(experiment: Experiment) -> State:
    """The shapes and dtypes of the training state, leading axis [S]."""
    return jax.eval_shape(partial(driver.init, experiment.resolved(), outline(experiment), experiment.seeds))


def as_batch(obs: Any, space: Space) -> tuple[np.ndarray, bool]:
    """Observations [N, ...] as the networks take them, and whether it is a single one that was given.

    Raises `ConfigError` where a shape or a value is not the space's.
    """
    dtype = np.dtype(space.dtype if isinstance(space, Box) else np.int32)
    try:
        given = np.asarray(joined(obs))
        if given.dtype.kind not in "biuf":
            raise ValueError(f"it has the type {given.dtype}")
    except (ValueError, TypeError, KeyError) as error:
        raise ConfigError(f"that is no observation of this run's environment: {error}") from None
    if given.shape != space.shape and given.shape[1:] != space.shape:
        raise ConfigError(
            f"observations of this run's environment have the shape {list(space.shape)}, a batch of them "
            f"{['N', *space.shape]}, and this one has {list(given.shape)}".replace("'", "")
        )
    with np.errstate(invalid="ignore", over="ignore"):
        batch = given.astype(dtype)
    if dtype.kind in "iu" and not np.array_equal(batch, given):
        raise ConfigError(
            f"observations of this run's environment are whole numbers ({dtype}), not {given.dtype}"
        )
    single = given.shape == space.shape
    return (batch[None] if single else batch), single
