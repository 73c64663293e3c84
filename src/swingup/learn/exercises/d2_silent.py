"""Exercise d2 is a bug hunt in a loss whose bug is silent."""

import numpy as np

from swingup.learn.form import Case, Exercise

START = '''"""d2: a silent bug in the loss.

The loss of Q-learning compares the value of the action that was taken with its target, by Huber's function:

    mean_b huber(Q(s_b, a_b) - y_b),      huber(x) = ½ x² for |x| <= 1, |x| - ½ beyond

The code below runs without an error, and agents even learn a little. Find its bug, and mend one place.
"""

import numpy as np


def loss(q, action, y):
    """Return the loss of a batch of B transitions, a number.

    q       [B, A]  Q(s, ·)
    action  [B]     int, the actions that were taken
    y       [B]     their targets

    Where Q(s, a) equals y in every row it should be 0.
    """
    chosen = q[np.arange(len(q)), action][:, None]
    error = np.abs(chosen - y)
    return np.where(error <= 1, 0.5 * error**2, error - 0.5).mean()
'''


def loss(q, action, y):
    """Return Huber's loss of the chosen actions' values."""
    chosen = q[np.arange(len(q)), action]
    error = np.abs(chosen - y)
    return np.where(error <= 1, 0.5 * error**2, error - 0.5).mean()


def cases() -> dict[str, Case]:
    """Return the cases: the shown one, errors on both sides of 1, and a random batch."""
    rng = np.random.default_rng(0)
    return {
        "shown": {
            "q": np.array([[1.0, 5.0], [0.0, 3.0]]),
            "action": np.array([0, 1]),
            "y": np.array([1.0, 3.0]),
        },
        "small and large errors": {
            "q": np.array([[0.5, 9.0], [4.0, 1.0], [2.0, 2.0]]),
            "action": np.array([0, 0, 1]),
            "y": np.array([0.0, 1.0, 5.0]),
        },
        "a batch of 8": {
            "q": rng.normal(size=(8, 3)),
            "action": rng.integers(0, 3, 8),
            "y": 2 * rng.normal(size=8),
        },
    }


def _huber(x):
    x = np.abs(x)
    return np.where(x <= 1, 0.5 * x**2, x - 0.5)


def _chosen(q, action):
    return q[np.arange(len(q)), action]


EXERCISE = Exercise(
    title="a silent bug in the loss",
    page="algorithms/dqn#the-loss",
    start=START,
    answer=loss,
    cases=cases,
    wrong={
        "shapes [B, 1] and [B] make a table of all pairs [B, B]; row i belongs to target i alone": (
            lambda q, action, y: _huber(_chosen(q, action)[:, None] - y).mean()
        ),
        "all actions are compared with the target; only the one that was taken has one": lambda q, action, y: (
            _huber(q - y[:, None]).mean()
        ),
        "the best action's value is compared; the target belongs to the one that was taken": lambda q, action, y: (
            _huber(q.max(1) - y).mean()
        ),
        "this is the sum over the batch; the loss is a mean": lambda q, action, y: _huber(
            _chosen(q, action) - y
        ).sum(),
        "these are squares; Huber's function is linear beyond 1": lambda q, action, y: (
            0.5 * (_chosen(q, action) - y) ** 2
        ).mean(),
        "the ½ of the square is missing, so the two pieces do not meet at 1": lambda q, action, y: np.where(
            np.abs(_chosen(q, action) - y) <= 1,
            (_chosen(q, action) - y) ** 2,
            np.abs(_chosen(q, action) - y) - 0.5,
        ).mean(),
        "this is the absolute error; within 1 it should be a square": lambda q, action, y: np.abs(
            _chosen(q, action) - y
        ).mean(),
    },
    hints=(
        "What shape does each name have, line by line? What does NumPy do with [B, 1] minus [B]?",
        "The line of `chosen`.",
        "chosen = q[np.arange(len(q)), action], without [:, None]",
    ),
    hunt="Spinning Up, exercise 2.2, is built on it: a wrong shape that raises no error",
)
