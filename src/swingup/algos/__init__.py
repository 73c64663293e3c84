"""Each algorithm is one file, and has a name on the command line."""

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
    "alphazero": "AlphaZero",
    "mpc": "MPC",
    "pets": "PETS",
    "mbmf": "MBMF",
    "me_trpo": "METRPO",
    "mbpo": "MBPO",
    "mve": "MVE",
    "steve": "STEVE",
    "i2a": "I2A",
    "world_models": "WorldModels",
}


def algorithm(name: str) -> type[Any]:
    """Return the hyperparameter class of an algorithm. Raises `ConfigError` with the nearest names if unknown."""
    if name not in ALGOS:
        raise ConfigError(unknown("algorithm", name, ALGOS))
    return getattr(importlib.import_module(f"swingup.algos.{name}"), ALGOS[name])


def name_of(algo: Any) -> str:
    """Return the command-line name of an algorithm's settings."""
    return next(name for name, cls in ALGOS.items() if cls == type(algo).__name__)
