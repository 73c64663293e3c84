"""Plain tuples of arrays are the data that flow through the library. `protocols` says who exchanges them.

Axes are named in brackets: `T` env steps of one rollout, `N` environments, `S` seeds.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from jax import Array

Obs = Any
EnvState = Any
Fields = TypeVar("Fields", bound=NamedTuple)


class Transition(NamedTuple):
    """A transition is what one environment answers to one action. Nothing here has been reset."""

    obs: Obs  # s', the true successor, also when the episode ended
    reward: Array
    terminated: Array  # the MDP ended: the value of s' is 0
    truncated: Array  # the clock ended: the value of s' is V(s')


class Step(NamedTuple):
    """A step is what `N` environments with auto-reset answer to `N` actions; every field is [N, ...]."""

    obs: Obs  # what to act on next: the first observation of a new episode where one just ended
    next_obs: Obs  # the true successor s', also where the episode ended: bootstrap from this
    reward: Array
    terminated: Array
    truncated: Array  # never true together with `terminated`
    ep_return: Array  # undiscounted return of the running episode up to and including this reward
    ep_length: Array  # its length in env steps
    next_legal: Array | None = None  # of `next_obs`, the actions that are allowed; None: all of them

    @property
    def done(self) -> Array:
        """Say whether the episode ended, for whichever reason. Cuts sums over time; never masks a bootstrap."""
        return self.terminated | self.truncated


class Recent(NamedTuple):
    """A ring holds the returns of the last episodes that ended in training."""

    returns: Array  # [100]
    count: Array  # episodes that have ended; from 2^30 on their place in the ring (`counters.around`)


class Actor(NamedTuple):
    """The actor is the side of the training state that lives in the environments."""

    env_state: EnvState
    obs: Obs  # [N, ...]
    recent: Recent
    memory: Any = ()  # what `act` carries from one env step to the next: see `Seen`


class Seen(NamedTuple):
    """A policy sees this when it acts in `N` environments."""

    obs: Obs  # [N, ...]
    legal: Array | None = None  # [N, A] the actions that are allowed; None: all of them
    world: EnvState | None = None  # the environments' own states [N, ...], for planners; None: unreadable
    memory: Any = ()  # the `Choice.memory` of the env step before, [N, ...]; zeros where an episode begins


class Choice(NamedTuple):
    """A choice is what a policy answers in `N` environments."""

    action: Array  # [N, ...] as the policy means it: before the environment's bounds are applied
    extras: Any = ()  # [N, ...] what `update` wants remembered
    memory: Any = ()  # [N, ...] what to see again in the next env step: of recurrent policies, and of plans


Act = Callable[[Seen, Any], Choice]  # what is seen, and noise


class Rollout(NamedTuple):
    """A rollout is a piece of experience; every field has leading axes [T, N]."""

    obs: Obs
    action: Array  # as the policy drew it: before the environment's bounds are applied
    extras: Any  # whatever the algorithm's `act` wanted remembered
    step: Step
    legal: Array | None = None  # of each `obs`, the actions that were allowed


class State(NamedTuple):
    """The state is everything that changes in training. Saving it and loading it resumes exactly."""

    learner: Any
    actor: Actor
    key: Array


def without(data: Fields, *names: str) -> Fields:
    """Return a tuple with None in the fields of these names, for who never reads them.

    >>> without(Choice(action=1, extras=2), "extras").extras is None
    True
    """
    return data._replace(**dict.fromkeys(names))
