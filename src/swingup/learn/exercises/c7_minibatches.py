"""Exercise c7 asks for minibatches of a rollout."""

import numpy as np

from swingup.learn.form import Case, Exercise

START = '''"""c7: minibatches.

PPO cuts a rollout of T env steps in N environments into k minibatches, in each epoch in another random order. Every
sample is in exactly one of them, and an observation stays with its own action.

The T N samples are numbered row by row: first env step 0 of all environments, then env step 1, ...
"""

import numpy as np


def minibatches(obs, action, order, k):
    """Return the samples in the given order, cut into k minibatches of equal size.

    obs     [T, N, O]
    action  [T, N]
    order   [T N]   a permutation: sample order[0] comes first
    k       int, a divisor of T N
    returns obs [k, T N / k, O] and actions [k, T N / k], as a tuple

    With T = N = 2, actions [[0, 1], [2, 3]], order 3, 1, 0, 2 and k = 2 the actions become [[3, 1], [0, 2]].
    """
    raise NotImplementedError  # TODO
'''


def minibatches(obs, action, order, k):
    """Return flattened samples in that order, with an axis for the minibatches."""
    size = len(order) // k
    flat = obs.reshape(len(order), -1)
    return flat[order].reshape(k, size, -1), action.reshape(-1)[order].reshape(k, size)


def _case(t, n, o, order, k):
    action = np.arange(t * n).reshape(t, n)
    return {
        "obs": action[..., None] * 10.0 + np.arange(o),
        "action": action,
        "order": np.array(order),
        "k": k,
    }


def cases() -> dict[str, Case]:
    """Return the cases: the shown one, and random orders."""
    rng = np.random.default_rng(0)
    return {
        "shown": _case(2, 2, 1, [3, 1, 0, 2], 2),
        "three of four": _case(3, 4, 2, rng.permutation(12), 3),
        "six of two": _case(6, 2, 3, rng.permutation(12), 4),
    }


def _both(change):
    def answer(obs, action, order, k):
        flat = obs.reshape(len(order), -1), action.reshape(-1)
        return tuple(x.reshape(k, -1, *x.shape[1:]) for x in (change(y, order) for y in flat))

    return answer


def _swapped(obs, action, order, k):
    return minibatches(np.swapaxes(obs, 0, 1).copy(), action.T.copy(), order, k)


def _size(obs, action, order, k):
    return minibatches(obs, action, order, len(order) // k)


def _one(obs, action, order, k):
    x, a = minibatches(obs, action, order, k)
    return np.repeat(x[:1], k, 0), np.repeat(a[:1], k, 0)


EXERCISE = Exercise(
    title="minibatches of a rollout",
    page="algorithms/ppo#pseudocode-and-where-it-is",
    start=START,
    answer=minibatches,
    cases=cases,
    wrong={
        "observations are shuffled and actions are not, so they no longer belong together": (
            lambda obs, action, order, k: (minibatches(obs, action, order, k)[0], action.reshape(k, -1))
        ),
        "actions are shuffled a second time, so they no longer belong to their observations": (
            lambda obs, action, order, k: (
                minibatches(obs, action, order, k)[0],
                action.reshape(-1)[order][order].reshape(k, -1),
            )
        ),
        "nothing is shuffled: neighbours in time stay together in one minibatch": _both(lambda x, order: x),
        "the samples are numbered by environment first; number them by env step first": _swapped,
        "samples are put to place order[i]; take the one from place order[i]": _both(
            lambda x, order: x[np.argsort(order)]
        ),
        "the first minibatch is used k times; each sample belongs in exactly one": _one,
        "k is taken for the size of a minibatch; it is their number": _size,
        "the order runs backwards": _both(lambda x, order: x[order[::-1]]),
    },
    hints=(
        "After shuffling, how would you find the action that belongs to the first observation?",
        "Flatten the first two axes of both arrays, index both with the same order, and cut.",
        "obs.reshape(T * N, O)[order].reshape(k, -1, O), and the same for the actions without O",
    ),
)
