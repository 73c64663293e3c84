"""Train the seeds of an arm of a comparison side by side in one program, and keep what is known of each as it comes.

An arm is an algorithm in an environment for a number of env steps. All seeds that are missing run in one program, and
at each look the file of the results gets what is known so far. A command that was stopped goes on with the seeds that
are not whole, if the settings are still the same; the program is smaller with `--together 5`, so less is lost.
"""

import argparse
import json
import platform
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

import swingup
from swingup.envs import make
from swingup.episodes import evaluate
from swingup.files import write_atomic
from swingup.protocols import env_steps
from swingup.ranges import values
from swingup.training import driver

EPISODES = 20  # greedy ones of each seed, from the same starts for all seeds and all arms
QUICK = Path(".bench")  # where results of tiny budgets go
Row = dict[str, Any]


class Arm(NamedTuple):
    """These settings are trained; at each look every seed plays greedily, or at the last one alone."""

    algo: Any
    env: str
    env_steps: int
    looks: int = 10
    judged: bool = True  # at each look


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what both commands take."""
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--together", type=int, help="seeds in one program; all, unless said")
    parser.add_argument(
        "--quick", action="store_true", help="two seeds, two iterations, into .bench/: proves that it works"
    )
    parser.add_argument("--table", action="store_true", help="run nothing")


def train(arm: Arm, before: Row, options: argparse.Namespace, save: Callable[[Row], Any]) -> Row:
    """Return what is known of the arm once all seeds are whole; `before` is what was. `save` gets it at each look."""
    settings = json.loads(json.dumps({"algo": type(arm.algo).__name__, **values(arm.algo)}))
    iterations = max(1, -(-(arm.env_steps - env_steps(arm.algo, 0)) // arm.algo.env_steps_per_iteration))
    iterations = min(iterations, 2) if options.quick else iterations
    found: Row = {"env_steps": env_steps(arm.algo, iterations), "settings": settings, "rows": []}
    if before.get("settings") == settings and before.get("env_steps") == found["env_steps"]:
        found["rows"] = [row for row in before["rows"] if row["whole"]]
    seeds = range(min(options.seeds, 2) if options.quick else options.seeds)
    missing = [seed for seed in seeds if seed not in {row["seed"] for row in found["rows"]}]
    size = options.together or max(len(missing), 1)
    for i in range(0, len(missing), size):
        done = found["rows"]

        def tell(rows: list[Row], done: list[Row] = done) -> None:
            found["rows"] = sorted([*done, *rows], key=lambda row: row["seed"])
            save(found)

        side_by_side(arm, iterations, missing[i : i + size], tell)
    return found


def side_by_side(arm: Arm, iterations: int, seeds: list[int], tell: Callable[[list[Row]], None]) -> None:
    """Train seeds in one program, and tell their rows at each look."""
    algo, every = arm.algo, max(1, iterations // arm.looks)
    world, many = make(arm.env, algo.num_envs), make(arm.env, EPISODES)
    rows: list[Row] = [{"seed": s, "looks": [], "episodes": [], "model": {}, "whole": False} for s in seeds]
    looking = 0.0

    @jax.jit
    def judge(learner: Any) -> jax.Array:
        key, memory = (
            driver.root_key(0, "fixed starts"),
            algo.start_memory(many.action_space, EPISODES),
        )

        def one(learner: Any) -> jax.Array:
            return evaluate(
                many, lambda seen, _: algo.act(learner, seen), key, memory=memory, draw=algo.draw
            )[0].mean()

        return jax.vmap(one)(learner)

    def look(p: driver.Progress) -> None:
        nonlocal looking
        earned = p.metrics["ep/return"]
        for row, some in zip(rows, earned, strict=True):
            at = [env_steps(algo, p.iteration - len(some) + i + 1) for i in range(len(some))]
            row["episodes"] += [[n, number(x)] for n, x in zip(at, some, strict=True) if np.isfinite(x)]
        last = p.iteration == iterations
        if p.iteration % every and not last:
            return
        at, before = env_steps(algo, p.iteration), time.process_time()
        if arm.judged or last:
            for row, score in zip(rows, np.asarray(judge(algo.acting(p.state.learner)), float), strict=True):
                row["looks"].append([at, round(float(score), 2)])
        looking += time.process_time() - before
        for i, row in enumerate(rows):
            for name, x in p.metrics.items():
                if name.startswith(("model/", "imagined/")):
                    row["model"].setdefault(name, []).append(number(x[i, -1]))
            row["seconds"] = round((time.process_time() - began - looking) / len(rows), 1)
            row["whole"] = last
        tell(rows)
        best = [row["looks"][-1][1] for row in rows if row["looks"]]
        print(f"{at:,} env steps, {rows[0]['seconds']} s per seed: {best or 'not judged yet'}", flush=True)

    began = time.process_time()
    state = driver.begin(algo, world, seeds)
    driver.run(algo, world, state, iterations, every=[every], callbacks=[look])


def number(x: Any) -> float | None:
    """Round a metric; None where it is not a number, which JSON has no word for."""
    return round(float(x), 4) if np.isfinite(x) else None


def machine(stored: Row) -> None:
    """Note the processor and the versions in the results."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    models = (x.partition(":")[2].strip() for x in lines if x.startswith("model name"))
    stored["cpu"] = next(models, "unknown CPU")
    packages = ", ".join(f"{name} {version(name)}" for name in ("jax", "optax", "numpy"))
    stored["versions"] = f"swingup {swingup.__version__}, {packages}, Python {platform.python_version()}"


def place(path: Path, quick: bool) -> Path:
    """Return where the results lie: apart, if their budgets are tiny."""
    if not quick:
        return path
    QUICK.mkdir(exist_ok=True)
    return QUICK / path.name


def stored_in(path: Path) -> Row:
    """Return the results that are there."""
    return json.loads(path.read_text()) if path.exists() else {}


def keep(path: Path, under: Sequence[str], found: Any) -> Row:
    """Put what was found in the file, under the names `under`, and return all of it.

    The file is read anew, so two commands may fill it at once if they measure different things.
    """
    stored = stored_in(path)
    at = stored
    for name in under[:-1]:
        at = at.setdefault(name, {})
    at[under[-1]] = found
    machine(stored)
    write_atomic(path, (json.dumps(stored, indent=1) + "\n").encode())
    return stored
