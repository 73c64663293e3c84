"""What one does with a run, and what there is to look up: the commands beside `train`, `resume` and `play`."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro

from swingup.algos import ALGOS, algorithm
from swingup.errors import ConfigError
from swingup.flags import parse


@dataclass(frozen=True)
class EvaluateOptions:
    run: tyro.conf.Positional[Path]  # the run directory
    episodes: int = 100  # episodes per seed; with as many as in training, the stored result is repeated
    policy: Literal["greedy", "stochastic"] = "greedy"  # its best actions, or actions drawn from it
    limit: int | None = None  # env steps after which an episode is cut; default: as in training
    json: bool = False  # print one JSON object instead


def evaluate(args: list[str], load: Callable[[Path], Any]) -> None:
    """Play fresh episodes with the trained agents."""
    o = parse(EvaluateOptions, "evaluate", args)
    if o.episodes < 1:
        raise ConfigError(f"--episodes must be at least 1, not {o.episodes}")
    from swingup import session

    run = load(o.run)
    played = run.evaluate(o.episodes, greedy=o.policy == "greedy", limit=o.limit)
    about = {"env": run.experiment.env_name, "seeds": list(run.experiment.seeds), "policy": o.policy}
    if o.json:
        means = {"final_return": played.returns.mean(1).tolist()}
        print(json.dumps(about | means | session.described(played)))
        return
    for seed, scores, lengths in zip(run.experiment.seeds, played.returns, played.lengths, strict=True):
        print(
            f"seed {seed:>4}   mean {scores.mean():10.2f}   std {scores.std():8.2f}   min {scores.min():8.2f}   "
            f"env steps {lengths.mean():8.1f}"
        )
    from swingup.statistics import mean_ci

    means = played.returns.mean(1)
    low, high = mean_ci(means)
    interval = f", 95 % CI over seeds [{low:.2f}, {high:.2f}]" if low == low else ""
    print(f"mean over seeds {means.mean():.2f}{interval}")


@dataclass(frozen=True)
class PlotOptions:
    runs: tyro.conf.Positional[
        tuple[Path, ...]
    ]  # run directories; those that differ only in seeds form one curve
    out: Path  # the file to write; .png, .svg and .csv are written beside each other
    metric: str = "ep/return"  # a column of metrics.csv
    statistic: Literal["mean", "iqm"] = "mean"  # over seeds; iqm: interquartile mean
    smooth: int = 1  # log points in a running mean
    title: str | None = None  # above the figure


def plot(args: list[str]) -> None:
    """Draw learning curves with bootstrap confidence intervals over seeds."""
    o = parse(PlotOptions, "plot", args)
    from swingup.curves import plot as draw

    written = draw(o.runs, o.out, metric=o.metric, statistic=o.statistic, smooth=o.smooth, title=o.title)
    print("wrote " + ", ".join(map(str, written)))


@dataclass(frozen=True)
class DigestOptions:
    run: tyro.conf.Positional[Path]  # the run directory


def digest(args: list[str]) -> None:
    """Print one SHA-256 over every array of the newest checkpoint."""
    options = parse(DigestOptions, "digest", args)
    from swingup import checkpoint

    print(checkpoint.digest(options.run / "checkpoints"))


@dataclass(frozen=True)
class ListOptions:
    what: tyro.conf.Positional[Literal["algos", "envs", "presets"]]  # what to list


def show(args: list[str]) -> None:
    """List what there is."""
    what = parse(ListOptions, "list", args).what
    if what == "envs":
        from swingup.envs import SUITES

        for suite, names in SUITES.items():
            print("\n".join(f"{suite}:{name}" for name in names))
    elif what == "algos":
        for name in ALGOS:
            print(f"{name:<19}{(sys.modules[algorithm(name).__module__].__doc__ or '').splitlines()[0]}")
    else:
        from swingup.presets import KINDS, PRESETS

        for (algo, env), p in (PRESETS | KINDS).items():
            where, how = env if ":" in env else f"any of {env}", "tuned" if p.tuned else "not tuned"
            print(f"{algo:<19}{where:<34}{p.env_steps:>12,} env steps   {how:<12}{p.result}")


def check(args: list[str]) -> int:
    """Check that an environment keeps to the conventions that the algorithms rely on."""
    from swingup.testing import CheckOptions, command

    return command(parse(CheckOptions, "check-env", args))
