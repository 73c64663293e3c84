"""Exercise c8 is a bug hunt in the clipping of gradients."""

import numpy as np

from swingup.learn.form import Case, Exercise

START = '''"""c8: a bug in the clipping of gradients.

PPO shortens a gradient that is too long and keeps its direction. Its length is that of *all* parameters together,
the global norm: the root of the sum of all squares. Shorter gradients are left as they are.

The code below had this name in a public library, but it does something else. Mend one place.
"""

import numpy as np


def clip_by_global_norm(grads, limit):
    """Return the gradients, shortened together so that their global norm is at most `limit`.

    grads   a list of arrays, one per parameter
    limit   float
    returns a list of arrays

    [3, 0] and [4] have the norm 5; with the limit 1 they should become [0.6, 0] and [0.8].
    """
    return [np.clip(g, -limit, limit) for g in grads]
'''


def clip_by_global_norm(grads, limit):
    """Return the gradients times one factor, which is at most 1."""
    norm = np.sqrt(sum((g**2).sum() for g in grads))
    factor = min(1.0, limit / max(norm, 1e-12))
    return [g * factor for g in grads]


def cases() -> dict[str, Case]:
    """Return the cases: the shown one, a short gradient, zeros, and random ones."""
    rng = np.random.default_rng(0)
    return {
        "shown": {"grads": [np.array([3.0, 0.0]), np.array([4.0])], "limit": 1.0},
        "a short gradient": {"grads": [np.array([0.3, 0.0]), np.array([0.4])], "limit": 2.0},
        "zeros": {"grads": [np.zeros(2)], "limit": 1.0},
        "a network": {
            "grads": [rng.normal(size=(3, 4)), rng.normal(size=4), rng.normal(size=(4, 2))],
            "limit": 0.5,
        },
    }


def _as_tuple(answer, case):
    result = answer(**case)
    return tuple(result) if isinstance(result, list) else result


def _scaled(norm_of):
    def answer(grads, limit):
        norm = norm_of(grads)
        return [g * min(1.0, limit / max(norm, 1e-12)) for g in grads]

    return answer


def _each(grads, limit):
    return [g * min(1.0, limit / max(np.sqrt((g**2).sum()), 1e-12)) for g in grads]


def _always(grads, limit):
    norm = np.sqrt(sum((g**2).sum() for g in grads))
    return [g * limit / max(norm, 1e-12) for g in grads]


def _count(grads):
    return sum(g.size for g in grads)


EXERCISE = Exercise(
    title="a bug in the clipping of gradients",
    page="algorithms/ppo#details-and-the-evidence-for-them",
    start=START,
    answer=clip_by_global_norm,
    cases=cases,
    look=_as_tuple,
    wrong={
        "each entry is clipped by itself, which changes the gradient's direction": (
            lambda grads, limit: [np.clip(g, -limit, limit) for g in grads]
        ),
        "each array is shortened by itself, which changes the direction of the whole": _each,
        "short gradients are lengthened to the limit; leave them as they are": _always,
        "the root is missing: the norm is the root of the sum of squares": _scaled(
            lambda grads: sum((g**2).sum() for g in grads)
        ),
        "the norms of the arrays are added; add their squares and take one root": _scaled(
            lambda grads: sum(np.sqrt((g**2).sum()) for g in grads)
        ),
        "the norm is a root mean square, so larger networks are clipped less": _scaled(
            lambda grads: np.sqrt(sum((g**2).sum() for g in grads) / _count(grads))
        ),
        "the norm is that of the largest entry": _scaled(lambda grads: max(np.abs(g).max() for g in grads)),
        "the limit is ignored: every gradient is brought to the norm 1": lambda grads, limit: _always(
            grads, 1.0
        ),
    },
    hints=(
        "In which direction does [3, 0], [4] point, and in which does the code's result?",
        "There is one norm for the whole list, and one factor for all arrays.",
        "norm = sqrt(Σ over all arrays of (g**2).sum()); every g times min(1, limit / norm). Mind a norm of 0.",
    ),
    hunt="rejax, after its issue 16: `max_grad_norm` went to optax.clip, which clips each element",
)
