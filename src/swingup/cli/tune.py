"""The command `tune` searches hyperparameters, and judges what it finds on fresh seeds."""

import dataclasses
import shlex
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tyro

from swingup.algos import algorithm
from swingup.cli.flags import File, Int, Text, free, parse
from swingup.cli.train import named
from swingup.errors import ConfigError
from swingup.training import machine


@dataclass(frozen=True)
class TuneOptions:
    trials: int = 32  # settings to try, in whole blocks
    search: Text = ""
    """what to search: lr=1e-5:1e-2:log,clip=0.1:0.4; scales are linear, log and one_minus; default: the usual ranges"""
    seeds: int = 4  # seeds of each setting, all of them the same
    env_steps: Int = None  # env steps per seed; default: the preset's, else 500,000
    together: int = 4  # settings that are trained side by side in one program
    looks: int = 4  # how often a setting may be given up while it trains; 1: never
    fresh: int = 10
    """seeds on which the best three and the settings to begin with are trained at the end; 0: none"""
    seed: int = 0  # of the search
    out: File = None  # the directory; the same command goes on there; default: tunes/ALGO-ENV


def tune(args: list[str]) -> int:
    """Search hyperparameters of an algorithm on an environment. Flags may stand before, between and behind the two."""
    asked = bool({"-h", "--help"} & set(args))
    algo, rest = named(args, TuneOptions)
    names, flags = free(rest, TuneOptions, *([algorithm(algo)] if algo else []))
    if algo is None or (len(names) != 1 and not asked):
        print("usage: swingup tune ALGO ENV [options], such as: swingup tune ppo CartPole-v1 --trials 32")
        return 0 if asked else 2
    from swingup.envs import canonical
    from swingup.presets import defaults, example

    env_id = canonical(names[0]) if names else example(algo)
    known = defaults(algo, env_id)
    options, settings = _options(algo, env_id, known, flags)
    counts = {
        "trials": options.trials,
        "seeds": options.seeds,
        "together": options.together,
        "looks": options.looks,
    }
    for name, count in counts.items():
        if count < 1:
            raise ConfigError(f"--{name} must be at least 1, not {count}")
    if options.fresh < 0:
        raise ConfigError(f"--fresh must be at least 0, not {options.fresh}")
    machine.set_up(settings, options.together * options.seeds)
    from swingup.tuning import command

    default = Path("tunes") / f"{algo}-{env_id.partition(':')[2].partition('?')[0].replace('/', '-')}"
    out = options.out or default
    steps = known.env_steps if options.env_steps is None else options.env_steps
    began = time.monotonic()
    command.run(settings, env_id, steps, options, out)
    again = shlex.join(["swingup", "tune", *args])
    print(f"{time.monotonic() - began:.0f} s; {out} has everything, and goes on if it was stopped: {again}")
    return 0


def _options(algo: str, env_id: str, known: Any, args: list[str]) -> tuple[TuneOptions, Any]:
    """Read the options, and beside them every hyperparameter as a flag: those that are not searched keep its value."""
    flat = tyro.conf.OmitArgPrefixes
    fields: list[Any] = [
        ("run", flat[TuneOptions], field(default=TuneOptions())),
        ("hyperparameters", flat[type(known.algo)], field(default=known.algo)),
    ]
    kind = dataclasses.make_dataclass("TuneCommand", fields, frozen=True)
    about = f"Tune {algo} on {env_id}. It begins with {known.about}."
    parsed = parse(kind, f"tune {algo} {env_id.partition(':')[2]}", args, description=about)
    return parsed.run, parsed.hyperparameters
