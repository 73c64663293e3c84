"""Exercise c2 asks for normalised advantages."""

import numpy as np

from swingup.learn.form import Case, Exercise

START = '''"""c2: normalised advantages.

PPO subtracts the mean of all advantages of a minibatch and divides by their standard deviation, so that the scale of
rewards cannot change the size of its gradient. Where all advantages are equal there is nothing to learn: the result
must be zeros, also when rounding leaves a tiny deviation, and for a single advantage.
"""

import numpy as np


def normalise(advantage):
    """Return (A - mean) / (standard deviation + 1e-8), over all entries.

    advantage [T, N]
    returns   [T, N]

    [[1, 2], [3, 6]] becomes [[-1.07, -0.53], [0, 1.60]], and three times 0.1 becomes zeros.
    """
    raise NotImplementedError  # TODO
'''


def normalise(advantage):
    """Return the advantages with mean 0 and deviation 1, and a constant as zeros."""
    centred = advantage - advantage.mean()
    return centred / (centred.std() + 1e-8)


def cases() -> dict[str, Case]:
    """Return the cases: the shown one, constants, a single one, and random ones."""
    rng = np.random.default_rng(0)
    return {
        "shown": {"advantage": np.array([[1.0, 2.0], [3.0, 6.0]])},
        "three times 0.1": {"advantage": np.full((3, 1), 0.1)},
        "a single one": {"advantage": np.array([[5.0]])},
        "four of three": {"advantage": rng.normal(2, 3, size=(4, 3))},
    }


EXERCISE = Exercise(
    title="normalised advantages",
    page="algorithms/ppo#the-whole-loss",
    start=START,
    answer=normalise,
    cases=cases,
    wrong={
        "what rounding leaves of a constant is divided by itself; add 1e-8 to the deviation": lambda advantage: (
            (advantage - advantage.mean()) / advantage.std()
        ),
        "the deviation divides by n - 1, which is NaN for a single advantage": lambda advantage: (
            (advantage - advantage.mean()) / (advantage.std(ddof=1) + 1e-8)
        ),
        "the mean is not subtracted, so good and bad actions may both be made likelier": lambda advantage: (
            advantage / (advantage.std() + 1e-8)
        ),
        "this divides by the variance; divide by its root": lambda advantage: (
            (advantage - advantage.mean()) / (advantage.var() + 1e-8)
        ),
        "each environment is normalised by itself; one mean and one deviation hold for all": lambda advantage: (
            (advantage - advantage.mean(0)) / (advantage.std(0) + 1e-8)
        ),
        "each env step is normalised by itself; one mean and one deviation hold for all": lambda advantage: (
            (advantage - advantage.mean(1, keepdims=True)) / (advantage.std(1, keepdims=True) + 1e-8)
        ),
        "this divides by the largest deviation, which a single outlier decides": lambda advantage: (
            (advantage - advantage.mean()) / (np.abs(advantage - advantage.mean()).max() + 1e-8)
        ),
    },
    hints=(
        "What is the standard deviation of three equal numbers, and what does the computer say it is?",
        "One mean and one deviation over all T N entries; the small number stands in the denominator.",
        "(A - A.mean()) / (A.std() + 1e-8)",
    ),
)
