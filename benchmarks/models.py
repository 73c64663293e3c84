"""Measure planning in a model, the exact one and a learnt one: returns per start and per seed, and what they cost.

    python benchmarks/models.py                             all tasks, 10 seeds each
    python benchmarks/models.py --only pets-swing-up --seeds 3
    python benchmarks/models.py --table                     only rewrite the table from the stored results

MPC plays fixed starts, the same for all settings: a start is worth what the best plan from there is, so means over
other starts cannot be compared. The seeds of PETS are trained side by side in one program (`arms.py`). Results go to
`benchmarks/results/models.json` (every start, every seed, every trial) and `.md`. A second call measures only what is
missing there.
"""

import os

os.environ.setdefault(
    "NPROC", "1"
)  # one thread for XLA, so that seconds of the processor are seconds of work

import argparse
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

import arms
from arms import EPISODES, Arm, Row
from swingup.envs import make
from swingup.episodes import evaluate
from swingup.presets import preset
from swingup.statistics import mean_ci
from swingup.training import driver

RESULTS = Path(__file__).parent / "results" / "models.json"
OPTIMUM = RESULTS.with_name("optimum.json")


class Planned(NamedTuple):
    """MPC plays fixed starts with the exact model, by its preset or with some settings changed."""

    env: str
    starts: int
    bar: str
    changes: dict[str, Any] = {}  # noqa: RUF012  nobody writes to it


class Learnt(NamedTuple):
    """PETS learns with the settings of its preset; `reached` is the return of a trial whose first time is told."""

    env: str
    reached: float
    bar: str


LONGER = {"horizon": 25, "candidates": 500, "search_iterations": 10, "sigma": 1.0, "momentum": 0.2}
TASKS: dict[str, Planned | Learnt] = {
    "mpc-pendulum": Planned("gymnax:Pendulum-v1", 50, "mean at least -150"),
    "mpc-pendulum-longer": Planned("gymnax:Pendulum-v1", 50, "mean at least -150", LONGER),
    "mpc-swing-up": Planned("task:CartPoleSwingUp", 10, "at least 175 of 200, from every start"),
    "pets-swing-up": Learnt(
        "task:CartPoleSwingUp", 170, "170 by 2,000 env steps in 9 of 10 seeds, 60 s each"
    ),
    "pets-pendulum": Learnt(
        "gymnax:Pendulum-v1", -160, "mean at least -160 after 1,200 env steps, reward learnt"
    ),
}


def plan(task: Planned) -> Row:
    """Play the fixed starts with the preset of MPC."""
    known = preset("mpc", task.env)
    assert known is not None
    algo, env = replace(known.algo, **task.changes), make(task.env, task.starts)
    learner = algo.init(make(task.env, algo.num_envs), jax.random.key(0)).learner

    @jax.jit
    def play(key: jax.Array) -> jax.Array:
        memory = algo.start_memory(env.action_space, task.starts)
        return evaluate(env, lambda seen, _: algo.act(learner, seen), key, memory=memory, draw=algo.draw)[0]

    began = time.process_time()
    returns = np.asarray(play(driver.root_key(0, "fixed starts")), float)
    return {"returns": returns.round(2).tolist(), "seconds": round(time.process_time() - began, 1)}


def learn(task: Learnt) -> Arm:
    """Return the preset of PETS as an arm, one look after each trial; greedy episodes come after the last one."""
    known = preset("pets", task.env)
    assert known is not None
    trials = known.env_steps // known.algo.env_steps_per_iteration
    return Arm(known.algo, task.env, known.env_steps, looks=trials, judged=False)


def reached(row: Row, bar: float) -> int | None:
    """Return the real env steps after the first trial that earned the bar; None if none did."""
    good = [at for at, earned in row["episodes"] if earned >= bar]
    return good[0] if good else None


def table(stored: Row) -> str:
    """Write the results as Markdown."""
    lines = ["| task | settings | bar | result | 95 % CI of the mean | worst | seconds |", "|---" * 7 + "|"]
    for name, task in TASKS.items():
        r = stored.get("tasks", {}).get(name)
        if not r:
            continue
        if isinstance(task, Planned):
            x, seconds = np.array(r["returns"]), f"{r['seconds']:.0f} in all"
            about = f"the exact model, {len(x)} fixed starts"
            about += "".join(f", `{key}={value}`" for key, value in task.changes.items())
            result = f"mean {x.mean():.1f}"
        else:
            rows = [row for row in r["rows"] if row["whole"]]
            if not rows:
                continue
            x = np.array([row["looks"][-1][1] for row in rows])
            first = [at for row in rows if (at := reached(row, task.reached)) is not None]
            seconds = f"{np.mean([row['seconds'] for row in rows]):.0f} per seed"
            source = "given" if rows[0]["model"]["model/given_reward"][-1] else "learnt"
            about = f"{source} reward, {r['env_steps']:,} env steps, {len(x)} seeds"
            when = f", median at {int(np.median(first)):,} env steps" if first else ""
            result = (
                f"mean {x.mean():.1f}; a trial of {task.reached:g} in {len(first)} of {len(x)} seeds{when}"
            )
        low, high = mean_ci(x)
        interval = f"[{low:.1f}, {high:.1f}]" if np.isfinite(low) else "–"
        row = (f"{name}: {task.env}", about, task.bar, result, interval, f"{x.min():.1f}", seconds)
        lines.append(f"| {' | '.join(row)} |")
    grids = arms.stored_in(OPTIMUM).get("grids")
    most = f"{grids[-1]['mean']:.1f}" if grids else "not computed yet"
    about = (
        f"Greedy returns: MPC's of each fixed start, PETS' the mean of the same {EPISODES} starts for every seed after "
        "its last trial. Settings are the presets'. Intervals are percentile bootstraps over starts or seeds. Seconds "
        "are those of the processor, compiling included; of PETS for training alone, shared by the seeds, which were "
        "trained side by side in one program. The best return that any policy can have from MPC's starts on Pendulum: "
        f"{most} (`optimum.py`)."
    )
    where = f"Command: `python benchmarks/models.py`; {stored['cpu']}, one core, shared with other jobs; "
    return "\n".join([about, "", *lines, "", where + stored["versions"] + ".", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="*", default=list(TASKS), choices=list(TASKS))
    arms.add_options(parser)
    options = parser.parse_args()
    path = arms.place(RESULTS, options.quick)
    for name in [] if options.table else options.only:
        print(name, flush=True)
        before = arms.stored_in(path).get("tasks", {}).get(name, {})
        save = partial(arms.keep, path, ("tasks", name))
        if isinstance(task := TASKS[name], Learnt):
            arms.train(learn(task), before, options, save)
        elif not before:
            save(plan(task._replace(starts=2) if options.quick else task))
        path.with_suffix(".md").write_text(table(arms.stored_in(path)))
    text = table(arms.stored_in(path))
    path.with_suffix(".md").write_text(text)
    print("\n" + text)


if __name__ == "__main__":
    main()
