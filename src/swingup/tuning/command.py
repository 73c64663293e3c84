"""A study from its settings to its report, in one directory that one process at a time may write."""

from pathlib import Path
from typing import Any

from swingup import files
from swingup.algos import name_of
from swingup.errors import ConfigError
from swingup.protocols import Algorithm, env_steps
from swingup.runs import claims, settings
from swingup.tuning import final, journal
from swingup.tuning.blocks import Task
from swingup.tuning.space import parse, space
from swingup.tuning.study import Plan, Say, search

NAME = "tune.json"


def run(algo: Algorithm, env: str, steps: int, options: Any, out: Path, say: Say = print) -> None:
    """Tune, from the beginning or from where a session was stopped; `options` are those of the command.

    Raises `ConfigError` for a space or a budget that cannot be, for a directory that holds another study or a run, and
    without Optuna; `OutputError` if another process is at work in the directory, or it cannot be written.
    """
    journal.optuna()
    ranges = space(algo, parse(options.search))
    if steps <= env_steps(algo, 0):
        raise ConfigError(f"--env-steps {steps} would end in the warm-up: ask for more")
    task = Task(algo, env, steps, tuple(range(options.seeds)), options.looks)
    plan = Plan(task, ranges, options.trials, options.together, options.seed)
    out = files.home(out)
    if (out / "config.json").exists():
        raise ConfigError(f"{out} holds a run: choose another --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise files.output_error(out, error) from error
    with claims.locked(out):
        claim(plan, out)
        searched = "   ".join(f"{n} {r.low:g} to {r.high:g} ({r.scale})" for n, r in ranges.items())
        say(f"searched    {searched}")
        trials = search(plan, out, say)
        pruned = sum(t.scores.pruned for t in trials)
        diverged = sum(bool(t.scores.diverged) for t in trials)
        say(f"\n{len(trials)} trials, of which {pruned} were given up early and {diverged} diverged")
        if not options.fresh:
            return
        first = max(task.seeds) + 1
        ended = final.compare(task, trials, out, range(first, first + options.fresh), say)
        for line in ["", *final.report(task, ended, len(trials))]:
            say(line)


def claim(plan: Plan, out: Path) -> None:
    """Write tune.json, or find the same study there. More trials than it had are allowed. Raises `ConfigError`."""
    t = plan.task
    about = {
        "algo": settings.to_json(t.algo),
        "name": name_of(t.algo),
        "env": t.env,
        "env_steps": t.env_steps,
    }
    how = {"seeds": list(t.seeds), "looks": t.looks, "together": plan.together, "seed": plan.seed}
    ours = {"format": 1} | about | how | {"space": {n: list(r) for n, r in plan.space.items()}}
    path = out / NAME
    if path.exists():
        theirs = files.read_json(path, error=ConfigError)
        if not isinstance(theirs, dict):
            raise ConfigError(f"{path} is damaged: tune into another directory")
        differ = [name for name in ours if theirs.get(name) != ours[name]]
        if differ:
            raise ConfigError(
                f"{out} holds another study, which differs in {', '.join(differ)}: choose another --out, or give "
                "the same options"
            )
        return
    if (out / journal.NAME).exists():
        raise ConfigError(f"{out} has a {journal.NAME} of somebody else: choose another --out")
    files.write_json(path, ours)
