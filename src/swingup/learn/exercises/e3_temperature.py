"""Exercise e3 asks for the loss of SAC's temperature."""

import numpy as np

from swingup.learn.form import Case, Exercise

START = '''"""e3: the temperature of SAC.

How much is entropy worth? SAC lets α learn. While the policy has more entropy than the target H̄, α should fall; with
less it should rise. What is learnt is log α, so that α stays positive. The loss that is minimised is

    L(log α) = log α · mean_b(-log π(a_b | s_b) - H̄)

For an action with D dimensions, H̄ is usually -D.
"""

import numpy as np


def temperature_loss(log_alpha, logp, target_entropy):
    """Return the loss and its derivative with respect to log α, two numbers, as a tuple.

    log_alpha       float
    logp            [B]    log π(a | s) of a batch
    target_entropy  float  H̄

    With log α = 1, logp = -1, -1 and H̄ = -2 both are 3.
    """
    raise NotImplementedError  # TODO
'''


def temperature_loss(log_alpha, logp, target_entropy):
    """Return the loss and its slope, which is how much more entropy there is than asked for."""
    surplus = (-logp - target_entropy).mean()
    return log_alpha * surplus, surplus


def cases() -> dict[str, Case]:
    """Return the cases: the shown one, and random ones."""
    rng = np.random.default_rng(0)
    return {
        "shown": {"log_alpha": 1.0, "logp": np.array([-1.0, -1.0]), "target_entropy": -2.0},
        "a negative log α": {"log_alpha": -1.5, "logp": rng.normal(size=5), "target_entropy": -3.0},
        "too little entropy": {"log_alpha": 0.3, "logp": rng.normal(4, 1, 6), "target_entropy": -1.0},
    }


def _wrong(factor=lambda la: la, surplus=lambda lp, h: (-lp - h).mean(), slope=lambda la: 1.0):
    def answer(log_alpha, logp, target_entropy):
        s = surplus(logp, target_entropy)
        return factor(log_alpha) * s, slope(log_alpha) * s

    return answer


EXERCISE = Exercise(
    title="the temperature of SAC",
    page="algorithms/sac#derivation",
    start=START,
    answer=temperature_loss,
    cases=cases,
    wrong={
        "the sign is turned: α rises where there is entropy enough, and runs away": _wrong(
            surplus=lambda lp, h: (lp + h).mean()
        ),
        "the target entropy has the wrong sign; for D dimensions it is -D": _wrong(
            surplus=lambda lp, h: (-lp + h).mean()
        ),
        "α stands where log α belongs": _wrong(factor=np.exp, slope=np.exp),
        "the derivative is with respect to α; what is learnt is log α": _wrong(slope=lambda la: np.exp(-la)),
        "log π is taken for the entropy; the entropy is -log π on average": _wrong(
            surplus=lambda lp, h: (lp - h).mean()
        ),
        "this is a sum over the batch; it is a mean": _wrong(surplus=lambda lp, h: (-lp - h).sum()),
        "the target entropy is missing": _wrong(surplus=lambda lp, h: -lp.mean()),
        "the derivative keeps the factor log α": _wrong(slope=lambda la: la),
    },
    hints=(
        "If the policy has more entropy than asked for, should log α go up or down, and what sign must the slope have?",
        "One mean over the batch is the slope; the loss is log α times it.",
        "surplus = (-logp - H̄).mean(); return log_alpha * surplus, surplus",
    ),
)
