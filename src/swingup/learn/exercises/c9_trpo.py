"""Exercise c9 asks for the step of TRPO."""

import numpy as np

from swingup.learn.form import Case, Exercise

START = '''"""c9: the step of TRPO.

TRPO looks for the best direction within a KL divergence of δ. With the Fisher matrix F and the gradient g it
goes along x = F⁻¹ g, as far as the constraint allows:

    step = sqrt(2 δ / xᵀ F x) x

F is never inverted: conjugate gradients find x from products F v alone. From x = 0, r = p = g, k times:

    α = rᵀr / pᵀF p,  x += α p,  r' = r - α F p,  p = r' + (r'ᵀr' / rᵀr) p
"""

import numpy as np


def step(fisher, gradient, delta, k):
    """Return TRPO's step, after k iterations of conjugate gradients.

    fisher    [P, P]  symmetric and positive definite
    gradient  [P]     of what is to be increased
    delta     float   δ, the bound of the KL divergence
    k         int
    returns   [P]

    With F = diag(2, 8), g = [2, 2], δ = 0.01 and k = 2 it is [0.0894, 0.0224].
    """
    raise NotImplementedError  # TODO
'''


def step(fisher, gradient, delta, k):
    """Return the step, by conjugate gradients and the length that the constraint allows."""
    x, r, p = np.zeros_like(gradient), gradient, gradient
    for _ in range(k):
        fp = fisher @ p
        alpha = r @ r / (p @ fp)
        x = x + alpha * p
        new = r - alpha * fp
        p = new + (new @ new) / (r @ r) * p
        r = new
    return np.sqrt(2 * delta / (x @ fisher @ x)) * x


def cases() -> dict[str, Case]:
    """Return the cases: the shown one, few iterations, and a random matrix."""
    rng = np.random.default_rng(0)
    root = rng.normal(size=(5, 5))
    fisher = root @ root.T + np.eye(5)
    return {
        "shown": {"fisher": np.diag([2.0, 8.0]), "gradient": np.array([2.0, 2.0]), "delta": 0.01, "k": 2},
        "two iterations of five": {"fisher": fisher, "gradient": rng.normal(size=5), "delta": 0.02, "k": 2},
        "three iterations of five": {"fisher": fisher, "gradient": rng.normal(size=5), "delta": 0.5, "k": 3},
    }


def _cg(fisher, g, k, steepest=False):
    x, r, p = np.zeros_like(g), g, g
    for _ in range(k):
        fp = fisher @ p
        alpha = r @ r / (p @ fp)
        x, new = x + alpha * p, r - alpha * fp
        p = new if steepest else new + (new @ new) / (r @ r) * p
        r = new
    return x


def _length(fisher, x, delta):
    return np.sqrt(2 * delta / (x @ fisher @ x)) * x


def _of(direction):
    return lambda fisher, gradient, delta, k: _length(fisher, direction(fisher, gradient, k), delta)


def _scaled(scale):
    def answer(fisher, gradient, delta, k):
        x = _cg(fisher, gradient, k)
        return scale(fisher, x, delta) * x

    return answer


EXERCISE = Exercise(
    title="the step of TRPO",
    page="algorithms/trpo#its-approximate-solution",
    start=START,
    answer=step,
    cases=cases,
    wrong={
        "this goes along the plain gradient; F⁻¹ g is the direction": _of(lambda fisher, g, k: g),
        "this goes along F g; conjugate gradients solve F x = g, which is the other way round": _of(
            lambda fisher, g, k: fisher @ g
        ),
        "this is steepest descent: p must also keep a part of the last direction": _of(
            lambda fisher, g, k: _cg(fisher, g, k, steepest=True)
        ),
        "the root is missing from the step's length": _scaled(
            lambda fisher, x, delta: 2 * delta / (x @ fisher @ x)
        ),
        "the 2 is missing: the KL divergence is ½ xᵀ F x": _scaled(
            lambda fisher, x, delta: np.sqrt(delta / (x @ fisher @ x))
        ),
        "the length is measured by |x|²; the constraint measures it by xᵀ F x": _scaled(
            lambda fisher, x, delta: np.sqrt(2 * delta / (x @ x))
        ),
        "the step goes downhill; the gradient is of what is to be increased": _of(
            lambda fisher, g, k: -_cg(fisher, g, k)
        ),
        "this is x itself; it must be scaled to the bound of the KL divergence": _scaled(
            lambda fisher, x, delta: 1.0
        ),
        "F is inverted exactly; only k iterations are asked for": _of(
            lambda fisher, g, k: np.linalg.solve(fisher, g)
        ),
    },
    hints=(
        "What is the KL divergence of a step s, to second order? How long may s be, then?",
        "Find x first and scale it last; in conjugate gradients keep the old r until the new p is made.",
        "x = CG(F, g, k); return np.sqrt(2 * delta / (x @ fisher @ x)) * x",
    ),
)
