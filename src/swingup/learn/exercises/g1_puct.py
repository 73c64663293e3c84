"""Exercise g1 asks for the score of PUCT, and for the backup of a value between two players."""

import numpy as np

from swingup.learn.form import Case, Exercise

START = '''"""g1: PUCT, and a value on its way up.

AlphaZero's search goes down its tree by the action with the largest

    Q(a) + c π(a) sqrt(Σ_b n_b) / (1 + n_a),      Q(a) = w_a / n_a, or 0 for an action without visits

At a leaf the network says how good the position is for the player who is to move there. On the way up, each
node counts it for the player who is to move at *that* node, and players alternate.
"""

import numpy as np


def score_and_backup(visits, total, prior, c, depth, value):
    """Return the scores of A actions, and what each node on the path counts, from the root to the leaf, as a tuple.

    visits  [A]    n
    total   [A]    w, the sum of values of each action's visits, for the player to move
    prior   [A]    π
    c       float
    depth   int    the number of nodes on the path, root and leaf included
    value   float  the leaf's value, for the player to move at the leaf
    returns [A] and [depth]

    With visits 3, 0, 1, total 1.5, 0, -0.3, prior 0.2, 0.6, 0.2, c = 1.25, depth 4 and value 1 they are 0.625, 1.5,
    -0.05 and -1, 1, -1, 1.
    """
    raise NotImplementedError  # TODO
'''


def score_and_backup(visits, total, prior, c, depth, value):
    """Return mean value plus bonus, and the value with a sign that alternates upwards from the leaf."""
    q = np.where(visits > 0, total / np.maximum(visits, 1), 0.0)
    score = q + c * prior * np.sqrt(visits.sum()) / (1 + visits)
    return score, value * (-1.0) ** (depth - 1 - np.arange(depth))


def cases() -> dict[str, Case]:
    """Return the cases: the shown one, and random ones, with an odd depth too."""
    rng = np.random.default_rng(0)

    def random(a, depth):
        visits = rng.integers(0, 6, a)
        return {
            "visits": visits,
            "total": rng.uniform(-1, 1, a) * visits,
            "prior": rng.dirichlet(np.ones(a)),
            "c": 1.4,
            "depth": depth,
            "value": -0.7,
        }

    shown = {
        "visits": np.array([3, 0, 1]),
        "total": np.array([1.5, 0.0, -0.3]),
        "prior": np.array([0.2, 0.6, 0.2]),
        "c": 1.25,
        "depth": 4,
        "value": 1.0,
    }
    return {"shown": shown, "five actions": random(5, 3), "seven actions": random(7, 6)}


def _wrong(q=None, bonus=None, sign=None):
    def answer(visits, total, prior, c, depth, value):
        score, up = score_and_backup(visits, total, prior, c, depth, value)
        mean = np.where(visits > 0, total / np.maximum(visits, 1), 0.0)
        usual = c * prior * np.sqrt(visits.sum()) / (1 + visits)
        if q or bonus:
            score = (q(visits, total) if q else mean) + (bonus(visits, prior, c) if bonus else usual)
        return score, value * sign(depth) if sign else up

    return answer


EXERCISE = Exercise(
    title="PUCT, and a value on its way up",
    page="algorithms/alphazero#derivation",
    start=START,
    answer=score_and_backup,
    cases=cases,
    wrong={
        "the sign never changes; what is good for one player is bad for the other": _wrong(sign=np.ones),
        "the signs alternate from the root; the value belongs to the player at the leaf": _wrong(
            sign=lambda d: (-1.0) ** np.arange(d)
        ),
        "only the leaf counts the value; each node on the path does": _wrong(
            sign=lambda d: 1.0 * (np.arange(d) == d - 1)
        ),
        "Q is the sum of values; it is their mean": _wrong(q=lambda n, w: w),
        "the 1 in 1 + n is missing, so an action without visits has an infinite score": _wrong(
            bonus=lambda n, p, c: c * p * np.sqrt(n.sum()) / n
        ),
        "the root is of the action's own visits; it is of the visits of all": _wrong(
            bonus=lambda n, p, c: c * p * np.sqrt(n) / (1 + n)
        ),
        "the root is missing from the sum of visits": _wrong(bonus=lambda n, p, c: c * p * n.sum() / (1 + n)),
        "this is UCT's bonus, which knows no prior": _wrong(
            bonus=lambda n, p, c: c * np.sqrt(np.log(np.maximum(n.sum(), 1)) / (1 + n))
        ),
    },
    hints=(
        "You are to move, and your opponent's position after your move is worth +1 to them. What is it worth to you?",
        "The sign is + at the leaf, - at its parent; guard the division for actions without visits.",
        "value * (-1.0) ** (depth - 1 - np.arange(depth))",
    ),
)
