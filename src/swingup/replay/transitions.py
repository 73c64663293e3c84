"""A transition has one form in which it is kept, and one in which it is drawn."""

from typing import Any, NamedTuple

from jax import Array


class Row(NamedTuple):
    """This is kept of a transition beside its images; every field is [..., *]."""

    obs: Any  # None for images
    next_obs: Any  # the true successor; None for images
    action: Array
    reward: Array
    terminated: Array
    done: Array
    age: Any  # images: env steps since the episode began
    last: Any  # images: at a time limit, the number of its last frame
    episode: Any  # goals: the episode's number in its environment
    legal: Any = None  # masked environments: the actions that are allowed
    next_legal: Any = None  # and those in the true successor


class Batch(NamedTuple):
    """These are `B` transitions, of one or of several env steps."""

    obs: Any  # [B, ...]
    action: Array
    reward: Array  # [B] the discounted sum of the k rewards
    next_obs: Any  # the true successor after k env steps
    terminated: Array  # the MDP ended there: the value of `next_obs` is 0
    discount: Array  # [B] γ^k
    weight: Array  # [B] of its loss; 0 for the few whose last frame is lost
    index: Array  # [B] where they lie
    legal: Array | None = None  # [B, A] the actions that are allowed; None: all of them
    next_legal: Array | None = None  # and those in `next_obs`
