"""The checks of one environment, before it becomes one of many: Gymnasium's, and our pure `Env`."""

import inspect
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from swingup.errors import ConfigError, RunningStatisticsWarning
from swingup.protocols import Env
from swingup.spaces import Box, Discrete
from swingup.testing.faults import Finding, finding, first_line
from swingup.testing.play import actions
from swingup.types import Transition


def check_gymnasium(source: Any) -> Iterator[Finding]:
    """Check what a `gymnasium.Env` or its constructor returns, before anything is converted."""
    import gymnasium

    env: Any = source
    second: Any = None
    if not isinstance(source, gymnasium.Env):
        try:
            env, second = source(), source()
        except Exception as error:
            yield finding("cannot-open", error=first_line(error))
            return
        if not isinstance(env, gymnasium.Env):
            yield finding(
                "cannot-open", error=f"the constructor returned a {type(env).__name__}, not a gymnasium.Env"
            )
            return
        if env.unwrapped is second.unwrapped:
            yield finding("constructor-shares")
    yield from _check_single(env)
    if env is not source:
        env.close()
        second.close()


def _check_single(env: Any) -> Iterator[Finding]:
    from swingup.envs.adapters.gymnasium_spaces import convert

    for role in ("observation", "action"):
        space = getattr(env, f"{role}_space", None)
        try:
            convert(space, type(env.unwrapped).__name__, role)
        except ConfigError as error:
            yield finding("space-kind", role=f"{role}_space", kind=type(space).__name__, why=f": {error}")
            return
    statistics = list(_statistics(env))
    yield from statistics
    if any(not f.note for f in statistics):
        return
    parameters = inspect.signature(env.reset).parameters.values()
    if not any(p.name == "seed" or p.kind is p.VAR_KEYWORD for p in parameters):
        yield finding("reset-seed")
        return
    yield from _play_gymnasium(env)


def _statistics(env: Any) -> Iterator[Finding]:
    from swingup.envs.adapters.running import refuse_statistics

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", RunningStatisticsWarning)
        try:
            refuse_statistics(env, type(env.unwrapped).__name__)
        except ConfigError as error:
            yield finding("running-statistics", error=error)
    for warning in caught:
        yield finding("statistics-suspected", error=warning.message)


def _play_gymnasium(env: Any) -> Iterator[Finding]:
    """Play ten env steps at most, and look at the form of the answers."""
    try:
        answer = env.reset(seed=0)
    except Exception as error:
        yield finding("reset-raises", error=first_line(error))
        return
    if not (isinstance(answer, tuple) and len(answer) == 2):
        yield finding("reset-returns", got=_described(answer))
        return
    obs, info = answer
    if fault := _form(env.observation_space, obs, info):
        yield fault
        return
    env.action_space.seed(0)
    for time in range(10):
        action = env.action_space.sample()
        given = np.array(action)
        try:
            answer = env.step(action)
        except Exception as error:
            yield finding("step-raises", error=first_line(error), time=time, action=given.tolist())
            return
        if not (isinstance(answer, tuple) and len(answer) == 5):
            yield finding("step-returns", got=_described(answer))
            return
        if not np.array_equal(given, action):
            yield finding("action-changed")
            return
        before, (obs, reward, terminated, truncated, info) = obs, answer
        if fault := _form(env.observation_space, obs, info) or _numbers(reward, terminated, truncated):
            yield fault
            return
        if terminated or truncated:
            return
        if isinstance(obs, np.ndarray) and obs.size and np.shares_memory(obs, before):
            yield finding("obs-shared")
            return


def _described(answer: Any) -> str:
    return f"{len(answer)} values" if isinstance(answer, tuple) else f"a {type(answer).__name__}"


def _form(space: Any, obs: Any, info: Any) -> Finding | None:
    if not isinstance(info, dict):
        return finding("info", kind=type(info).__name__)
    if hasattr(space, "spaces"):  # goals
        if not isinstance(obs, dict) or set(obs) != set(space.spaces):
            return finding(
                "obs-shape", got=sorted(obs) if isinstance(obs, dict) else np.shape(obs), want=sorted(space)
            )
        return next((fault for key in obs if (fault := _form(space[key], obs[key], info))), None)
    if np.shape(obs) != space.shape:
        return finding("obs-shape", got=np.shape(obs), want=space.shape)
    kind = getattr(obs, "dtype", np.dtype(type(obs)) if isinstance(obs, int | float) else None)
    if kind is None or (kind != space.dtype and not (kind.kind == space.dtype.kind == "i")):
        return finding("obs-dtype", got=kind or type(obs).__name__, want=space.dtype)
    return None


def _numbers(reward: Any, terminated: Any, truncated: Any) -> Finding | None:
    if not isinstance(reward, int | float | np.number | np.bool_) and not (
        hasattr(reward, "dtype") and np.size(reward) == 1
    ):
        return finding("reward-type", kind=type(reward).__name__)
    for name, flag in (("terminated", terminated), ("truncated", truncated)):
        if not isinstance(flag, bool | np.bool_) and getattr(flag, "dtype", None) != np.bool_:
            return finding("flag-type", name=name, got=type(flag).__name__)
    return None


def check_pure(env: Env) -> Iterator[Finding]:
    """Check an `Env` of ours: it compiles, its state keeps its type, and it is a function of its arguments."""
    for role in ("observation_space", "action_space"):
        if not isinstance(getattr(env, role), Box | Discrete):
            yield finding("space-kind", role=role, kind=type(getattr(env, role)).__name__, why="")
            return
    key = jax.random.key(0)
    action = jax.numpy.asarray(actions(env.action_space, 3, 1, 0)[2, 0])
    shapes = _traced("reset", env.reset, key)
    if isinstance(shapes, Finding):
        yield shapes
        return
    if not (isinstance(shapes, tuple) and len(shapes) == 2):
        yield finding("reset-returns", got=_described(shapes))
        return
    after = _traced("step", env.step, shapes[0], action, key)
    if isinstance(after, Finding):
        yield after
        return
    if not (isinstance(after, tuple) and len(after) == 2 and isinstance(after[1], Transition)):
        yield finding("step-returns", got=_described(after))
        return
    then, now = (jax.tree.map(lambda x: f"{x.dtype}{list(x.shape)}", t) for t in (shapes[0], after[0]))
    if then != now:
        pairs = zip(jax.tree.leaves(then), jax.tree.leaves(now), strict=False)
        before, behind = next(((a, b) for a, b in pairs if a != b), ("one structure", "another structure"))
        yield finding("state-changes-type", before=before, after=behind)
        return
    state, _ = env.reset(key)
    once, twice = env.step(state, action, key), env.step(state, action, key)
    if not all(
        np.array_equal(a, b, equal_nan=True) for a, b in zip(*map(_arrays, (once, twice)), strict=True)
    ):
        yield finding("impure")


def _traced(where: str, function: Callable, *args: Any) -> Any:
    try:
        return jax.eval_shape(function, *args)
    except Exception as error:
        return finding("does-not-trace", where=where, error=first_line(error))


def _arrays(tree: Any) -> list[np.ndarray]:
    def host(x: Any) -> np.ndarray:
        x = jax.numpy.asarray(x)
        return np.asarray(
            jax.random.key_data(x) if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key) else x
        )

    return [host(x) for x in jax.tree.leaves(tree)]
