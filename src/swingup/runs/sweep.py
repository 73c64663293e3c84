"""A sweep is a grid in a directory. It trains what is missing there, block by block.

grid.json             settings, seeds, plan of blocks, versions, command: written before anything else
003_lr-0.001_clip-0.2/  the run of one setting, like any other: play, plot, evaluate, resume
blocks/012/           checkpoints of a block that is underway
table.csv             all settings, the best first                  curves.png  learning curves (also .svg, .csv)
"""

import shlex
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax

from swingup import files
from swingup.errors import ConfigError, OutputError
from swingup.runs import claims, jobs, outcome, pool
from swingup.runs.cluster import Cluster
from swingup.runs.cluster import run as on_cluster
from swingup.runs.experiment import Experiment, versions
from swingup.runs.grid import Grid, shown
from swingup.runs.outcome import Outcome
from swingup.runs.plan import Plan
from swingup.training import machine
from swingup.training.callbacks import Console

FILE = "grid.json"


class Sweep(NamedTuple):
    """A grid has a directory."""

    path: Path
    names: tuple[str, ...]  # of the runs' directories
    varied: tuple[dict[str, Any], ...]  # what each run varies
    experiments: tuple[Experiment, ...]
    plan: Plan
    processes: int

    @property
    def paths(self) -> list[Path]:
        """Return the directories of the runs."""
        return [self.path / name for name in self.names]

    @property
    def missing(self) -> list[int]:
        """Return the numbers of the blocks in which a run has no result yet."""
        return [
            k
            for k, part in enumerate(self.plan.parts)
            if not all(jobs.done(self.paths[i]) for i in part.runs)
        ]

    def home(self, k: int) -> Path:
        """Return the directory of a block's checkpoints: that of its run if it is the only one."""
        part = self.plan.parts[k]
        alone = len(part.runs) == 1 and part.rows == len(self.experiments[part.runs[0]].seeds)
        return self.paths[part.runs[0]] if alone else self.path / "blocks" / f"{k:03d}"

    def job(self, k: int) -> dict[str, Any]:
        """Return the arguments of `jobs.work` for a block."""
        part = self.plan.parts[k]
        paths = [self.paths[i] for i in part.runs]
        return {"block": part.block(self.experiments), "paths": paths, "home": self.home(k)}

    @property
    def outcomes(self) -> list[Outcome | None]:
        """Return how each run ended; None: it was not begun, or was killed."""
        return [outcome.read(path) for path in self.paths]


def opened(grid: Grid, out: str | Path, processes: int = 0, devices: int = 0) -> Sweep:
    """Make a grid's directory, with grid.json in it before anything else; or open one that holds this very grid.

    The plan is made for the devices that JAX has, with `processes` for as many cores as each of them gets, or for as
    many `devices` as are said. A grid that is there keeps its plan. Raises `ConfigError` if it is another grid,
    `OutputError` if it cannot be written.
    """
    path = files.home(out)
    if processes < 0 or (processes and not isinstance(grid.env, str)):
        raise ConfigError(
            f"processes must be 0 or more, and need an environment with an id: {processes} with {grid.env!r:.60}"
        )
    if (path / FILE).exists():
        return _same(grid, read(path, None if isinstance(grid.env, str) else grid.env), processes)
    if (path / "config.json").exists():
        raise OutputError(f"{path} holds a single run: choose another --out for the grid")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise files.output_error(path, error) from error
    own = max(1, machine.cores() // processes) if processes else jax.local_device_count()
    made = Sweep(
        path, tuple(grid.names), tuple(grid.settings), grid.experiments, grid.plan(devices or own), processes
    )
    runs = [
        {"name": name, "varied": {n: _plain(x) for n, x in one.items()}, "config": e.to_json()}
        for name, one, e in zip(made.names, made.varied, made.experiments, strict=True)
    ]
    about = {"plan": made.plan.to_json(), "processes": processes, "versions": versions()}
    try:
        data = files.to_json({"format": 1, "command": grid.command, "runs": runs, **about})
    except ValueError:
        raise ConfigError(
            f"a grid of {len(runs):,} settings is too large: cut it into several grids"
        ) from None
    try:
        claims.write_new(path / FILE, data)
    except FileExistsError:
        return _same(grid, read(path), processes)
    return made


def read(path: str | Path, env: Any = None) -> Sweep:
    """Read a grid's directory. Raises `ConfigError` if it is none, or damaged."""
    path = files.home(path)
    if not (path / FILE).exists():
        raise ConfigError(f"{path} is not the directory of a grid: it has no {FILE}")
    data = files.read_json(path / FILE, error=ConfigError)
    try:
        if data["format"] != 1:
            raise ConfigError(f"{path / FILE} is not of format 1")
        names = tuple(one["name"] for one in data["runs"])
        if not all(isinstance(name, str) and Path(name).name == name for name in names):
            raise TypeError("a run's name is no name")
        varied = tuple(dict(one["varied"]) for one in data["runs"])
        experiments = tuple(Experiment.from_json(one["config"], env) for one in data["runs"])
        made = Plan.from_json(data["plan"])
        if sorted(i for part in made.parts for i in part.runs) != list(range(len(names))):
            raise TypeError("the plan has not each run once")
        found = Sweep(path, names, varied, experiments, made, int(data["processes"]))
        theirs: dict[str, str] = dict(data["versions"])
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{path / FILE} is damaged: {error}") from None
    now = versions()
    if found.missing and (other := [n for n in theirs if n in now and theirs[n] != now[n]]):
        changes = ", ".join(f"{n} {theirs[n]} is {now[n]} now" for n in other)
        warnings.warn(f"the grid was begun with other versions: {changes}; bits may differ", stacklevel=2)
    return found


def _same(grid: Grid, there: Sweep, processes: int) -> Sweep:
    """Return the grid that is there. Raises `ConfigError` if it is another one."""
    theirs, ours = ([_flat(e) for e in all_] for all_ in (there.experiments, grid.experiments))
    if theirs != ours:
        raise ConfigError(
            f"{there.path} holds another grid ({_difference(theirs, ours)}): choose another --out, or continue it: "
            f"swingup resume {shlex.quote(str(there.path))}"
        )
    return there._replace(processes=processes)


def _flat(e: Experiment) -> dict[str, Any]:
    """Return settings as JSON on one level, without the command."""
    data = e.to_json()
    del data["command"]
    return data.pop("algo") | data


def _difference(theirs: list[dict], ours: list[dict]) -> str:
    """Say in which settings two grids differ, and how."""
    found = []
    for name in dict.fromkeys(n for one in (*theirs, *ours) for n in one):
        values = [list(dict.fromkeys(shown(one.get(name)) for one in all_)) for all_ in (theirs, ours)]
        if values[0] != values[1]:
            found.append(f"{name} is {' '.join(values[0])} there and {' '.join(values[1])} here")
    return "; ".join(found[:3]) or "the same values in another order"


def _plain(x: Any) -> Any:
    return list(x) if isinstance(x, tuple) else x


def finish(
    sweep: Sweep,
    *,
    console: Callable[[], Console] | None = None,
    tell: Callable[[str], None] = lambda text: None,
    signals: bool = False,
    cluster: Cluster | None = None,
) -> int:
    """Train what is missing, one block after the other, in processes or on a cluster.

    Returns the signal that stopped it, or 0.

    `tell` is called with a line now and then. A run whose environment fails is noted, and the others go on; the next
    time it is tried again. Raises `OutputError` while another process is at this grid.
    """
    with claims.locked(sweep.path):
        missing = sweep.missing
        if cluster and missing:
            texts = {k: jobs.text(devices=sweep.plan.devices, **sweep.job(k)) for k in missing}
            signum = on_cluster(texts, sweep.path, cluster, tell)
            if not sweep.missing:
                shutil.rmtree(sweep.path / "attempts", ignore_errors=True)
            return signum
        if sweep.processes and missing:
            texts = {k: jobs.text(devices=sweep.plan.devices, **sweep.job(k)) for k in missing}
            return pool.run(texts, sweep.path / "jobs", sweep.processes, tell)
        for number, k in enumerate(missing, start=1):
            names = ", ".join(sweep.names[i] for i in sweep.plan.parts[k].runs)
            tell(f"block {number} of {len(missing)}   {names if len(names) < 90 else names[:87] + '...'}")
            shown_ = console() if console else None
            ended = jobs.work(**sweep.job(k), console=shown_, signals=signals)
            if stopped := next((x.outcome.signum for x in ended if x.outcome.kind == "stopped"), 0):
                return stopped
            for one in ended:
                if one.outcome.kind == "failed" or one.outcome.diverged:
                    tell(f"{one.path and one.path.name}   {one.outcome.kind}: {one.outcome.reason}")
        if not sweep.missing:
            shutil.rmtree(sweep.path / "blocks", ignore_errors=True)
    return 0
