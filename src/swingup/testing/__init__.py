"""`check_env`: does an environment keep to the conventions that every algorithm here relies on?"""

import warnings
from dataclasses import dataclass
from typing import Any

import tyro

from swingup.envs import Vec, canonical, make
from swingup.errors import ConfigError, EnvironmentFault, RunningStatisticsWarning
from swingup.testing.faults import FAULTS, NOTES, Finding, finding, of_fault
from swingup.testing.single import check_gymnasium, check_pure
from swingup.testing.vector import ATTRIBUTES, check_vec


def check_env(env: Any, num_envs: int = 4, env_steps: int = 1000, seed: int = 0) -> list[Finding]:
    """What is wrong with an environment, found by playing it: an empty list if nothing, and notes at the end.

    `env` is an id, a `VecEnv`, an `Env`, a gymnax-style object, or a Gymnasium environment, its constructor or
    a Gymnasium vector environment. A `VecEnv` brings its own number of environments. What is checked: that spaces,
    shapes and types agree; that observations and rewards are finite and within bounds; the same-step
    convention (`swingup.types.Step`), with no dead transition and no last observation lost; that episode
    statistics add up; that keys, and they alone, decide what happens; and that nothing is written over.
    Raises `ConfigError` for an unknown id or an impossible size.
    """
    if env_steps < 2:
        raise ConfigError(f"env_steps must be at least 2, not {env_steps}")
    found: list[Finding] = []
    if isinstance(env, str):
        env = canonical(env)
    elif _is_gymnasium(env):
        found += check_gymnasium(env)
    elif hasattr(env, "num_envs"):
        num_envs = env.num_envs
        missing = (
            [] if hasattr(env, "single_action_space") else [n for n in ATTRIBUTES if not hasattr(env, n)]
        )
        found += [finding("attribute-missing", name=name) for name in missing]
    elif not hasattr(env, "reset_env") and hasattr(env, "step"):
        if missing := [n for n in ("name", "observation_space", "action_space") if not hasattr(env, n)]:
            return [finding("attribute-missing", name=missing[0])]
        found += check_pure(env)
    if all(f.note for f in found):  # what has the wrong form cannot be played
        found += _opened(env, num_envs, env_steps, seed)
    return sorted(found, key=lambda f: f.note)


def _opened(env: Any, num_envs: int, env_steps: int, seed: int) -> list[Finding]:
    try:
        with warnings.catch_warnings():  # what it warns of has become a note
            warnings.simplefilter("ignore", RunningStatisticsWarning)
            opened: Any = make(env, num_envs)
    except EnvironmentFault as fault:
        return [of_fault(fault)]
    except ConfigError as error:
        return [finding("cannot-open", error=error)]
    try:
        found = []
        if isinstance(opened, Vec):
            found = list(check_pure(opened.env))
        elif isinstance(env, str) and hasattr(opened.pool, "envs"):
            found = list(check_gymnasium(opened.pool.envs[0]))
        faults = any(not f.note for f in found)
        return found if faults else found + check_vec(opened, env_steps, seed)
    except EnvironmentFault as fault:
        return [of_fault(fault)]
    except ConfigError as error:
        return [finding("cannot-open", error=error)]
    finally:
        if opened is not env:  # a VecEnv that was brought is the user's to close
            opened.close()


def _is_gymnasium(env: Any) -> bool:
    """A Gymnasium environment or a constructor of one; importing Gymnasium only where it may be."""
    if hasattr(env, "num_envs"):
        return False
    return callable(env) or any(c.__module__.startswith("gymnasium.") for c in type(env).__mro__)


@dataclass(frozen=True)
class CheckOptions:
    env: tyro.conf.Positional[str]  # an id such as gymnasium:HalfCheetah-v5
    num_envs: int = 4  # environments in the batch
    env_steps: int = 1000  # random actions that each of them plays


def command(options: CheckOptions) -> int:
    """Print what `check_env` finds: 1 if there are faults, 0 if not."""
    if options.num_envs < 1:
        raise ConfigError(f"--num-envs must be at least 1, not {options.num_envs}")
    found = check_env(options.env, options.num_envs, options.env_steps)
    for one in found:
        print(one)
    faults = sum(not f.note for f in found)
    print(
        f"{canonical(options.env)}: {faults or 'no'} fault{'s' * (faults != 1)} "
        f"in {options.env_steps} env steps of {options.num_envs}"
    )
    return 1 if faults else 0


__all__ = ["FAULTS", "NOTES", "Finding", "check_env"]
