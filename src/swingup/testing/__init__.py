"""`check_env` says whether an environment keeps to the conventions that every algorithm here relies on."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from swingup.envs import Vec, canonical, make
from swingup.envs.adapters.host import HostVec, Pool
from swingup.envs.adapters.identify import Kind, kind_of, lacks
from swingup.errors import ConfigError, EnvironmentFault, RunningStatisticsWarning
from swingup.testing.faults import FAULTS, NOTES, Finding, finding, of_fault
from swingup.testing.games import check_game
from swingup.testing.single import check_gymnasium, check_pure
from swingup.testing.vector import check_vec


def check_env(env: Any, num_envs: int = 4, env_steps: int = 1000, seed: int = 0) -> list[Finding]:
    """Play an environment and list what is wrong with it: an empty list if nothing, and notes at the end.

        env          an id, a `VecEnv`, an `Env`, a gymnax-style object, or a Gymnasium environment, its constructor or
                     a Gymnasium vector environment
        num_envs     how many are played side by side; a `VecEnv` brings its own number
        env_steps    env steps in each of them, at least 2
        seed         of the actions and of the environments

    What is checked: that spaces, shapes and types agree; that observations and rewards are finite and within bounds;
    the same-step convention (`swingup.types.Step`), with no dead transition and no last observation lost; that
    episode statistics add up; that keys, and they alone, decide what happens; and that nothing is written over.
    The rules of a game for two (`envs.games.Game`) are checked too: moves, players, rewards, the end, the symmetries.
    Raises `ConfigError` for an unknown id or an impossible size. What the environment raises becomes a finding.
    """
    if env_steps < 2:
        raise ConfigError(f"env_steps must be at least 2, not {env_steps}")
    found: list[Finding] = []
    kind = kind_of(env)
    missing = [finding("attribute-missing", name=name) for name in lacks(env, kind)]
    match kind:
        case Kind.ID:
            env = canonical(env)
        case Kind.GYMNASIUM | Kind.CONSTRUCTOR:
            found += check_gymnasium(env)
        case Kind.GYMNASIUM_VECTOR | Kind.VEC:
            num_envs, found = env.num_envs, missing
        case Kind.ENV:
            found += missing[:1] or check_pure(env)
    if all(f.note for f in found):  # what has the wrong form cannot be played
        found += _opened(env, num_envs, env_steps, seed)
    return sorted(found, key=lambda f: f.note)


def _opened(env: Any, num_envs: int, env_steps: int, seed: int) -> list[Finding]:
    try:
        with warnings.catch_warnings():  # what it warns of has become a note
            warnings.simplefilter("ignore", RunningStatisticsWarning)
            opened = make(env, num_envs)
    except EnvironmentFault as fault:
        return [of_fault(fault)]
    except ConfigError as error:
        return [finding("cannot-open", error=error)]
    try:
        found = []
        if isinstance(opened, Vec):
            found = list(check_pure(opened.env))
            if opened.players == 2 and not found:
                found = list(check_game(opened.env, seed))  # pyright: ignore[reportArgumentType]
        elif isinstance(env, str) and isinstance(opened, HostVec):
            found = list(_first(opened.pool))
        faults = any(not f.note for f in found)
        return found if faults else found + check_vec(opened, env_steps, seed)
    except EnvironmentFault as fault:
        return [of_fault(fault)]
    except ConfigError as error:
        return [finding("cannot-open", error=error)]
    finally:
        if opened is not env:  # a VecEnv that was brought is the user's to close
            opened.close()


def _first(pool: Pool) -> Iterator[Finding]:
    """Check the first environment, if they are Gymnasium's, one by one in this process."""
    from swingup.envs.adapters.gymnasium import ListPool

    if isinstance(pool, ListPool):
        yield from check_gymnasium(pool.envs[0])


EnvId = tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="ENV")]]


@dataclass(frozen=True)
class CheckOptions:
    env: EnvId  # an id such as gymnasium:HalfCheetah-v5
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
