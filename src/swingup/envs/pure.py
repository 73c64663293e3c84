"""A pure environment's answer is looked at while JAX traces it, so a compiled program pays nothing for it.

Shapes and dtypes are known then, values are not: `check_env` plays the environment for those.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from swingup.errors import EnvironmentFault, SwingupError
from swingup.protocols import Env, VecEnv
from swingup.spaces import Discrete, Space
from swingup.types import EnvState, Obs, Transition


def begin(env: Env, key: Array) -> tuple[EnvState, Obs]:
    """Call `env.reset` and return the state and the first observation. Raises `EnvironmentFault` for an answer of a
    wrong form.
    """
    state, obs = two(traced(env.name, "reset", env.reset, key), env.name, "reset", "state, obs")
    return jax.tree.map(_array, state), observation(env, obs)


def advance(env: Env, state: EnvState, action: Array, key: Array) -> tuple[EnvState, Transition]:
    """Call `env.step` and return the state after it and its answer, the reward a float32 [], the flags bool [].

    Raises `EnvironmentFault` for an answer of a wrong form, and where the state changes its structure or types.
    """
    answer = traced(env.name, "step", env.step, state, action, key)
    after, t = two(answer, env.name, "step", "state, Transition")
    if not isinstance(t, Transition):
        raise EnvironmentFault(
            f"{env.name}: step returned a {type(t).__name__} as its second value: return state, Transition",
            "step-returns",
        )
    after = jax.tree.map(_array, after)
    _same_types(env.name, state, after)
    flags = flag(env.name, "terminated", t.terminated), flag(env.name, "truncated", t.truncated)
    return after, Transition(observation(env, t.obs), reward(env.name, t.reward), *flags)


def optional(env: Env, name: str) -> Any:
    """Return what a user's environment has under one of the optional names of `Env`, or what `Env` says where it has
    nothing.

    An environment need not inherit from `Env`; so this is the one place that asks.
    """
    return getattr(env, name, getattr(Env, name))


def check_given(env: VecEnv) -> None:
    """Raise `EnvironmentFault` where compiled code cannot call a `known_reward` or `known_end`, or would get another
    shape than [...] for observations [..., D].
    """
    space, actions, lead = env.observation_space, env.action_space, (2, 3)
    obs = jax.ShapeDtypeStruct((*lead, *space.shape), jnp.float32)
    kind = jnp.int32 if isinstance(actions, Discrete) else jnp.float32
    action = jax.ShapeDtypeStruct((*lead, *actions.shape), kind)
    given = ("known_reward", env.known_reward, "reward-shape"), ("known_end", env.known_end, "flag-shape")
    for call, function, code in given:
        if function is None:
            continue
        said = traced(env.name, call, partial(jax.eval_shape, function), obs, action, obs)
        if jnp.shape(said) != lead:
            raise EnvironmentFault(
                f"{env.name}: {call} returned {said} for observations {obs.shape}; wanted is an array {lead}: both "
                "axes in front are rows, index the last one with obs[..., i]",
                code,
            )


def traced(name: str, call: str, function: Callable, *args: Any) -> Any:
    """Call the user's function, and say which one it was if it raises. Raises `EnvironmentFault` from what it raises,
    whose traceback is theirs.
    """
    try:
        return function(*args)
    except SwingupError:
        raise
    except Exception as error:
        text = next((line for line in str(error).splitlines() if line.strip()), "")
        raise EnvironmentFault(
            f"{name}: {call} raised {type(error).__name__}{': ' if text else ''}{text} (while JAX traced it)",
            "does-not-trace",
        ) from error


def two(answer: Any, name: str, call: str, wanted: str) -> Any:
    if isinstance(answer, tuple) and len(answer) == 2:
        return answer
    got = f"{len(answer)} values" if isinstance(answer, tuple) else f"a {type(answer).__name__}"
    raise EnvironmentFault(f"{name}: {call} returned {got}; wanted are {wanted}", f"{call}-returns")


def observation(env: Env, obs: Any) -> Array:
    """Return the observation with the space's dtype. Integers may become floats; what loses more is a fault."""
    space, name = env.observation_space, env.name
    if not isinstance(obs, Array | np.ndarray | np.generic | int | float):
        raise EnvironmentFault(
            f"{name}: an observation is a {type(obs).__name__}, not an array: concatenate its parts to one",
            "obs-shape",
        )
    obs = _array(obs)
    if obs.shape != space.shape:
        raise EnvironmentFault(
            f"{name}: an observation has shape {obs.shape}, the space says {space.shape}: return arrays of that "
            "shape, or change observation_space",
            "obs-shape",
        )
    kind = dtype_of(space)
    if not (np.can_cast(obs.dtype, kind) or (kind.kind == "f" and obs.dtype.kind in "biufV")):
        raise EnvironmentFault(
            f"{name}: an observation has dtype {obs.dtype}, the space says {kind}, which would lose values: cast it "
            "in reset and in step, or declare the space with that dtype",
            "obs-dtype",
        )
    return obs.astype(kind)


def dtype_of(space: Space) -> np.dtype:
    """Return the dtype of observations on the device: float32 for every float, 32 bits for 64."""
    if isinstance(space, Discrete):
        return np.dtype(np.int32)
    kind = np.dtype(space.dtype)
    return np.dtype(np.float32) if kind.kind == "f" else np.dtype(jax.dtypes.canonicalize_dtype(kind))


def reward(name: str, value: Any) -> Array:
    """Return the reward as a float32 []. An array of size one is taken, since there is no doubt what it means."""
    value = _array(value)
    if value.size != 1 or value.dtype.kind == "c":
        raise EnvironmentFault(
            f"{name}: a reward has shape {value.shape} and dtype {value.dtype}: return one float",
            "reward-shape",
        )
    return value.reshape(()).astype(jnp.float32)


def flag(name: str, field: str, value: Any) -> Array:
    """Return the flag as a bool []. Numbers are refused: from 0.5, as from Brax's `done`, nobody can tell what it
    means.
    """
    value = _array(value)
    if value.dtype != bool:
        raise EnvironmentFault(
            f"{name}: {field} has dtype {value.dtype}: return a bool, such as {field}.astype(bool)",
            "flag-type",
        )
    if value.size != 1:
        raise EnvironmentFault(f"{name}: {field} has shape {value.shape}: return one bool", "flag-shape")
    return value.reshape(())


def _array(x: Any) -> Array:
    """Return an array with a dtype of its own: that of a Python number gives way, and so the state would change its
    type.
    """
    x = x if isinstance(x, Array) else jnp.asarray(x)
    return x if jnp.issubdtype(x.dtype, jax.dtypes.extended) else jax.lax.convert_element_type(x, x.dtype)


def _same_types(name: str, before: Any, after: Any) -> None:
    """Refuse a state that changes its structure, shapes or dtypes: no loop over env steps compiles with it."""

    def types(tree: Any) -> list[str]:
        return [f"{x.dtype}{list(x.shape)}" for x in jax.tree.leaves(tree)]

    if jax.tree.structure(before) != jax.tree.structure(after):
        was, now = "one structure", "another"
    elif types(before) != types(after):
        was, now = next((a, b) for a, b in zip(types(before), types(after), strict=True) if a != b)
    else:
        return
    raise EnvironmentFault(
        f"{name}: the state has {was} after reset and {now} after step: return the same structure, shapes and dtypes",
        "state-changes-type",
    )
