"""Playing an environment with given actions and writing down everything it says."""

from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array

from swingup.errors import EnvironmentFault
from swingup.protocols import VecEnv
from swingup.spaces import Discrete, Space
from swingup.testing.faults import Finding, finding, first_line, of_fault
from swingup.types import Step

PIECE = 64  # env steps whose noise is drawn together


class Record(NamedTuple):
    """A record holds T env steps of N environments, as NumPy arrays."""

    obs: np.ndarray  # [T, N, ...] acted on
    step: Step  # [T, N, ...]
    overwritten: tuple[str, ...]  # which arrays of earlier steps later steps have changed


def actions(space: Space, num_steps: int, num_envs: int, seed: int) -> np.ndarray:
    """Draw random actions [T, N, ...] in the environment's units; the first are the bounds, or each action once."""
    rng, shape = np.random.default_rng(seed), (num_steps, num_envs)
    if isinstance(space, Discrete):
        out = rng.integers(0, space.n, shape)
        out.reshape(-1)[: space.n] = np.arange(space.n)[: out.size]
        return out.astype(np.int32)
    low, high = extremes(space)
    u = rng.random((*shape, *space.shape))
    out = low + np.floor((high - low + 1) * u) if space.is_integer else low + (high - low) * u
    out[0], out[1:2] = low, high
    return np.clip(out, low, high).astype(space.dtype)


def allowed(action: np.ndarray, legal: np.ndarray) -> np.ndarray:
    """Return legal actions [N] in the places of actions drawn from all; `legal` is [N, A]. Each is as likely.

    >>> allowed(np.array([0, 4]), np.array([[False, True, True, True, False], [True, True, False, False, False]]))
    array([1, 0], dtype=int32)
    """
    chosen = [
        np.flatnonzero(row)[a % row.sum()] if row.any() else a for a, row in zip(action, legal, strict=True)
    ]
    return np.array(chosen, np.int32)


def extremes(space: Space) -> tuple[Any, Any]:
    """Return the smallest and the largest action; -1 and 1 where there is no bound."""
    if isinstance(space, Discrete):
        return 0, space.n - 1
    low, high = (b.astype(np.float64) for b in space.bounds)
    return np.where(np.isfinite(low), low, -1.0), np.where(np.isfinite(high), high, 1.0)


def play(env: VecEnv, key: Array, action: np.ndarray) -> Record | Finding:
    """Reset with the key and play the actions [T, N, ...]; or what is wrong with the answers' form.

    Where not all are legal, `allowed` says which are played in their places.
    """
    k_reset, k_env = jax.random.split(key)
    reset, draw, step_env, legal_now = env.reset, env.draw, env.step, env.legal
    if env.jittable:
        reset, step_env, legal_now = map(jax.jit, (reset, step_env, legal_now))
        draw = jax.jit(draw, static_argnums=1)
    try:
        state, obs = reset(k_reset)
    except EnvironmentFault as fault:
        return of_fault(fault)
    except Exception as error:  # it is other people's code: anything may come
        return finding("reset-raises", error=first_line(error))
    noise, rows, kept, before = None, [], [], [np.array(obs)]
    if before[0].shape[:1] != (env.num_envs,):
        return finding("num-envs", says=env.num_envs, got=len(before[0]) if before[0].ndim else "no")
    for time, given in enumerate(action):
        a: Any = given
        if time % PIECE == 0:  # always as many, so that it compiles once
            noise = draw(jax.random.fold_in(k_env, time), PIECE)
        try:
            if (legal := legal_now(state)) is not None:
                a = allowed(a, np.asarray(legal))
            state, step = step_env(state, a, jax.tree.map(lambda x, t=time % PIECE: x[t], noise))
        except EnvironmentFault as fault:
            if fault.code == "step-raises" and fault.__cause__ is not None:
                return finding("step-raises", error=first_line(fault.__cause__), time=time, action=a.tolist())
            return of_fault(fault)
        except Exception as error:
            return finding("step-raises", error=first_line(error), time=time, action=a.tolist())
        if time == 0 and (fault := form(env, before[0], step)):
            return fault
        copy = Step._make(None if x is None else np.array(x) for x in step)
        rows.append(copy)
        kept.append(step)
        before.append(copy.obs)
    changed = {
        f"Step.{name}"
        for name in Step._fields
        if name != "next_legal"
        for then, now in zip(rows, kept, strict=True)
        if not np.array_equal(then._asdict()[name], np.asarray(now._asdict()[name]), equal_nan=True)
    }
    steps = jax.tree.map(lambda *x: np.stack(x), *rows)
    return Record(np.stack(before[:-1]), steps, tuple(sorted(changed)))


def form(env: VecEnv, first: np.ndarray, step: Any) -> Finding | None:
    """Return the first thing wrong with the shapes and types of what reset and step returned."""
    n, space = env.num_envs, env.observation_space
    if not isinstance(step, Step):
        return finding("step-returns", got=f"a {type(step).__name__} in the place of a Step")
    want = ("int32" if isinstance(space, Discrete) else space.dtype, (n, *space.shape))
    for obs in (first, np.asarray(step.obs), np.asarray(step.next_obs)):
        if obs.shape != want[1]:
            return finding("obs-shape", got=obs.shape, want=want[1])
        if obs.dtype.name != want[0]:
            return finding("obs-dtype", got=obs.dtype.name, want=want[0])
    reward = np.asarray(step.reward)
    if reward.shape != (n,):
        return finding("reward-shape", got=reward.shape, want=(n,))
    if reward.dtype != np.float32:
        return finding("reward-dtype", got=reward.dtype.name)
    for name in ("terminated", "truncated"):
        flag = np.asarray(step._asdict()[name])
        if flag.dtype != bool:
            return finding("flag-type", name=name, got=flag.dtype.name)
        if flag.shape != (n,):
            return finding("flag-shape", name=name, got=flag.shape, want=(n,))
    return None
