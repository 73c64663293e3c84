"""Settings per algorithm and environment, as Python values: what an algorithm's name stands for where.

Most specific first: the preset of the pair, that of the environment's kind (`presets.kinds`), the algorithm's own
defaults, with what depends on the actions. Only settings that were measured and learn are called tuned; the results
are those of `benchmarks/results/`, written by `benchmarks/scores.py`. Each family of algorithms has a table of its own,
which is imported when one of its algorithms is asked for.
"""

from dataclasses import replace
from importlib import import_module
from typing import Any

from swingup.algos import ALGOS, algorithm
from swingup.envs import canonical, opened
from swingup.errors import ConfigError, unknown
from swingup.presets.kinds import kind
from swingup.presets.table import Pair, Preset
from swingup.spaces import Box

FAMILIES = {  # {module: its algorithms}
    "policy_gradient": ("vpg", "a2c", "trpo", "ppo"),
    "q_learning": ("dqn", "c51", "qr_dqn"),
    "actor_critic": ("ddpg", "td3", "sac", "sac_discrete"),
    "tabular": (
        "q_learning",
        "sarsa",
        "expected_sarsa",
        "double_q_learning",
        "td_lambda",
        "value_iteration",
        "policy_iteration",
    ),
}
DEFAULT_ENV_STEPS = 500_000
# Where actions are continuous the bonus only widens the policy: RL Zoo, CleanRL and Spinning Up have none there, and
# 0.01 is from Atari games.
CONTINUOUS: dict[str, dict[str, Any]] = {"ppo": {"c_entropy": 0.0}, "a2c": {"c_entropy": 0.0}}


def tables(family: str) -> tuple[dict[Pair, Preset], dict[Pair, Preset]]:
    """The presets of a family by algorithm and environment, and those by algorithm and kind of environment."""
    module = import_module(f"swingup.presets.{family}")
    return module.PRESETS, module.KINDS


def every() -> tuple[dict[Pair, Preset], dict[Pair, Preset]]:
    """The tables of all families."""
    pairs, kinds = {}, {}
    for own_pairs, own_kinds in map(tables, FAMILIES):
        pairs, kinds = pairs | own_pairs, kinds | own_kinds
    return pairs, kinds


def preset(algo: str, env: str) -> Preset | None:
    """The preset of a pair, or of the environment's kind, or None. Raises `ConfigError` for unknown names.

    Gymnasium's environments take those of EnvPool's, which are the same tasks stepped by another engine. One whose
    name has options takes the preset of the name without them, which is not tuned for them.
    """
    bare, _, options = canonical(env).partition("?")
    if algo not in ALGOS:
        raise ConfigError(unknown("algorithm", algo, ALGOS))
    pairs, kinds = tables(next(family for family, names in FAMILIES.items() if algo in names))
    twin = pairs.get((algo, bare.replace("gymnasium:", "envpool:", 1)))
    known = pairs.get((algo, bare)) or (twin and twin._replace(source="the preset of EnvPool's same task"))
    if known and options:
        other = f"{known.source} without options"
        return known._replace(source=other, tuned=False, result="not measured with these")
    return known or kinds.get((algo, kind(bare)))


def defaults(algo: str, env: Any) -> Preset:
    """The settings that an algorithm's name stands for in an environment, by id or an object; with their origin.

    Where there is no preset the environment is opened to see its actions, if the defaults depend on them. Raises
    `ConfigError` for an unknown algorithm or environment.
    """
    own = algorithm(algo)()
    known = preset(algo, env) if isinstance(env, str) else None
    if known is not None:
        return known
    source = "the algorithm's defaults"
    if algo in CONTINUOUS and continuous(env, own.num_envs):
        own = replace(own, **CONTINUOUS[algo])
        source += " for continuous actions"
    return Preset(own, DEFAULT_ENV_STEPS, "there is no preset", source, tuned=False)


def continuous(env: Any, num_envs: int) -> bool:
    """Are the actions of this environment vectors of real numbers?"""
    with opened(env, 1 if isinstance(env, str) else num_envs) as own:
        return isinstance(own.action_space, Box)
