"""From settings to a run: train, resume, load; and the directory in which a run lives.

config.json   settings, enough to run it again       metrics.csv   one row per seed and log point
checkpoints/  the training state, resumes exactly    result.json   the final evaluation and speeds
curve.png     the learning curve (also .svg and .csv)
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

from swingup import files, protocols
from swingup.errors import ConfigError
from swingup.presets import DEFAULT_ENV_STEPS, defaults
from swingup.protocols import Algorithm
from swingup.runs import checkpoint, outline, session
from swingup.runs.evaluation import Episodes, evaluator
from swingup.runs.experiment import (
    EPISODES,
    Experiment,
    misnamed,
    prepare,
    read_config,
    seeds_of,
    write_config,
)
from swingup.runs.log import read_rows, to_csv
from swingup.spaces import Space, to_env
from swingup.training.callbacks import Console
from swingup.types import Seen, State


@dataclass
class Run:
    """A trained run: its settings, its state, its curves and its result."""

    experiment: Experiment
    state: State  # leading axis [S]
    rows: list[dict[str, float]] = field(repr=False)
    result: dict[str, Any] = field(default_factory=dict)
    path: Path | None = None
    iteration: int = 0  # iterations that it has trained
    seconds: float = 0.0  # of training
    window: dict[str, np.ndarray] = field(
        default_factory=dict, repr=False
    )  # those since the last row, [S, n]

    @property
    def final_return(self) -> np.ndarray:
        """[S]: per seed, the mean return of the greedy policy in the final evaluation."""
        return np.array(self.result["final_return"])

    @cached_property
    def metrics(self) -> dict[str, np.ndarray]:
        """{column of metrics.csv: [S, log points]}; NaN where undefined."""
        s = len(self.experiment.seeds)
        columns = self.rows[0] if self.rows else ()
        return {n: np.array([row[n] for row in self.rows]).reshape(-1, s).T for n in columns}

    def policy(self, obs: Any, seed: int | None = None) -> np.ndarray:
        """Greedy actions, in the environment's units, for one observation or a batch [N, ...].

        An observation is what the environment gives: also a list, or a dictionary of goals. `seed` picks the
        network by its training seed; without it, the first one. Raises `ConfigError` for a wrong shape or seed.
        """
        if seed is not None and seed not in self.experiment.seeds:
            raise ConfigError(
                f"no seed {seed} in this run; it has {', '.join(map(str, self.experiment.seeds))}"
            )
        index = 0 if seed is None else self.experiment.seeds.index(seed)
        batch, single = outline.as_batch(obs, self.spaces[0])
        action = np.asarray(self._act(index, batch))
        return action[0] if single else action

    @cached_property
    def spaces(self) -> tuple[Space, Space]:
        """Of observations and of actions."""
        env = outline.outline(self.experiment)
        return env.observation_space, env.action_space

    @cached_property
    def _act(self) -> Callable:
        algo, space = self.experiment.resolved(), self.spaces[1]

        @jax.jit
        def act(learners, index, obs):
            learner = jax.tree.map(lambda x: x[index], learners)
            setting = jax.tree.map(lambda x: jnp.asarray(x)[index] if np.ndim(x) else x, algo)
            seen = Seen(obs, memory=setting.start_memory(len(obs)))
            return to_env(space, setting.act(learner, seen).action)

        learner = algo.acting(self.state.learner)
        return partial(act, jax.device_get(learner))  # seeds may lie on several devices

    def evaluate(
        self, episodes: int | None = None, *, greedy: bool = True, limit: int | None = None
    ) -> Episodes:
        """Whole episodes of every seed's policy in fresh environments, greedy or with the policy's own noise.

        With as many as in training they are those of the final evaluation. `limit` in env steps cuts them; without
        it the run's own does, or the end of the episode. Warns with `EvaluationWarning` where one was cut.
        """
        purpose = "final evaluation" if greedy else "final evaluation, stochastic"
        experiment = self.experiment
        experiment = dataclasses.replace(experiment, episodes=episodes or experiment.episodes)
        if limit is not None:
            experiment = dataclasses.replace(experiment, eval_limit=limit)
        with evaluator(experiment) as judge:
            return judge.play(self.state, purpose, experiment.episodes, greedy=greedy)

    def save(self, path: str | Path) -> Path:
        """Write the run as a run directory, which `load`, `swingup resume` and the other commands take."""
        path = prepare(Path(path))
        write_config(self.experiment, path, new=True)
        files.write_atomic(path / "metrics.csv", to_csv(self.rows, header=True).encode())
        session.save_state(self.experiment, path, self.state, self.iteration, self.seconds, self.window)
        if self.result:
            files.write_json(path / "result.json", self.result)
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
    **unknown: Any,
) -> Run:
    """Train and evaluate. Every seed is a row of one compiled program.

    `algo` is settings, such as `PPO(lr=1e-3)`, or a name, which takes the preset of that pair, or else what
    `swingup.presets.defaults` has. A float setting may be an array with one value per seed. `env` is an id, a
    gymnax-style object, an `Env` or a `VecEnv`. `env_steps` counts per seed. `seeds` is how many (0, 1, ...) or
    which. `out` is a directory for the run's files. The intervals are in iterations; 0 chooses, and evaluates
    only at the end. Evaluations cut episodes after `eval_limit` env steps, if it is given. Raises `SwingupError`s,
    those of wrong settings before anything is trained.
    """
    known = defaults(algo, env) if isinstance(algo, str) else None
    algo = known.algo if known else algo
    if unknown:
        raise ConfigError(misnamed(unknown, algo))
    budget = env_steps if env_steps is not None else known.env_steps if known else DEFAULT_ENV_STEPS
    intervals = log_interval, checkpoint_interval, eval_interval, eval_limit
    experiment = Experiment(algo, env, budget, seeds_of(seeds), episodes, *intervals)
    path = None if out is None else prepare(Path(out))
    return execute(experiment, path, console=Console() if verbose else None)


def resume(path: str | Path, *, env_steps: int | None = None, env: Any = None, **options: Any) -> Run:
    """Continue a run from its newest checkpoint, to `env_steps` per seed (default: as it was meant to)."""
    path = files.home(path)
    experiment = read_config(path, env)
    if env_steps is not None:
        # The intervals stay what they were: a longer run must log at the same points.
        intervals = {"log_interval": experiment.log_every, "checkpoint_interval": experiment.checkpoint_every}
        experiment = dataclasses.replace(experiment, env_steps=env_steps, **intervals)
    state, manifest = restore(experiment, path)
    if manifest["step"] > experiment.iterations:
        trained = protocols.env_steps(experiment.algo, manifest["step"])
        raise ConfigError(f"{path} has trained {trained:,} env steps already; ask for more than that")
    return execute(experiment, path, state=state, manifest=manifest, **options)


def load(path: str | Path, *, env: Any = None) -> Run:
    """The run in a directory, from its newest checkpoint. Nothing in it is executed."""
    path = files.home(path)
    experiment = read_config(path, env)
    state, manifest = restore(experiment, path)
    done = (path / "result.json").exists()
    result = files.read_json(path / "result.json", error=ConfigError) if done else {}
    done, seconds = manifest["step"], float(manifest["meta"].get("run_seconds", 0.0))
    return Run(experiment, state, read_rows(path, done), result, path, done, seconds, manifest["extra"])


def execute(experiment: Experiment, path: Path | None, **how: Any) -> Run:
    """Train and evaluate an experiment, in its directory if it has one: see `session.execute`."""
    state, done, result = session.execute(experiment, path, **how)
    return Run(experiment, state, done.log.rows, result, path, experiment.iterations, result["run_seconds"])


def restore(experiment: Experiment, path: Path) -> tuple[State, dict[str, Any]]:
    """The newest checkpoint that is whole. No environment is reset or stepped. Raises `CheckpointError`."""
    return checkpoint.load(path / "checkpoints", outline.shapes(experiment))
