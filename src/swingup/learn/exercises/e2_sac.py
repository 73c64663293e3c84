"""Exercise e2 is a bug hunt in the target of SAC."""

import numpy as np

from swingup.learn.form import Case, Exercise

START = '''"""e2: a bug in the target of SAC.

SAC pays for entropy: besides the reward there is α times -log π of what comes next.

    y = r + γ (1 - terminated) (min(Q1, Q2) - α log π(a' | s'))

The code below is like that of a public project. It raises no error. Mend one place.
"""

import numpy as np


def target(reward, terminated, q1, q2, logp, alpha, gamma):
    """Return the targets y [B] of a batch of B transitions.

    reward      [B]
    terminated  [B]  bool
    q1, q2      [B]  the two target critics' Q(s', a')
    logp        [B]  log π(a' | s')
    alpha       float
    gamma       float

    With r = 1, 1, the second terminated, q1 = 3, 4, q2 = 4, 5, logp = -2, -1, α = ½ and γ = ½ it should be 3, 1.
    """
    smaller = np.minimum(q1, q2)
    soft_value = smaller - alpha * logp
    return reward[:, None] + gamma * (1.0 - terminated[:, None]) * soft_value
'''


def target(reward, terminated, q1, q2, logp, alpha, gamma):
    """Return the targets: every array keeps the shape [B]."""
    smaller = np.minimum(q1, q2)
    soft_value = smaller - alpha * logp
    return reward + gamma * (1.0 - terminated) * soft_value


def cases() -> dict[str, Case]:
    """Return the cases: the shown one, and random batches."""
    rng = np.random.default_rng(0)

    def random(b, alpha):
        return {
            "reward": rng.normal(size=b),
            "terminated": rng.random(b) < 0.4,
            "q1": rng.normal(size=b),
            "q2": rng.normal(size=b),
            "logp": rng.normal(-1, 1, b),
            "alpha": alpha,
            "gamma": 0.9,
        }

    shown = {
        "reward": np.ones(2),
        "terminated": np.array([False, True]),
        "q1": np.array([3.0, 4.0]),
        "q2": np.array([4.0, 5.0]),
        "logp": np.array([-2.0, -1.0]),
        "alpha": 0.5,
        "gamma": 0.5,
    }
    return {"shown": shown, "a batch of 7": random(7, 0.2), "a batch of 5": random(5, 1.5)}


def _wrong(soft):
    def answer(reward, terminated, q1, q2, logp, alpha, gamma):
        return reward + gamma * ~terminated * soft(q1, q2, logp, alpha)

    return answer


EXERCISE = Exercise(
    title="a bug in the target of SAC",
    page="algorithms/sac#derivation",
    start=START,
    answer=target,
    cases=cases,
    wrong={
        "shapes [B, 1] and [B] make a table of all pairs [B, B]": (
            lambda reward, terminated, q1, q2, logp, alpha, gamma: (
                reward[:, None] + gamma * ~terminated[:, None] * (np.minimum(q1, q2) - alpha * logp)
            )
        ),
        "α log π is added, which pays for certainty; subtract it": _wrong(
            lambda a, b, logp, alpha: np.minimum(a, b) + alpha * logp
        ),
        "the entropy is paid after the episode's end, too; the mask holds for both terms": (
            lambda reward, terminated, q1, q2, logp, alpha, gamma: (
                reward + gamma * (~terminated * np.minimum(q1, q2) - alpha * logp)
            )
        ),
        "the entropy is missing, so this is the target of TD3": _wrong(
            lambda a, b, logp, alpha: np.minimum(a, b)
        ),
        "α is lost: the entropy is paid in full": _wrong(lambda a, b, logp, alpha: np.minimum(a, b) - logp),
        "only one critic is asked; the smaller of the two is believed": _wrong(
            lambda a, b, logp, alpha: a - alpha * logp
        ),
        "the larger critic is believed, which makes values too large": _wrong(
            lambda a, b, logp, alpha: np.maximum(a, b) - alpha * logp
        ),
        "the target goes on after the episode's end, where nothing more is earned": (
            lambda reward, terminated, q1, q2, logp, alpha, gamma: (
                reward + gamma * (np.minimum(q1, q2) - alpha * logp)
            )
        ),
    },
    hints=(
        "What shape does the result have for a batch of 5, and what shape should it have?",
        "The last line: which of its arrays are [B, 1], and which are [B]?",
        "return reward + gamma * (1 - terminated) * soft_value, without any [:, None]",
    ),
    hunt="CleanRL, issue 379: shapes [B, 1] and [B] met in SAC's loss of the actor",
)
