"""The algorithms with tables have these settings, each with its measured result.

The exact optima are -13 on the cliff, -15 on the windy grid, 1 on the chain, and 0.740 on the frozen lake for the
policy that is optimal with γ = 0.99, within the 100 env steps that an episode may last.
"""

from typing import Any

from swingup.algos.double_q_learning import DoubleQLearning
from swingup.algos.expected_sarsa import ExpectedSARSA
from swingup.algos.policy_iteration import PolicyIteration
from swingup.algos.q_learning import QLearning
from swingup.algos.sarsa import SARSA
from swingup.algos.value_iteration import ValueIteration
from swingup.presets.table import Pair, Preset

# As in Sutton & Barto 2018, examples 6.5 and 6.6, but for the learning rates.
WALK: dict[str, Any] = {"gamma": 1.0, "epsilon_start": 0.1, "epsilon_end": 0.1}
LAKE: dict[str, Any] = {"lr_power": 0.6, "epsilon_start": 1.0, "epsilon_end": 0.1, "epsilon_decay": 5e4}
PLAN: dict[str, Any] = {"num_envs": 10, "num_steps": 10}

PRESETS: dict[Pair, Preset] = {
    ("q_learning", "tabular:Cliff"): Preset(
        QLearning(lr=0.5, **WALK), env_steps=20_000, result="mean -13.0, worst -13.0 of 10 seeds"
    ),
    ("q_learning", "tabular:WindyGrid"): Preset(
        QLearning(lr=0.5, **WALK), env_steps=50_000, result="mean -15.0, worst -15.0 of 10 seeds"
    ),
    ("q_learning", "tabular:FrozenLake"): Preset(
        QLearning(**LAKE), env_steps=100_000, result="mean 0.757, worst 0.680 of 10 seeds"
    ),
    ("q_learning", "tabular:Chain"): Preset(
        QLearning(gamma=0.9), env_steps=5_000, result="mean 1.0, worst 1.0 of 10 seeds"
    ),
    ("sarsa", "tabular:Cliff"): Preset(
        SARSA(lr=0.1, **WALK), env_steps=50_000, result="mean -15.4, worst -17.0 of 10 seeds"
    ),
    ("sarsa", "tabular:WindyGrid"): Preset(
        SARSA(gamma=1.0, epsilon_start=0.1, epsilon_end=0.01, epsilon_decay=5e4),
        env_steps=100_000,
        result="mean -15.0, worst -15.0 of 10 seeds",
    ),
    ("sarsa", "tabular:FrozenLake"): Preset(
        SARSA(**LAKE), env_steps=100_000, result="mean 0.747, worst 0.670 of 10 seeds"
    ),
    ("expected_sarsa", "tabular:Cliff"): Preset(
        ExpectedSARSA(lr=1.0, **WALK), env_steps=20_000, result="mean -15.0, worst -15.0 of 10 seeds"
    ),
    ("expected_sarsa", "tabular:FrozenLake"): Preset(
        ExpectedSARSA(**LAKE), env_steps=100_000, result="mean 0.746, worst 0.670 of 10 seeds"
    ),
    ("double_q_learning", "tabular:Cliff"): Preset(
        DoubleQLearning(lr=0.25, **WALK), env_steps=50_000, result="mean -16.6, worst -17.0 of 10 seeds"
    ),
    ("double_q_learning", "tabular:FrozenLake"): Preset(
        DoubleQLearning(lr_power=0.6, epsilon_end=0.3, epsilon_decay=1e5),
        env_steps=200_000,
        result="mean 0.754, worst 0.670 of 10 seeds",
    ),
    ("value_iteration", "tabular:Cliff"): Preset(
        ValueIteration(gamma=1.0, **PLAN), env_steps=10_000, result="mean -13.0, worst -13.0 of 10 seeds"
    ),
    ("value_iteration", "tabular:WindyGrid"): Preset(
        ValueIteration(gamma=1.0, **PLAN), env_steps=10_000, result="mean -15.0, worst -15.0 of 10 seeds"
    ),
    ("value_iteration", "tabular:FrozenLake"): Preset(
        ValueIteration(**PLAN), env_steps=50_000, result="mean 0.760, worst 0.680 of 10 seeds"
    ),
    ("policy_iteration", "tabular:Cliff"): Preset(
        PolicyIteration(gamma=1.0, **PLAN), env_steps=2_000, result="mean -13.0, worst -13.0 of 10 seeds"
    ),
    ("policy_iteration", "tabular:WindyGrid"): Preset(
        PolicyIteration(gamma=1.0, **PLAN), env_steps=2_000, result="mean -15.0, worst -15.0 of 10 seeds"
    ),
    ("policy_iteration", "tabular:FrozenLake"): Preset(
        PolicyIteration(**PLAN), env_steps=2_000, result="mean 0.760, worst 0.680 of 10 seeds"
    ),
}

KINDS: dict[Pair, Preset] = {}
