"""Exercise a5 asks for the action that an environment receives for one in [-1, 1]."""

import numpy as np

from swingup.learn.form import Case, Exercise

START = '''"""a5: from the policy's units to the environment's bounds.

A policy acts in units in which [-1, 1] spans the bounds of each dimension: -1 is `low`, 1 is `high`, 0 is the middle
between them. A Gaussian may leave [-1, 1]; what is outside is clipped to it first.
"""

import numpy as np


def to_env(action, low, high):
    """Return the actions that the environment receives.

    action  [B, D]  the policy's actions, any numbers
    low     [D]     lowest action of each dimension
    high    [D]     highest action of each dimension
    returns [B, D]

    With low [1, -½] and high [4, 2], the action [0, 0] becomes [2.5, 0.75], and [1.5, ½] becomes [4, 1.375].
    """
    raise NotImplementedError  # TODO
'''


def to_env(action, low, high):
    """Return the clipped action, scaled by half the range and moved to the middle."""
    return (low + high) / 2 + (high - low) / 2 * np.clip(action, -1, 1)


def cases() -> dict[str, Case]:
    """Return the cases: the shown one, actions far outside, and random bounds."""
    rng = np.random.default_rng(0)
    low = rng.normal(size=3)
    return {
        "shown": {
            "action": np.array([[0.0, 0.0], [1.5, 0.5]]),
            "low": np.array([1.0, -0.5]),
            "high": np.array([4.0, 2.0]),
        },
        "far outside": {
            "action": np.array([[-9.0], [9.0]]),
            "low": np.array([-2.0]),
            "high": np.array([2.0]),
        },
        "random bounds": {
            "action": rng.normal(size=(6, 3)),
            "low": low,
            "high": low + rng.uniform(0.5, 3, 3),
        },
    }


EXERCISE = Exercise(
    title="from the policy's units to the environment's bounds",
    page="algorithms/ddpg#derivation",
    start=START,
    answer=to_env,
    cases=cases,
    wrong={
        "the action is only multiplied by high, which is right for bounds around 0 alone": lambda action, low, high: (
            np.clip(action, -1, 1) * high
        ),
        "one bound, high[0], serves all dimensions; each has its own": lambda action, low, high: (
            (low + high[0]) / 2 + (high[0] - low) / 2 * np.clip(action, -1, 1)
        ),
        "nothing is clipped, so the environment gets actions beyond its bounds": lambda action, low, high: (
            (low + high) / 2 + (high - low) / 2 * action
        ),
        "the action is clipped to the bounds and never scaled; 0 is not the middle then": lambda action, low, high: (
            np.clip(action, low, high)
        ),
        "the whole range is the scale; from the middle to a bound it is half the range": lambda action, low, high: (
            np.clip((low + high) / 2 + (high - low) * action, low, high)
        ),
        "tanh squashes what is already in the policy's units; clipping is asked for": lambda action, low, high: (
            (low + high) / 2 + (high - low) / 2 * np.tanh(action)
        ),
        "this maps [0, 1] to the bounds; the policy's units are [-1, 1]": lambda action, low, high: (
            low + (high - low) * np.clip(action, 0, 1)
        ),
    },
    hints=(
        "Which action of the environment do -1, 0 and 1 stand for?",
        "Clip first, to [-1, 1]; then scale by half the range and add the middle, per dimension.",
        "(low + high) / 2 + (high - low) / 2 * clip(action, -1, 1)",
    ),
)
