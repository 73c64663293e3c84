"""The best settings of a study are trained again on fresh seeds, beside those that it began with.

The score by which a setting was chosen is the highest of many, so luck has helped it. Fresh seeds have no part in the
choice: what they say is unbiased, whether it is good news or not.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from swingup import runs, statistics
from swingup.algos import name_of
from swingup.errors import ConfigError
from swingup.protocols import Algorithm
from swingup.ranges import values
from swingup.training.own import replaced
from swingup.tuning.blocks import Task
from swingup.tuning.study import Say, Trial, shown

BEST = 3
START = "start"  # the name of the settings that the search began with


class Candidate(NamedTuple):
    """A setting goes to the final under a name, which is that of its run's directory."""

    name: str
    algo: Algorithm
    about: str


def candidates(task: Task, trials: Sequence[Trial]) -> list[Candidate]:
    """Return the settings to begin with, and the best finished trials that differ, the best first."""
    chosen: list[Trial] = []
    finished = [t for t in trials if not t.scores.pruned and not t.scores.diverged]
    for trial in sorted(finished, key=lambda t: (-t.score, t.number)):
        if all(trial.settings != other.settings for other in chosen):
            chosen.append(trial)
    best = [
        Candidate(f"trial-{t.number:03d}", replaced(task.algo, t.settings), shown(t.settings))
        for t in chosen[:BEST]
    ]
    return [Candidate(START, task.algo, "the settings to begin with"), *best]


def compare(
    task: Task, trials: Sequence[Trial], directory: Path, seeds: Sequence[int], say: Say = print
) -> list[tuple[Candidate, runs.Run]]:
    """Train and evaluate the candidates on fresh seeds, each into a run directory; one that has finished is read."""
    ended = []
    for one in candidates(task, trials):
        path = directory / "final" / one.name
        if (path / "result.json").exists():
            run = runs.load(path)
            if run.experiment.seeds != tuple(seeds):
                raise ConfigError(
                    f"{path} has other seeds than this final: remove it, or give the same --fresh"
                )
        elif (path / "checkpoints").exists():
            say(f"final: {one.name} goes on")
            run = runs.resume(path)
        else:
            say(f"final: {one.name} on seeds {seeds[0]} to {seeds[-1]}")
            for left in (
                path / "config.json",
                path / "metrics.csv",
            ):  # of one that was killed before it saved
                left.unlink(missing_ok=True)
            run = runs.train(one.algo, task.env, env_steps=task.env_steps, seeds=seeds, out=path)
        ended.append((one, run))
    return ended


def report(task: Task, ended: Sequence[tuple[Candidate, runs.Run]], trials: int) -> list[str]:
    """Return the lines of the final's table, what may be said of it, and the best settings to paste."""
    scores = {one.name: run.final_return for one, run in ended}
    abouts = {one.name: one.about for one, _ in ended}
    lines = [
        *table(scores, abouts),
        "",
        f"chosen among {trials} trials; these seeds had no part in the choice",
    ]
    best = max(scores, key=lambda name: float(statistics.iqm(scores[name])))
    if best == START:
        return [*lines, "no trial is higher than the settings to begin with: keep those"]
    one = next(one for one, _ in ended if one.name == best)
    flags = ["swingup", "train", name_of(one.algo), str(task.env)]
    return [*lines, f"the settings of {best}:", f"  {pasted(one.algo)}", f"  {' '.join(flags)} {one.about}"]


def table(scores: Mapping[str, np.ndarray], abouts: Mapping[str, str]) -> list[str]:
    """Return the table of the final, the highest IQM first: each candidate against `START`, by a rank test.

    The p-values are Mann and Whitney's, adjusted by Holm over the candidates. With so few seeds that none of them
    could be below 5 % nothing is said.
    """
    others = [name for name in scores if name != START]
    p = statistics.holm([statistics.mann_whitney(scores[START], scores[name]) for name in others])
    least = statistics.smallest_p(len(scores[START]), len(scores[START])) * len(others)
    said = {START: ""}
    for name, x in zip(others, p, strict=True):
        higher = statistics.probability_of_improvement(scores[name], scores[START])
        if least > statistics.LEVEL:
            said[name] = "too few seeds to say"
        elif x < statistics.LEVEL:
            said[name] = (
                f"{'higher' if higher > 0.5 else 'lower'}: it wins {higher:.0%} of pairs, p = {x:.2g}"
            )
        else:
            said[name] = f"not told apart, p = {x:.2g}; that does not show them equal"
    rows = [["", "seeds", "IQM", "worst seed", "settings", f"against {START}"]]
    for name in sorted(scores, key=lambda n: -float(statistics.iqm(scores[n]))):
        numbers = [f"{statistics.iqm(scores[name]):.1f}", f"{scores[name].min():.1f}"]
        rows.append([name, str(len(scores[name])), *numbers, abouts[name], said[name]])
    wide = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    return ["   ".join(cell.ljust(n) for cell, n in zip(row, wide, strict=True)).rstrip() for row in rows]


def pasted(algo: Any) -> str:
    """Write settings as Python code, with what differs from the algorithm's defaults.

    >>> from swingup.algos.ppo import PPO
    >>> pasted(PPO(lr=1e-3, hidden=(32, 32)))
    'swingup.PPO(lr=0.001, hidden=(32, 32))'
    """
    usual = values(type(algo)())
    changed = {name: x for name, x in values(algo).items() if x != usual[name]}
    return f"swingup.{type(algo).__name__}({', '.join(f'{n}={x!r}' for n, x in changed.items())})"
