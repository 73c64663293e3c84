"""One session of a block of runs opens and claims everything, trains, evaluates, writes, and closes everything."""

import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from swingup import files
from swingup.envs import opened
from swingup.errors import ConfigError, EnvironmentFault, NonFiniteError
from swingup.protocols import VecEnv
from swingup.runs import claims, outcome
from swingup.runs.block import Block
from swingup.runs.evaluation import EVALUATED, Evaluator, evaluator, seeds_apart
from swingup.runs.experiment import Experiment
from swingup.runs.log import Logs
from swingup.runs.logged import introduce
from swingup.runs.outcome import Outcome
from swingup.runs.record import Ending, Record, Saved
from swingup.runs.result import results
from swingup.tracking import Tracker
from swingup.tracking.feed import Feeds
from swingup.training import driver, own, parallel
from swingup.training.callbacks import Checkpoint, Evaluate, StopOnSignal, Stopped
from swingup.training.own import Halt, Own, StopTraining
from swingup.types import State


class Trained(NamedTuple):
    """A run of a block has finished."""

    experiment: Experiment
    path: Path | None
    outcome: Outcome
    state: State  # its rows, [S]
    rows: list[dict[str, float]]  # of metrics.csv
    window: dict[str, np.ndarray]  # the iterations since the last of them, [S, n]
    result: dict[str, Any]  # the content of result.json


class Broken(NamedTuple):
    """The session of a run has ended early."""

    experiment: Experiment
    path: Path | None
    outcome: Outcome
    error: Ending  # the same as an exception


class Callbacks(NamedTuple):
    """These are called after each chunk of iterations, from the first line to the last. The order matters."""

    evaluate: Evaluate | None  # adds the column eval/return to the metrics, so before they are logged
    own: Own  # the user's, in their order; they may add columns too
    log: Logs  # writes rows, and keeps the iterations since the last one, which checkpoints hold
    checkpoint: Checkpoint  # saves what the log has seen
    feeds: Feeds  # sends what is new in the log to trackers, and changes nothing
    console: driver.Callback | None  # shows a line, and changes nothing
    stop: StopOnSignal  # saves and raises `Stopped`, so after all others have seen the chunk
    halt: Halt  # saves and raises what the user's have raised, for the same reason

    def present(self) -> list[driver.Callback]:
        """List those that there are, in their order."""
        return [callback for callback in self if callback is not None]


class Watching(NamedTuple):
    """A session is watched by these."""

    feeds: Feeds
    own: Own  # callbacks and schedules
    console: driver.Callback | None
    signals: bool  # does the first Ctrl-C save and end it?


def execute(
    block: Block,
    paths: Sequence[Path | None],
    home: Path | None,
    *,
    saved: Saved | None = None,
    console: driver.Callback | None = None,
    signals: bool = False,
    tolerant: bool = False,
    track: Sequence[Tracker] = (),
    callbacks: own.Callbacks = (),
    devices: int | None = None,
) -> list[Trained | Broken]:
    """Train a block from what was saved, or from the beginning; evaluate; write what came of each run.

        block       the runs; a single one is a block of one
        paths       their directories, or None for each
        home        the directory of the block's checkpoints: for a block of one run, the run's
        signals     the first Ctrl-C saves and ends it
        tolerant    a row that diverges is marked, and the others go on; else it ends all
        track       trackers of a block of one run
        callbacks   the user's, which see all rows
        devices     how many share the seeds or the environments; None: as many as can share the seeds

    What can fail is tried before training: the directories are locked and claimed, all environments are opened. They
    are closed whatever happens. How training ends is an outcome, not an exception: also where something is not
    finite, and where an environment fails, with what was trained before that saved. Trackers have a few seconds at the
    end, when all is written. Raises `ConfigError` and `OutputError`, and what a callback raises.
    """
    if track and len(block.experiments) > 1:
        raise ConfigError("trackers show one run: send those of a grid with swingup track RUN --to X")
    record = Record(block, paths, home, saved, tolerant)
    with Feeds(track) as feeds:
        return _session(record, saved, Watching(feeds, Own(callbacks), console, signals), devices)


def _session(
    record: Record, saved: Saved | None, watching: Watching, devices: int | None
) -> list[Trained | Broken]:
    with ExitStack() as stack:
        env, judge = _open(record, stack, devices)
        record.claim(saved, watching.own.columns)
        stop = StopOnSignal(record.save)
        try:
            state = _begin(record, env, judge, saved, devices)
            if watching.signals:
                stack.enter_context(stop)
            about = introduce(record.block.experiments[0], record.paths[0], time.time() - record.seconds)
            watching.feeds.begin(about, record.log.logs[0].rows)
            state = _train(record, env, state, _callbacks(record, judge, watching, stop), devices)
            found = results(record, judge, state, stop.check)
        except (Stopped, NonFiniteError, EnvironmentFault) as error:
            if isinstance(error, EnvironmentFault):
                record.keep(error.progress)
            ended = _broken(record, error)
        except ConfigError:
            record.disclaim()
            raise
        else:
            ended = _trained(record, state, found)
        for i, one in enumerate(ended):
            _write(record, i, one)
    return ended


def _broken(record: Record, error: Ending) -> list[Trained | Broken]:
    runs = enumerate(zip(record.block.experiments, record.paths, strict=True))
    return [Broken(e, path, record.outcome(i, error), error) for i, (e, path) in runs]


def _trained(record: Record, state: State, found: list[dict[str, Any]]) -> list[Trained | Broken]:
    runs = zip(record.block.experiments, record.paths, record.log.logs, found, strict=True)
    return [
        Trained(e, path, record.outcome(i, None), record.part(state, i), log.rows, log.window, result)
        for i, (e, path, log, result) in enumerate(runs)
    ]


def _open(record: Record, stack: ExitStack, devices: int | None) -> tuple[VecEnv, Evaluator]:
    """Lock the directories, and open the environments to train in and to evaluate in, until the stack is closed.

    Raises `ConfigError` if a run that goes on is to share what it cannot; of a new one `_begin` does, which gives its
    directory back.
    """
    e = record.block
    for path in sorted({path for path in (*record.paths, record.home) if path}):
        stack.enter_context(claims.locked(path))
    count = e.algo.num_envs * (len(e.seeds) if seeds_apart(e.env) else 1)
    env = stack.enter_context(opened(e.env, count))
    if record.saved is not None:
        parallel.shared(e.algo, env, len(e.seeds), devices)
    return env, stack.enter_context(evaluator(e, training=env, devices=devices))


def _begin(record: Record, env: VecEnv, judge: Evaluator, saved: Saved | None, devices: int | None) -> State:
    """Make the state to train from, and reset the environments; meanwhile a core compiles the final evaluation."""
    e = record.block
    if saved:
        return driver.restart(env, saved.state, e.seeds, record.done)
    with ThreadPoolExecutor(1) as pool:
        if env.jittable:
            pool.submit(lambda: judge.compile(driver.shapes(e.resolved(), env, e.seeds, devices)))
        return driver.begin(e.resolved(), env, e.seeds, record.clock, devices)


def _callbacks(record: Record, judge: Evaluator, watching: Watching, stop: StopOnSignal) -> Callbacks:
    """Make the callbacks of this session."""
    e = record.block

    def returns(state: State, iteration: int) -> np.ndarray:
        how: dict[str, Any] = {"without": record.diverged, "diverged": record.mark}
        return judge.play(state, f"evaluation {iteration}", EVALUATED, **how).returns

    return Callbacks(
        evaluate=Evaluate(returns, e.eval_interval) if e.eval_interval else None,
        own=watching.own,
        log=record.log,
        checkpoint=Checkpoint(record.save, e.checkpoint_every),
        feeds=watching.feeds,
        console=e.without_copies(watching.console),
        stop=stop,
        halt=Halt(watching.own, record.save),
    )


def _train(record: Record, env: VecEnv, state: State, callbacks: Callbacks, devices: int | None) -> State:
    """Train the iterations that are left, or until a callback stops it."""
    e, theirs = record.block, callbacks.own
    try:
        return driver.run(
            e.resolved(),
            env,
            state,
            e.iterations,
            done=record.done,
            every=[k for k in (record.home and e.checkpoint_every, e.eval_interval, *theirs.intervals) if k],
            callbacks=callbacks.present(),
            settings=theirs.settings if theirs.schedules else None,
            devices=devices,
            clock=record.clock,
            diverged=record.mark,
        )
    except StopTraining as stop:
        record.early = stop.reason
        return stop.at().state


def _write(record: Record, i: int, ended: Trained | Broken) -> None:
    """Write what a session leaves in a run's directory, besides what it wrote while it trained: the result at last."""
    path = ended.path
    if path is None:
        return
    if isinstance(ended, Trained):
        if path == record.home:
            draw_curve(path)
        else:  # its own rows of the block's newest checkpoint
            record.save_part(ended.state, i)
    outcome.write(ended.outcome, path)
    if isinstance(ended, Trained):
        files.write_json(path / "result.json", ended.result)


def draw_curve(path: Path) -> None:
    """Draw curve.png, .svg and .csv; a run too short to have ended an episode has none."""
    from swingup.plots.curves import plot

    try:
        plot([path], path / "curve.png")
    except ConfigError as error:
        print(f"no learning curve: {error}", file=sys.stderr)
