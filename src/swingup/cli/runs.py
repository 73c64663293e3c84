"""Some commands take a run that was trained: `evaluate`, `play`, `plot` and `digest`."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from swingup.cli.flags import File, Int, Name, Run, Runs, parse
from swingup.errors import ConfigError
from swingup.training import machine


def load(path: Path) -> Any:
    """Load a run, with JAX set up for it."""
    from swingup import runs
    from swingup.runs import experiment

    e = experiment.read_config(path)
    machine.set_up(e.algo, len(e.seeds))
    return runs.load(path)


Which = Literal["best", "median", "worst"]


@dataclass(frozen=True)
class EvaluateOptions:
    run: Run  # the run directory
    episodes: int = 100  # episodes per seed; with as many as in training, the stored result is repeated
    policy: Literal["greedy", "stochastic"] = "greedy"  # its best actions, or actions drawn from it
    limit: Int = None  # env steps after which an episode is cut; default: as in training
    json: bool = False  # print one JSON object instead


def evaluate(args: list[str]) -> None:
    """Play fresh episodes with the trained agents."""
    o = parse(EvaluateOptions, "evaluate", args)
    if o.episodes < 1:
        raise ConfigError(f"--episodes must be at least 1, not {o.episodes}")
    from swingup.runs.result import described, numbers

    run = load(o.run)
    played = run.evaluate(o.episodes, greedy=o.policy == "greedy", limit=o.limit)
    about = {"env": run.experiment.env_name, "seeds": list(run.experiment.seeds), "policy": o.policy}
    if o.json:
        means = {"final_return": numbers(played.returns.mean(1))}
        print(json.dumps(about | means | described(played)))
        return
    for seed, scores, lengths in zip(run.experiment.seeds, played.returns, played.lengths, strict=True):
        if seed in run.diverged:
            print(f"seed {seed:>4}   has diverged")
            continue
        print(
            f"seed {seed:>4}   mean {scores.mean():10.2f}   std {scores.std():8.2f}   min {scores.min():8.2f}   "
            f"env steps {lengths.mean():8.1f}"
        )
    from swingup.statistics import mean_ci

    means = played.returns.mean(1)
    if run.diverged:
        print(f"no mean over seeds: {len(run.diverged)} of {len(means)} have diverged, which is no return")
        return
    low, high = mean_ci(means)
    interval = f", 95 % CI over seeds [{low:.2f}, {high:.2f}]" if low == low else ""
    print(f"mean over seeds {means.mean():.2f}{interval}")


@dataclass(frozen=True)
class PlayOptions:
    run: Run  # the run directory
    out: File = None  # the file to write: .gif or .mp4; without it you play a game against the agent
    seed: Int = None  # the agent of this training seed; default: the best one
    episode: int = 0  # which fresh episode: another number starts elsewhere
    which: Annotated[Which | None, tyro.conf.arg(metavar="{best,median,worst}", help_behavior_hint="")] = None
    """play an episode of the final evaluation again, of all seeds or of --seed; default: a fresh episode"""
    limit: int = 10_000  # env steps after which an episode is cut
    stochastic: bool = False  # draw actions from the policy; default: its greedy ones
    begins: Literal["me", "agent"] = "me"  # who has the first move in a game that you play
    simulations: Int = None  # positions that the agent searches for each move in it; default: as in training


def play(args: list[str]) -> None:
    """Draw an episode of a trained agent."""
    o = parse(PlayOptions, "play", args)
    if o.out is None:
        meet(o)
        return
    from swingup.play.animation import encoder

    encoder(o.out)  # before the run is loaded: what is wrong with the name is told at once
    from swingup.play.playback import animate

    how: dict[str, Any] = {"which": o.which, "limit": o.limit, "stochastic": o.stochastic}
    about = animate(load(o.run), o.out, o.seed, o.episode, **how)
    print(f"wrote {o.out} ({about})")


def meet(o: PlayOptions) -> None:
    """Let a person play against the agent of a run, in the terminal."""
    run = load(o.run)
    from swingup.envs import is_game

    if not is_game(run.experiment.env):
        raise ConfigError(
            "--out is missing: the file to draw to, .gif or .mp4 (only games are played without)"
        )
    from swingup.arena.players import Agent, game_played
    from swingup.play.terminal import converse

    mode = "" if o.simulations is None else str(o.simulations)
    converse(Agent(str(o.run), run, o.seed, mode), game_played(run), o.begins)


@dataclass(frozen=True)
class PlotOptions:
    runs: Runs
    """run directories, or directories of runs; those that differ only in seeds form one curve; NAME=RUN names it"""
    out: Path  # the file to write; .png, .svg and .csv are written beside each other
    metric: str = "ep/return"
    """a column of metrics.csv; several, with commas between: a row of panels for each"""
    statistic: Literal["mean", "iqm"] = "mean"  # over seeds; iqm: interquartile mean
    x: Literal["env_steps", "iteration", "seconds"] = "env_steps"  # the horizontal axis
    smooth: int = 1  # log points in a running mean
    facet: str = "env"
    """a panel for each environment; or for each value of a hyperparameter, such as lr; none: one panel for all"""
    title: Name = None  # above the figure; default: none


def plot(args: list[str]) -> None:
    """Draw learning curves with bootstrap confidence intervals over seeds."""
    o = parse(PlotOptions, "plot", args)
    from swingup.plots.curves import plot as draw

    how: dict[str, Any] = {"statistic": o.statistic, "smooth": o.smooth, "x": o.x, "title": o.title}
    written = draw(o.runs, o.out, metric=o.metric, facet=o.facet * (o.facet != "none"), **how)
    print("wrote " + ", ".join(map(str, written)))


@dataclass(frozen=True)
class DigestOptions:
    run: Run  # the run directory


def digest(args: list[str]) -> None:
    """Print one SHA-256 over every array of the newest checkpoint."""
    options = parse(DigestOptions, "digest", args)
    from swingup.runs import checkpoint, experiment

    experiment.check_one(options.run)
    print(checkpoint.digest(options.run / "checkpoints"))
