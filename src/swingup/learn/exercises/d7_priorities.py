"""Exercise d7 asks for prioritised sampling and its weights."""

from typing import Any

import numpy as np

from swingup.learn.form import Case, Exercise

START = '''"""d7: prioritised replay.

Transition i is drawn with the probability P(i) = p_i^α / Σ_k p_k^α. To draw it, lay the probabilities end to
end on the line from 0 to 1 and see in which one a random number u falls: i owns the interval from Σ_{k<i} P(k)
up to, but without, Σ_{k<=i} P(k).

What is drawn too often must count less. The weights are (N P(i))^-β, divided by the largest among those drawn.
"""

import numpy as np


def draw(priority, alpha, beta, u):
    """Return which transitions are drawn, and their weights.

    priority [N]    p, positive
    alpha    float  α
    beta     float  β
    u        [B]    random numbers from 0 to 1, without 1
    returns  index [B] and weight [B], as a tuple

    With priorities 1, 3, 4, α = β = 1 and u = 0.05, 0.125, 0.9 the indices are 0, 1, 2 and the weights 1, 1/3, 1/4.
    """
    raise NotImplementedError  # TODO
'''


def draw(priority, alpha, beta, u):
    """Return indices by the inverse of the summed probabilities, and weights that undo the bias."""
    p = priority**alpha
    p = p / p.sum()
    index = np.searchsorted(np.cumsum(p), u, side="right")
    index = np.minimum(index, len(p) - 1)  # rounding may leave the sum below 1
    weight = (len(p) * p[index]) ** -beta
    return index, weight / weight.max()


def cases() -> dict[str, Case]:
    """Return the cases: the shown one, one without the rarest transition, and random ones."""
    rng = np.random.default_rng(0)
    return {
        "shown": {
            "priority": np.array([1.0, 3.0, 4.0]),
            "alpha": 1.0,
            "beta": 1.0,
            "u": np.array([0.05, 0.125, 0.9]),
        },
        "the rarest is not drawn": {
            "priority": np.array([0.25, 1.0, 2.0, 4.0]),
            "alpha": 0.5,
            "beta": 0.5,
            "u": np.array([0.5, 0.95]),
        },
        "ten": {"priority": rng.uniform(0.1, 3, 10), "alpha": 0.6, "beta": 0.4, "u": rng.random(6)},
    }


def _wrong(
    power=lambda p, a: p**a,
    side: Any = "right",
    weight=lambda p, i, b: (len(p) * p[i]) ** -b,
    top=lambda w, p, b: w.max(),
):
    def answer(priority, alpha, beta, u):
        p = power(priority, alpha)
        p = p / p.sum()
        index = np.minimum(np.searchsorted(np.cumsum(p), u, side), len(p) - 1)
        w = weight(p, index, beta)
        return index, w / top(w, p, beta)

    return answer


def _raw(priority, alpha, beta, u):
    index, _ = draw(priority, alpha, beta, u)
    w = (len(priority) * priority[index] ** alpha) ** -beta
    return index, w / w.max()


def _short(priority, alpha, beta, u):
    p = priority**alpha / (priority**alpha).sum()
    index = np.minimum(np.searchsorted(np.cumsum(p), u, side="right") + 1, len(p) - 1)
    weight = (len(p) * p[index]) ** -beta
    return index, weight / weight.max()


EXERCISE = Exercise(
    title="prioritised replay",
    page="algorithms/dqn#prioritised-replay",
    start=START,
    answer=draw,
    cases=cases,
    wrong={
        "the exponent's sign is lost: what is drawn often must count less": _wrong(
            weight=lambda p, i, b: (len(p) * p[i]) ** b
        ),
        "the weights are divided by the largest in the whole memory; those drawn decide": _wrong(
            top=lambda w, p, b: ((len(p) * p) ** -b).max()
        ),
        "the weights are not divided by their largest, so a step may be much too long": _wrong(
            top=lambda w, p, b: 1.0
        ),
        "the weights are divided by their sum; divide by the largest": _wrong(top=lambda w, p, b: w.sum()),
        "α is lost: priorities are used as they are": _wrong(lambda p, a: p),
        "a number on a border falls to the left; each interval holds its lower end": _wrong(side="left"),
        "the index is one too high: the first interval begins at 0": _short,
        "β is lost: the correction is always full": _wrong(weight=lambda p, i, b: (len(p) * p[i]) ** -1.0),
        "everything is drawn alike here: α turns priorities into probabilities": _wrong(
            lambda p, a: np.ones_like(p)
        ),
    },
    hints=(
        "If a transition is drawn three times as often as fair, how should its gradient be scaled?",
        "np.cumsum and np.searchsorted find the interval; the weights need P(i), not p_i.",
        'index = np.searchsorted(np.cumsum(P), u, side="right"); w = (N P[index]) ** -β; w / w.max()',
    ),
)
