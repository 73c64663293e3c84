"""The command line. JAX is imported by the commands that compute, so that help and errors come at once."""

import dataclasses
import json
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, TextIO

import tyro

import swingup
from swingup import machine
from swingup.algos import ALGOS, algorithm
from swingup.errors import ConfigError, SwingupError, unknown
from swingup.flags import parse

HELP = """\
swingup: deep reinforcement learning that reads like the papers

usage: swingup COMMAND ...          swingup COMMAND --help lists a command's options

  train ALGO ENV   train, evaluate, write a run directory   swingup train ppo CartPole-v1 --seeds 10
  resume RUN       continue a run from its newest checkpoint
  evaluate RUN     play fresh episodes with the trained agents
  play RUN         draw an episode as GIF or MP4            swingup play RUN --out agent.gif
  plot RUN...      learning curves with intervals           swingup plot RUN... --out curve.png
  digest RUN       one SHA-256 over all arrays of the newest checkpoint
  list WHAT        algos, envs or presets
  check-env ENV    play an environment and report what breaks the conventions
  lab NAME         demonstrate a result of theory           swingup lab list

  --version        print the version
  --debug          with any command: show the traceback of an error
"""


def main(argv: Sequence[str] | None = None) -> None:
    """The command `swingup`. Exits with 0; 1 after an error; 2 for wrong usage; 130 or 143 after a signal."""
    args = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in args
    try:
        sys.exit(dispatch([a for a in args if a != "--debug"]))
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(0)
    except Exception as error:
        if debug:
            raise
        known = isinstance(error, SwingupError)
        print(f"error: {error if known else f'{type(error).__name__}: {error}'}", file=sys.stderr)
        if not known:
            print("This is a fault of swingup's; --debug shows where it happened.", file=sys.stderr)
        sys.exit(2 if isinstance(error, ConfigError) else 1)


def dispatch(args: list[str]) -> int:
    if not args or args[0] in ("-h", "--help", "help"):
        print(HELP, end="")
        return 0
    if args[0] == "--version":
        print(swingup.__version__)
        return 0
    if args[0] not in COMMANDS:
        raise ConfigError(unknown("command", args[0], COMMANDS))
    return COMMANDS[args[0]](args[1:]) or 0


# --- train and resume --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TrainOptions:
    env_steps: int | None = None  # env steps per seed; default: the preset's, else 500,000
    seeds: int = 1  # how many seeds to train at once, in one compiled program
    seed: int = 0  # the first seed; the others follow it
    out: Path | None = None  # the run directory; default: a new one under runs/
    episodes: int = 100  # episodes of the final evaluation, per seed
    log_interval: int = 0  # iterations between rows of metrics.csv; 0: a hundredth of the run
    checkpoint_interval: int = 0  # iterations between checkpoints; 0: a twentieth of the run
    eval_interval: int = 0  # iterations between greedy evaluations while training; 0: only at the end
    play: bool = False  # also draw an episode of the trained agent: agent.gif in the run directory
    json: bool = False  # print the content of result.json as the last line


def train(args: list[str]) -> int:
    """Train an algorithm on an environment."""
    names = [a for a in args[:2] if not a.startswith("-")]
    if names and names[0] not in ALGOS:
        raise ConfigError(unknown("algorithm", names[0], ALGOS))
    if not names or (len(names) == 1 and not {"-h", "--help"} & set(args)):
        print(TRAIN_HELP.format(algos=", ".join(ALGOS)), end="")
        return 0 if {"-h", "--help"} & set(args) else 2
    algo, env = names[0], names[1] if len(names) == 2 else "CartPole-v1"
    from swingup.envs import canonical

    env_id = canonical(env)
    human = sys.stderr if "--json" in args else sys.stdout
    if len(names) == 2 and not {"-h", "--help"} & set(args):
        print(f"swingup {swingup.__version__}   {algo} on {env_id}", file=human, flush=True)
    from swingup.presets import defaults

    known = defaults(algo, env_id)
    options, settings = _train_options(algo, env_id, known, args[len(names) :])
    if options.seeds < 1:
        raise ConfigError(f"--seeds must be at least 1, not {options.seeds}")
    machine.set_up(settings, options.seeds)
    from swingup import config, experiment

    e = config.Experiment(
        settings,
        env_id,
        known.env_steps if options.env_steps is None else options.env_steps,
        tuple(range(options.seed, options.seed + options.seeds)),
        options.episodes,
        options.log_interval,
        options.checkpoint_interval,
        options.eval_interval,
        command=shlex.join(["swingup", "train", *args]),
    )
    out = config.prepare(options.out or _new_directory(algo, env_id))
    _header(e, out, known, human)
    return _run(lambda **how: experiment.execute(e, out, **how), out, options.play, options.json, human)


TRAIN_HELP = """\
usage: swingup train ALGO ENV [options], such as: swingup train ppo CartPole-v1 --seeds 10

  ALGO: {algos}
  ENV:  an id such as CartPole-v1; swingup list envs lists them

swingup train ALGO ENV --help lists the options and hyperparameters with the defaults of that pair.
"""


def _train_options(algo: str, env_id: str, known: Any, args: list[str]) -> tuple[TrainOptions, Any]:
    """The options of a run, and beside them every hyperparameter as a flag."""
    settings = known.algo
    flat = tyro.conf.OmitArgPrefixes
    fields: list[Any] = [
        ("run", flat[TrainOptions], field(default=TrainOptions())),
        ("hyperparameters", flat[type(settings)], field(default=settings)),
    ]
    kind = dataclasses.make_dataclass("TrainCommand", fields, frozen=True)
    about = f"Train {algo} on {env_id}. The defaults are {known.about}, for {known.env_steps:,} env steps."
    parsed: Any = parse(kind, f"train {algo} {env_id.partition(':')[2]}", args, description=about)
    return parsed.run, parsed.hyperparameters


@dataclass(frozen=True)
class ResumeOptions:
    run: tyro.conf.Positional[Path]  # the run directory
    env_steps: int | None = None  # train to this many env steps per seed; default: as the run was meant to
    play: bool = False  # also draw an episode of the trained agent: agent.gif in the run directory
    json: bool = False  # print the content of result.json as the last line


def resume(args: list[str]) -> int:
    """Continue a run from its newest checkpoint."""
    options = parse(ResumeOptions, "resume", args)
    from swingup import config, experiment

    e = config.read_config(options.run)
    human = sys.stderr if options.json else sys.stdout
    machine.set_up(e.algo, len(e.seeds))
    print(f"swingup {swingup.__version__}   resuming {options.run} ({e.env_name})", file=human, flush=True)

    def go(**how: Any) -> Any:
        return experiment.resume(options.run, env_steps=options.env_steps, **how)

    return _run(go, options.run, options.play, options.json, human)


def _run(go: Callable[..., Any], out: Path, play: bool, as_json: bool, human: TextIO) -> int:
    """Train, show progress, report; after a signal, say how to go on."""
    from swingup.callbacks import Console, Stopped

    console = Console(human)
    try:
        run = go(console=console, signals=True)
    except Stopped as stop:
        print(
            f"\nsaved at {stop.env_steps:,} env steps; continue with: swingup resume {out}",
            file=human,
            flush=True,
        )
        return 128 + stop.signum
    _report(run, out, human)
    if play:
        from swingup.playback import animate

        print(f"wrote {out / 'agent.gif'} ({animate(run, out / 'agent.gif')})", file=human)
    if as_json:
        print(json.dumps(run.result), flush=True)
    return 0


def _header(e: Any, out: Path, known: Any, human: TextIO) -> None:
    """Device, seeds, run directory, and the settings that differ from the algorithm's defaults."""
    import jax

    from swingup.settings import changed

    device = jax.devices()[0]
    first, last = e.seeds[0], e.seeds[-1]
    differing = "   ".join(f"{n}={v}" for n, v in changed(e.algo).items())
    source = known.about if e.algo == known.algo else f"changed from {known.about}"
    print(f"device      {device.device_kind} ({device.platform})", file=human)
    print(f"seeds       {first}" + (f" to {last}" if last > first else ""), file=human)
    print(f"directory   {out}", file=human)
    print(f"settings    {source}" + (f"\n            {differing}" if differing else ""), file=human)
    print(f"training    {e.env_steps:,} env steps per seed; compiling ...", file=human, flush=True)


def _report(run: Any, out: Path, human: TextIO) -> None:
    """The final evaluation per seed, mean and interval, speeds, and what to do next."""
    from swingup.statistics import mean_ci

    r = run.result
    scores = run.final_return
    shown = "  ".join(f"{x:.1f}" for x in scores[:20]) + ("  ..." if len(scores) > 20 else "")
    low, high = mean_ci(scores)
    interval = f", 95 % CI [{low:.1f}, {high:.1f}]" if low == low else " (an interval needs 3 seeds or more)"
    speed = (
        f"{r['steps_per_second']:,.0f} env steps/s in all"
        if r["steps_per_second"]
        else "nothing left to train"
    )
    print(
        f"\nfinal return per seed ({r['evaluation']['episodes']} greedy episodes each)   {shown}", file=human
    )
    print(
        f"mean over {len(scores)} seed{'s' * (len(scores) > 1)}   {scores.mean():.1f}{interval}", file=human
    )
    print(f"{speed}; compiled in {r['compile_seconds']:.1f} s, ran {r['run_seconds']:.1f} s", file=human)
    print(f"curve: {out / 'curve.png'}", file=human)
    print(f"next:  swingup play {out} --out agent.gif", file=human)
    print(f"       swingup evaluate {out} --episodes 1000", file=human)
    print(f"       swingup resume {out} --env-steps {2 * r['env_steps']}", file=human, flush=True)


def _new_directory(algo: str, env_id: str) -> Path:
    """runs/ppo-CartPole-v1-20261122-134500, with a number behind it if that exists."""
    name = env_id.partition(":")[2].partition("?")[0].replace("/", "-")  # ALE/Pong-v5?episodic_life=true
    base = Path("runs") / f"{algo}-{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    names = [base, *(base.with_name(f"{base.name}-{i}") for i in range(2, 1000))]
    return next(path for path in names if not path.exists())


# --- what one does with a run ------------------------------------------------------------------------------


@dataclass(frozen=True)
class EvaluateOptions:
    run: tyro.conf.Positional[Path]  # the run directory
    episodes: int = 100  # episodes per seed; with as many as in training, the stored result is repeated
    json: bool = False  # print one JSON object instead


def evaluate(args: list[str]) -> None:
    """Play fresh episodes with the trained agents, greedily."""
    options = parse(EvaluateOptions, "evaluate", args)
    if options.episodes < 1:
        raise ConfigError(f"--episodes must be at least 1, not {options.episodes}")
    from swingup import experiment

    run = _load(options.run)
    returns = experiment.play(run.experiment, run.state, episodes=options.episodes)
    means = returns.mean(1)
    if options.json:
        found = {
            "env": run.experiment.env_name,
            "seeds": list(run.experiment.seeds),
            "episodes": options.episodes,
        }
        print(
            json.dumps(
                found | {"policy": "greedy", "final_return": means.tolist(), "std": returns.std(1).tolist()}
            )
        )
        return
    for seed, scores in zip(run.experiment.seeds, returns, strict=True):
        print(
            f"seed {seed:>4}   mean {scores.mean():10.2f}   std {scores.std():8.2f}   min {scores.min():8.2f}"
        )
    from swingup.statistics import mean_ci

    low, high = mean_ci(means)
    print(
        f"mean over seeds {means.mean():.2f}" + (f", 95 % CI [{low:.2f}, {high:.2f}]" if low == low else "")
    )


def play(args: list[str]) -> None:
    """Draw an episode of a trained agent."""
    from swingup.play import PlayOptions, command

    options = parse(PlayOptions, "play", args)
    command(options, _load)


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


def _load(path: Path) -> Any:
    """A run, with JAX set up for it."""
    from swingup import config, experiment

    e = config.read_config(path)
    machine.set_up(e.algo, len(e.seeds))
    return experiment.load(path)


COMMANDS: dict[str, Callable[[list[str]], int | None]] = {
    "train": train,
    "resume": resume,
    "evaluate": evaluate,
    "play": play,
    "plot": plot,
    "digest": digest,
    "list": show,
    "check-env": check,
    "lab": lambda args: import_module("swingup.lab").command(args),
}
