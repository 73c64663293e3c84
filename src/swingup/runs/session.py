"""One session of a run: open and claim everything, train, evaluate, write, close everything."""

import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jax
import numpy as np

from swingup import files, rollout
from swingup.algos import name_of
from swingup.envs import opened
from swingup.errors import ConfigError, EnvironmentFault
from swingup.protocols import env_steps
from swingup.runs import checkpoint, claims, settings
from swingup.runs.evaluation import Episodes, Evaluator, evaluator, full_games, limit_of, seeds_apart
from swingup.runs.experiment import Experiment, versions, write_config
from swingup.runs.log import CSVLog, read_rows
from swingup.training import driver
from swingup.training.callbacks import Checkpoint, Console, Evaluate, StopOnSignal
from swingup.types import State

EVALUATED = (
    20  # episodes of an evaluation during training, and of the final one's with the policy's noise, at most
)


class Session:
    """What is written of a run, and how far it had come before."""

    def __init__(self, experiment: Experiment, path: Path | None, manifest: dict[str, Any] | None):
        self.experiment, self.path, self.clock = experiment, path, driver.Clock()
        self.done = manifest["step"] if manifest else 0
        self.seconds = float(manifest["meta"].get("run_seconds", 0.0)) if manifest else 0.0
        metrics = path / "metrics.csv" if path else None
        self.log = CSVLog(metrics, experiment.seeds, experiment.log_every, self.seconds)
        if path and manifest:
            self.log.restore(read_rows(path, self.done), manifest["extra"])

    def claim(self, manifest: dict[str, Any] | None) -> None:
        """Make the directory this run's. Raises `OutputError` if it is another's."""
        if self.path and not manifest:
            write_config(self.experiment, self.path, new=True)
        elif self.path and manifest and manifest["meta"].get("config") != self.experiment.to_json():
            write_config(self.experiment, self.path)

    def save(self, p: driver.Progress) -> None:
        if self.path:
            seconds = self.seconds + p.clock.run_seconds
            save_state(self.experiment, self.path, p.state, p.iteration, seconds, self.log.window)

    def keep(self, p: driver.Progress | None) -> None:
        """Log and save what was trained before a fault."""
        if p is not None and p.iteration > self.log.iteration:
            self.log(p)
        if p is not None:
            self.save(p)


def execute(
    experiment: Experiment,
    path: Path | None,
    *,
    state: State | None = None,
    manifest: dict[str, Any] | None = None,
    console: Console | None = None,
    signals: bool = False,
) -> tuple[State, Session, dict[str, Any]]:
    """Train from `state`, or from the beginning, and evaluate: the state, the session and the result.

    What can fail is tried before training: the directory is locked and claimed, all environments are opened. They
    are closed whatever happens. What was trained before an `EnvironmentFault` is saved. With `signals` the first
    Ctrl-C saves and raises `Stopped`.
    """
    algo, seeds = experiment.resolved(), experiment.seeds
    count = algo.num_envs * len(seeds) if seeds_apart(experiment.env) else algo.num_envs
    with ExitStack() as stack:
        if path:
            stack.enter_context(claims.locked(path))
        env = stack.enter_context(opened(experiment.env, count))
        judge = stack.enter_context(evaluator(experiment, training=env))
        session = Session(experiment, path, manifest)
        session.claim(manifest)
        clock, done = session.clock, session.done
        state = driver.restart(env, state, seeds, done) if state else driver.begin(algo, env, seeds, clock)
        stop = StopOnSignal(session.save)
        if signals:
            stack.enter_context(stop)
        how: dict[str, Any] = {
            "done": done,
            "every": [k for k in (path and experiment.checkpoint_every, experiment.eval_interval) if k],
            "callbacks": _callbacks(session, judge, console, stop),
            "clock": clock,
        }
        try:
            state = driver.run(algo, env, state, experiment.iterations, **how)
        except EnvironmentFault as fault:
            session.keep(fault.progress)
            raise
        result = outcome(session, judge, state, stop.check)
    if path:
        files.write_json(path / "result.json", result)
        draw_curve(path)
    return state, session, result


def _callbacks(session: Session, judge: Evaluator, console: Console | None, stop: StopOnSignal) -> list[Any]:
    """In an order that matters: an evaluation adds a column before the log writes it, and the stop comes last."""
    e = session.experiment

    def returns(state: State, iteration: int) -> np.ndarray:
        return judge.play(state, f"evaluation {iteration}", EVALUATED).returns

    return [
        *([Evaluate(returns, e.eval_interval)] if e.eval_interval else []),
        session.log,
        Checkpoint(session.save, e.checkpoint_every),
        *([console] if console else []),
        stop,
    ]


def outcome(session: Session, judge: Evaluator, state: State, pause: Callable[[], None]) -> dict[str, Any]:
    """The content of result.json: the final evaluation, speeds, and all that it takes to do it again."""
    e, clock, path = session.experiment, session.clock, session.path
    greedy = judge.play(state, "final evaluation", e.episodes, pause=pause)
    fewer = min(e.episodes, EVALUATED)
    noisy = judge.play(state, "final evaluation, stochastic", fewer, greedy=False, pause=pause)
    trained = (e.iterations - session.done) * e.algo.env_steps_per_iteration * len(e.seeds)
    before = path / "result.json" if path else None
    rate = round(trained / (clock.run_seconds - clock.warmup_seconds), 1) if trained else None
    if rate is None and before and before.exists():  # a finished run, resumed: nothing was timed
        rate = files.read_json(before, error=ConfigError).get("steps_per_second")
    recent = state.actor.recent
    filled = np.minimum(np.asarray(recent.count), rollout.RECENT)
    rings = zip(np.asarray(recent.returns), filled, strict=True)
    device = jax.devices()[0]
    evaluation = {"env": e.env_name if not isinstance(e.env, str) else full_games(e.env)} | described(greedy)
    return {
        "algo": name_of(e.algo),
        "env": e.env_name,
        "env_steps": env_steps(e.algo, e.iterations),
        "seeds": list(e.seeds),
        "final_return": greedy.returns.mean(1).tolist(),
        "train_return": [float(np.mean(ring[:n])) if n else None for ring, n in rings],
        "steps_per_second": rate,
        "compile_seconds": round(clock.compile_seconds, 3),
        "run_seconds": round(session.seconds + clock.run_seconds, 3),
        **clock.split(),
        "iterations": e.iterations,
        "evaluation": evaluation
        | {"policy": "greedy", "limit": limit_of(e, state), "stochastic": described(noisy, mean=True)},
        "settings": settings.to_json(e.algo),
        "device": f"{device.platform}: {device.device_kind}",
        "versions": versions(),
        "command": e.command,
    }


def described(played: Episodes, mean: bool = False) -> dict[str, Any]:
    """What result.json tells of an evaluation, per seed, with or without the mean return."""
    means = {"return": played.returns.mean(1).tolist()} if mean else {}
    return {
        "episodes": played.returns.shape[1],
        **means,
        "std": played.returns.std(1).tolist(),
        "length": played.lengths.mean(1).tolist(),
        "cut": played.cut.sum(1).tolist(),
    }


def save_state(e: Experiment, path: Path, state: State, iteration: int, seconds: float, window: dict) -> None:
    """A checkpoint, with what the log needs to go on: the iterations since its last row."""
    meta = {"config": e.to_json(), "versions": versions(), "run_seconds": round(seconds, 3)}
    checkpoint.save(path / "checkpoints", state, step=iteration, meta=meta, extra=window)


def draw_curve(path: Path) -> None:
    """curve.png, .svg and .csv; a run too short to have ended an episode has none."""
    from swingup.plots.curves import plot

    try:
        plot([path], path / "curve.png")
    except ConfigError as error:
        print(f"no learning curve: {error}", file=sys.stderr)
