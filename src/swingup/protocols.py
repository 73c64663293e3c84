"""Protocols connect the parts: environments, models, algorithms; and a decorator makes a class one of settings.

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
# Both take observations [..., D], actions [..., A] in the environment's units, and the true successors [..., D]:
KnownReward = Callable[[Array, Array, Array], Array]  # the reward [...]
KnownEnd = Callable[[Array, Array, Array], Array]  # whether the MDP ended there, as `terminated` [...]


class Env(Protocol):
    """One environment is a set of pure functions, without auto-reset.

    The lower part is optional. Who inherits from this class has it as it stands here; `Vec` takes it so from others.
    """

    name: str
    observation_space: Space
    action_space: Space

    def reset(self, key: Array) -> tuple[EnvState, Obs]: ...
    def step(self, state: EnvState, action: Array, key: Array) -> tuple[EnvState, Transition]: ...

    goal_reward: GoalReward | None = None  # rewards for another goal, if observations have goals
    known_reward: KnownReward | None = None  # its reward, if that is a function of what is observed
    known_end: KnownEnd | None = None  # and where it ends the MDP; None: a model has to learn it
    mdp: Any = None  # the tables of a finite MDP, if it is one
    costly_reset: bool = False  # draw one fresh start per environment and rollout, not one per env step
    legal: Callable[[EnvState], Array] | None = None  # [A] the actions that are allowed in a state
    state_of: Callable[[Obs], EnvState] | None = None  # a state that looks so, where an observation tells it
    players: int = 1  # 2: it is an `envs.games.Game`


class VecEnv(Protocol):
    """`num_envs` environments reset themselves, on the device or on the host.

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
    known_reward: KnownReward | None = None  # the environments' reward, if a function of what is observed
    known_end: KnownEnd | None = None  # and where they end the MDP
    mdp: Any = None  # the tables of a finite MDP, if every environment is one
    stacked: bool = False  # are observations stacks of frames, as `replay.frames` describes them?
    reward_sign: bool = False  # does the learner see the sign of each reward?
    masked: bool = False  # does `legal` forbid actions at times?
    players: int = 1  # 2: a game whose moves are those of both players in turn, and each reward the mover's
    divisible: bool = False  # does it hold the environments of all seeds, of which `part` gives one seed's?

    def part(self, start: int, count: int) -> "VecEnv":
        """Return the environments start .. start+count-1, shared with this object; of one that is divisible."""
        raise TypeError(f"{self.name} has no parts")

    def legal(self, state: EnvState) -> Array | None:
        """Return which actions are allowed now, [N, A], or None if all are."""
        return None

    def world(self, state: EnvState) -> EnvState | None:
        """Return the environments' own states, [N, ...], from that of the batch; None where nobody can read them."""
        return None

    def traceable(self) -> "VecEnv":
        """Return the same environments in a form that a compiled program can hold; of one that is not stateful."""
        return self

    def close(self) -> None:
        """Give back what was opened. Twice does no harm."""


class Model(Protocol):
    """A model tells what happens next, over a batch of states [B, ...]: exactly, or as it was learnt.

    It answers as an `Env` does, and resets nothing. So planners look ahead in it, and `envs.imagined.Imagined` makes
    environments of it in which any policy can act.
    """

    def start(self, seen: Seen) -> Any:
        """Return the model's states [B, ...] in which a policy sees this. Raises `ConfigError` where it cannot."""
        ...

    def draw(self, key: Array, lead: tuple[int, ...]) -> Any:
        """Draw all that is random in `lead` = (..., B) rows of steps, [*lead, ...], for `step` in one of its loops."""
        ...

    def step(self, state: Any, action: Array, noise: Any) -> tuple[Any, Transition]:
        """Return the states after actions [B, ...] in the environment's units, and the transitions [B, ...]."""
        ...


class Algorithm(Protocol):
    """An algorithm is a frozen dataclass of hyperparameters with the methods that the driver calls.

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
    imagined_size: int = (
        0  # those that a second one keeps of what a model says, of `imagined_envs` rows side by side
    )
    imagined_envs: int = 1
    hindsight: int = 0  # goals of hindsight for each that was meant
    hidden: tuple[int, ...] = ()  # widths of the hidden layers
    noisy: bool = False  # is there noise in the weights?
    plays_games: bool = False  # does it play games for two, moving for both?
    up_to_date: bool = (
        False  # on the host: must it act with the newest update, so that environments wait for it?
    )

    @property
    def env_steps_per_iteration(self) -> int:
        """Return N T."""
        return self.num_envs * self.num_steps

    @property
    def warmup_env_steps(self) -> int:
        """Return the number of env steps with random actions that come before the first iteration."""
        return 0

    def acting(self, learner: Any) -> Any:
        """Return the learner without what `act` never reads: that may lie anywhere or change while `act` runs."""
        return learner

    def draw(self, space: Space, key: Array, shape: tuple[int, ...]) -> Any:
        """Draw what `act` needs to be random, [*shape, ...]; by default standard noise for the kind of actions."""
        return noise(space, key, shape)

    def start_memory(self, space: Space, num_envs: int) -> Any:
        """Return the `Seen.memory` with which N environments begin an episode: zeros [N, ...]; by default none.

        `space` is that of the actions.
        """
        return ()

    def value(self, learner: Any, obs: Obs) -> Array:
        """Return what the learner takes observations [N, ...] to be worth to the policy that it has, [N]."""
        raise TypeError(f"{type(self).__name__} learns no values")


class Replaying(Algorithm, Protocol):
    """An algorithm that learns from a replay begins with random actions, the warm-up."""

    replay_ratio: float = 0.0  # gradient steps per env step, on batches from the replay; 0: none
    batch_size: int = 0
    warmup: int  # env steps with random actions before the first update
    warmup_hold: int  # env steps for which each of these is held
    n_step: int = 1  # rewards before the bootstrap
    prioritised: bool = False

    def remember(self, learner: Any, rollout: Rollout) -> Any: ...

    @property
    def gradient_steps_per_iteration(self) -> int:
        """Return a whole number: `replay.capacity.check_settings` sees to it."""
        return round(self.replay_ratio * self.env_steps_per_iteration)

    @property
    def warmup_env_steps(self) -> int:
        """Return `warmup`, rounded up to whole rows of environments."""
        return max(1, -(-self.warmup // self.num_envs)) * self.num_envs


def env_steps(algo: Algorithm, iterations: int) -> int:
    """Count the env steps that a seed has done after `iterations`, with those of the warm-up."""
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
