"""Exercise c1 asks for the policy gradient of a bandit, by the score function."""

import numpy as np

from swingup.learn.form import Case, Exercise

START = '''"""c1: the policy gradient of a bandit.

A softmax policy over A arms is played B times. The gradient of the expected reward is estimated without any
derivative of the reward:

    ∇J ≈ mean_b R_b ∇log π(a_b),      with respect to the logits

For a softmax, ∂ log π(a) / ∂ logits[k] is 1 - π(k) for k = a, and -π(k) for all other k.
"""

import numpy as np


def policy_gradient(logits, action, reward):
    """Return the estimate of ∇J.

    logits  [A]
    action  [B]  int, the arms that were played
    reward  [B]
    returns [A]

    With logits [0, 0], actions [0, 1] and rewards [10, 11] it is [-0.25, 0.25].
    """
    raise NotImplementedError  # TODO
'''


def policy_gradient(logits, action, reward):
    """Return the mean of reward times score."""
    pi = np.exp(logits - logits.max())
    pi /= pi.sum()
    score = np.eye(len(logits))[action] - pi
    return (reward[:, None] * score).mean(0)


def cases() -> dict[str, Case]:
    """Return the cases: the shown one, and random ones."""
    rng = np.random.default_rng(0)
    return {
        "shown": {"logits": np.zeros(2), "action": np.array([0, 1]), "reward": np.array([10.0, 11.0])},
        "one arm again and again": {
            "logits": np.array([0.0, 1.0]),
            "action": np.array([1, 1, 1]),
            "reward": np.ones(3),
        },
        "four arms": {
            "logits": rng.normal(size=4),
            "action": rng.integers(0, 4, 9),
            "reward": rng.normal(size=9),
        },
    }


def _pi(logits):
    pi = np.exp(logits - logits.max())
    return pi / pi.sum()


def _score(logits, action):
    return np.eye(len(logits))[action] - _pi(logits)


EXERCISE = Exercise(
    title="the policy gradient of a bandit",
    page="course/policy_optimisation#the-gradient-of-an-expectation",
    start=START,
    answer=policy_gradient,
    cases=cases,
    wrong={
        "the -π of the softmax is missing: more of one arm is less of all others": lambda logits, action, reward: (
            (reward[:, None] * np.eye(len(logits))[action]).mean(0)
        ),
        "this is ∇π, and ∇log π is asked for: arms that are rare count too little": lambda logits, action, reward: (
            (reward[:, None] * _pi(logits)[action][:, None] * _score(logits, action)).mean(0)
        ),
        "the sign is that of a loss; the gradient itself is asked for, which one ascends": (
            lambda logits, action, reward: -policy_gradient(logits, action, reward)
        ),
        "this is a sum over the batch; the estimate is a mean": lambda logits, action, reward: (
            reward[:, None] * _score(logits, action)
        ).sum(0),
        "the score is divided by π once more; log has done that": lambda logits, action, reward: (
            reward[:, None] * _score(logits, action) / _pi(logits)[action][:, None]
        ).mean(0),
        "this is mean reward times mean score; each score goes with its own reward": lambda logits, action, reward: (
            reward.mean() * _score(logits, action).mean(0)
        ),
        "the reward is squared": lambda logits, action, reward: (
            reward[:, None] ** 2 * _score(logits, action)
        ).mean(0),
    },
    hints=(
        "If arm 0 is played and pays well, what happens to the logits of the other arms?",
        "One score per play, [B, A]; multiply it by that play's reward, then take the mean over plays.",
        "score = np.eye(A)[action] - π;  (reward[:, None] * score).mean(0)",
    ),
)
