"""Evaluation: whole episodes of trained agents, in environments that training never touches.

These are opened before training, from the id or the constructor, or as copies of an object. So what cannot be
evaluated is refused before anything is trained, and no environment has two users.
"""

import math
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array

from swingup.envs import canonical, is_vec, opened
from swingup.envs import on_host as lives_on_host
from swingup.errors import ConfigError, NonFiniteError
from swingup.protocols import VecEnv
from swingup.runs.episodes import on_device, on_host
from swingup.runs.experiment import Experiment
from swingup.training import driver
from swingup.types import State

HOST_ENVS = 10  # of one seed, to evaluate in
UNENDED = 10_000  # env steps after which episodes are cut if none ended in training
LONG = 100_000  # env steps after which an evaluation without a limit says that it goes on


class EvaluationWarning(UserWarning):
    """Episodes of an evaluation were cut, or go on and on."""


class Episodes(NamedTuple):
    """What an evaluation saw; every field is [S, episodes]."""

    returns: np.ndarray  # undiscounted, of raw rewards
    lengths: np.ndarray  # in env steps
    cut: np.ndarray  # did the limit end it? Its return is what it had by then


class Evaluator:
    """The environments to evaluate an experiment in; `size` of them for each seed on the host."""

    def __init__(self, experiment: Experiment, env: VecEnv, size: int, stack: ExitStack):
        self.experiment, self.algo, self.size = experiment, experiment.resolved(), size
        self._envs, self._stack = {size: env}, stack

    def play(
        self,
        state: State,
        purpose: str,
        episodes: int,
        *,
        greedy: bool = True,
        pause: Callable[[], None] = lambda: None,
    ) -> Episodes:
        """Episodes of every seed's policy. `purpose` names the evaluation: each has random numbers of its own.

        `pause` is called now and then, and may raise to stop. Warns with `EvaluationWarning` where an episode was
        cut or does not end. Raises `NonFiniteError` for a return that is no number.
        """
        limit, env = limit_of(self.experiment, state), self._sized(episodes)
        keys = driver.root_keys(self.experiment.seeds, purpose)
        one = partial(on_device if env.jittable else on_host, self.algo, env, state.learner)
        size = self.size if env.stateful else env.num_envs
        rounds = [
            one(_folded(keys, i), limit=limit, greedy=greedy, watch=_Watch(limit, pause))
            for i in range(math.ceil(episodes / size))
        ]
        played = Episodes(*(np.concatenate(x, 1)[:, :episodes] for x in zip(*rounds, strict=True)))
        if not np.isfinite(played.returns).all():
            raise NonFiniteError("a NaN or infinite return in an evaluation: check the environment's rewards")
        if played.cut.any():
            text = f"{played.cut.sum()} of {played.cut.size} episodes of the evaluation were cut after {limit:,} env "
            text += "steps and count with their return so far: eval_limit (--eval-limit) sets where"
            warnings.warn(text, EvaluationWarning, stacklevel=2)
        return played

    def _sized(self, episodes: int) -> VecEnv:
        """As many environments as episodes on the device, where they cost nothing; else those that are open."""
        size = evaluation_size(self.experiment, episodes)
        opened_ = self._envs[self.size]
        if opened_.stateful:
            return opened_
        if size not in self._envs:
            source = full_games(self.experiment.env)
            self._envs[size] = self._stack.enter_context(opened(source, size, fresh=True))
        return self._envs[size]


@contextmanager
def evaluator(experiment: Experiment, training: VecEnv | None = None) -> Iterator[Evaluator]:
    """An `Evaluator` whose environments are closed at the end.

    Where no others can be had than those of `training`, they serve, unless training still needs them: then
    `ConfigError` says now what to do.
    """
    source = full_games(experiment.env)
    size = evaluation_size(experiment, experiment.episodes)
    count = size * len(experiment.seeds) if seeds_apart(source) else size
    with ExitStack() as stack:
        try:
            env = stack.enter_context(opened(source, count, fresh=True))
        except ConfigError:
            if training is None or experiment.eval_interval:
                raise
            env, size = training, experiment.algo.num_envs
        yield Evaluator(experiment, env, size, stack)


def evaluation_size(experiment: Experiment, episodes: int) -> int:
    """How many environments of a seed are played at once for so many episodes; the rest follows in rounds."""
    env = experiment.env
    if (size := fixed_size(env)) is not None:
        return size // (len(experiment.seeds) if seeds_apart(env) else 1)
    return min(episodes, HOST_ENVS if lives_on_host(env) else episodes)


def fixed_size(env: Any) -> int | None:
    """How many environments an object is, None if as many as are wanted can be made."""
    gymnasium = sys.modules.get("gymnasium")
    vector = gymnasium is not None and isinstance(env, gymnasium.vector.VectorEnv)
    return env.num_envs if vector or is_vec(env) else None


def seeds_apart(env: Any) -> bool:
    """Does every seed need environments of its own? On the device the seeds share what is a pure function."""
    return lives_on_host(env) or (is_vec(env) and env.stateful)


def full_games(env: Any) -> Any:
    """An id without `episodic_life`: Atari may be trained on lives, and is judged by whole games."""
    if not isinstance(env, str):
        return env
    name, _, options = canonical(env).partition("?")
    kept = [text for text in options.split("&") if text and not text.startswith("episodic_life=")]
    return name + ("?" + "&".join(kept) if kept else "")


def limit_of(experiment: Experiment, state: State) -> int | None:
    """Env steps after which an episode is cut; None where episodes end by themselves, as some did in training."""
    if experiment.eval_limit is not None:
        return experiment.eval_limit
    return None if np.any(np.asarray(state.actor.recent.count) > 0) else UNENDED


class _Watch:
    """Sees an evaluation go on: lets it be stopped, and says so when it takes long."""

    def __init__(self, limit: int | None, pause: Callable[[], None]):
        self.pause, self.next = pause, LONG if limit is None else math.inf

    def __call__(self, env_steps: int, running: np.ndarray) -> None:
        self.pause()
        if env_steps >= self.next:
            self.next = 10 * env_steps
            text = (
                f"{running.sum()} episodes of the evaluation go on after {env_steps:,} env steps; eval_limit "
            )
            warnings.warn(text + "(--eval-limit) would cut them", EvaluationWarning, stacklevel=2)


@jax.jit
def _folded(keys: Array, i: int) -> Array:
    return jax.vmap(lambda key: jax.random.fold_in(key, i))(keys)
