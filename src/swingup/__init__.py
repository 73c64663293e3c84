"""swingup is deep reinforcement learning that reads like the papers and runs in one compiled JAX program.

    import swingup
    run = swingup.train(swingup.PPO(lr=1e-3), "CartPole-v1", env_steps=100_000, seeds=10)
    print(run.final_return)

Names are imported on first use, so that `swingup --help` need not wait for JAX. No module of the package may
bear the name of a public function: importing it would hide the function.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from swingup.algos.a2c import A2C
    from swingup.algos.alphazero import AlphaZero
    from swingup.algos.c51 import C51
    from swingup.algos.ddpg import DDPG
    from swingup.algos.double_q_learning import DoubleQLearning
    from swingup.algos.dqn import DQN
    from swingup.algos.expected_sarsa import ExpectedSARSA
    from swingup.algos.i2a import I2A
    from swingup.algos.mbmf import MBMF
    from swingup.algos.mbpo import MBPO
    from swingup.algos.me_trpo import METRPO
    from swingup.algos.mpc import MPC
    from swingup.algos.mve import MVE
    from swingup.algos.pets import PETS
    from swingup.algos.policy_iteration import PolicyIteration
    from swingup.algos.ppo import PPO
    from swingup.algos.q_learning import QLearning
    from swingup.algos.qr_dqn import QRDQN
    from swingup.algos.sac import SAC
    from swingup.algos.sac_discrete import SACDiscrete
    from swingup.algos.sarsa import SARSA
    from swingup.algos.steve import STEVE
    from swingup.algos.td3 import TD3
    from swingup.algos.td_lambda import TDLambda
    from swingup.algos.trpo import TRPO
    from swingup.algos.value_iteration import ValueIteration
    from swingup.algos.vpg import VPG
    from swingup.algos.world_models import WorldModels
    from swingup.envs import Hosted, Vec, make
    from swingup.episodes import evaluate
    from swingup.errors import (
        CheckpointError,
        ConfigError,
        EnvironmentFault,
        NonFiniteError,
        OutputError,
        SwingupError,
    )
    from swingup.plots.curves import plot
    from swingup.presets import Preset, preset
    from swingup.protocols import Env, VecEnv
    from swingup.rollout import collect
    from swingup.runs import Run, load, train
    from swingup.runs.grid import Grid
    from swingup.spaces import Box, Discrete
    from swingup.training.driver import Progress
    from swingup.training.own import Every, Measure, Schedule, StopTraining
    from swingup.types import Rollout, State, Step, Transition

__version__ = "0.1.0"

_HOMES = {
    "swingup.algos.alphazero": ["AlphaZero"],
    "swingup.algos.a2c": ["A2C"],
    "swingup.algos.c51": ["C51"],
    "swingup.algos.ddpg": ["DDPG"],
    "swingup.algos.double_q_learning": ["DoubleQLearning"],
    "swingup.algos.dqn": ["DQN"],
    "swingup.algos.expected_sarsa": ["ExpectedSARSA"],
    "swingup.algos.mbmf": ["MBMF"],
    "swingup.algos.mbpo": ["MBPO"],
    "swingup.algos.me_trpo": ["METRPO"],
    "swingup.algos.mve": ["MVE"],
    "swingup.algos.steve": ["STEVE"],
    "swingup.algos.i2a": ["I2A"],
    "swingup.algos.world_models": ["WorldModels"],
    "swingup.algos.mpc": ["MPC"],
    "swingup.algos.pets": ["PETS"],
    "swingup.algos.policy_iteration": ["PolicyIteration"],
    "swingup.algos.ppo": ["PPO"],
    "swingup.algos.q_learning": ["QLearning"],
    "swingup.algos.qr_dqn": ["QRDQN"],
    "swingup.algos.sac": ["SAC"],
    "swingup.algos.sac_discrete": ["SACDiscrete"],
    "swingup.algos.sarsa": ["SARSA"],
    "swingup.algos.td3": ["TD3"],
    "swingup.algos.td_lambda": ["TDLambda"],
    "swingup.algos.trpo": ["TRPO"],
    "swingup.algos.value_iteration": ["ValueIteration"],
    "swingup.algos.vpg": ["VPG"],
    "swingup.training.driver": ["Progress"],
    "swingup.training.own": ["Every", "Measure", "Schedule", "StopTraining"],
    "swingup.envs": ["Hosted", "Vec", "make"],
    "swingup.errors": [
        "CheckpointError",
        "ConfigError",
        "EnvironmentFault",
        "NonFiniteError",
        "OutputError",
        "SwingupError",
    ],
    "swingup.runs": ["Run", "load", "train"],
    "swingup.runs.grid": ["Grid"],
    "swingup.plots.curves": ["plot"],
    "swingup.presets": ["Preset", "preset"],
    "swingup.episodes": ["evaluate"],
    "swingup.rollout": ["collect"],
    "swingup.spaces": ["Box", "Discrete"],
    "swingup.protocols": ["Env", "VecEnv"],
    "swingup.types": ["Rollout", "State", "Step", "Transition"],
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "A2C",
    "C51",
    "DDPG",
    "DQN",
    "I2A",
    "MBMF",
    "MBPO",
    "METRPO",
    "MPC",
    "MVE",
    "PETS",
    "PPO",
    "QRDQN",
    "SAC",
    "SARSA",
    "STEVE",
    "TD3",
    "TRPO",
    "VPG",
    "AlphaZero",
    "Box",
    "CheckpointError",
    "ConfigError",
    "Discrete",
    "DoubleQLearning",
    "Env",
    "EnvironmentFault",
    "Every",
    "ExpectedSARSA",
    "Grid",
    "Hosted",
    "Measure",
    "NonFiniteError",
    "OutputError",
    "PolicyIteration",
    "Preset",
    "Progress",
    "QLearning",
    "Rollout",
    "Run",
    "SACDiscrete",
    "Schedule",
    "State",
    "Step",
    "StopTraining",
    "SwingupError",
    "TDLambda",
    "Transition",
    "ValueIteration",
    "Vec",
    "VecEnv",
    "WorldModels",
    "collect",
    "evaluate",
    "load",
    "make",
    "plot",
    "preset",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'swingup' has no attribute {name!r}")
    module = importlib.import_module(_HOME[name])
    globals()[name] = getattr(module, name)
    return globals()[name]


def __dir__() -> list[str]:
    return sorted(__all__)
