"""Exercise d9 asks for the quantile Huber loss of QR-DQN."""

import numpy as np

from swingup.learn.form import Case, Exercise

START = '''"""d9: the quantile Huber loss.

QR-DQN keeps M numbers θ_i, each an estimate of the quantile τ_i = (i - ½) / M of the return, i = 1 ... M. All of them
are compared with all K samples y_j of the target:

    loss = Σ_i mean_j |τ_i - 1(u_ij < 0)| huber(u_ij),      u_ij = y_j - θ_i

with huber(u) = ½ u² for |u| <= 1, |u| - ½ beyond. A high quantile is punished more for lying too low.
"""

import numpy as np


def quantile_loss(theta, y):
    """Return the loss of each of B transitions.

    theta   [B, M]
    y       [B, K]
    returns [B]

    With theta [[0, 1]] and y [[0, -2]] it is [0.9375].
    """
    raise NotImplementedError  # TODO
'''


def quantile_loss(theta, y):
    """Return the sum over quantiles of the mean over samples."""
    m = theta.shape[1]
    tau = (np.arange(m) + 0.5) / m
    u = y[:, None, :] - theta[:, :, None]
    huber = np.where(np.abs(u) <= 1, 0.5 * u**2, np.abs(u) - 0.5)
    return (np.abs(tau[:, None] - (u < 0)) * huber).mean(2).sum(1)


def cases() -> dict[str, Case]:
    """Return the cases: the shown one, and random ones."""
    rng = np.random.default_rng(0)
    return {
        "shown": {"theta": np.array([[0.0, 1.0]]), "y": np.array([[0.0, -2.0]])},
        "four of three": {"theta": rng.normal(size=(4, 3)), "y": 2 * rng.normal(size=(4, 3))},
        "five of four": {"theta": rng.normal(size=(5, 4)), "y": 2 * rng.normal(size=(5, 4))},
    }


def _wrong(
    tau_of=lambda m: (np.arange(m) + 0.5) / m,
    weight=None,
    reduce=lambda x: x.mean(2).sum(1),
    sign=1.0,
    huber=True,
):
    def answer(theta, y):
        tau = tau_of(theta.shape[1])[:, None]
        u = sign * (y[:, None, :] - theta[:, :, None])
        h = np.where(np.abs(u) <= 1, 0.5 * u**2, np.abs(u) - 0.5) if huber else np.abs(u)
        w = np.abs(tau - (u < 0)) if weight is None else weight(tau, u)
        return reduce(w * h)

    return answer


def _axis(theta, y):
    m = theta.shape[1]
    tau = (np.arange(m) + 0.5) / m
    u = y[:, None, :] - theta[:, :, None]
    h = np.where(np.abs(u) <= 1, 0.5 * u**2, np.abs(u) - 0.5)
    return (np.abs(tau[None, None, :] - (u < 0)) * h).mean(2).sum(1)


def _pairs(theta, y):
    m = theta.shape[1]
    u = y - theta
    h = np.where(np.abs(u) <= 1, 0.5 * u**2, np.abs(u) - 0.5)
    return (np.abs((np.arange(m) + 0.5) / m - (u < 0)) * h).sum(1)


EXERCISE = Exercise(
    title="the quantile Huber loss",
    page="algorithms/qr_dqn#derivation",
    start=START,
    answer=quantile_loss,
    cases=cases,
    wrong={
        "τ is i / M here; quantile i lies in the middle of its share, at (i - ½) / M": _wrong(
            lambda m: (np.arange(m) + 1.0) / m
        ),
        "the two sides are swapped: a high quantile must be punished more for lying too low": _wrong(
            sign=-1.0
        ),
        "τ goes along the samples; it belongs to the quantiles": _axis,
        "quantile i is compared with sample i alone; all pairs count": _pairs,
        "this is a sum over the samples; it is a mean": _wrong(reduce=lambda x: x.sum((1, 2))),
        "this is a mean over the quantiles; it is a sum": _wrong(reduce=lambda x: x.mean((1, 2))),
        "the weights are missing, so every quantile learns the mean": _wrong(
            weight=lambda tau, u: np.ones_like(u)
        ),
        "these are absolute errors; within 1 they should be squares": _wrong(huber=False),
    },
    hints=(
        "If all samples lie above θ_i, should it move further for τ = 0.9 or for τ = 0.1?",
        "u is [B, M, K]; τ goes along axis 1; the mean is over axis 2, the sum over axis 1.",
        "u = y[:, None, :] - theta[:, :, None]; (np.abs(tau[:, None] - (u < 0)) * huber(u)).mean(2).sum(1)",
    ),
)
