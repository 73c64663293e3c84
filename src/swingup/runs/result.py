"""A result is what comes of a run: the content of result.json."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from numpy.typing import ArrayLike

from swingup import files, rollout
from swingup.algos import name_of
from swingup.errors import ConfigError
from swingup.protocols import env_steps
from swingup.runs import settings
from swingup.runs.evaluation import Episodes, Evaluator, final, full_games, limit_of
from swingup.runs.experiment import versions
from swingup.runs.record import Record
from swingup.types import State


def results(
    record: Record, judge: Evaluator, state: State, pause: Callable[[], None]
) -> list[dict[str, Any]]:
    """Evaluate a block, and return the content of each run's result.json."""
    how: dict[str, Any] = {"pause": pause, "diverged": record.mark}
    episodes, fewer = final(record.block)
    greedy = judge.play(state, "final evaluation", episodes, without=record.diverged, **how)
    how |= {"greedy": False, "without": record.diverged}
    noisy = judge.play(state, "final evaluation, stochastic", fewer, **how)
    recent, limit = state.actor.recent, limit_of(record.block, state)
    filled = np.minimum(np.asarray(recent.count), rollout.RECENT)
    means = [
        np.mean(ring[:n]) if n else np.nan for ring, n in zip(np.asarray(recent.returns), filled, strict=True)
    ]
    return [
        _result(record, i, _rows(greedy, rows), _rows(noisy, rows), numbers(means[rows]), limit)
        for i, rows in enumerate(record.block.slices)
    ]


def _rows(played: Episodes, rows: slice) -> Episodes:
    return Episodes(*(x[rows] for x in played))


def _result(
    record: Record, i: int, greedy: Episodes, noisy: Episodes, recent: list, limit: int | None
) -> dict[str, Any]:
    """Return the final evaluation of the i-th run, speeds, and all that it takes to do it again."""
    e, clock, path = record.block.experiments[i], record.clock, record.paths[i]
    trained = (record.iteration - record.done) * e.algo.env_steps_per_iteration * len(e.seeds)
    before = path / "result.json" if path else None
    rate = round(trained / (clock.run_seconds - clock.warmup_seconds), 1) if trained else None
    if rate is None and before and before.exists():  # a finished run, resumed: nothing was timed
        rate = files.read_json(before, error=ConfigError).get("steps_per_second")
    device = jax.devices()[0]
    evaluation = {"env": e.env_name if not isinstance(e.env, str) else full_games(e.env)} | described(greedy)
    together = len(record.block.experiments)
    return {
        "algo": name_of(e.algo),
        "env": e.env_name,
        "env_steps": env_steps(e.algo, record.iteration),
        "seeds": list(e.seeds),
        "final_return": numbers(greedy.returns.mean(1)),
        "train_return": recent,
        "steps_per_second": rate,
        "compile_seconds": round(clock.compile_seconds, 3),
        "run_seconds": round(record.seconds + clock.run_seconds, 3),
        **clock.split(),
        **({"trained_beside": together - 1} if together > 1 else {}),
        "iterations": record.iteration,
        "evaluation": evaluation
        | {"policy": "greedy", "limit": limit, "stochastic": described(noisy, mean=True)},
        "settings": settings.to_json(e.algo),
        "device": f"{device.platform}: {device.device_kind}",
        "versions": versions(),
        "command": e.command,
    }


def described(played: Episodes, mean: bool = False) -> dict[str, Any]:
    """Return what result.json tells of an evaluation, per seed, with or without the mean return."""
    means = {"return": numbers(played.returns.mean(1))} if mean else {}
    return {
        "episodes": played.returns.shape[1],
        **means,
        "std": numbers(played.returns.std(1)),
        "length": played.lengths.mean(1).tolist(),
        "cut": played.cut.sum(1).tolist(),
    }


def numbers(values: ArrayLike) -> list[float | None]:
    """Return numbers as JSON has them: None in the place of a NaN or infinity.

    >>> numbers([1.5, float("nan")])
    [1.5, None]
    """
    return [float(x) if np.isfinite(x) else None for x in np.asarray(values)]
