"""Exercise g2 asks for λ-returns along an imagined path."""

import numpy as np

from swingup.learn.form import Case, Exercise

START = '''"""g2: λ-returns along an imagined path.

With a learned model one can imagine H env steps ahead. How far should one trust them? The λ-return mixes all lengths:

    R_t = r_t + γ (1 - end_t) ((1 - λ) V(s_{t+1}) + λ R_{t+1}),      R_H = V(s_H)

λ = 0 trusts one env step and then V; λ = 1 trusts the whole path.
"""

import numpy as np


def lambda_returns(reward, end, value, gamma, lam):
    """Return R_t for each t < H.

    reward  [H]      imagined rewards
    end     [H]      bool: the model says that env step t ends the episode
    value   [H + 1]  V(s_0), ..., V(s_H)
    gamma, lam       float
    returns [H]

    With rewards 1, 1, 1, values 1, 2, 4, 8 and γ = λ = ½ they are 2.3125, 3.25, 5.
    """
    raise NotImplementedError  # TODO
'''


def lambda_returns(reward, end, value, gamma, lam):
    """Return the λ-returns, from the last env step to the first."""
    result, later = np.zeros_like(reward), value[-1]
    for t in reversed(range(len(reward))):
        later = reward[t] + gamma * (1 - end[t]) * ((1 - lam) * value[t + 1] + lam * later)
        result[t] = later
    return result


def cases() -> dict[str, Case]:
    """Return the cases: the shown one, an end in the midst, and a random path."""
    rng = np.random.default_rng(0)
    one = {"reward": np.ones(3), "value": np.array([1.0, 2.0, 4.0, 8.0]), "gamma": 0.5, "lam": 0.5}
    return {
        "shown": {**one, "end": np.array([False, False, False])},
        "an end in the midst": {**one, "end": np.array([False, True, False])},
        "seven": {
            "reward": rng.normal(size=7),
            "end": rng.random(7) < 0.2,
            "value": rng.normal(size=8),
            "gamma": 0.9,
            "lam": 0.7,
        },
    }


def _wrong(change):
    def answer(reward, end, value, gamma, lam):
        given = {"reward": reward, "end": end, "value": value, "gamma": gamma, "lam": lam}
        return lambda_returns(**{**given, **change(given)})

    return answer


def _no_last(reward, end, value, gamma, lam):
    result, later = np.zeros_like(reward), 0.0
    for t in reversed(range(len(reward))):
        v = value[t + 1] if t + 1 < len(reward) else 0.0
        later = reward[t] + gamma * (1 - end[t]) * ((1 - lam) * v + lam * later)
        result[t] = later
    return result


def _own(reward, end, value, gamma, lam):
    result, later = np.zeros_like(reward), value[-1]
    for t in reversed(range(len(reward))):
        later = reward[t] + gamma * (1 - end[t]) * ((1 - lam) * value[t] + lam * later)
        result[t] = later
    return result


EXERCISE = Exercise(
    title="λ-returns along an imagined path",
    page="course/kinds#four-uses-of-a-model",
    start=START,
    answer=lambda_returns,
    cases=cases,
    wrong={
        "λ is ignored, as if it were 1: the whole path is trusted": _wrong(lambda g: {"lam": 1.0}),
        "λ is ignored, as if it were 0: one env step, then V": _wrong(lambda g: {"lam": 0.0}),
        "V of the last state is missing, so what comes after the path counts 0": _no_last,
        "V(s_t) stands where V of the next state belongs": _own,
        "nothing is discounted": _wrong(lambda g: {"gamma": 1.0}),
        "the path goes on after its end": _wrong(lambda g: {"end": np.zeros_like(g["end"])}),
        "λ and 1 - λ have changed places": _wrong(lambda g: {"lam": 1 - g["lam"]}),
    },
    hints=(
        "What are R_{H-1} for λ = 0 and for λ = 1? Why are they equal?",
        "Begin with later = value[-1], go backwards, and mix value[t + 1] with later.",
        "later = reward[t] + γ (1 - end[t]) ((1 - λ) value[t + 1] + λ later)",
    ),
)
