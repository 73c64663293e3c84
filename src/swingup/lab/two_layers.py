"""A two-layer network has a gradient by hand, by automatic differentiation and by differences; and it can learn.

A central difference (L(θ + h) - L(θ - h)) / 2h misses the derivative by a term in h², and by the rounding of L, about
1e-16 / h. So its error falls with the square of h until rounding takes over, near h = 1e-5: if the gradient is right.
Then gradient descent fits an even function, for which the best straight line is no better than a constant.
"""

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from swingup.course.recap import TwoLayers, gradient_descent, mean_squared, two_layers, two_layers_gradient
from swingup.lab.tools.report import Claim, Report

POINTS, HIDDEN, LR, UPDATES, RUNS = 64, 16, 0.1, 2000, 5
STEPS = np.logspace(-10, 0, 41)  # h of the differences
SMALL = 0.05  # of the target's variance: a loss that counts as fitted


def start(rng: np.random.Generator, inputs: int = 1, hidden: int = HIDDEN, outputs: int = 1) -> TwoLayers:
    """Draw random parameters in float64: weights N(0, 1) / √inputs of their layer, W1 a little larger."""
    w1 = 2 * rng.normal(size=(hidden, inputs)) / np.sqrt(inputs)
    w2 = rng.normal(size=(outputs, hidden)) / np.sqrt(hidden)
    return TwoLayers(w1, rng.normal(size=hidden), w2, np.zeros(outputs))


def differences(params: TwoLayers, x: np.ndarray, y: np.ndarray, h: float) -> TwoLayers:
    """Return the gradient of the mean-squared loss by central differences, one entry of θ after the other."""

    def slope(name: str, index: tuple[int, ...]) -> float:
        sides = []
        for sign in (1, -1):
            moved = params._asdict()[name].copy()
            moved[index] += sign * h
            sides.append(mean_squared(params._replace(**{name: moved}), x, y))
        return (sides[0] - sides[1]) / (2 * h)

    def leaf(name: str) -> np.ndarray:
        shape = params._asdict()[name].shape
        return np.array([slope(name, index) for index in np.ndindex(shape)]).reshape(shape)

    return TwoLayers(*map(leaf, TwoLayers._fields))


def distance(a: TwoLayers, b: TwoLayers) -> float:
    """Return ‖a - b‖ / ‖b‖ over all parameters."""
    pairs = [(np.ravel(x), np.ravel(y)) for x, y in zip(a, b, strict=True)]
    left, right = (np.concatenate(side) for side in zip(*pairs, strict=True))
    return float(np.linalg.norm(left - right) / np.linalg.norm(right))


def target(x: np.ndarray) -> np.ndarray:
    """Return the value of an even function, which is to be learnt."""
    return np.cos(np.pi * x)


def draw(
    errors: np.ndarray, losses: np.ndarray, straight: float, x: np.ndarray, fit: np.ndarray, line: np.ndarray
) -> Figure:
    """Draw errors of the differences [h], losses [runs, updates], and what network and straight line make of x."""
    figure = Figure(figsize=(12, 3.6), dpi=150, layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    left.loglog(STEPS, errors, marker=".")
    left.set(
        xlabel="h of the difference", ylabel="relative error", title="Gradient by hand and by differences"
    )
    middle.semilogy(losses.T, color="C0", ls="-", lw=0.9, label=["two layers", *["_"] * (RUNS - 1)])
    middle.axhline(straight, color="C1", ls="--", label="best straight line")
    middle.set(xlabel="updates", ylabel="mean squared error", title="Gradient descent")
    middle.legend()
    right.plot(x, target(x), color="black", lw=2.5, alpha=0.4, label="target")
    right.plot(x, fit, label="two layers")
    right.plot(x, line, label="best straight line")
    right.set(xlabel="input x", ylabel="output f(x)", title="The fit")
    right.legend(loc="lower center")
    for axis in (left.xaxis, left.yaxis, middle.yaxis):
        axis.set_major_formatter("{x:g}")
    return figure


def run(seed: int = 0) -> Report:
    """Compute errors of the differences over h; losses over updates; the fit."""
    rng = np.random.default_rng(seed)
    x = np.linspace(-1, 1, POINTS)[:, None]
    y = target(x)
    params = start(rng)
    gradient = two_layers_gradient(params, x, y)
    errors = np.array([distance(differences(params, x, y, h), gradient) for h in STEPS])
    floats = jax.tree.map(jnp.float32, (params, x, y))
    automatic = distance(jax.grad(mean_squared)(*floats), gradient)
    starts = jax.tree.map(lambda *p: jnp.stack(p).astype(jnp.float32), *[start(rng) for _ in range(RUNS)])

    @jax.jit
    @jax.vmap
    def fit(params: TwoLayers):
        return gradient_descent(lambda p: mean_squared(p, *floats[1:]), params, LR, UPDATES)

    fitted, losses = jax.tree.map(np.asarray, fit(starts))
    line = np.polyval(np.polyfit(x[:, 0], y[:, 0], 1), x)
    straight, variance = float(np.mean((line - y) ** 2)), float(y.var())
    slope = float(np.polyfit(np.log(STEPS[-13:-4]), np.log(errors[-13:-4]), 1)[0])  # from h = 1e-3 to 1e-1
    claims = (
        Claim(
            bool(errors.min() < 1e-8),
            f"differences come within {errors.min():.1g} of the gradient by hand, relative, at h = "
            f"{STEPS[errors.argmin()]:.0e}",
        ),
        Claim(
            abs(slope - 2) < 0.2,
            f"from h = 0.1 down to 0.001 their error falls with h to the power {slope:.2f}",
        ),
        Claim(automatic < 1e-4, f"automatic differentiation in float32 is within {automatic:.1g} of it"),
        Claim(
            bool(losses[:, -1].max() < SMALL * variance < straight),
            f"after {UPDATES} updates the loss is at most {losses[:, -1].max():.2g} in {RUNS} runs; the best straight "
            f"line has {straight:.2g}",
        ),
    )
    numbers = {
        "h": STEPS.tolist(),
        "relative_error": errors.tolist(),
        "automatic": automatic,
        "losses": losses[:, ::20].tolist(),
        "straight_line": straight,
    }
    look = (
        "left: the error falls with h² down to the rounding, which it could not if the gradient by hand was "
        "wrong."
    )
    first = two_layers(jax.tree.map(lambda p: p[0], fitted), x)
    return Report(look, claims, numbers, draw(errors, losses, straight, x, first, line))
