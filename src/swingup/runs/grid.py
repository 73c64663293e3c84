"""A grid is the product of several values for some hyperparameters, each setting with the same seeds."""

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

from swingup import ranges
from swingup.errors import ConfigError, unknown
from swingup.presets import DEFAULT_ENV_STEPS, defaults
from swingup.protocols import Algorithm
from swingup.runs.experiment import EPISODES, Experiment, seeds_of
from swingup.runs.plan import Plan, plan

NAME = 100  # characters of a run's directory, at most


@dataclass(frozen=True)
class Grid:
    """A grid is trained in blocks: settings of one structure share one compiled program.

        algo                   settings, such as `PPO(lr=1e-3)`, or a name, which takes those of `presets.defaults`
        env                    an id, or anything else that `make` takes
        vary                   {hyperparameter: its values}; the grid is the product of all
        env_steps              per seed; by default what the preset says
        seeds                  how many (0, 1, ...), or which; every setting has the same
        episodes               of the final evaluation, per seed
        log_interval, checkpoint_interval, eval_interval, eval_limit
                               as `swingup.train` takes them

    Raises `ConfigError` for a name that is no hyperparameter, a value twice, and what a run refuses.

    >>> grid = Grid("ppo", "CartPole-v1", {"lr": [1e-3, 3e-4], "hidden": [(64, 64), (32,)]}, seeds=3)
    >>> len(grid.experiments), grid.names[3], grid.plan(devices=1).programs
    (4, '003_lr-0.0003_hidden-32', 2)
    """

    algo: str | Algorithm
    env: Any
    vary: Mapping[str, Sequence[Any]]
    env_steps: int | None = None
    seeds: int | Sequence[int] = 1
    episodes: int = EPISODES
    log_interval: int = 0
    checkpoint_interval: int = 0
    eval_interval: int = 0
    eval_limit: int | None = None
    command: str = field(default="", repr=False)

    def __post_init__(self):
        if not self.vary:
            raise ConfigError("a grid needs a hyperparameter with its values, such as lr=[1e-3, 3e-4]")
        _ = self.experiments

    @cached_property
    def base(self) -> tuple[Any, int]:
        """Return the settings that all have before they are varied, and the env steps per seed."""
        known = defaults(self.algo, self.env) if isinstance(self.algo, str) else None
        budget = known.env_steps if known else DEFAULT_ENV_STEPS
        return known.algo if known else self.algo, budget if self.env_steps is None else self.env_steps

    @cached_property
    def settings(self) -> list[dict[str, Any]]:
        """Return what each setting varies, {hyperparameter: value}; the last one varies fastest."""
        algo, known = self.base[0], {f.name for f in fields(self.base[0])}
        for name, values in self.vary.items():
            if name not in known:
                raise ConfigError(unknown(f"hyperparameter of {type(algo).__name__}", name, known))
            if isinstance(values, str) or not isinstance(values, Sequence) or not values:
                raise ConfigError(f"vary[{name!r}] must be a list of values, not {values!r}")
        return [
            dict(zip(self.vary, values, strict=True)) for values in itertools.product(*self.vary.values())
        ]

    @cached_property
    def experiments(self) -> tuple[Experiment, ...]:
        """Return the experiment of each setting."""
        (algo, env_steps), settings = self.base, self.settings
        for name, values in self.vary.items():
            _once(algo, name, values)
        intervals = self.log_interval, self.checkpoint_interval, self.eval_interval, self.eval_limit
        seeds = seeds_of(self.seeds)
        return tuple(
            Experiment(
                replace(algo, **one), self.env, env_steps, seeds, self.episodes, *intervals, self.command
            )
            for one in settings
        )

    @cached_property
    def names(self) -> list[str]:
        """Return the name of each setting's directory: its number, and what it varies."""
        made = []
        for i, one in enumerate(self.settings):
            text = "_".join([f"{i:03d}", *(f"{name}-{shown(x)}" for name, x in one.items())])
            made.append(re.sub(r"[^A-Za-z0-9._-]", "-", text)[:NAME])
        return made

    def plan(self, devices: int) -> Plan:
        """Return which settings are trained together, on a number of devices."""
        return plan(self.experiments, devices)


def _once(algo: Any, name: str, values: Sequence[Any]) -> None:
    """Raise `ConfigError` if a hyperparameter has a value twice, or one that it cannot have."""
    kind = ranges.kinds(type(algo))[name]
    plain = [repr(ranges.plain(name, kind, x)) for x in values]
    twice = next((x for x in plain if plain.count(x) > 1), None)
    if twice is not None:
        width = re.fullmatch(r"\((\d+),\)", twice)
        value = width[1] if width else twice
        cure = f"; one network of two layers is {value},{value}" if width else ": once is enough"
        raise ConfigError(f"{name} has the value {value} twice{cure}")


def shown(value: Any) -> str:
    """Write a value of a hyperparameter, for a table or a name.

    >>> shown(1e-3), shown((64, 64)), shown("tanh"), shown(None)
    ('0.001', '64,64', 'tanh', 'None')
    """
    if isinstance(value, list | tuple):
        return ",".join(map(shown, value))
    return f"{value:g}".replace("e+", "e") if isinstance(value, float) else str(value)
