"""A ranking is the table of a grid: its settings, the best first, and which of them can be told apart from the best."""

import csv
import io
import math
import shlex
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from swingup import files, statistics
from swingup.algos import name_of
from swingup.errors import ConfigError
from swingup.presets import defaults
from swingup.ranges import values
from swingup.runs.experiment import Experiment
from swingup.runs.grid import shown
from swingup.runs.sweep import Sweep

SHOWN = 10  # curves in a figure, at most


class Row(NamedTuple):
    """This is said of one setting."""

    run: int  # its number
    scores: np.ndarray  # the final return of each seed; -inf of one that diverged: it is below all others
    iqm: float
    low: float  # 95 % bootstrap interval of the IQM; NaN under 3 seeds, or where a seed diverged
    high: float
    p: float  # of `mann_whitney` against the best, times the number of all pairs of settings; NaN of the best
    verdict: str


def ranking(sweep: Sweep) -> list[Row]:
    """Order the settings that have a result by the IQM of their seeds' final returns."""
    found = []
    for i, path in enumerate(sweep.paths):
        if (path / "result.json").exists():
            returns = files.read_json(path / "result.json", error=ConfigError)["final_return"]
            found.append((i, np.array([-np.inf if x is None else x for x in returns], float)))
    rows = [_row(i, scores) for i, scores in found]
    rows.sort(key=lambda row: (-row.iqm, -np.mean(row.scores), row.run))
    return judged(rows)


def _row(i: int, scores: np.ndarray) -> Row:
    low, high = math.nan, math.nan
    if len(scores) >= statistics.MIN_RUNS:
        low, high = statistics.bootstrap_ci(scores, statistics.iqm)
    return Row(i, scores, float(statistics.iqm(scores)), low, high, math.nan, "")


def judged(rows: Sequence[Row]) -> list[Row]:
    """Say of each row, sorted, whether its seeds tell it apart from the first one.

    The same seeds have chosen the best one, so it has been compared with all of them: each p-value is multiplied by
    the number of all pairs (Bonferroni). Over the pairs with the best alone, the highest of 16 equal settings would be
    told apart from another in 12 % of grids (`benchmarks/conclusions.py`). With so few seeds that no p-value could be
    below 5 % then, nothing is said.
    """
    if len(rows) < 2:
        return [row._replace(verdict="the best") for row in rows]
    best, others = rows[0], rows[1:]
    pairs = math.comb(len(rows), 2)
    p = [min(1.0, pairs * statistics.mann_whitney(best.scores, row.scores)) for row in others]
    least = min(statistics.smallest_p(len(best.scores), len(row.scores)) for row in others)
    few = pairs * least > statistics.LEVEL

    def verdict(x: float) -> str:
        if few:
            return "too few seeds to say"
        return "lower" if x < statistics.LEVEL else "not told apart"

    told = [row._replace(p=float(x), verdict=verdict(float(x))) for row, x in zip(others, p, strict=True)]
    return [best._replace(verdict="the best"), *told]


def table(sweep: Sweep, rows: Sequence[Row]) -> list[str]:
    """Return the lines of the table, with what no row can be made of at its end."""
    names = list(sweep.varied[0])
    head = ["", *names, "seeds", "IQM", "95 % interval", "worst seed", "diverged", "against the best"]
    cells = [head]
    for place, row in enumerate(rows, start=1):
        e = sweep.experiments[row.run]
        at, lost = int(np.argmin(row.scores)), int(np.isneginf(row.scores).sum())
        interval = f"[{row.low:.1f}, {row.high:.1f}]" if math.isfinite(row.low) else "none"
        worst = f"{row.scores[at]:.1f} (seed {e.seeds[at]})" if not lost else f"diverged (seed {e.seeds[at]})"
        settings = [shown(x) for x in sweep.varied[row.run].values()]
        middle = f"{row.iqm:.1f}" if math.isfinite(row.iqm) else "none"
        numbers = [str(len(row.scores)), middle, interval, worst, str(lost)]
        p = f" (p = {row.p:.2g})" if row.verdict in ("lower", "not told apart") else ""
        cells.append([str(place), *settings, *numbers, row.verdict + p])
    ranked = {row.run for row in rows}
    for i, ended in enumerate(sweep.outcomes):
        if i not in ranked:
            what = (
                f"{ended.kind}: {ended.reason.splitlines()[0]}" if ended and ended.reason else "not finished"
            )
            cells.append(["", *(shown(x) for x in sweep.varied[i].values()), *[""] * 5, what])
    wide = [max(len(row[k]) for row in cells) for k in range(len(head))]
    return ["   ".join(cell.ljust(n) for cell, n in zip(row, wide, strict=True)).rstrip() for row in cells]


def to_csv(sweep: Sweep, rows: Sequence[Row]) -> bytes:
    """Write the table as CSV, the best first: what varies, the numbers, and the run's directory."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    numbers = ["seeds", "iqm", "low", "high", "worst", "worst_seed", "diverged", "p", "verdict", "run"]
    writer.writerow([*sweep.varied[0], *numbers])
    for row in rows:
        at, lost = int(np.argmin(row.scores)), int(np.isneginf(row.scores).sum())
        values_ = [row.iqm, row.low, row.high, row.scores[at]]
        digits = [f"{x:.12g}" if math.isfinite(x) else "" for x in values_]
        p = f"{row.p:.6g}" if math.isfinite(row.p) else ""
        settings = [shown(x) for x in sweep.varied[row.run].values()]
        seed = sweep.experiments[row.run].seeds[at]
        writer.writerow(
            [*settings, len(row.scores), *digits, seed, lost, p, row.verdict, sweep.names[row.run]]
        )
    return out.getvalue().encode()


def sentences(sweep: Sweep, rows: Sequence[Row]) -> list[str]:
    """Return what may be said of the table, and the command that confirms its best setting on fresh seeds."""
    if not rows:
        return ["no setting has a result"]
    said, many, best = [], len(rows), rows[0]
    lower = sum(row.verdict == "lower" for row in rows)
    alike = sum(row.verdict == "not told apart" for row in rows)
    if many > 1 and rows[1].verdict == "too few seeds to say":
        said.append(
            f"{len(best.scores)} seeds each cannot tell {many} settings apart: nothing is concluded; add seeds"
        )
    elif many > 1:
        said.append(
            f"{lower} of {many - 1} settings are lower than the best (Mann-Whitney, Bonferroni over "
            f"{math.comb(many, 2)} pairs); these seeds do not tell the other {alike} apart from it, "
            "which does not show them equal"
        )
    if many > 1:
        said.append(
            f"the best is the highest of {many} on the seeds that chose it, which is optimistic; confirm it:"
        )
    if command := confirming(sweep.experiments[best.run]):
        said.append(f"  {command}")
    return said


def confirming(e: Experiment) -> str:
    """Return the command that trains a setting on as many fresh seeds; "" for an environment without an id."""
    if not isinstance(e.env, str):
        return ""
    algo, n = name_of(e.algo), len(e.seeds)
    known = defaults(algo, e.env)
    flags = []
    theirs = values(known.algo)
    for name, x in values(e.algo).items():
        if isinstance(x, np.ndarray) or x == theirs[name]:
            continue
        flag = name.replace("_", "-")
        if isinstance(x, bool):
            flags.append(f"--{flag}" if x else f"--no-{flag}")
        else:
            flags += [f"--{flag}", *(map(str, x) if isinstance(x, tuple) else [f"{x}"])]
    rest = ["--env-steps", str(e.env_steps)] if e.env_steps != known.env_steps else []
    seeds = ["--seed", str(max(e.seeds) + 1), "--seeds", str(n)]
    return shlex.join(["swingup", "train", algo, e.env, *flags, *rest, *seeds])


def figure(sweep: Sweep, rows: Sequence[Row]) -> list[Any]:
    """Draw the learning curves of the best settings, `SHOWN` at most; return the paths that are written."""
    from swingup.plots.curves import plot

    best = [sweep.paths[row.run] for row in rows[:SHOWN]]
    about = f"{sweep.experiments[0].env_name}: the best {len(best)} of {len(sweep.names)} settings"
    return plot(best, sweep.path / "curves.png", statistic="iqm", title=about)
