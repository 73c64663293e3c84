"""An episode of a trained agent becomes a picture: a fresh one, or one of the final evaluation's again."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from swingup.errors import ConfigError
from swingup.play.animation import encoder, write_animation
from swingup.play.filming import Cast, row_state, rows_of, shoot
from swingup.play.stage import Stage, open_stage
from swingup.runs import Run
from swingup.runs.evaluation import evaluation_size, full_games, limit_of
from swingup.runs.experiment import Experiment
from swingup.spaces import Space
from swingup.training import driver
from swingup.types import Seen

LIMIT = 10_000  # env steps
Which = Literal["best", "median", "worst"]


def animate(
    run: Run,
    out: str | Path,
    seed: int | None = None,
    number: int = 0,
    *,
    which: Which | None = None,
    limit: int = LIMIT,
    stochastic: bool = False,
    picture: Callable[[Any, np.ndarray], np.ndarray] | None = None,
) -> str:
    """Draw one episode to a GIF or MP4; return a sentence about it.

    Without `which` it is a fresh episode of the agent of `seed` (default: the best one); another `number` starts
    elsewhere. With `which` it is that episode of the final evaluation, of all seeds or of `seed`, played again with
    the same keys. `stochastic` draws actions from the policy in place of its greedy ones. An episode longer than
    `limit` env steps is cut. `picture` draws in place of the environment: a function of its state (None on the host)
    and its observation that returns an array [H, W, 3] of bytes. Raises `ConfigError` for what is not there.
    """
    encoder(Path(out))
    if seed is not None and seed not in run.experiment.seeds:
        raise ConfigError(f"this run has no seed {seed}; it has {', '.join(map(str, run.experiment.seeds))}")
    if limit < 1:
        raise ConfigError(f"limit must be at least 1 env step, not {limit}")
    cast, title, expected = (
        _fresh(run, seed, number, not stochastic) if which is None else _again(run, seed, which, stochastic)
    )
    if which is not None and (cut_after := limit_of(run.experiment, run.state)) is not None:
        limit = min(limit, cut_after)  # as the evaluation did
    stage, cast = _stage(run.experiment, cast, exact=which is not None)
    try:
        film, last = shoot(stage, cast, title, limit, picture)
    finally:
        stage.close()
    fps = max(4.0, min(stage.fps, len(film.frames) / 2))  # two seconds, where there is little to see
    still = [film.frames[-1]] * round(fps)  # a second to see how it ends
    write_animation(out, film.frames + still, fps=round(fps))
    cut = "" if last.done else f", cut after {limit:,} env steps (--limit)"
    about = f"{title}, {last.time} env steps, return {last.ep_return:.1f}{cut}"
    if expected is not None and last.done and not np.isclose(last.ep_return, expected, rtol=1e-5, atol=1e-5):
        about += f"; {expected:.1f} in the evaluation: rounding has led elsewhere"
    return about + (f"; {stage.note}" if stage.note else "")


def check(e: Experiment, out: str | Path) -> None:
    """Draw one frame of an untrained episode, and throw it away.

    Raises `ConfigError` now, with the cure, for what would keep `animate` from writing `out` after training: an unknown
    suffix, a missing extra, no library to draw with.
    """
    encoder(Path(out))
    learner, key = jnp.zeros(1), jax.random.key(0)[None]
    cast = Cast(e.algo, learner, key, evaluation_size(e, 1), (0, 0))
    stage = open_stage(
        full_games(e.env), e.env_name, cast.num_envs, lambda space, obs: np.zeros(len(obs), np.int32)
    )
    try:
        state, obs = rows_of(stage, cast._replace(num_envs=stage.env.num_envs)).reset(key)
        stage.paint(row_state(stage, state, cast.row), np.asarray(obs[0, 0]), "")
    finally:
        stage.close()


# --- who plays --------------------------------------------------------------------------------------------------------


def _fresh(run: Run, seed: int | None, number: int, greedy: bool) -> tuple[Cast, str, None]:
    e = run.experiment
    scores = np.nan_to_num(run.final_return, nan=-np.inf) if run.result else np.zeros(1)
    i = int(np.argmax(scores)) if seed is None else e.seeds.index(seed)
    learner = jax.tree.map(lambda x: x[i : i + 1], e.algo.acting(run.state.learner))
    key = jax.random.fold_in(driver.root_key(e.seeds[i], "play"), number)
    algo, size = _setting(e.resolved(), i), evaluation_size(e, 1)
    return Cast(algo, learner, key[None], size, (0, 0), greedy), f"seed {e.seeds[i]}", None


def _setting(algo: Any, i: int) -> Any:
    """Return the hyperparameters of the i-th seed."""
    return jax.tree.map(lambda x: x[i] if np.ndim(x) else x, algo)


def _again(run: Run, seed: int | None, which: Which, stochastic: bool) -> tuple[Cast, str, float]:
    if stochastic:
        raise ConfigError(
            "the episodes of the final evaluation are greedy: leave out --which, or --stochastic"
        )
    e = run.experiment
    returns = run.evaluate().returns
    rows = [e.seeds.index(seed)] if seed is not None else range(len(e.seeds))
    played = [(float(returns[i, k]), i, k) for i in rows for k in range(e.episodes)]
    order = sorted((x for x in played if np.isfinite(x[0])), key=lambda x: x[0])
    if not order:
        raise ConfigError("these seeds have diverged: there is no episode of the final evaluation to show")
    value, i, k = {"best": order[-1], "median": order[(len(order) - 1) // 2], "worst": order[0]}[which]
    size = evaluation_size(e, e.episodes)
    keys = [jax.random.fold_in(driver.root_key(s, "final evaluation"), k // size) for s in e.seeds]
    cast = Cast(e.resolved(), e.algo.acting(run.state.learner), jnp.stack(keys), size, (i, k % size))
    return cast, f"seed {e.seeds[i]}, {which} of {len(order)} episodes", value


def _stage(e: Experiment, cast: Cast, exact: bool) -> tuple[Stage, Cast]:
    """Open the stage, and fit the cast to it; pictures of tables show what the agent would do in each state."""
    learner = jax.tree.map(lambda x: x[cast.row[0]], cast.learner)
    setting = _setting(cast.algo, cast.row[0])

    def greedy(space: Space, obs: np.ndarray) -> np.ndarray:
        seen = Seen(jnp.asarray(obs), memory=setting.start_memory(space, len(obs)))
        return np.asarray(setting.act(learner, seen).action)

    stage = open_stage(full_games(e.env), e.env_name, cast.num_envs, greedy, exact)
    return stage, cast if stage.alone else cast._replace(num_envs=stage.env.num_envs)
