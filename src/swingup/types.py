"""The data that flows through the library: plain tuples of arrays, and the protocols that connect the parts.

Axes are named in brackets: `T` env steps of one rollout, `N` environments, `S` seeds.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar, dataclass_transform

import jax
from jax import Array

from swingup.ranges import is_traced, kinds, settle
from swingup.spaces import Space

Obs = Any
EnvState = Any
Cls = TypeVar("Cls")


class Transition(NamedTuple):
    """What one environment answers to one action. Nothing here has been reset."""

    obs: Obs  # s', the true successor, also when the episode ended
    reward: Array
    terminated: Array  # the MDP ended: the value of s' is 0
    truncated: Array  # the clock ended: the value of s' is V(s')


class Step(NamedTuple):
    """What `N` environments with auto-reset answer to `N` actions; every field is [N, ...]."""

    obs: Obs  # what to act on next: the first observation of a new episode where one just ended
    next_obs: Obs  # the true successor s', also where the episode ended: bootstrap from this
    reward: Array
    terminated: Array
    truncated: Array  # never true together with `terminated`
    ep_return: Array  # undiscounted return of the running episode up to and including this reward
    ep_length: Array  # its length in env steps

    @property
    def done(self) -> Array:
        """The episode ended, for whichever reason. Cuts sums over time; never masks a bootstrap."""
        return self.terminated | self.truncated


class Recent(NamedTuple):
    """The returns of the last episodes that ended in training, in a ring."""

    returns: Array  # [100]
    count: (
        Array  # episodes ended since the start of training; from 2^30 on their place in the ring (`around`)
    )


class Actor(NamedTuple):
    """The side of the training state that lives in the environments."""

    env_state: EnvState
    obs: Obs  # [N, ...]
    recent: Recent


class Rollout(NamedTuple):
    """A piece of experience; every field has leading axes [T, N]."""

    obs: Obs
    action: Array  # as the policy drew it: before the environment's bounds are applied
    extras: Any  # whatever the algorithm's `act` wanted remembered
    step: Step


class State(NamedTuple):
    """Everything that changes in training. Saving it and loading it resumes exactly."""

    learner: Any
    actor: Actor
    key: Array


class Env(Protocol):
    """One environment: pure functions, no auto-reset."""

    name: str
    observation_space: Space
    action_space: Space

    def reset(self, key: Array) -> tuple[EnvState, Obs]: ...
    def step(self, state: EnvState, action: Array, key: Array) -> tuple[EnvState, Transition]: ...


class VecEnv(Protocol):
    """`num_envs` environments with auto-reset, on the device or on the host."""

    name: str
    num_envs: int
    observation_space: Space
    action_space: Space
    jittable: bool  # may this be traced into a compiled program?
    stateful: bool  # does the object itself hold the state, so that it has one user and `reset` begins anew?

    def reset(self, key: Array) -> tuple[EnvState, Obs]: ...
    def draw(self, key: Array, num_steps: int) -> Any: ...
    def step(self, state: EnvState, action: Array, noise: Any) -> tuple[EnvState, Step]: ...


class Algorithm(Protocol):
    """A frozen dataclass of hyperparameters with the methods that the driver calls."""

    @property
    def num_envs(self) -> int: ...
    @property
    def num_steps(self) -> int: ...
    @property
    def env_steps_per_iteration(self) -> int: ...
    def init(self, env: VecEnv, key: Array) -> State: ...
    def step(self, env: VecEnv, state: State) -> tuple[State, dict[str, Array]]: ...
    def act(self, learner: Any, obs: Obs, noise: Array | None = None) -> tuple[Array, Any]: ...
    def update(self, learner: Any, rollout: Rollout, key: Array) -> tuple[Any, dict[str, Array]]: ...


def env_steps(algo: Algorithm, iterations: int) -> int:
    """Env steps that a seed has done after so many iterations, with those before the first one."""
    return getattr(algo, "warmup_env_steps", 0) + iterations * algo.env_steps_per_iteration


Act = Callable[[Obs, Array], tuple[Array, Any]]  # observations and noise to actions and extras


@dataclass_transform(frozen_default=True)
def hyperparameters(cls: type[Cls]) -> type[Cls]:
    """Make a class a frozen dataclass of plain values, whose `float` fields are traced leaves and all others static.

    So a change of a float never recompiles, and a batch of settings is a `vmap`. Inside methods a float
    field may be a tracer: no Python `if` on it, no shape from it. Before the class's own `__post_init__`,
    every value is made plain and held to the range that its annotation names, as `ranges.settle` says.
    """
    checks = [vars(c)["__post_init__"] for c in cls.__mro__ if "__post_init__" in vars(c)][:1]

    def __post_init__(self):
        settle(self)
        for check in checks:
            check(self)

    cls.__post_init__ = __post_init__  # pyright: ignore[reportAttributeAccessIssue]
    cls = dataclass(frozen=True)(cls)
    traced = tuple(name for name, kind in kinds(cls).items() if is_traced(kind))
    static = tuple(name for name in kinds(cls) if name not in traced)

    def flatten(settings: Any) -> tuple[list, tuple]:
        values = vars(settings)
        return [values[n] for n in traced], tuple(values[n] for n in static)

    def flatten_with_keys(settings: Any) -> tuple[list, tuple]:
        leaves, rest = flatten(settings)
        keys = map(jax.tree_util.GetAttrKey, traced)
        return list(zip(keys, leaves, strict=True)), rest

    def unflatten(rest: tuple, leaves: Any) -> Any:
        settings = object.__new__(cls)  # JAX puts other things into its trees than settings: no checks
        vars(settings).update(zip(traced, leaves, strict=True))
        vars(settings).update(zip(static, rest, strict=True))
        return settings

    jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)
    return cls
