"""Exercise c6 is a bug hunt in the KL divergence that a policy update reports."""

import numpy as np

from swingup.learn.form import Case, Exercise

START = '''"""c6: a bug in the KL divergence of an update.

After an update one wants to know how far the policy moved: KL(π_old || π_new). From the actions of the old
policy it is estimated without a negative value by

    mean(ρ - 1 - log ρ),      ρ = π_new(a|s) / π_old(a|s)

The code below has a bug that a famous teaching code had: it never reports that a step went too far. Mend one place.
"""

import numpy as np


def kl_of_update(logp_old, logp_before, logp_after):
    """Return the estimate of KL(π_old || π_new) after an update's last gradient step.

    logp_old     [B]  log π(a|s) of the policy that acted
    logp_before  [B]  the same before the last gradient step
    logp_after   [B]  the same after it
    returns      a number

    With logp_after - logp_old = ½ and -0.2 it should be 0.0837.
    """
    log_ratio = logp_before - logp_old
    return np.mean(np.exp(log_ratio) - 1 - log_ratio)
'''


def kl_of_update(logp_old, logp_before, logp_after):
    """Return the estimate for the policy after the last gradient step."""
    log_ratio = logp_after - logp_old
    return np.mean(np.exp(log_ratio) - 1 - log_ratio)


def cases() -> dict[str, Case]:
    """Return the cases: the shown one with a single gradient step, and random ones."""
    rng = np.random.default_rng(0)
    old = np.array([-1.0, -0.7])
    some = rng.normal(-1, 0.5, (2, 3, 6))
    return {
        "shown": {"logp_old": old, "logp_before": old, "logp_after": old + np.array([0.5, -0.2])},
        "six": dict(zip(["logp_old", "logp_before", "logp_after"], some[0], strict=True)),
        "six more": dict(zip(["logp_old", "logp_before", "logp_after"], some[1], strict=True)),
    }


EXERCISE = Exercise(
    title="a bug in the KL divergence of an update",
    page="algorithms/ppo#how-far-did-it-move",
    start=START,
    answer=kl_of_update,
    cases=cases,
    wrong={
        "the KL is that before the last gradient step, so with one step it is always 0": (
            lambda logp_old, logp_before, logp_after: kl_of_update(logp_old, logp_after, logp_before)
        ),
        "this is mean(log π_old - log π_new), which may be negative": lambda logp_old, logp_before, logp_after: (
            np.mean(logp_old - logp_after)
        ),
        "this is ½ of the squared log-ratio, a bit too small or too large": (
            lambda logp_old, logp_before, logp_after: 0.5 * np.mean((logp_after - logp_old) ** 2)
        ),
        "the ratio is upside down; it is new over old": lambda logp_old, logp_before, logp_after: (
            kl_of_update(logp_after, logp_before, logp_old)
        ),
        "log ρ is added; subtract it": lambda logp_old, logp_before, logp_after: np.mean(
            np.exp(logp_after - logp_old) - 1 + (logp_after - logp_old)
        ),
        "this estimates the other direction, KL(π_new || π_old)": lambda logp_old, logp_before, logp_after: (
            np.mean(
                np.exp(logp_after - logp_old) * (logp_after - logp_old) - (np.exp(logp_after - logp_old) - 1)
            )
        ),
        "this compares with the policy before the last gradient step; the old policy acted": (
            lambda logp_old, logp_before, logp_after: kl_of_update(logp_before, logp_old, logp_after)
        ),
    },
    hints=(
        "If an update has one gradient step, what are logp_before and logp_old to each other?",
        "The line of `log_ratio`: which policy is the new one?",
        "log_ratio = logp_after - logp_old",
    ),
    hunt="Spinning Up, issue 424 (VPG): the KL was that before the step, so it was always 0",
)
