"""Exercise a1 asks for the log-probability of a discrete action."""

import numpy as np

from swingup.learn.form import Case, Exercise

START = '''"""a1: the log-probability of a discrete action.

A policy for A actions returns a number for each, its logit. The policy is their softmax:

    π(a) = exp(logits[a]) / Σ_b exp(logits[b])

Almost every loss of policy gradients needs log π(a). Compute it so that it is finite for large logits too.
"""

import numpy as np


def log_prob(logits, action):
    """Return log π(action) for a batch of B observations.

    logits  [B, A]  float, one row per observation
    action  [B]     int, from 0 to A - 1
    returns [B]     float

    With logits [[0, ln 3], [ln 3, 0]] and action [1, 1] it is [-0.288, -1.386], the logarithms of 3/4 and 1/4.
    """
    raise NotImplementedError  # TODO
'''


def log_prob(logits, action):
    """Return log π(action): the logit minus the logarithm of the sum of all exponentials."""
    z = logits - logits.max(-1, keepdims=True)  # the largest becomes 0, so that no exponential overflows
    log_pi = z - np.log(np.exp(z).sum(-1, keepdims=True))
    return log_pi[np.arange(len(action)), action]


def cases() -> dict[str, Case]:
    """Return the cases: the shown one, extreme logits, and random ones."""
    rng = np.random.default_rng(0)
    l3 = np.log(3.0)
    return {
        "shown": {"logits": np.array([[0.0, l3], [l3, 0.0]]), "action": np.array([1, 1])},
        "an unlikely action": {"logits": np.array([[0.0, -50.0], [0.0, 1.0]]), "action": np.array([1, 0])},
        "logits of 1000": {"logits": np.array([[1000.0, 999.0, 0.0]]), "action": np.array([1])},
        "five of seven": {"logits": rng.normal(size=(5, 7)), "action": rng.integers(0, 7, 5)},
    }


def _log_softmax(logits, axis=-1):
    z = logits - logits.max(axis, keepdims=True)
    return z - np.log(np.exp(z).sum(axis, keepdims=True))


def _pick(table, action):
    return table[np.arange(len(action)), action]


EXERCISE = Exercise(
    title="the log-probability of a discrete action",
    page="course/key_concepts#policies",
    start=START,
    answer=log_prob,
    cases=cases,
    wrong={
        "this is the probability, and its logarithm is asked for": lambda logits, action: _pick(
            np.exp(_log_softmax(logits)), action
        ),
        "exp of a large logit overflows; subtract each row's largest logit first": lambda logits, action: (
            _pick(np.log(np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)), action)
        ),
        "the softmax runs over the batch; it must run over the actions, the last axis": lambda logits, action: (
            _pick(_log_softmax(logits, 0), action)
        ),
        "this takes the columns of all actions for every row; row i needs only action[i]": lambda logits, action: (
            _log_softmax(logits)[:, action]
        ),
        "this is the logit itself; the logarithm of the sum of exponentials is not subtracted": lambda logits, action: (
            _pick(logits, action)
        ),
        "a small number inside the logarithm hides unlikely actions; work with logits instead": lambda logits, action: (
            np.log(_pick(np.exp(_log_softmax(logits)), action) + 1e-8)
        ),
        "this is the loss -log π; the log-probability itself is asked for": lambda logits, action: (
            -_pick(_log_softmax(logits), action)
        ),
    },
    hints=(
        "What is log(x / y) as a difference? Then which exponentials do you still need?",
        "The sum runs over the last axis and must keep it, and row i picks column action[i].",
        "With z = logits - max(logits): log π(a) = z[a] - log Σ_b exp(z[b]); pick with [np.arange(B), action].",
    ),
)
