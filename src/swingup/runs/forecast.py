"""A forecast says what a grid will take: it compiles each program, runs it for a moment, and throws that away."""

import contextlib
import time
from collections.abc import Iterator
from typing import NamedTuple

from swingup.envs import opened
from swingup.runs.block import Block, structure
from swingup.runs.evaluation import seeds_apart
from swingup.runs.grid import Grid
from swingup.runs.plan import Plan, row_bytes
from swingup.training import driver

SECONDS = 2.0  # for which each program runs


class Measured(NamedTuple):
    """A program was compiled and run for a moment."""

    compiling: float  # seconds, once
    per_iteration: float  # seconds


class _EnoughError(Exception):
    """It has run for long enough."""


def measured(block: Block) -> Measured:
    """Compile the program of a block and run it for a moment, in environments that are closed again."""
    count = block.algo.num_envs * (block.size if seeds_apart(block.env) else 1)
    clock, algo, done = driver.Clock(), block.resolved(), 0

    def enough(p: driver.Progress) -> None:
        nonlocal done
        done = p.iteration
        if clock.run_seconds - clock.warmup_seconds > SECONDS:
            raise _EnoughError

    with opened(block.env, count) as env:
        began = time.perf_counter()
        state = driver.begin(algo, env, block.seeds, clock)
        how = {"callbacks": [enough], "clock": clock, "diverged": lambda error: None}
        with contextlib.suppress(_EnoughError):
            driver.run(algo, env, state, block.iterations, **how)
        whole = time.perf_counter() - began
    running = clock.run_seconds - clock.warmup_seconds
    return Measured(whole - running, running / done)


def forecast(grid: Grid, plan: Plan, processes: int = 0) -> Iterator[str]:
    """Say line by line what a grid's plan takes: memory at once, then minutes, measured program by program."""
    experiments = grid.experiments
    need = max(part.rows * row_bytes(experiments[part.runs[0]]) for part in plan.parts)
    yield f"memory      {need * max(1, processes) / 2**20:,.0f} MiB for the largest block, beside some 700 of JAX's own"
    known: dict[object, Measured] = {}
    compiling, training = 0.0, 0.0
    for part in plan.parts:
        kind = structure(experiments[part.runs[0]])
        if kind not in known:
            known[kind] = measured(part.block(experiments))
            compiling += known[kind].compiling
            rate = 1 / known[kind].per_iteration
            rows = sum(len(experiments[i].seeds) for i in part.runs)
            speed = rate * rows * experiments[part.runs[0]].algo.env_steps_per_iteration
            yield f"measured    program {len(known)} of {plan.programs}: {speed:,.0f} env steps/s of its runs together"
        training += known[kind].per_iteration * experiments[part.runs[0]].iterations
    minutes = training / 60 / max(1, processes)
    yield (
        f"minutes     {minutes:.1f} of training and {compiling / 60:.1f} of compiling, where its programs are not kept "
        f"from before; final evaluations of {experiments[0].episodes} episodes per run come on top"
    )
