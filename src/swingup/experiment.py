"""From settings to a run: train, resume, load; and the directory in which a run lives.

config.json   settings, enough to run it again       metrics.csv   one row per seed and log point
checkpoints/  the training state, resumes exactly    result.json   the final evaluation and speeds
curve.png     the learning curve (also .svg and .csv)
"""

import dataclasses
import math
import platform
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property, partial
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from swingup import checkpoint, driver, files, rollout, settings
from swingup.algos import algorithm, name_of
from swingup.callbacks import Checkpoint, Console, CSVLog, Evaluate, StopOnSignal, Stopped, from_csv, to_csv
from swingup.envs import canonical, make
from swingup.errors import ConfigError, OutputError
from swingup.presets import preset
from swingup.spaces import to_env
from swingup.types import Algorithm, State, VecEnv

DEFAULT_ENV_STEPS = 500_000
EPISODES = 100  # of the final evaluation, per seed
LOG_POINTS, CHECKPOINTS = 100, 20  # per run, unless set


@dataclass(frozen=True)
class Experiment:
    """All that determines a run."""

    algo: Any
    env: Any  # an id, or an environment object
    env_steps: int  # per seed
    seeds: tuple[int, ...]
    episodes: int = EPISODES
    log_interval: int = 0  # iterations; 0: a hundredth of the run
    checkpoint_interval: int = 0  # iterations; 0: a twentieth of the run
    eval_interval: int = 0  # iterations between evaluations in training; 0: only at the end
    command: str = ""

    def __post_init__(self):
        if self.env_steps < 1:
            raise ConfigError(f"env_steps must be at least 1, not {self.env_steps}")
        if not self.seeds:
            raise ConfigError("at least one seed is needed")
        if len(set(self.seeds)) < len(self.seeds) or min(self.seeds) < 0 or max(self.seeds) >= 2**32:
            raise ConfigError(f"seeds must be distinct integers from 0 to 2^32 - 1, not {list(self.seeds)}")
        if self.episodes < 1:
            raise ConfigError(f"episodes must be at least 1, not {self.episodes}")
        for f in dataclasses.fields(self.algo):
            size = np.size(getattr(self.algo, f.name)) if f.type is float else 1
            if f.type is float and np.ndim(getattr(self.algo, f.name)) and size != len(self.seeds):
                raise ConfigError(
                    f"{f.name} has {size} values for {len(self.seeds)} seeds; give one per seed"
                )

    @property
    def iterations(self) -> int:
        return math.ceil(self.env_steps / self.algo.env_steps_per_iteration)

    @property
    def log_every(self) -> int:
        return self.log_interval or max(1, self.iterations // LOG_POINTS)

    @property
    def checkpoint_every(self) -> int:
        """A multiple of the logging interval, so that checkpoints fall on log points."""
        every = self.checkpoint_interval or max(1, self.iterations // CHECKPOINTS)
        return every if self.checkpoint_interval else max(1, every // self.log_every) * self.log_every

    @property
    def env_name(self) -> str:
        if isinstance(self.env, str):
            return canonical(self.env)
        return f"custom:{getattr(self.env, 'name', type(self.env).__name__)}"

    def resolved(self) -> Any:
        """The algorithm with what it must know of the run: where a decaying learning rate reaches zero."""
        algo = self.algo
        if getattr(algo, "lr_decay", False) and not np.all(algo.lr_horizon):
            steps = float(self.iterations * algo.env_steps_per_iteration)
            horizon = np.where(np.asarray(algo.lr_horizon) == 0, steps, algo.lr_horizon)
            algo = dataclasses.replace(algo, lr_horizon=horizon if horizon.ndim else float(horizon))
        return algo

    def to_json(self) -> dict[str, Any]:
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        algo = settings.to_json(self.algo)
        return values | {"format": 1, "algo": algo, "env": self.env_name, "seeds": list(self.seeds)}

    @staticmethod
    def from_json(data: Any, env: Any = None) -> "Experiment":
        """Raises `ConfigError` for anything that `to_json` would not have written."""
        kinds = {
            f.name: f.type for f in dataclasses.fields(Experiment) if f.name not in ("algo", "env", "seeds")
        }
        if not isinstance(data, dict) or data.get("format") != 1:
            raise ConfigError("config.json is not of format 1")
        values = {name: data.get(name) for name in kinds}
        wrong = [name for name, kind in kinds.items() if type(values[name]) is not kind]
        seeds = data.get("seeds")
        if wrong or not isinstance(seeds, list) or not all(type(s) is int for s in seeds):
            raise ConfigError(f"config.json: missing or of a wrong type: {', '.join(wrong or ['seeds'])}")
        name = data.get("env")
        if not isinstance(name, str):
            raise ConfigError("config.json: env must be a string")
        if env is None and name.startswith("custom:"):
            raise ConfigError(f"this run's environment is your own ({name[7:]}): swingup.load(path, env=...)")
        algo = settings.from_json(data.get("algo"))
        options: dict[str, Any] = values
        return Experiment(algo, name if env is None else env, seeds=tuple(seeds), **options)


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
            return to_env(space, setting.act(learner, obs, jax.random.key(0), explore=False)[0])

        return partial(act, self.state.learner)

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
    **intervals: Any,
) -> Run:
    """Train and evaluate. Every seed is a row of one compiled program.

    `algo` is settings, such as `PPO(lr=1e-3)`, or a name, which takes the preset of that pair if there is
    one. A float setting may be an array with one value per seed. `env` is an id, a gymnax-style object, an
    `Env` or a `VecEnv`. `env_steps` counts per seed. `seeds` is how many (0, 1, ...) or which. `out` is a
    directory for the run's files. `intervals` are `log_interval`, `checkpoint_interval` and `eval_interval`,
    in iterations. Raises `SwingupError`s.
    """
    known = preset(algo, env) if isinstance(algo, str) and isinstance(env, str) else None
    if isinstance(algo, str):
        algo = known.algo if known else algorithm(algo)()
    seeds = tuple(range(seeds)) if isinstance(seeds, int) else tuple(int(s) for s in seeds)
    budget = env_steps if env_steps is not None else known.env_steps if known else DEFAULT_ENV_STEPS
    experiment = Experiment(algo, env, budget, seeds, episodes, **intervals)
    path = None if out is None else prepare(Path(out))
    return execute(experiment, path, console=Console() if verbose else None)


def resume(path: str | Path, *, env_steps: int | None = None, env: Any = None, **options: Any) -> Run:
    """Continue a run from its newest checkpoint, to `env_steps` per seed (default: as it was meant to)."""
    path = Path(path)
    experiment = read_config(path, env)
    if env_steps is not None:
        # The intervals stay what they were: a longer run must log at the same points.
        intervals = {"log_interval": experiment.log_every, "checkpoint_interval": experiment.checkpoint_every}
        experiment = dataclasses.replace(experiment, env_steps=env_steps, **intervals)
    state, manifest = restore(experiment, path)
    if manifest["step"] > experiment.iterations:
        trained = manifest["step"] * experiment.algo.env_steps_per_iteration
        raise ConfigError(f"{path} has trained {trained:,} env steps already; ask for more than that")
    if env_steps is not None:
        write_config(experiment, path)
    return execute(experiment, path, state=state, manifest=manifest, **options)


def load(path: str | Path, *, env: Any = None) -> Run:
    """The run in a directory, from its newest checkpoint. Nothing in it is executed."""
    path = Path(path)
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
    env = make(experiment.env, algo.num_envs)
    done, meta = (manifest["step"], manifest["meta"]) if manifest else (0, {})
    seconds = float(meta.get("run_seconds", 0.0))
    log = CSVLog(path / "metrics.csv" if path else None, experiment.seeds, experiment.log_every, seconds)
    if path and manifest:
        log.restore(read_rows(path, done), meta.get("window", {}))
    elif path:
        write_config(experiment, path)
    clock = driver.Clock()
    with clock.measure("compile_seconds"):
        state = state or jax.block_until_ready(driver.init(algo, env, experiment.seeds))

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
        "chunk": experiment.log_every,
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


def play(experiment: Experiment, state: State, iteration: int = -1, episodes: int = EPISODES) -> np.ndarray:
    """Returns [S, episodes] of the greedy policies on fresh environments, whose seeds training never uses.

    `iteration` >= 0 names an evaluation during training, so that each has its own episodes.
    """
    algo = experiment.resolved()
    fixed = hasattr(experiment.env, "jittable")  # a VecEnv as it is: play in rounds of its size
    size = experiment.env.num_envs if fixed else episodes
    env = make(experiment.env, size)
    purpose = "final evaluation" if iteration < 0 else f"evaluation {iteration}"
    keys = [driver.root_key(seed, purpose) for seed in experiment.seeds]
    rounds = []
    for i in range(math.ceil(episodes / size)):
        k = jnp.stack([jax.random.fold_in(key, i) for key in keys])
        if env.jittable:
            rounds.append(_play(algo, state.learner, k, env))
        else:
            learners = [jax.tree.map(lambda x, s=s: x[s], state.learner) for s in range(len(keys))]
            played = [_play_one(driver.setting(algo, s), learners[s], k[s], env) for s in range(len(keys))]
            rounds.append(jnp.stack(played))
    return np.concatenate([np.asarray(r) for r in rounds], 1)[:, :episodes]


def _play_one(algo: Algorithm, learner: Any, key: jax.Array, env: VecEnv) -> jax.Array:
    return rollout.evaluate(env, partial(algo.act, learner, explore=False), key)[0]


@partial(jax.jit, static_argnames="env")
def _play(algo: Algorithm, learner: Any, keys: jax.Array, env: VecEnv) -> jax.Array:
    return jax.vmap(partial(_play_one, env=env), in_axes=(driver.axes(algo), 0, 0))(algo, learner, keys)


def outcome(run: Run, clock: driver.Clock, done: int, seconds: float) -> dict[str, Any]:
    """The content of result.json."""
    e = run.experiment
    env_steps = e.iterations * e.algo.env_steps_per_iteration
    trained = (e.iterations - done) * e.algo.env_steps_per_iteration * len(e.seeds)
    returns = play(e, run.state, episodes=e.episodes)
    recent = run.state.actor.recent
    filled = np.minimum(np.asarray(recent.count), rollout.RECENT)
    rings = zip(np.asarray(recent.returns), filled, strict=True)
    train_return = [float(np.mean(ring[:n])) if n else None for ring, n in rings]
    device = jax.devices()[0]
    return {
        "algo": name_of(e.algo),
        "env": e.env_name,
        "env_steps": env_steps,
        "seeds": list(e.seeds),
        "final_return": returns.mean(1).tolist(),
        "train_return": train_return,
        "steps_per_second": round(trained / clock.run_seconds, 1) if trained else None,
        "compile_seconds": round(clock.compile_seconds, 3),
        "run_seconds": round(seconds + clock.run_seconds, 3),
        "iterations": e.iterations,
        "evaluation": {"episodes": e.episodes, "policy": "greedy", "std": returns.std(1).tolist()},
        "settings": settings.to_json(e.algo),
        "device": f"{device.platform}: {device.device_kind}",
        "versions": versions(),
        "command": e.command,
    }


def versions() -> dict[str, str]:
    """Of Python and of the packages that can change a number."""
    packages = ("swingup", "jax", "jaxlib", "equinox", "optax", "gymnax", "numpy")
    return {"python": platform.python_version()} | {p: metadata.version(p) for p in packages}


def prepare(path: Path) -> Path:
    """An empty directory for a run. Raises `OutputError` if there is one with a run, or none can be made."""
    if (path / "config.json").exists():
        raise OutputError(f"{path} holds a run: choose another --out, or continue it: swingup resume {path}")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise files.output_error(path, error) from error
    return path


def write_config(experiment: Experiment, path: Path) -> None:
    files.write_json(path / "config.json", experiment.to_json() | {"versions": versions()})


def read_config(path: Path, env: Any = None) -> Experiment:
    """Raises `ConfigError` if the directory holds no run, or a damaged one."""
    if not (path / "config.json").exists():
        raise ConfigError(f"{path} is not a run directory: it has no config.json")
    return Experiment.from_json(files.read_json(path / "config.json", error=ConfigError), env)


def read_rows(path: Path, until: int) -> list[dict[str, float]]:
    """The rows of metrics.csv up to an iteration. Raises `ConfigError` if the file is damaged."""
    if not (path / "metrics.csv").exists():
        return []
    try:
        rows = from_csv((path / "metrics.csv").read_text())
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ConfigError(f"{path / 'metrics.csv'} is damaged: {error}") from error
    return [row for row in rows if row["iteration"] <= until]


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
    env = make(experiment.env, algo.num_envs)
    like = jax.eval_shape(lambda: driver.init(algo, env, experiment.seeds))
    return checkpoint.load(path / "checkpoints", like)


def draw_curve(path: Path) -> None:
    """curve.png, .svg and .csv; a run too short to have ended an episode has none."""
    from swingup.curves import plot

    try:
        plot([path], path / "curve.png")
    except ConfigError as error:
        print(f"no learning curve: {error}", file=sys.stderr)


__all__ = ["Experiment", "Run", "Stopped", "execute", "load", "play", "prepare", "resume", "train"]
