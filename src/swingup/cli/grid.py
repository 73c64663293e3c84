"""The command `grid` is read and run here: several values of flags are a product."""

import re
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TextIO

import swingup
from swingup.algos import ALGOS
from swingup.cli.flags import File, Int, Name, Text, parse
from swingup.cli.train import new_directory
from swingup.errors import ConfigError, unknown
from swingup.ranges import values
from swingup.training import machine


@dataclass(frozen=True)
class GridOptions:
    env_steps: Int = None  # env steps per seed; default: the preset's, else 500,000
    seeds: int = 1  # how many seeds of each setting
    seed: int = 0  # the first seed; the others follow it
    out: File = None  # the grid's directory; default: a new one under runs/
    episodes: int = 100  # episodes of the final evaluation, per seed
    log_interval: int = 0  # iterations between rows of metrics.csv; 0: a hundredth of the run
    checkpoint_interval: int = 0  # iterations between checkpoints; 0: a twentieth of the run
    eval_interval: int = 0  # iterations between greedy evaluations while training; 0: only at the end
    eval_limit: Int = None  # env steps after which evaluations cut an episode; default: at its end
    processes: int = 0  # blocks at a time, each in a process of its own; 0: one after the other in this one
    engine: Text = ""  # "ray": blocks are tasks of Ray
    address: Name = None  # of a Ray cluster, as host:port; default: Ray is started on this machine
    cpus: int = 1  # CPUs of each task of Ray
    gpus: float = 0.0  # GPUs of each task of Ray
    dry_run: bool = False  # only say what would be trained, in how many programs, and how long it takes


USAGE = "ALGO ENV --HYPERPARAMETER VALUE VALUE ..."
ABOUT = """\
  swingup grid ppo CartPole-v1 --lr 1e-3 3e-4 --clip 0.1 0.2 --seeds 10
  swingup grid ppo CartPole-v1 --hidden 64,64 256,256 --normalise-obs True False --seeds 10 --dry-run

Several values of a hyperparameter are tried in all combinations; widths of layers stand with commas between.
`swingup train ALGO ENV --help` lists the hyperparameters."""


def grid(args: list[str]) -> int:
    """Train the product of several values of hyperparameters, each setting with the same seeds."""
    if {"-h", "--help"} & set(args):
        parse(GridOptions, f"grid {USAGE}", ["--help"], description=ABOUT)  # it exits
    if len(args) < 2:
        print(f"usage: swingup grid {USAGE} [OPTIONS]\n\n{ABOUT}")
        return 2
    algo, env = args[:2]
    if algo not in ALGOS:
        raise ConfigError(
            f"{unknown('algorithm', algo, ALGOS)}; the two names stand first: swingup grid ALGO ENV"
        )
    if env.startswith("-"):
        raise ConfigError(f"the environment stands behind the algorithm: swingup grid {algo} ENV {env} ...")
    from swingup.envs import canonical
    from swingup.presets import defaults

    env = canonical(env)
    known = defaults(algo, env)
    options, settings, vary = read_flags(algo, known.algo, args[2:])
    print(f"swingup {swingup.__version__}   grid of {algo} on {env}", flush=True)
    cores = max(1, machine.cores() // options.processes) if options.processes > 0 else machine.cores()
    machine.set_up(settings, count=cores)
    from swingup.runs import sweep
    from swingup.runs.cluster import Cluster, wanted
    from swingup.runs.grid import Grid

    given = Cluster(options.address, options.cpus, options.gpus)
    cluster = wanted(options.engine, given, options.processes)
    if options.seeds < 1:
        raise ConfigError(f"--seeds must be at least 1, not {options.seeds}")
    made = Grid(
        settings,
        env,
        vary,
        known.env_steps if options.env_steps is None else options.env_steps,
        tuple(range(options.seed, options.seed + options.seeds)),
        *(options.episodes, options.log_interval, options.checkpoint_interval),
        *(options.eval_interval, options.eval_limit),
        command=shlex.join(["swingup", "grid", *args]),
    )
    if options.dry_run:
        from swingup.runs.forecast import forecast

        plan = made.plan(cluster.cpus if cluster else cores)
        print("\n".join(about(plan, made.experiments)), flush=True)
        for line in forecast(made, plan, options.processes):
            print(line, flush=True)
        return 0
    out = options.out or new_directory(f"grid-{algo}", env)
    opened = sweep.opened(made, out, options.processes, cluster.cpus if cluster else 0)
    return finish(opened, sys.stdout, cluster)


def read_flags(
    algo: str, settings: Any, args: list[str]
) -> tuple[GridOptions, Any, dict[str, Sequence[Any]]]:
    """Split flags into the grid's options, the settings that all have, and {hyperparameter: its several values}.

    Each value is read by the parser of `swingup train`, so that what it takes and what it says is the same.
    """
    names, own = {f.name for f in fields(settings)}, {f.name for f in fields(GridOptions)}
    rest, given = [], {}
    for flag, words in grouped(args):
        name = flag.removeprefix("--").replace("-", "_")
        if name not in names and not (name.startswith("no_") and name[3:] in names):
            if name not in own and not (name.startswith("no_") and name[3:] in own):
                known = [f"--{x.replace('_', '-')}" for x in (*names, *own)]
                raise ConfigError(unknown("flag", flag, known))
            rest += [flag, *words]
            continue
        if name.removeprefix("no_") in {known.removeprefix("no_") for known in given}:
            raise ConfigError(f"{flag} stands twice: give all of its values behind one")
        given[name] = flag, words or [""]
    options = parse(GridOptions, f"grid {algo}", rest)
    # All that have one value are read at once, because some are right only beside others.
    alone = [(flag, name, words[0]) for name, (flag, words) in given.items() if len(words) == 1]
    fixed = [word for one in alone for word in _words(settings, *one)]
    settings = parse(type(settings), f"grid {algo}", fixed, default=settings)
    vary: dict[str, Sequence[Any]] = {
        name: [_one(algo, settings, flag, name, word) for word in words]
        for name, (flag, words) in given.items()
        if len(words) > 1
    }
    if not vary:
        raise ConfigError(
            "a grid needs several values of a hyperparameter, such as --lr 1e-3 3e-4; for one setting there is "
            f"swingup train {algo}"
        )
    return options, settings, vary


def grouped(args: list[str]) -> list[tuple[str, list[str]]]:
    """Return flags with the words behind each; a number may be negative.

    >>> grouped(["--lr", "1e-3", "3e-4", "--log-std-init", "-1", "--clip=0.2"])
    [('--lr', ['1e-3', '3e-4']), ('--log-std-init', ['-1']), ('--clip', ['0.2'])]
    """
    found: list[tuple[str, list[str]]] = []
    for word in args:
        if word.startswith("-") and not re.fullmatch(r"-[\d.].*", word):
            flag, equals, value = word.partition("=")
            found.append((flag, [value] if equals else []))
        elif not found:
            raise ConfigError(f"{word!r} is no flag: one algorithm, one environment, then flags")
        else:
            found[-1][1].append(word)
    return found


def _one(algo: str, settings: Any, flag: str, name: str, word: str) -> Any:
    """Read one of several values of a hyperparameter."""
    words = _words(settings, flag, name, word)
    return values(parse(type(settings), f"grid {algo}", words, default=settings))[name.removeprefix("no_")]


def _words(settings: Any, flag: str, name: str, word: str) -> list[str]:
    """Write a value as `swingup train` reads it: widths have commas here, a truth is True, False or the flag alone."""
    flag = flag.replace("_", "-")
    if not isinstance(values(settings)[name.removeprefix("no_")], bool):
        return [flag, *(x for x in word.split(",") if x)]
    truths = {"": flag, "True": flag, "False": flag.replace("--", "--no-", 1)}
    if word not in truths:
        raise ConfigError(f"{flag} is True or False, not {word!r}")
    return [truths[word]]


def resume(path: Path) -> int:
    """Go on with a grid in its directory."""
    from swingup.runs import sweep

    there = sweep.read(path)
    machine.set_up(there.experiments[0].algo, count=there.plan.devices)
    print(f"swingup {swingup.__version__}   resuming the grid {path}", flush=True)
    return finish(there, sys.stdout)


def finish(there: Any, human: TextIO, cluster: Any = None) -> int:
    """Train what is missing of a grid; then write and print its table. Returns the exit code."""
    from swingup import files
    from swingup.runs import ranking, sweep
    from swingup.training.callbacks import Console

    began, missing = time.monotonic(), len(there.missing)
    print(f"directory   {there.path}", file=human)
    print("\n".join(about(there.plan, there.experiments)), file=human)
    done = len(there.plan.parts) - missing
    if done:
        print(f"done        {counted(done)} already; {missing or 'none'} missing", file=human)

    def tell(text: str) -> None:
        print(text, file=human, flush=True)

    again = f"continue with: {shlex.join(['swingup', 'resume', str(there.path)])}"
    try:
        signum = sweep.finish(there, console=lambda: Console(human), tell=tell, signals=True, cluster=cluster)
    except KeyboardInterrupt:
        signum = 2
    if signum:
        print(f"\nstopped; {again}", file=human, flush=True)
        return 128 + signum
    rows = ranking.ranking(there)
    files.write_atomic(there.path / "table.csv", ranking.to_csv(there, rows))
    print("", *ranking.table(there, rows), "", *ranking.sentences(there, rows), "", sep="\n", file=human)
    print(f"table:  {there.path / 'table.csv'}", file=human)
    try:
        curves = there.path / "curves.png"
        print(
            f"curves: {ranking.figure(there, rows)[0] if missing or not curves.exists() else curves}",
            file=human,
        )
    except ConfigError as error:
        print(f"no learning curves: {error}", file=human)
    if rows:
        best = shlex.quote(str(there.paths[rows[0].run]))
        print(f"next:   swingup play {best} --out agent.gif", file=human)
    print(f"it took {time.monotonic() - began:.1f} s", file=human, flush=True)
    failed = [i for i, ended in enumerate(there.outcomes) if ended is None or ended.kind == "failed"]
    return 1 if failed else 0


def about(plan: Any, experiments: Sequence[Any]) -> list[str]:
    """Return the lines that say what a plan trains."""
    runs = sum(len(e.seeds) for e in experiments)
    sizes = sorted({part.rows for part in plan.parts})
    return [
        f"settings    {len(experiments)}, {runs} runs with their seeds, {experiments[0].env_steps:,} env steps each",
        f"programs    {plan.programs} to compile; {counted(len(plan.parts))} of {' or '.join(map(str, sizes))} rows "
        f"on {plan.devices} device{'s' * (plan.devices > 1)}",
    ]


def counted(blocks: int) -> str:
    return f"{blocks} block{'s' * (blocks != 1)}"
