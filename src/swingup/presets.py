"""Tuned settings per algorithm and environment, as Python values, each with its measured result.

The results are those of `benchmarks/results/`, written by `benchmarks/scores.py`.
"""

from typing import Any, NamedTuple

from swingup.algos.ppo import PPO
from swingup.envs import canonical


class Preset(NamedTuple):
    """Settings, the budget they were tuned for, and what they reached."""

    algo: Any
    env_steps: int  # env steps per seed
    result: str  # greedy evaluation: mean over seeds, and how many


PRESETS: dict[tuple[str, str], Preset] = {
    ("ppo", "gymnax:CartPole-v1"): Preset(PPO(), 100_000, ""),
}


def preset(algo: str, env: str) -> Preset | None:
    """The preset of a pair, or None. Raises `ConfigError` for an unknown environment."""
    return PRESETS.get((algo, canonical(env)))
