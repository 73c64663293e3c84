"""The protocols that connect the parts: environments, models, algorithms; and what makes a class one of settings.

A protocol declares all that anybody reads of its objects. What is optional has a value here, which means that there is
no such thing: so nothing is ever asked what it is. Who writes a class inherits it from the protocol.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, dataclass_transform

import jax
from jax import Array

from swingup.distributions import noise
from swingup.ranges import is_traced, kinds, settle
from swingup.spaces import Space
from swingup.types import Choice, EnvState, Obs, Rollout, Seen, State, Step, Transition

Cls = TypeVar("Cls")
GoalReward = Callable[[Array, Array], tuple[Array, Array]]  # goals achieved and desired: (reward, terminated)


class Env(Protocol):
    """One environment: pure functions, no auto-reset.

    The lower part is optional. Who inherits from this class has it as it stands here; `Vec` takes it so from others.
    """

    name: str
    observation_space: Space
    action_space: Space

    def reset(self, key: Array) -> tuple[EnvState, Obs]: ...
    def step(self, state: EnvState, action: Array, key: Array) -> tuple[EnvState, Transition]: ...

    goal_reward: GoalReward | None = None  # rewards for another goal, if observations have goals
    mdp: Any = None  # the tables of a finite MDP, if it is one
    costly_reset: bool = False  # draw one fresh start per environment and rollout, not one per env step
    legal: Callable[[EnvState], Array] | None = None  # [A] the actions that are allowed in a state


class VecEnv(Protocol):
    """`num_envs` environments with auto-reset, on the device or on the host.

    The lower part is optional: who inherits from this class has it as it stands here.
    """

    name: str
    num_envs: int
    observation_space: Space
    action_space: Space
    jittable: bool  # may this be traced into a compiled program?
    stateful: bool  # does the object itself hold the state, so that it has one user and `reset` begins anew?

    def reset(self, key: Array) -> tuple[EnvState, Obs]: ...
    def draw(self, key: Array, num_steps: int) -> Any: ...
    def step(self, state: EnvState, action: Array, noise: Any) -> tuple[EnvState, Step]: ...

    source: Any = None  # the id or the object from which it was made
    single: Env | None = None  # one of the environments, if they are pure functions
    goal_reward: GoalReward | None = None  # rewards for another goal, if observations have goals
    mdp: Any = None  # the tables of a finite MDP, if every environment is one
    stacked: bool = False  # are observations stacks of frames, as `replay.frames` describes them?
    reward_sign: bool = False  # does the learner see the sign of each reward?
    divisible: bool = False  # does it hold the environments of all seeds, of which `part` gives one seed's?

    def part(self, start: int, count: int) -> "VecEnv":
        """The environments start .. start+count-1, shared with this object; of one that is divisible."""
        raise TypeError(f"{self.name} has no parts")

    def legal(self, state: EnvState) -> Array | None:
        """[N, A] the actions that are allowed now; None: all of them."""
        return None

    def world(self, state: EnvState) -> EnvState | None:
        """[N, ...] the environments' own states, from that of the batch; None where nobody can read them."""
        return None

    def traceable(self) -> "VecEnv":
        """The same environments in a form that a compiled program can hold; of one that is not stateful."""
        return self

    def close(self) -> None:
        """Give back what was opened. Twice does no harm."""


class Model(Protocol):
    """What happens next, over a batch of states [B, ...]: an exact environment's or a learned one's answer."""

    def step(self, state: Any, action: Array, key: Array) -> tuple[Any, Array, Array]:
        """Successors [B, ...], rewards [B] and ends [B] for actions [B, ...] in the policy's units."""
        ...


class Algorithm(Protocol):
    """A frozen dataclass of hyperparameters with the methods that the driver calls.

    The lower part is optional: an algorithm inherits it as it stands here, and says what is otherwise.
    """

    num_envs: int
    num_steps: int

    def init(self, env: VecEnv, key: Array) -> State: ...
    def step(self, env: VecEnv, state: State) -> tuple[State, dict[str, Array]]: ...
    def act(self, learner: Any, seen: Seen, noise: Any = None) -> Choice: ...
    def update(self, learner: Any, rollout: Rollout, key: Array) -> tuple[Any, dict[str, Array]]: ...

    lr_decay: bool = False  # does a learning rate fall? Then `lr_horizon` is a field too
    lr_horizon: float = 0.0  # env steps at which it is 0
    replay_size: int = 0  # transitions that a replay keeps; 0: there is none
    hindsight: int = 0  # goals of hindsight for each that was meant
    hidden: tuple[int, ...] = ()  # widths of the hidden layers
    noisy: bool = False  # is there noise in the weights?

    @property
    def env_steps_per_iteration(self) -> int:
        """N T."""
        return self.num_envs * self.num_steps

    @property
    def warmup_env_steps(self) -> int:
        """Env steps with random actions that come before the first iteration."""
        return 0

    def acting(self, learner: Any) -> Any:
        """The learner without what `act` never reads: that may be anywhere, or be written over, while it acts."""
        return learner

    def draw(self, space: Space, key: Array, shape: tuple[int, ...]) -> Any:
        """What `act` needs to be random, [*shape, ...]; by default standard noise for the kind of actions."""
        return noise(space, key, shape)

    def start_memory(self, num_envs: int) -> Any:
        """The `Seen.memory` with which N environments begin an episode: zeros [N, ...]; by default none."""
        return ()

    def value(self, learner: Any, obs: Obs) -> Array:
        """What the learner takes observations [N, ...] to be worth to the policy that it has, [N]."""
        raise TypeError(f"{type(self).__name__} learns no values")


class Replaying(Algorithm, Protocol):
    """An algorithm that learns from a replay, which begins with random actions: the warm-up."""

    replay_ratio: float  # gradient steps per env step
    batch_size: int
    warmup: int  # env steps with random actions before the first update
    warmup_hold: int  # env steps for which each of these is held
    n_step: int = 1  # rewards before the bootstrap
    prioritised: bool = False

    def remember(self, learner: Any, rollout: Rollout) -> Any: ...

    @property
    def gradient_steps_per_iteration(self) -> int:
        """A whole number: `replay.capacity.check_settings` sees to it."""
        return round(self.replay_ratio * self.env_steps_per_iteration)

    @property
    def warmup_env_steps(self) -> int:
        """`warmup`, rounded up to whole rows of environments."""
        return max(1, -(-self.warmup // self.num_envs)) * self.num_envs


def env_steps(algo: Algorithm, iterations: int) -> int:
    """Env steps that a seed has done after `iterations`, with those of the warm-up."""
    return algo.warmup_env_steps + iterations * algo.env_steps_per_iteration


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
