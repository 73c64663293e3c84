"""Settings become a run here: train, resume, load; and a run lives in a directory.

config.json   settings, enough to run it again       metrics.csv   one row per seed and log point
checkpoints/  the training state, resumes exactly    result.json   the final evaluation and speeds
curve.png     the learning curve (also .svg and .csv)
outcome.json  how the last session ended: finished, stopped, diverged or failed
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from swingup import files
from swingup.errors import ConfigError
from swingup.presets import DEFAULT_ENV_STEPS, defaults
from swingup.protocols import Algorithm
from swingup.runs import notebook, outcome, outline, record, session
from swingup.runs.block import Block
from swingup.runs.evaluation import Episodes, evaluator
from swingup.runs.experiment import EPISODES, Experiment, misnamed, prepare, read_config, seeds_of
from swingup.runs.log import read_rows, to_csv
from swingup.runs.outcome import Outcome
from swingup.runs.record import continued, restore
from swingup.runs.session import Broken, Trained
from swingup.spaces import Space, to_env
from swingup.tracking import Trackers, trackers
from swingup.training.notebook import console
from swingup.training.own import Callbacks
from swingup.types import Seen, State


@dataclass
class Run:
    """A trained run has settings, a state, curves and a result."""

    experiment: Experiment
    state: State  # leading axis [S]
    rows: list[dict[str, float]] = field(repr=False)
    result: dict[str, Any] = field(default_factory=dict)
    path: Path | None = None
    iteration: int = 0  # iterations that it has trained
    seconds: float = 0.0  # of training
    window: dict[str, np.ndarray] = field(default_factory=dict, repr=False)  # since the last row, [S, n]
    outcome: Outcome | None = None  # how its last session ended; None: it was killed, or is from before 0.2
    diverged: tuple[int, ...] = ()  # the seeds that did while the others went on, as in a grid

    @property
    def final_return(self) -> np.ndarray:
        """Return the mean return of each seed's greedy policy in the final evaluation, [S]; NaN: it diverged."""
        return np.array(self.result["final_return"], float)

    def _repr_html_(self) -> str:
        """Show the run in a notebook."""
        return notebook.html(self)

    @cached_property
    def metrics(self) -> dict[str, np.ndarray]:
        """Return {column of metrics.csv: [S, log points]}; NaN where undefined."""
        s = len(self.experiment.seeds)
        columns = self.rows[0] if self.rows else ()
        return {n: np.array([row[n] for row in self.rows]).reshape(-1, s).T for n in columns}

    def policy(self, obs: Any, seed: int | None = None, legal: Any = None) -> np.ndarray:
        """Choose greedy actions, in the environment's units. Raises `ConfigError` for a wrong shape or seed.

        obs     one observation or a batch [N, ...], in the environment's form or as a list
        seed    which network, by its training seed; by default the first one
        legal   the actions that are allowed, [A] or [N, A]; by default all are
        """
        seeds = self.experiment.seeds
        if seed is not None and seed not in seeds:
            raise ConfigError(f"no seed {seed} in this run; it has {', '.join(map(str, seeds))}")
        index = 0 if seed is None else seeds.index(seed)
        batch, single = outline.as_batch(obs, self.spaces[0])
        action = np.asarray(self._act(index, batch, outline.allowed(legal, len(batch))))
        return action[0] if single else action

    @cached_property
    def spaces(self) -> tuple[Space, Space]:
        """Return the spaces of observations and of actions."""
        env = outline.outline(self.experiment)
        return env.observation_space, env.action_space

    @cached_property
    def _act(self) -> Callable:
        algo, space = self.experiment.resolved(), self.spaces[1]

        @jax.jit
        def act(learners, index, obs, legal):
            learner = jax.tree.map(lambda x: x[index], learners)
            setting = jax.tree.map(lambda x: jnp.asarray(x)[index] if np.ndim(x) else x, algo)
            seen = Seen(obs, legal, memory=setting.start_memory(space, len(obs)))
            return to_env(space, setting.act(learner, seen).action)

        return partial(
            act, jax.device_get(algo.acting(self.state.learner))
        )  # seeds may lie on several devices

    def evaluate(
        self, episodes: int | None = None, *, greedy: bool = True, limit: int | None = None
    ) -> Episodes:
        """Play whole episodes of every seed's policy in fresh environments, greedily or with the policy's own noise.

            episodes    of each seed; by default those of the final evaluation
            greedy      or else with the policy's own noise
            limit       env steps after which an episode is cut; by default the run's own, or none

        Warns with `EvaluationWarning` where one was cut; raises `NonFiniteError` for a return that is no number.
        """
        purpose = "final evaluation" if greedy else "final evaluation, stochastic"
        e, without = self.experiment, [self.experiment.seeds.index(seed) for seed in self.diverged]
        limit = e.eval_limit if limit is None else limit
        experiment = dataclasses.replace(e, episodes=episodes or e.episodes, eval_limit=limit)
        with evaluator(experiment) as judge:
            return judge.play(self.state, purpose, experiment.episodes, greedy=greedy, without=without)

    def save(self, path: str | Path) -> Path:
        """Write a run directory, which `load` and the commands take. Raises `OutputError` if `path` holds a run."""
        record.write_config(self.experiment, path := prepare(Path(path)), new=True)
        files.write_atomic(path / "metrics.csv", to_csv(self.rows, header=True).encode())
        about = self.state, self.iteration, self.seconds, self.window
        record.save_state(self.experiment, path, *about, record.errors(self.experiment, self.diverged))
        if self.result:
            files.write_json(path / "result.json", self.result)
        if self.outcome:
            outcome.write(self.outcome, path)
        return path


def train(
    algo: str | Algorithm,
    env: Any,
    *,
    env_steps: int | None = None,
    seeds: int | Sequence[int] = 1,
    out: str | Path | None = None,
    episodes: int = EPISODES,
    verbose: bool = False,
    log_interval: int = 0,
    checkpoint_interval: int = 0,
    eval_interval: int = 0,
    eval_limit: int | None = None,
    callbacks: Callbacks = (),
    track: Trackers = (),
    devices: int | None = None,
    **unknown: Any,
) -> Run:
    """Train and evaluate: every seed is a row of one compiled program.

        algo                   settings, such as `PPO(lr=1e-3)`, or a name, which takes those of `presets.defaults`
        env                    an id, or anything else that `make` takes
        env_steps              per seed; by default what the preset says
        seeds                  how many (0, 1, ...), or which
        out                    a directory for the run's files; by default none are written
        episodes               of the final evaluation, per seed
        verbose                show the progress: a bar in notebooks and terminals, else lines
        log_interval           iterations between two rows of metrics; 0 chooses
        checkpoint_interval    iterations between two checkpoints; 0 chooses
        eval_interval          iterations between two evaluations; 0: only at the end
        eval_limit             env steps after which an evaluation cuts an episode; None: never
        callbacks, track       functions of a `Progress`, see `swingup.training.own`; trackers, see `swingup.tracking`
        devices                how many share the seeds, or the environments of each; None: all that can share the seeds

    A float setting may be an array with one value per seed. Raises `ConfigError` for wrong settings and `OutputError`
    for a directory that holds a run, before anything is trained; `EnvironmentFault` and `NonFiniteError` later.
    """
    known = defaults(algo, env) if isinstance(algo, str) else None
    algo = known.algo if known else algo
    if unknown:
        raise ConfigError(misnamed(unknown, algo))
    budget = env_steps if env_steps is not None else known.env_steps if known else DEFAULT_ENV_STEPS
    intervals = log_interval, checkpoint_interval, eval_interval, eval_limit
    experiment = Experiment(algo, env, budget, seeds_of(seeds), episodes, *intervals)
    chosen = trackers(track, None if out is None else Path(out))
    path, shown = None if out is None else prepare(Path(out)), console() if verbose else None
    return execute(experiment, path, console=shown, track=chosen, callbacks=callbacks, devices=devices)


def resume(
    path: str | Path,
    *,
    env_steps: int | None = None,
    env: Any = None,
    callbacks: Callbacks = (),
    track: Trackers = (),
    devices: int | None = None,
) -> Run:
    """Continue a run from its newest checkpoint.

        path                its directory
        env_steps           per seed and in all; by default as it was meant to
        env                 the environment, if it was an object of yours and not an id
        callbacks, track    as for `train`: a run does not remember those that it was begun with
        devices             as for `train`, not remembered either; another number may round sums differently

    Raises what `load` and `train` raise, and `ConfigError` if it has trained longer than that.
    """
    path = files.home(path)
    e, saved = continued(path, env_steps=env_steps, env=env)
    how: dict[str, Any] = {"track": trackers(track, path), "callbacks": callbacks, "devices": devices}
    return execute(e, path, saved=saved, **how)


def load(path: str | Path, *, env: Any = None) -> Run:
    """Load a run from its newest checkpoint. Nothing in it is executed.

        path    its directory
        env     the environment, if it was an object of yours and not an id

    Raises `ConfigError` for no run or another environment, and `CheckpointError` if no checkpoint is whole.
    """
    path = files.home(path)
    experiment = read_config(path, env)
    saved = restore(experiment, path)
    result = files.read_json(file, error=ConfigError) if (file := path / "result.json").exists() else {}
    diverged = tuple(experiment.seeds[i] for i in saved.diverged)
    about = path, saved.iteration, saved.seconds, saved.window, outcome.read(path), diverged
    return Run(experiment, saved.state, read_rows(path, saved.iteration), result, *about)


def execute(experiment: Experiment, path: Path | None, **how: Any) -> Run:
    """Train one experiment: a block of its own. Raises the error of one that ends early."""
    return finished(session.execute(Block((experiment,)), [path], path, **how)[0])


def finished(ended: Trained | Broken) -> Run:
    """Return the run of a session that finished. Raises the error with which another one ended."""
    if isinstance(ended, Broken):
        raise ended.error
    e, path, how, state, rows, window, result = ended
    about = path, result["iterations"], result["run_seconds"], window, how, how.diverged
    return Run(e, state, rows, result, *about)
