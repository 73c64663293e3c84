"""Baird's counterexample (Baird 1995; Sutton & Barto 2018, section 11.2) is written here in NumPy and float64.

Seven states. "Dashed" leads to one of the first six, each with probability 1/6; "solid" leads to the seventh. Every
reward is 0, so every value is 0, and the features can represent that. The behaviour takes dashed with probability
6/7 and so visits all states equally often; the policy that is evaluated always takes solid. With v = X w,

    w <- w + α ρ (γ v(s') - v(s)) x(s)          semi-gradient TD(0), with the importance ratio ρ

is in expectation the linear map w <- (I + α A) w, where A = X' D (γ P X - X), D holds how often each state is
trained on, and P leads to the seventh state. It diverges from almost every w if an eigenvalue of I + α A lies
outside the unit circle.
"""

from typing import NamedTuple

import numpy as np

STATES, GAMMA, ALPHA = 7, 0.99, 0.01
SOLID = 6  # the state that solid leads to
RATIO = (
    7.0  # ρ of solid: it is certain under the evaluated policy, 1/7 under the behaviour; that of dashed is 0
)
# v(i) = 2 w_i + w_8 for the first six states and w_7 + 2 w_8 for the seventh.
FEATURES = np.hstack([np.diag([2.0] * 6 + [1.0]), np.array([[1.0]] * 6 + [[2.0]])])
START = np.array([1.0] * 6 + [10.0, 1.0])  # the w of the book


class Leg(NamedTuple):
    """A leg is one version of the experiment: with all three legs of the triad, or without one of them."""

    features: np.ndarray  # X [7, weights]
    off_policy: bool  # the states are the behaviour's; else those that the evaluated policy ends up in
    bootstrap: bool  # the target is γ v(s'); else the return, which is 0

    @property
    def visits(self) -> np.ndarray:
        """Return the diagonal of D: how often each state is trained on, [7]."""
        return np.full(STATES, 1 / STATES) if self.off_policy else np.eye(STATES)[SOLID]

    @property
    def start(self) -> np.ndarray:
        """Return weights that give the book's first values, so that all versions start with the same ones."""
        return START if self.features is FEATURES else np.linalg.solve(self.features, FEATURES @ START)


LEGS = {
    "all three": Leg(FEATURES, off_policy=True, bootstrap=True),
    "on-policy": Leg(FEATURES, off_policy=False, bootstrap=True),
    "no bootstrapping": Leg(FEATURES, off_policy=True, bootstrap=False),
    "a table": Leg(np.eye(STATES), off_policy=True, bootstrap=True),
}


def expected(leg: Leg, discount: float = GAMMA, alpha: float = ALPHA) -> np.ndarray:
    """Return I + α A, by which an expected update multiplies the weights. A target of n rewards has the discount γⁿ:
    who takes solid stays in the seventh state.
    """
    x = leg.features
    following = discount * leg.bootstrap * x[[SOLID] * STATES]
    return np.eye(x.shape[1]) + alpha * x.T @ (leg.visits[:, None] * (following - x))


def radius(update: np.ndarray) -> float:
    """Return the largest modulus of an eigenvalue; above 1 the map diverges."""
    return float(np.abs(np.linalg.eigvals(update)).max())


def error(leg: Leg, w: np.ndarray) -> np.ndarray:
    """Return the root mean square of v, whose truth is 0, over the states trained on; for weights [..., weights]."""
    return np.sqrt(((w @ leg.features.T) ** 2 * leg.visits).sum(-1))


def errors(leg: Leg, updates: np.ndarray) -> np.ndarray:
    """Return the error after each of these numbers of expected updates, by powers of the matrix."""
    update = expected(leg)
    return np.array([error(leg, np.linalg.matrix_power(update, int(k)) @ leg.start) for k in updates])


def sampled(leg: Leg, updates: int, runs: int, seed: int = 0) -> np.ndarray:
    """Return the weights before each update and after the last, learnt from single transitions: [runs, updates + 1,
    weights].

    The behaviour's states are independent of one another: wherever it is, each of the seven comes next with
    probability 1/7. The evaluated policy stays in the seventh.
    """
    rng = np.random.default_rng(seed)
    states = rng.choice(STATES, (updates, runs), p=leg.visits)
    solid = rng.random((updates, runs)) < (1 / STATES if leg.off_policy else 1.0)
    ratios = np.where(solid, RATIO if leg.off_policy else 1.0, 0.0)
    w = [np.tile(leg.start, (runs, 1))]
    for state, ratio in zip(states, ratios, strict=True):
        x = leg.features[state]
        value = (x * w[-1]).sum(1)
        # Without bootstrap the return is 0 whatever was done, and so is its product with any importance ratio.
        delta = ratio * (GAMMA * w[-1] @ leg.features[SOLID] - value) if leg.bootstrap else -value
        w.append(w[-1] + ALPHA * delta[:, None] * x)
    return np.stack(w, 1)
