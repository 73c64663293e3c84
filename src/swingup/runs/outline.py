"""The spaces of a run, and the shapes of its training state, can be known without playing."""

from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn

import jax
import numpy as np
from jax import Array

from swingup.envs import make, opened
from swingup.envs.adapters.host import joined
from swingup.envs.adapters.identify import fixed_size
from swingup.errors import ConfigError
from swingup.protocols import GoalReward, KnownEnd, KnownReward, VecEnv
from swingup.runs.block import Trainable
from swingup.runs.evaluation import seeds_apart
from swingup.spaces import Box, Space
from swingup.training import driver
from swingup.types import EnvState, State


@dataclass(frozen=True)
class Outline(VecEnv):
    """An outline has what `init` reads of environments that hold their state; nothing is open."""

    name: str
    num_envs: int
    observation_space: Space
    action_space: Space
    goal_reward: GoalReward | None
    known_reward: KnownReward | None
    known_end: KnownEnd | None
    stacked: bool
    masked: bool
    jittable: bool = False
    stateful: bool = True

    def reset(self, key: Array) -> NoReturn:
        raise TypeError(f"{self.name} is an outline, and plays nothing")

    def draw(self, key: Array, num_steps: int) -> NoReturn:
        raise TypeError(f"{self.name} is an outline, and plays nothing")

    def step(self, state: EnvState, action: Array, noise: Any) -> NoReturn:
        raise TypeError(f"{self.name} is an outline, and plays nothing")


def outline(experiment: Trainable, masked: bool = False) -> VecEnv:
    """One seed's environments as `init` sees them. On the host one is opened and closed; none is reset or stepped.

    So it cannot be seen whether those on the host forbid actions at times: `masked` says it.
    """
    count = experiment.algo.num_envs
    if not seeds_apart(experiment.env):
        return make(experiment.env, count)
    with opened(experiment.env, fixed_size(experiment.env) or 1) as one:
        spaces = one.observation_space, one.action_space
        given = one.goal_reward, one.known_reward, one.known_end
        return Outline(one.name, count, *spaces, *given, one.stacked, masked)


def shapes(experiment: Trainable, masked: bool = False) -> State:
    """Return the shapes and dtypes of the training state, leading axis [S]; `masked` is that of `outline`."""
    env = outline(experiment, masked)
    return jax.eval_shape(partial(driver.init, experiment.resolved(), env, experiment.seeds))


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


def allowed(legal: Any, count: int) -> np.ndarray | None:
    """Give each of `count` observations its legal actions [A], or all of them those of one; None allows all."""
    return (
        legal if legal is None else np.broadcast_to(np.asarray(legal, bool), (count, *np.shape(legal)[-1:]))
    )
