"""The commands `train` and `resume` are read and run here."""

import contextlib
import dataclasses
import json
import shlex
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import tyro

import swingup
from swingup.algos import ALGOS, algorithm
from swingup.cli import report
from swingup.cli.flags import File, Int, Run, Text, flags_of, free, parse
from swingup.errors import ConfigError, OutputError, unknown
from swingup.tracking import trackers
from swingup.training import machine


@dataclass(frozen=True)
class TrainOptions:
    env_steps: Int = None  # env steps per seed; default: the preset's, else 500,000
    seeds: int = 1  # how many seeds to train at once, in one compiled program
    seed: int = 0  # the first seed; the others follow it
    out: File = None  # the run directory; default: a new one under runs/
    episodes: int = 100  # episodes of the final evaluation, per seed
    log_interval: int = 0  # iterations between rows of metrics.csv; 0: a hundredth of the run
    checkpoint_interval: int = 0  # iterations between checkpoints; 0: a twentieth of the run
    eval_interval: int = 0  # iterations between greedy evaluations while training; 0: only at the end
    eval_limit: Int = None  # env steps after which evaluations cut an episode; default: at its end
    track: Text = ""  # also show it elsewhere: tensorboard, wandb or trackio, several with commas between
    devices: Int = None
    """how many devices share the seeds, or the environments of each; default: as many as can share the seeds"""
    play: bool = False  # also draw an episode of the trained agent: agent.gif in the run directory
    json: bool = False  # print the content of result.json as the last line


def train(args: list[str]) -> int:
    """Train an algorithm on an environment. Flags may stand before, between and behind the two names."""
    asked = bool({"-h", "--help"} & set(args))
    algo, rest = named(args, TrainOptions)
    names, flags = free(rest, TrainOptions, *([algorithm(algo)] if algo else []))
    if algo is None or (not names and not asked):
        print(TRAIN_HELP.format(algos=", ".join(ALGOS)), end="")
        return 0 if asked else 2
    if names[1:]:
        raise ConfigError(f"one environment at a time: {names[1]!r} comes after {names[0]!r}")
    from swingup.envs import canonical

    env_id = canonical(names[0]) if names else _example(algo)
    human = sys.stderr if "--json" in args else sys.stdout
    if not asked:
        print(f"swingup {swingup.__version__}   {algo} on {env_id}", file=human, flush=True)
    from swingup.presets import defaults

    known = defaults(algo, env_id)
    options, settings = _train_options(algo, env_id, known, flags)
    if options.seeds < 1:
        raise ConfigError(f"--seeds must be at least 1, not {options.seeds}")
    machine.set_up(settings, options.seeds, machine.granted(options.devices))
    from swingup.runs import experiment, session
    from swingup.runs.block import Block
    from swingup.training.callbacks import Console

    e = experiment.Experiment(
        settings,
        env_id,
        known.env_steps if options.env_steps is None else options.env_steps,
        tuple(range(options.seed, options.seed + options.seeds)),
        options.episodes,
        options.log_interval,
        options.checkpoint_interval,
        options.eval_interval,
        options.eval_limit,
        command=shlex.join(["swingup", "train", *args]),
    )
    chosen = trackers(options.track, options.out or Path())
    out = experiment.prepare(options.out or new_directory(algo, env_id))
    if options.play:
        _can_play(e, out)
    report.header(e, out, known, human, options.devices)
    how = {"console": Console(human), "signals": True, "track": chosen}
    (ended,) = session.execute(Block((e,)), [out], out, devices=options.devices, **how)
    return _report(ended, out, options, human)


def _example(algo: str) -> str:
    from swingup.presets import example  # late, because it takes a second

    return example(algo)


def named(args: list[str], options: type) -> tuple[str | None, list[str]]:
    """Find the name of the algorithm, and return the arguments without it; None if there is none.

    It is the first argument that is such a name, unless it is the value of one of the `options` (`--out ppo`): what
    else takes a value can be told only once the algorithm is known. Raises `ConfigError` for an unknown name.
    """
    valued = {flag for flag, kind in flags_of(options).items() if kind is not bool}
    for i, word in enumerate(args):
        if word in ALGOS and (i == 0 or args[i - 1] not in valued):
            return word, args[:i] + args[i + 1 :]
    words, _ = free(args, options)
    if words:
        raise ConfigError(unknown("algorithm", words[0], ALGOS))
    return None, args


TRAIN_HELP = """\
usage: swingup train ALGO ENV [options], such as: swingup train ppo CartPole-v1 --seeds 10

  ALGO: {algos}
  ENV:  an id such as CartPole-v1; swingup list envs lists them

swingup train ALGO ENV --help lists the options and hyperparameters with the defaults of that pair.
"""


def _train_options(algo: str, env_id: str, known: Any, args: list[str]) -> tuple[TrainOptions, Any]:
    """Read the options of a run, and beside them every hyperparameter as a flag."""
    settings = known.algo
    flat = tyro.conf.OmitArgPrefixes
    fields: list[Any] = [
        ("run", flat[TrainOptions], field(default=TrainOptions())),
        ("hyperparameters", flat[type(settings)], field(default=settings)),
    ]
    kind = dataclasses.make_dataclass("TrainCommand", fields, frozen=True)
    about = f"Train {algo} on {env_id}. The defaults are {known.about}, for {known.env_steps:,} env steps."
    parsed = parse(kind, f"train {algo} {env_id.partition(':')[2]}", args, description=about)
    return parsed.run, parsed.hyperparameters


@dataclass(frozen=True)
class ResumeOptions:
    run: Run  # the run directory
    env_steps: Int = None  # train to this many env steps per seed; default: as the run was meant to
    track: Text = ""  # also show it elsewhere: tensorboard, wandb or trackio, several with commas between
    devices: Int = None  # as for train; with another number than before, sums may be rounded differently
    play: bool = False  # also draw an episode of the trained agent: agent.gif in the run directory
    json: bool = False  # print the content of result.json as the last line


def resume(args: list[str]) -> int:
    """Continue a run from its newest checkpoint."""
    options = parse(ResumeOptions, "resume", args)
    if (options.run.expanduser() / "grid.json").exists():
        from swingup.cli import grid

        if options != ResumeOptions(options.run):
            raise ConfigError(
                f"{options.run} is a grid, which goes on as it was meant to: it takes no options here"
            )
        return grid.resume(options.run)
    from swingup import files, runs
    from swingup.runs import experiment, session
    from swingup.runs.block import Block
    from swingup.training.callbacks import Console

    e = experiment.read_config(options.run)
    chosen = trackers(options.track, options.run)
    human = sys.stderr if options.json else sys.stdout
    machine.set_up(e.algo, len(e.seeds), machine.granted(options.devices))
    if options.play:
        _can_play(e, options.run)
    print(f"swingup {swingup.__version__}   resuming {options.run} ({e.env_name})", file=human, flush=True)

    path = files.home(options.run)
    e, saved = runs.continued(path, env_steps=options.env_steps)
    how = {"console": Console(human), "signals": True, "track": chosen}
    (ended,) = session.execute(Block((e,)), [path], path, saved=saved, devices=options.devices, **how)
    return _report(ended, options.run, options, human)


def _can_play(e: Any, out: Path) -> None:
    """Raise `ConfigError` now for what would keep --play from drawing after training."""
    from swingup.play import playback

    playback.check(e, out / "agent.gif")


def _report(ended: Any, out: Path, options: TrainOptions | ResumeOptions, human: TextIO) -> int:
    """Tell what came of a session, and return the exit code. Raises the error of one that diverged or failed."""
    from swingup import runs

    outcome = ended.outcome
    if outcome.kind in ("stopped", "failed") and outcome.saved is not None:
        print(
            f"\nsaved at {outcome.saved:,} env steps; continue with: {report.resume(out, options.devices)}",
            file=human,
            flush=True,
        )
    if outcome.kind == "stopped":
        return 128 + outcome.signum
    run = runs.finished(ended)
    report.report(run, out, human)
    if options.play:
        from swingup.play.playback import animate

        print(f"wrote {out / 'agent.gif'} ({animate(run, out / 'agent.gif')})", file=human)
    if options.json:
        print(json.dumps(run.result), flush=True)
    return 0


def new_directory(algo: str, env_id: str) -> Path:
    """Make a directory such as runs/ppo-CartPole-v1-20261122-134500, with a number behind it if that exists."""
    name = env_id.partition(":")[2].partition("?")[0].replace("/", "-")  # ALE/Pong-v5?episodic_life=true
    base = Path("runs") / f"{algo}-{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    for path in [base, *(base.with_name(f"{base.name}-{i}") for i in range(2, 1000))]:
        with contextlib.suppress(FileExistsError):  # also of another process at this very moment
            path.mkdir(parents=True)
            return path
    raise OutputError(f"{base} and 998 like it exist already: choose another --out")
