"""Some wrappers of Gymnasium carry statistics from episode to episode, each copy its own."""

import warnings
from collections.abc import Iterator
from typing import Any

from gymnasium.vector import SyncVectorEnv

from swingup.errors import ConfigError, RunningStatisticsWarning

OURS = {"NormalizeReward": "normalise_reward", "NormalizeObservation": "normalise_obs"}


def refuse_statistics(env: Any, name: str) -> None:
    """Raise `ConfigError` where Gymnasium's NormalizeReward or NormalizeObservation is anywhere in an environment.

    Their statistics live in the environment: each copy has its own, an evaluation begins with none, and a saved run
    has lost them. A `final_return` would be of other rewards than those of the task, or of a policy that sees other
    observations than it learnt from. With `update_running_mean = False` the numbers are fixed, and all is well.
    A wrapper of another make is told by an attribute of a class named RunningMeanStd: that is a guess, and a
    `RunningStatisticsWarning`.
    """
    for layer in _layers(env):
        theirs = {c.__name__ for c in type(layer).__mro__ if c.__module__.startswith("gymnasium.")}
        for kind in theirs & OURS.keys():
            if layer.update_running_mean:
                raise ConfigError(
                    f"{name}: the wrapper {type(layer).__name__} keeps running statistics of its own, which an "
                    f"evaluation does not share and a saved run loses: take it away, and train with {OURS[kind]}=True"
                )
        held = [k for k, v in vars(layer).items() if type(v).__name__ == "RunningMeanStd"]
        if held and not theirs & OURS.keys():
            warnings.warn(
                f"{name}: {type(layer).__name__} keeps running statistics ({', '.join(held)}). If what it observes or "
                "rewards depends on them, evaluations measure something else than training: take it away, and train "
                "with normalise_obs=True or normalise_reward=True",
                RunningStatisticsWarning,
                stacklevel=2,
            )


def _layers(env: Any) -> Iterator[Any]:
    """Return the environment and all that it wraps; of several in this process, those of the first."""
    yield env
    while env is not env.unwrapped:
        env = env.env
        yield env
    if isinstance(env, SyncVectorEnv):
        yield from _layers(env.envs[0])
