"""Trained agents are evaluated by whole episodes, in environments that training never touches.

These are opened before training, from the id or the constructor, or as copies of an object. So what cannot be
evaluated is refused before anything is trained, and no environment has two users.
"""

import math
import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array

from swingup.envs import canonical, is_game, make, opened
from swingup.envs import on_host as lives_on_host
from swingup.envs.adapters.identify import fixed_size, is_vec
from swingup.envs.games import game_of, judged
from swingup.errors import ConfigError, NonFinite, NonFiniteError
from swingup.protocols import VecEnv
from swingup.runs.block import Trainable
from swingup.runs.episodes import compile_ahead, on_device, on_host
from swingup.training import driver, parallel
from swingup.training.finite import stop
from swingup.types import State

EVALUATED = 20  # episodes of an evaluation in training, and with the policy's noise at the end, at most
HOST_ENVS = 10  # of one seed, to evaluate in
UNENDED = 10_000  # env steps after which episodes are cut if none ended in training
LONG = 100_000  # env steps after which an evaluation without a limit says that it goes on


class EvaluationWarning(UserWarning):
    """Episodes of an evaluation were cut, or go on and on."""


class Episodes(NamedTuple):
    """These are the episodes of an evaluation; every field is [S, episodes]."""

    returns: np.ndarray  # undiscounted, of raw rewards; NaN of a seed that has diverged
    lengths: np.ndarray  # in env steps
    cut: np.ndarray  # did the limit end it? Its return is what it had by then


class Evaluator:
    """An evaluator has the environments to evaluate an experiment in; `size` of them for each seed on the host.

    `devices` is how many may share the seeds.
    """

    def __init__(
        self, experiment: Trainable, env: VecEnv, size: int, stack: ExitStack, devices: int | None = None
    ):
        self.experiment, self.algo, self.size = experiment, experiment.resolved(), size
        self._envs, self._stack, self.devices = {size: env}, stack, devices

    def play(
        self,
        state: State,
        purpose: str,
        episodes: int,
        *,
        greedy: bool = True,
        pause: Callable[[], None] = lambda: None,
        without: Collection[int] = (),
        diverged: Callable[[NonFiniteError], None] = stop,
    ) -> Episodes:
        """Play episodes of every seed's policy. `purpose` names the evaluation: each has random numbers of its own.

        `pause` is called now and then, and may raise to stop. The rows `without` have diverged: they do not play, and
        have the return NaN. `diverged` is called with the error of each other row that has a return which is no
        number: it raises, or the row has NaN as well. Warns with `EvaluationWarning` where an episode was cut or does
        not end.
        """
        limit, env = limit_of(self.experiment, state), self._sized(episodes)
        keys = driver.root_keys(self.experiment.seeds, purpose)
        live = np.setdiff1d(np.arange(len(keys)), list(without))
        if not live.size:
            nothing = np.zeros((len(keys), episodes))
            return Episodes(np.full_like(nothing, np.nan), nothing.astype(np.int32), nothing > 0)
        learner = _living(parallel.alone(self.algo.acting(state.learner)), live, len(keys))
        learner = parallel.place(learner, parallel.mesh_of_seeds(len(keys), self.devices))
        play = on_device if env.jittable else on_host
        one = partial(play, self.algo, env, learner, devices=self.devices)
        size = self.size if env.stateful else env.num_envs
        rounds = [
            one(_folded(keys, i), limit=limit, greedy=greedy, watch=_Watch(limit, pause))
            for i in range(math.ceil(episodes / size))
        ]
        returns, lengths, cut = (np.concatenate(x, 1)[:, :episodes] for x in zip(*rounds, strict=True))
        dead = np.ones(len(keys), bool)
        dead[live] = False
        played = Episodes(
            np.where(dead[:, None], np.nan, returns),
            np.where(dead[:, None], 0, lengths),
            cut & ~dead[:, None],
        )
        for row in live[~np.isfinite(returns[live]).all(1)].tolist():
            text = "a NaN or infinite return in an evaluation: check the environment's rewards"
            diverged(NonFiniteError(text, NonFinite("eval/return", row)))
            played.returns[row] = np.nan
        if played.cut.any():
            text = f"{played.cut.sum()} of {played.cut.size} episodes of the evaluation were cut after {limit:,} env "
            text += "steps and count with their return so far: eval_limit (--eval-limit) sets where"
            warnings.warn(text, EvaluationWarning, stacklevel=2)
        return played

    def compile(self, shapes: State) -> None:
        """Compile what the final evaluation of a run from its beginning needs, from the shapes of its state.

        It does nothing where environments are stepped on the host. What is wrong shows when it is evaluated.
        """
        learner = jax.eval_shape(self.algo.acting, shapes.learner)
        for episodes, greedy in zip(final(self.experiment), (True, False), strict=True):
            if (env := self._sized(episodes)).jittable:
                compile_ahead(self.algo, env, learner, shapes.key, devices=self.devices, greedy=greedy)

    def _sized(self, episodes: int) -> VecEnv:
        """Return as many environments as episodes on the device, where they cost nothing; else those that are open."""
        size = evaluation_size(self.experiment, episodes)
        opened_ = self._envs[self.size]
        if opened_.stateful:
            return opened_
        if size not in self._envs:
            source = full_games(self.experiment.env)
            self._envs[size] = self._stack.enter_context(opened(source, size, fresh=True))
        return self._envs[size]


def final(experiment: Trainable) -> tuple[int, int]:
    """Return how many episodes the final evaluation has with greedy actions, and with the policy's noise."""
    return experiment.episodes, min(experiment.episodes, EVALUATED)


def _living(learner: Any, live: np.ndarray, seeds: int) -> Any:
    """Put a live row's learner in the place of each other one: an episode of one that diverged might never end."""
    if live.size == seeds:
        return learner
    rows = np.full(seeds, live[0])
    rows[live] = live
    return jax.tree.map(lambda x: x[rows], learner)


@contextmanager
def evaluator(
    experiment: Trainable, training: VecEnv | None = None, devices: int | None = None
) -> Iterator[Evaluator]:
    """Make an `Evaluator` whose environments are closed at the end.

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
        yield Evaluator(experiment, env, size, stack, devices)


def evaluation_size(experiment: Trainable, episodes: int) -> int:
    """Return how many environments of a seed are played at once for a number of episodes; the rest follows in
    rounds.
    """
    env = experiment.env
    if (size := fixed_size(env)) is not None:
        return size // (len(experiment.seeds) if seeds_apart(env) else 1)
    return min(episodes, HOST_ENVS if lives_on_host(env) else episodes)


def seeds_apart(env: Any) -> bool:
    """Does every seed need environments of its own? On the device the seeds share what is a pure function."""
    return lives_on_host(env) or (is_vec(env) and env.stateful)


def full_games(env: Any) -> Any:
    """Return what an environment is judged in.

    An id loses `episodic_life`, because Atari may be trained on lives and is judged by whole games. A game for two,
    in which an agent has met itself, gets an opponent that never changes (`games.judged`).
    """
    if is_game(env):
        versus = judged(game_of(env if is_vec(env) else make(env, 1)))
        return (
            f"{canonical(env)}{'&' if '?' in env else '?'}{versus.option}" if isinstance(env, str) else versus
        )
    if not isinstance(env, str):
        return env
    name, _, options = canonical(env).partition("?")
    kept = [text for text in options.split("&") if text and not text.startswith("episodic_life=")]
    return name + ("?" + "&".join(kept) if kept else "")


def limit_of(experiment: Trainable, state: State) -> int | None:
    """Return the env steps after which an episode is cut; None where episodes end by themselves, as some did in
    training.
    """
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
