"""The algorithms, one file each, by their command-line names."""

import importlib
from typing import Any

from swingup.errors import ConfigError, unknown

ALGOS = {
    "vpg": "VPG",
    "a2c": "A2C",
    "trpo": "TRPO",
    "ppo": "PPO",
    "dqn": "DQN",
    "c51": "C51",
    "qr_dqn": "QRDQN",
    "ddpg": "DDPG",
    "td3": "TD3",
    "sac": "SAC",
    "sac_discrete": "SACDiscrete",
    "q_learning": "QLearning",
    "sarsa": "SARSA",
    "expected_sarsa": "ExpectedSARSA",
    "double_q_learning": "DoubleQLearning",
    "td_lambda": "TDLambda",
    "value_iteration": "ValueIteration",
    "policy_iteration": "PolicyIteration",
}


def algorithm(name: str) -> type[Any]:
    """The hyperparameter class of an algorithm. Raises `ConfigError` with the nearest names if unknown."""
    if name not in ALGOS:
        raise ConfigError(unknown("algorithm", name, ALGOS))
    return getattr(importlib.import_module(f"swingup.algos.{name}"), ALGOS[name])


def name_of(algo: Any) -> str:
    """The command-line name of an algorithm's settings."""
    return next(name for name, cls in ALGOS.items() if cls == type(algo).__name__)
