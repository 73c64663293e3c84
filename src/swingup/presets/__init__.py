"""A preset holds settings per algorithm and environment, as Python values: what an algorithm's name stands for where.

Most specific first: the preset of the pair, that of the environment's kind (`presets.kinds`), the algorithm's own
defaults, with what depends on the actions. Only settings that were measured and learn are called tuned; the results
are those of `benchmarks/results/`, written by `benchmarks/scores.py`. Each family of algorithms has a table of its own,
which is imported when one of its algorithms is asked for.
"""

from dataclasses import replace
from importlib import import_module
from typing import Any

from swingup.algos import ALGOS, algorithm
from swingup.envs import canonical, check_players, opened
from swingup.errors import ConfigError, unknown
from swingup.presets.kinds import kind
from swingup.presets.table import Pair, Preset
from swingup.spaces import Box

FAMILIES = {  # {module: its algorithms}
    "policy_gradient": ("vpg", "a2c", "trpo", "ppo"),
    "q_learning": ("dqn", "c51", "qr_dqn"),
    "actor_critic": ("ddpg", "td3", "sac", "sac_discrete"),
    "games": ("alphazero",),
    "models": ("mpc", "pets"),
    "dreams": ("mbmf", "me_trpo", "mbpo", "mve", "steve", "world_models"),
    "imagination": ("i2a",),
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
    """Return the presets of a family by algorithm and environment, and those by algorithm and kind of environment."""
    module = import_module(f"swingup.presets.{family}")
    return module.PRESETS, module.KINDS


def every() -> tuple[dict[Pair, Preset], dict[Pair, Preset]]:
    """Return the tables of all families."""
    pairs, kinds = {}, {}
    for own_pairs, own_kinds in map(tables, FAMILIES):
        pairs, kinds = pairs | own_pairs, kinds | own_kinds
    return pairs, kinds


def example(algo: str) -> str:
    """Return an environment for which an algorithm, or one of its family, has a preset: CartPole, or the first.

    >>> example("ppo"), example("alphazero")
    ('gymnax:CartPole-v1', 'pgx:tic_tac_toe')
    """
    table, _ = tables(_family(algo))
    own = [env for name, env in table if name == algo] or [env for _, env in table]
    return "gymnax:CartPole-v1" if "gymnax:CartPole-v1" in own else own[0]


def _family(algo: str) -> str:
    return next(family for family, names in FAMILIES.items() if algo in names)


def preset(algo: str, env: str) -> Preset | None:
    """Return the preset of a pair, or of the environment's kind, or None if there is neither.

        algo    the name of an algorithm, such as "ppo"
        env     the id of an environment, such as "CartPole-v1"

    Gymnasium's environments take those of EnvPool's, which are the same tasks stepped by another engine. One whose
    name has options takes the preset of the name without them, which is not tuned for them, unless it has one with
    exactly these. Raises `ConfigError` for an unknown name.
    """
    full = canonical(env)
    bare, _, options = full.partition("?")
    if algo not in ALGOS:
        raise ConfigError(unknown("algorithm", algo, ALGOS))
    pairs, kinds = tables(_family(algo))
    twin = pairs.get((algo, bare.replace("gymnasium:", "envpool:", 1)))
    if (algo, full) in pairs:
        return pairs[algo, full]
    known = pairs.get((algo, bare)) or (twin and twin._replace(source="the preset of EnvPool's same task"))
    if known and options:
        other = f"{known.source} without options"
        return known._replace(source=other, tuned=False, result="not measured with these")
    return known or kinds.get((algo, kind(bare)))


def defaults(algo: str, env: Any) -> Preset:
    """Return the settings that an algorithm's name stands for in an environment, and say where they come from.

        algo    the name of an algorithm
        env     an id, or anything else that `make` takes

    Where there is no preset the environment is opened to see its actions, if the defaults depend on them. Raises
    `ConfigError` for an unknown algorithm or environment, or a game for two that the algorithm does not play.
    """
    own = algorithm(algo)()
    check_players(own, env)
    known = preset(algo, env) if isinstance(env, str) else None
    if known is not None:
        return known
    source = "the algorithm's defaults"
    if algo in CONTINUOUS and continuous(env, own.num_envs):
        own = replace(own, **CONTINUOUS[algo])
        source += " for continuous actions"
    return Preset(own, DEFAULT_ENV_STEPS, "there is no preset", source, tuned=False)


def continuous(env: Any, num_envs: int) -> bool:
    """Say whether the actions of this environment are vectors of real numbers."""
    with opened(env, 1 if isinstance(env, str) else num_envs) as own:
        return isinstance(own.action_space, Box)
