"""An experiment determines a run, and is kept in the file config.json in the run's directory."""

import dataclasses
import math
import platform
import shlex
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from swingup import files, ranges
from swingup.envs import check_players, identity
from swingup.errors import ConfigError, OutputError, unknown
from swingup.protocols import env_steps
from swingup.ranges import Count, Seed, Whole, parts, plain, settle
from swingup.runs import claims, settings

EPISODES = 100  # of the final evaluation, per seed
LOG_POINTS, CHECKPOINTS = 100, 20  # per run, unless set


@dataclass(frozen=True)
class Experiment:
    """An experiment is all that determines a run."""

    algo: Any
    env: Any  # an id, or an environment object
    env_steps: Count  # per seed
    seeds: tuple[Seed, ...]
    episodes: Count = EPISODES
    log_interval: Whole = 0  # iterations; 0: a hundredth of the run
    checkpoint_interval: Whole = 0  # iterations; 0: a twentieth of the run
    eval_interval: Whole = 0  # iterations between evaluations in training; 0: only at the end
    eval_limit: Count | None = None  # env steps after which evaluations cut an episode; None: at its end
    command: str = ""

    def __post_init__(self):
        settle(self)
        check_players(self.algo, self.env)
        if self.env_steps <= env_steps(self.algo, 0):
            raise ConfigError(
                f"env_steps={self.env_steps} would end in the warm-up of {env_steps(self.algo, 0)} env steps: "
                "ask for more env steps, or for a shorter --warmup"
            )
        if len(set(self.seeds)) < len(self.seeds):
            raise ConfigError(f"seeds must be distinct, not {list(self.seeds)}")
        for name, value in ranges.values(self.algo).items():
            if isinstance(value, np.ndarray) and len(value) != len(self.seeds):
                raise ConfigError(
                    f"{name} has {len(value)} values for {len(self.seeds)} seeds; give one per seed"
                )

    @property
    def iterations(self) -> int:
        return math.ceil((self.env_steps - env_steps(self.algo, 0)) / self.algo.env_steps_per_iteration)

    @property
    def log_every(self) -> int:
        return self.log_interval or max(1, self.iterations // LOG_POINTS)

    @property
    def checkpoint_every(self) -> int:
        """Return a multiple of the logging interval, so that checkpoints fall on log points."""
        every = self.checkpoint_interval or max(1, self.iterations // CHECKPOINTS)
        return every if self.checkpoint_interval else max(1, every // self.log_every) * self.log_every

    @cached_property
    def env_name(self) -> str:
        """Return what the environment is called in files: its full id, or `custom:` and what tells it from others."""
        return identity(self.env)

    def resolved(self) -> Any:
        """The algorithm with what it must know of the run: where a decaying learning rate reaches zero.

        That is at its horizon, or at the end of a run that is longer. So a run shorter than the horizon is
        the beginning of a longer one, and no run goes on with a learning rate of zero.
        """
        algo = self.algo
        if algo.lr_decay:
            horizon = np.maximum(algo.lr_horizon, float(env_steps(algo, self.iterations)))
            algo = dataclasses.replace(algo, lr_horizon=horizon if horizon.ndim else float(horizon))
        return algo

    def to_json(self) -> dict[str, Any]:
        algo = settings.to_json(self.algo)
        return ranges.values(self) | {
            "format": 1,
            "algo": algo,
            "env": self.env_name,
            "seeds": list(self.seeds),
        }

    @staticmethod
    def from_json(data: Any, env: Any = None) -> "Experiment":
        """Raises `ConfigError` for anything that `to_json` would not have written."""
        others = "algo", "env", "seeds"
        kinds = {
            name: parts(kind)[0] for name, kind in ranges.kinds(Experiment).items() if name not in others
        }
        if not isinstance(data, dict) or data.get("format") != 1:
            raise ConfigError("config.json is not of format 1")
        values = {name: data.get(name) for name in kinds}
        allowed = {n: (int, type(None)) if ranges.is_optional(kind) else (kind,) for n, kind in kinds.items()}
        wrong = [name for name, kinds in allowed.items() if type(values[name]) not in kinds]
        seeds = data.get("seeds")
        if wrong or not isinstance(seeds, list) or not all(type(s) is int for s in seeds):
            raise ConfigError(f"config.json: missing or of a wrong type: {', '.join(wrong or ['seeds'])}")
        name = data.get("env")
        if not isinstance(name, str):
            raise ConfigError("config.json: env must be a string")
        if env is None and name.startswith("custom:"):
            raise ConfigError(f"this run's environment is your own ({name[7:]}): swingup.load(path, env=...)")
        if env is not None and identity(env) != name:
            raise ConfigError(
                f"this run was trained on {name}, and env is {identity(env)}: pass the same one"
            )
        algo = settings.from_json(data.get("algo"))
        options: dict[str, Any] = values
        return Experiment(algo, name if env is None else env, seeds=tuple(seeds), **options)


def seeds_of(seeds: Any) -> Any:
    """Return the seeds in the order in which they are listed, or 0, 1, ... of a number of them. Raises
    `ConfigError`.
    """
    try:
        return tuple(seeds)
    except TypeError:  # it is no list of them
        return tuple(range(plain("seeds", Count, seeds)))


ELSEWHERE = {
    "total_timesteps": "env_steps",
    "total_steps": "env_steps",
    "timesteps": "env_steps",
    "steps": "env_steps",
    "num_seeds": "seeds",
    "n_seeds": "seeds",
    "random_state": "seeds",
    "n_eval_episodes": "episodes",
    "eval_episodes": "episodes",
    "eval_freq": "eval_interval",
    "save_freq": "checkpoint_interval",
    "logdir": "out",
    "log_dir": "out",
    "save_dir": "out",
    "path": "out",
    "progress_bar": "verbose",
    "callback": "callbacks",
    "logger": "track",
    "num_devices": "devices",
    "n_devices": "devices",
}  # other libraries' names of what `swingup.train` takes
OPTIONS = (
    *("env_steps", "seeds", "out", "episodes", "verbose"),
    *("log_interval", "checkpoint_interval", "eval_interval", "eval_limit", "callbacks", "track", "devices"),
)


def misnamed(given: Iterable[str], algo: Any) -> str:
    """What to say of arguments that `swingup.train` does not take."""
    name = next(iter(given))
    if name in ELSEWHERE:
        return f"swingup.train takes no {name}: it is called {ELSEWHERE[name]} here"
    if name in {f.name for f in dataclasses.fields(algo)}:
        cls = type(algo).__name__
        return f"{name} is a hyperparameter: swingup.train(swingup.{cls}({name}=...), env, ...)"
    return unknown("argument of swingup.train", name, OPTIONS)


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that can change a number; of environments on the host
    if used.
    """
    packages = ["swingup", "jax", "jaxlib", "equinox", "optax", "gymnax", "numpy"]
    packages += [p for p in ("gymnasium", "mujoco", "envpool", "ale_py") if p in sys.modules]
    return {"python": platform.python_version()} | {p: _version(p) for p in packages}


@cache  # every checkpoint has them, and to look them up takes as long as to write one
def _version(package: str) -> str:
    return metadata.version(package)


def prepare(path: Path) -> Path:
    """Make an empty directory for a run. Raises `OutputError` if there is one with a run, or none can be made."""
    path = files.home(path)
    if (path / "config.json").exists():
        raise occupied(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise files.output_error(path, error) from error
    return path


def write_config(experiment: Experiment, path: Path, new: bool = False) -> None:
    """Write config.json; a `new` one makes the directory this run's. Raises `OutputError` if another run was faster."""
    data = files.to_json(experiment.to_json() | {"versions": versions()})
    if not new:
        files.write_atomic(path / "config.json", data)
        return
    try:
        claims.write_new(path / "config.json", data)
    except FileExistsError:
        raise occupied(path) from None


def occupied(path: Path) -> OutputError:
    cure = f"choose another --out, or continue it: swingup resume {shlex.quote(str(path))}"
    return OutputError(f"{path} holds a run: {cure}")


def read_config(path: Path, env: Any = None) -> Experiment:
    """Raises `ConfigError` if the directory holds no run, or a damaged one, or the runs of a grid."""
    path = files.home(path)
    check_one(path)
    if not (path / "config.json").exists():
        raise ConfigError(f"{path} is not a run directory: it has no config.json")
    return Experiment.from_json(files.read_json(path / "config.json", error=ConfigError), env)


def check_one(path: Path) -> None:
    """Raises `ConfigError` if the directory is a grid's, which holds a run for each of its settings."""
    if (path / "grid.json").exists():
        runs = sorted(config.parent for config in path.glob("*/config.json"))
        cure = f"name a run in it, such as {runs[0]}" if runs else "none of its runs has begun"
        raise ConfigError(f"{path} is a grid: {cure}")
