"""Environments by name: `make("CartPole-v1", 8)`. One registry for every kind.

An id is `suite:Name`; a bare `Name` takes the first suite that has it. Suites are imported on use.
"""

from functools import lru_cache
from typing import Any

from swingup.envs.vec import Hosted, Vec
from swingup.errors import ConfigError, unknown
from swingup.types import VecEnv

# The names are written down so that listing them, and refusing a wrong one, imports nothing slow. Left out are
# MNISTBandit-bsuite, which downloads its data when made, and SimpleBandit-bsuite, which observes a constant.
GYMNAX = (
    "CartPole-v1",
    "Pendulum-v1",
    "Acrobot-v1",
    "MountainCar-v0",
    "MountainCarContinuous-v0",
    "Asterix-MinAtar",
    "Breakout-MinAtar",
    "Freeway-MinAtar",
    "Seaquest-MinAtar",
    "SpaceInvaders-MinAtar",
    "Catch-bsuite",
    "DeepSea-bsuite",
    "MemoryChain-bsuite",
    "UmbrellaChain-bsuite",
    "DiscountingChain-bsuite",
    "FourRooms-misc",
    "MetaMaze-misc",
    "PointRobot-misc",
    "BernoulliBandit-misc",
    "GaussianBandit-misc",
    "Reacher-misc",
    "Swimmer-misc",
    "Pong-misc",
    "FrozenLake-misc",
)
PROBES = (
    "ConstantReward",
    "ObservedReward",
    "DelayedReward",
    "TimeLimit",
    "PickAction",
    "PickActionByObservation",
    "ContinuousTarget",
)
SUITES: dict[str, tuple[str, ...]] = {"gymnax": GYMNAX, "probe": PROBES}


def canonical(name: str) -> str:
    """The full id `suite:Name`. Raises `ConfigError` with the nearest names for an unknown one."""
    suite, _, bare = name.rpartition(":")
    if suite and suite not in SUITES:
        raise ConfigError(unknown("environment suite", suite, SUITES))
    for candidate in [suite] if suite else SUITES:
        if bare in SUITES[candidate]:
            return f"{candidate}:{bare}"
    known = SUITES[suite] if suite else [n for names in SUITES.values() for n in names]
    raise ConfigError(unknown("environment", bare, known))


def make(name: str | Any, num_envs: int) -> VecEnv:
    """`num_envs` environments by id, from a gymnax-style object, from an `Env`; or a `VecEnv` as it is.

    Raises `ConfigError` for an unknown id or an object that is none of these.
    """
    if isinstance(name, str):
        return _make(canonical(name), num_envs)
    if hasattr(name, "num_envs") and hasattr(name, "jittable"):
        if name.num_envs != num_envs:
            raise ConfigError(f"the environment has num_envs={name.num_envs}, the algorithm wants {num_envs}")
        return name
    if hasattr(name, "reset_env") and hasattr(name, "step_env"):
        from swingup.envs.adapters.gymnax import GymnaxEnv

        return Vec(GymnaxEnv(name), num_envs)
    if all(hasattr(name, a) for a in ("reset", "step", "observation_space", "action_space", "name")):
        return Vec(name, num_envs)
    raise ConfigError(
        f"{type(name).__name__} is not an environment: pass an id such as 'CartPole-v1', or an object with "
        "reset_env(key, params) and step_env(key, state, action, params) as in gymnax"
    )


@lru_cache
def _make(name: str, num_envs: int) -> Vec:
    """One object per id and size: compiled programs are cached by the identity of their environment."""
    suite, _, bare = name.partition(":")
    return Vec(_gymnax(bare) if suite == "gymnax" else _probe(bare), num_envs)


def _gymnax(bare: str):
    from swingup.envs.adapters.gymnax import make_gymnax

    return make_gymnax(bare)


def _probe(bare: str):
    from swingup.envs import probes

    return getattr(probes, bare)()


__all__ = ["SUITES", "Hosted", "Vec", "canonical", "make"]
