"""The command line. JAX is imported by the commands that compute, so that help and errors come at once."""

import contextlib
import dataclasses
import json
import shlex
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, TextIO

import tyro

import swingup
from swingup import commands, machine
from swingup.algos import ALGOS
from swingup.errors import ConfigError, EnvironmentFault, OutputError, SwingupError, unknown
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
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"
    try:
        sys.exit(dispatch([a for a in args if a != "--debug"]))
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(0)
    except Exception as error:
        if debug:
            raise
        if isinstance(error, EnvironmentFault) and error.__cause__ is not None:
            print(theirs(error.__cause__), file=sys.stderr, end="")
        known = isinstance(error, SwingupError)
        print(f"error: {error if known else f'{type(error).__name__}: {error}'}", file=sys.stderr)
        if not known:
            print("This is a fault of swingup's; --debug shows where it happened.", file=sys.stderr)
        sys.exit(2 if isinstance(error, ConfigError) else 1)


def theirs(cause: BaseException) -> str:
    """The traceback of an exception in a user's environment, from where their code begins."""
    frames = traceback.extract_tb(cause.__traceback__)
    own = [
        i for i, frame in enumerate(frames) if not Path(frame.filename).is_relative_to(Path(__file__).parent)
    ]
    shown = frames[own[0] :] if own else frames
    lines = ["In the environment:\n", *traceback.format_list(shown), *traceback.format_exception_only(cause)]
    return "".join(lines)


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
    eval_limit: int | None = (
        None  # env steps after which an evaluation cuts an episode; default: where it ends
    )
    play: bool = False  # also draw an episode of the trained agent: agent.gif in the run directory
    json: bool = False  # print the content of result.json as the last line


def train(args: list[str]) -> int:
    """Train an algorithm on an environment."""
    if args and args[0].startswith("-") and not {"-h", "--help"} & set(args):
        raise ConfigError("the algorithm and the environment come first: swingup train ALGO ENV [options]")
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
        options.eval_limit,
        command=shlex.join(["swingup", "train", *args]),
    )
    out = config.prepare(options.out or _new_directory(algo, env_id))
    if options.play:
        _can_play(e, out)
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
    if options.play:
        _can_play(e, options.run)
    print(f"swingup {swingup.__version__}   resuming {options.run} ({e.env_name})", file=human, flush=True)

    def go(**how: Any) -> Any:
        return experiment.resume(options.run, env_steps=options.env_steps, **how)

    return _run(go, options.run, options.play, options.json, human)


def _can_play(e: Any, out: Path) -> None:
    """Raise `ConfigError` now for what would keep --play from drawing after training."""
    from swingup import playback

    playback.check(e, out / "agent.gif")


def _run(go: Callable[..., Any], out: Path, play: bool, as_json: bool, human: TextIO) -> int:
    """Train, show progress, report; after a signal, say how to go on."""
    from swingup.callbacks import Console, Stopped
    from swingup.types import env_steps

    console = Console(human)
    try:
        run = go(console=console, signals=True)
    except Stopped as stop:
        print(
            f"\nsaved at {stop.env_steps:,} env steps; continue with: {_resume(out)}", file=human, flush=True
        )
        return 128 + stop.signum
    except EnvironmentFault as fault:
        if fault.progress is not None:
            done = env_steps(fault.progress.algo, fault.progress.iteration)
            print(f"\nsaved at {done:,} env steps; continue with: {_resume(out)}", file=human, flush=True)
        raise
    _report(run, out, human)
    if play:
        from swingup.playback import animate

        print(f"wrote {out / 'agent.gif'} ({animate(run, out / 'agent.gif')})", file=human)
    if as_json:
        print(json.dumps(run.result), flush=True)
    return 0


def _resume(out: Path) -> str:
    return shlex.join(["swingup", "resume", str(out)])


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
    import numpy as np

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
    kind = f"{r['evaluation']['episodes']} greedy episodes each"
    run_, cut = shlex.quote(str(out)), sum(r["evaluation"]["cut"])
    cuts = f"; {cut} were cut after {r['evaluation']['limit']:,} env steps" if cut else ""
    print(f"\nfinal return per seed ({kind}{cuts})   {shown}", file=human)
    print(
        f"mean over {len(scores)} seed{'s' * (len(scores) > 1)}   {scores.mean():.1f}{interval}", file=human
    )
    noisy = r["evaluation"]["stochastic"]
    print(
        f"with the policy's own noise   {np.mean(noisy['return']):.1f} ({noisy['episodes']} episodes each)",
        file=human,
    )
    if r["evaluation"]["env"] != r["env"]:
        print(f"evaluated in {r['evaluation']['env']}: whole games", file=human)
    print(f"{speed}; compiled in {r['compile_seconds']:.1f} s, ran {r['run_seconds']:.1f} s", file=human)
    print(f"curve: {out / 'curve.png'}", file=human)
    print(f"next:  swingup play {run_} --out agent.gif", file=human)
    print(f"       swingup evaluate {run_} --episodes 1000", file=human)
    print(f"       {_resume(out)} --env-steps {2 * r['env_steps']}", file=human, flush=True)


def _new_directory(algo: str, env_id: str) -> Path:
    """runs/ppo-CartPole-v1-20261122-134500, made now, with a number behind it if that exists."""
    name = env_id.partition(":")[2].partition("?")[0].replace("/", "-")  # ALE/Pong-v5?episodic_life=true
    base = Path("runs") / f"{algo}-{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    for path in [base, *(base.with_name(f"{base.name}-{i}") for i in range(2, 1000))]:
        with contextlib.suppress(FileExistsError):  # also of another process at this very moment
            path.mkdir(parents=True)
            return path
    raise OutputError(f"{base} and 998 like it exist already: choose another --out")


# --- what one does with a run ------------------------------------------------------------------------------


def play(args: list[str]) -> None:
    """Draw an episode of a trained agent."""
    from swingup.play import PlayOptions, command

    options = parse(PlayOptions, "play", args)
    command(options, _load)


def _load(path: Path) -> Any:
    """A run, with JAX set up for it."""
    from swingup import config, experiment

    e = config.read_config(path)
    machine.set_up(e.algo, len(e.seeds))
    return experiment.load(path)


COMMANDS: dict[str, Callable[[list[str]], int | None]] = {
    "train": train,
    "resume": resume,
    "evaluate": lambda args: commands.evaluate(args, _load),
    "play": play,
    "plot": commands.plot,
    "digest": commands.digest,
    "list": commands.show,
    "check-env": commands.check,
    "lab": lambda args: import_module("swingup.lab").command(args),
}
