"""From settings to a run: train, resume, load; and the directory in which a run lives.

config.json   settings, enough to run it again       metrics.csv   one row per seed and log point
checkpoints/  the training state, resumes exactly    result.json   the final evaluation and speeds
curve.png     the learning curve (also .svg and .csv)
"""

import dataclasses
import math
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from swingup import checkpoint, driver, files, hosts, parallel, rollout, settings, types
from swingup.algos import name_of
from swingup.callbacks import Checkpoint, Console, CSVLog, Evaluate, StopOnSignal, read_rows, to_csv
from swingup.config import (
    EPISODES,
    Experiment,
    misnamed,
    prepare,
    read_config,
    seeds_of,
    versions,
    write_config,
)
from swingup.envs import make, on_host
from swingup.errors import ConfigError, NonFiniteError
from swingup.presets import DEFAULT_ENV_STEPS, defaults
from swingup.spaces import to_env
from swingup.types import Algorithm, State, VecEnv

HOST_ENVS = 10  # of one seed, to evaluate in


@dataclass
class Run:
    """A trained run: its settings, its state, its curves and its result."""

    experiment: Experiment
    state: State  # leading axis [S]
    rows: list[dict[str, float]] = field(repr=False)
    result: dict[str, Any] = field(default_factory=dict)
    path: Path | None = None

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

        `seed` picks the network by its training seed; without it, the first one.
        """
        index = 0 if seed is None else self.experiment.seeds.index(seed)
        obs = jnp.asarray(obs)
        single = obs.ndim == len(self.env.observation_space.shape)
        action = self._act(index, obs[None] if single else obs)
        return np.asarray(action[0] if single else action)

    @cached_property
    def env(self) -> VecEnv:
        return make(self.experiment.env, self.experiment.algo.num_envs)

    @cached_property
    def _act(self) -> Callable:
        algo, space = self.experiment.resolved(), self.env.action_space

        @jax.jit
        def act(learners, index, obs):
            learner = jax.tree.map(lambda x: x[index], learners)
            setting = jax.tree.map(lambda x: jnp.asarray(x)[index] if np.ndim(x) else x, algo)
            return to_env(space, setting.act(learner, obs)[0])

        return partial(act, jax.device_get(self.state.learner))  # seeds may lie on several devices

    def save(self, path: str | Path) -> Path:
        """Write the run as a run directory, which `load`, `swingup resume` and the other commands take."""
        path = prepare(Path(path))
        write_config(self.experiment, path)
        files.write_atomic(path / "metrics.csv", to_csv(self.rows, header=True).encode())
        iteration = int(self.rows[-1]["iteration"]) if self.rows else 0
        save_state(self.experiment, path, self.state, iteration, self.result.get("run_seconds", 0.0), {})
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
    **unknown: Any,
) -> Run:
    """Train and evaluate. Every seed is a row of one compiled program.

    `algo` is settings, such as `PPO(lr=1e-3)`, or a name, which takes the preset of that pair, or else what
    `swingup.presets.defaults` has. A float setting may be an array with one value per seed. `env` is an id, a
    gymnax-style object, an `Env` or a `VecEnv`. `env_steps` counts per seed. `seeds` is how many (0, 1, ...) or
    which. `out` is a directory for the run's files. The intervals are in iterations; 0 chooses, and evaluates
    only at the end. Raises `SwingupError`s, those of wrong settings before anything is trained.
    """
    known = defaults(algo, env) if isinstance(algo, str) else None
    algo = known.algo if known else algo
    if unknown:
        raise ConfigError(misnamed(unknown, algo))
    budget = env_steps if env_steps is not None else known.env_steps if known else DEFAULT_ENV_STEPS
    intervals = log_interval, checkpoint_interval, eval_interval
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
        trained = types.env_steps(experiment.algo, manifest["step"])
        raise ConfigError(f"{path} has trained {trained:,} env steps already; ask for more than that")
    if env_steps is not None:
        write_config(experiment, path)
    return execute(experiment, path, state=state, manifest=manifest, **options)


def load(path: str | Path, *, env: Any = None) -> Run:
    """The run in a directory, from its newest checkpoint. Nothing in it is executed."""
    path = files.home(path)
    experiment = read_config(path, env)
    state, manifest = restore(experiment, path)
    done = (path / "result.json").exists()
    result = files.read_json(path / "result.json", error=ConfigError) if done else {}
    return Run(experiment, state, read_rows(path, manifest["step"]), result, path)


def execute(
    experiment: Experiment,
    path: Path | None,
    *,
    state: State | None = None,
    manifest: dict[str, Any] | None = None,
    console: Console | None = None,
    signals: bool = False,
) -> Run:
    """Train from `state`, or from the beginning; evaluate; write the run directory if there is one."""
    algo = experiment.resolved()
    env = open_envs(experiment, algo.num_envs)
    done, meta = (manifest["step"], manifest["meta"]) if manifest else (0, {})
    seconds = float(meta.get("run_seconds", 0.0))
    log = CSVLog(path / "metrics.csv" if path else None, experiment.seeds, experiment.log_every, seconds)
    if path and manifest:
        log.restore(read_rows(path, done), meta.get("window", {}))
    elif path:
        write_config(experiment, path)
    clock, seeds = driver.Clock(), experiment.seeds
    state = driver.restart(env, state, seeds, done) if state else driver.begin(algo, env, seeds, clock)

    def save(p: driver.Progress) -> None:
        if path:
            save_state(experiment, path, p.state, p.iteration, seconds + p.clock.run_seconds, log.window)

    stop = StopOnSignal(save)
    evaluation = Evaluate(partial(play, experiment, episodes=20), experiment.eval_interval)
    callbacks = [
        *([evaluation] if experiment.eval_interval else []),
        log,
        Checkpoint(save, experiment.checkpoint_every),
        *([console] if console else []),
        stop,
    ]
    how: dict[str, Any] = {
        "done": done,
        "every": [k for k in (path and experiment.checkpoint_every, experiment.eval_interval) if k],
        "callbacks": callbacks,
        "clock": clock,
    }
    with stop if signals else nullcontext():  # only the command line may take over the process's signals
        state = driver.run(algo, env, state, experiment.iterations, **how)
    run = Run(experiment, state, log.rows, path=path)
    run.result = outcome(run, clock, done, seconds)
    if path:
        files.write_json(path / "result.json", run.result)
        draw_curve(path)
    return run


def open_envs(experiment: Experiment, num_envs: int) -> VecEnv:
    """`num_envs` environments; on the host, where each seed needs its own, seeds x num_envs of them."""
    if on_host(experiment.env):
        return make(experiment.env, num_envs * len(experiment.seeds))
    return make(experiment.env, num_envs)


def play(experiment: Experiment, state: State, iteration: int = -1, episodes: int = EPISODES) -> np.ndarray:
    """Returns [S, episodes] of the greedy policies on fresh environments, whose seeds training never uses.

    `iteration` >= 0 names an evaluation during training, so that each has its own episodes.
    """
    algo = experiment.resolved()
    fixed = hasattr(experiment.env, "jittable")  # a VecEnv as it is: play in rounds of its size
    most = HOST_ENVS if on_host(experiment.env) else episodes  # those on the host take their time to open
    size = experiment.env.num_envs if fixed else min(episodes, most)
    env = open_envs(experiment, size)
    purpose = "final evaluation" if iteration < 0 else f"evaluation {iteration}"
    keys = [driver.root_key(seed, purpose) for seed in experiment.seeds]
    rounds = []  # on the host several, in the same environments
    for i in range(math.ceil(episodes / size)):
        k = jnp.stack([jax.random.fold_in(key, i) for key in keys])
        if env.jittable:
            rounds.append(_play(algo, state.learner, k, env, parallel.mesh_of(len(keys))))
        else:
            rounds.append(hosts.evaluate(algo, env, state.learner, k))
    return np.concatenate([np.asarray(r) for r in rounds], 1)[:, :episodes]


@partial(jax.jit, static_argnames=("env", "mesh"))
def _play(algo: Algorithm, learner: Any, keys: jax.Array, env: VecEnv, mesh: Any) -> jax.Array:
    def one(algo, learner, key):
        return rollout.evaluate(env, lambda obs, _: algo.act(learner, obs), key)[0]

    every = jax.vmap(one, in_axes=(parallel.axes(algo), 0, 0))
    return parallel.shard(every, algo, mesh)(algo, learner, keys)


def outcome(run: Run, clock: driver.Clock, done: int, seconds: float) -> dict[str, Any]:
    """The content of result.json."""
    e = run.experiment
    trained = (e.iterations - done) * e.algo.env_steps_per_iteration * len(e.seeds)
    returns = play(e, run.state, episodes=e.episodes)
    if not np.isfinite(returns).all():
        raise NonFiniteError(
            "a NaN or infinite return in the final evaluation: check the environment's rewards"
        )
    before = run.path / "result.json" if run.path else None
    rate = round(trained / (clock.run_seconds - clock.warmup_seconds), 1) if trained else None
    if rate is None and before and before.exists():  # a finished run, resumed: nothing was timed
        rate = files.read_json(before, error=ConfigError).get("steps_per_second")
    recent = run.state.actor.recent
    filled = np.minimum(np.asarray(recent.count), rollout.RECENT)
    rings = zip(np.asarray(recent.returns), filled, strict=True)
    train_return = [float(np.mean(ring[:n])) if n else None for ring, n in rings]
    device = jax.devices()[0]
    return {
        "algo": name_of(e.algo),
        "env": e.env_name,
        "env_steps": types.env_steps(e.algo, e.iterations),
        "seeds": list(e.seeds),
        "final_return": returns.mean(1).tolist(),
        "train_return": train_return,
        "steps_per_second": rate,
        "compile_seconds": round(clock.compile_seconds, 3),
        "run_seconds": round(seconds + clock.run_seconds, 3),
        **clock.split(),
        "iterations": e.iterations,
        "evaluation": {"episodes": e.episodes, "policy": "greedy", "std": returns.std(1).tolist()},
        "settings": settings.to_json(e.algo),
        "device": f"{device.platform}: {device.device_kind}",
        "versions": versions(),
        "command": e.command,
    }


def save_state(e: Experiment, path: Path, state: State, iteration: int, seconds: float, window: dict) -> None:
    """A checkpoint, with what the log needs to go on."""
    lists = {
        n: [[None if math.isnan(v) else v for v in row] for row in x.tolist()] for n, x in window.items()
    }
    meta = {"config": e.to_json(), "versions": versions(), "run_seconds": round(seconds, 3), "window": lists}
    checkpoint.save(path / "checkpoints", state, step=iteration, meta=meta)


def restore(experiment: Experiment, path: Path) -> tuple[State, dict[str, Any]]:
    """The newest checkpoint that is whole. Raises `CheckpointError`."""
    algo = experiment.resolved()
    env = open_envs(experiment, algo.num_envs)
    like = jax.eval_shape(partial(driver.init, algo, env, experiment.seeds))
    return checkpoint.load(path / "checkpoints", like)


def draw_curve(path: Path) -> None:
    """curve.png, .svg and .csv; a run too short to have ended an episode has none."""
    from swingup.curves import plot

    try:
        plot([path], path / "curve.png")
    except ConfigError as error:
        print(f"no learning curve: {error}", file=sys.stderr)
