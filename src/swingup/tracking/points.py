"""A point is what a tracker is sent of one log point of a run: means over seeds, and the return of each seed."""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

Row = dict[str, float]
HEAD = ("seed", "iteration", "env_steps", "seconds")  # the columns of metrics.csv that are no metrics
RETURN = "ep/return"
# Other people's names of what a point has: {theirs: ours}.
ALIASES = {
    "charts/episodic_return": "ep/return",  # CleanRL, and what openrlbenchmark reads
    "charts/episodic_length": "ep/length",
    "rollout/ep_rew_mean": "ep/return_last100",  # Stable-Baselines3: of the last 100 episodes
    "eval/mean_reward": "eval/return",
    "global_step": "env_steps",
}


class Point(NamedTuple):
    """A point is one log point of a run. What was not measured is not in `values`."""

    env_steps: int  # of each seed
    iteration: int
    seconds: float  # of training, since the run began
    values: dict[str, float]  # by name: our metrics, each seed's return, and the aliases


def points(rows: Iterable[Row]) -> list[Point]:
    """Return the points of rows of metrics.csv, whose seeds stand one after the other at each log point.

    >>> head = {"iteration": 1, "env_steps": 8, "seconds": 0.5}
    >>> rows = [{"seed": s, **head, "ep/return": float(s), "kl": math.nan} for s in (2, 4)]
    >>> points(rows)[0].values["ep/return"], points(rows)[0].values["ep/return/seed_4"]
    (3.0, 4.0)
    """
    together: dict[int, list[Row]] = {}
    for row in rows:
        together.setdefault(int(row["iteration"]), []).append(row)
    return [_point(group) for group in together.values()]


def _point(rows: list[Row]) -> Point:
    head, metrics = rows[0], [name for name in rows[0] if name not in HEAD]
    steps, iteration, seconds = int(head["env_steps"]), int(head["iteration"]), head["seconds"]
    values: dict[str, float] = {"env_steps": steps, "seconds": seconds}
    for name in metrics:
        finite = [row[name] for row in rows if math.isfinite(row[name])]
        if finite:
            values[name] = math.fsum(finite) / len(finite)
    if len(rows) > 1 and RETURN in metrics:
        each = {f"{RETURN}/seed_{int(row['seed'])}": row[RETURN] for row in rows}
        values |= {name: x for name, x in each.items() if math.isfinite(x)}
    values |= {theirs: values[ours] for theirs, ours in ALIASES.items() if ours in values}
    return Point(steps, iteration, seconds, values)


def aliased(config: dict[str, Any], algo: str) -> dict[str, Any]:
    """Return the settings of a run with the names beside them by which openrlbenchmark finds runs."""
    return config | {"env_id": str(config["env"]).partition(":")[2] or config["env"], "exp_name": algo}
