"""Leaving out γ^t can turn the policy gradient round (Thomas 2014; Nota & Thomas 2020).

The gradient of the discounted J weighs env step t by γ^t. Nobody's estimator does: it takes discounted values, and
all env steps alike. That is no gradient of the discounted objective, nor of the undiscounted one, nor of any function,
since its Jacobian is not symmetric. Mostly it does no harm. Here it does. One parameter decides in two states that look
alike: in the first, left pays 1; in the second, right pays 1.5 at once and left pays 3, but late. Both objectives want
left. The usual estimate counts the second state in full, sees little of the late 3, and goes right.
"""

from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from swingup.envs.tabular import MDP, mdp
from swingup.lab.tools import episodes as ep
from swingup.lab.tools.report import Claim, Report
from swingup.theory.exact import softmax

GAMMA, LATE = 0.5, 4  # the 3 comes LATE env steps after the choice of left in the second state
HORIZON = LATE + 2
EPISODES = 50_000
UPDATES, RATE = 200, 1.0  # of gradient ascent
DISCOUNTS = np.linspace(0, 1, 21)
LEFT, RIGHT = 0, 1


def run(seed: int = 0) -> Report:
    """Compute three fields at every probability of left, ascent along them, and the asymmetry of the usual one's
    Jacobian.
    """
    figure = Figure(figsize=(12, 3.6), dpi=150, layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    process = two_alike(GAMMA)
    drawn, turn_claims = directions(process, np.random.default_rng(seed), left)
    ascent, ascent_claim = follow(process, middle)
    curl, curl_claims = asymmetries(right)
    look = (
        "left: above 0 a field turns the policy to the left; the usual one lies below 0, both gradients lie "
        "above. Middle: each leads elsewhere. Right: the usual field is a gradient at γ = 1 only, the one with "
        "γ^t for every γ."
    )
    numbers = {"fields": drawn, "ascent": ascent, "asymmetry": curl}
    return Report(look, (*turn_claims, ascent_claim, *curl_claims), numbers, figure)


def two_alike(gamma: float) -> MDP:
    """States 0 and 1 are those of the choice, then come env steps of waiting for the 3, and the end."""
    states = LATE + 3
    end = states - 1
    p, r = np.zeros((states, 2, states)), np.zeros((states, 2))
    p[0, :, 1] = p[1, LEFT, 2] = p[1, RIGHT, end] = 1.0
    for s in range(2, end):
        p[s, :, s + 1] = 1.0
    r[0, LEFT], r[1, RIGHT], r[end - 1] = 1.0, 1.5, 3.0
    return mdp(p, r, np.eye(states)[0], [end], gamma)


def shared(process: MDP, theta: float) -> np.ndarray:
    """Make logits [S, A] in which one parameter is the log odds of left, in both states and wherever one waits."""
    return np.tile([theta, 0.0], (process.num_states, 1))


FIELDS = {  # each a function of the MDP, of logits and of the number of env steps, that gives [S, A]
    "gradient of discounted J": ep.performance_gradient,
    "gradient of undiscounted J": lambda process, *at: ep.performance_gradient(
        process._replace(gamma=1.0), *at
    ),
    "usual estimate": ep.usual_gradient,
}


def field(name: str, process: MDP, theta: float) -> float:
    """Return the derivative with respect to the shared parameter: the sum over states of those of left."""
    return float(FIELDS[name](process, shared(process, theta), HORIZON)[:, LEFT].sum())


def directions(process: MDP, rng: np.random.Generator, axes: Axes) -> tuple[dict[str, Any], list[Claim]]:
    """Compute the fields over the probability of left, and samples of the usual one by VPG's reward-to-go."""
    chance = np.linspace(0.01, 0.99, 99)
    odds = np.log(chance / (1 - chance))
    curves = np.array([[field(name, process, x) for name in FIELDS] for x in odds])
    numbers: dict[str, Any] = {"left": chance.tolist()}
    for i, name in enumerate(FIELDS):
        axes.plot(chance, curves[:, i], color=f"C{i}", ls="-", label=name)
        numbers[name] = curves[:, i].tolist()
    away = []
    for x in (0.2, 0.5, 0.8):
        theta = float(np.log(x / (1 - x)))
        policy = softmax(shared(process, theta))
        truth = [field(name, process, theta) for name in FIELDS]
        data = ep.simulate(process, policy, HORIZON, EPISODES, rng)
        gradient = ep.gradients(policy, data, ep.weights(process, data, "reward_to_go"))
        one = gradient.reshape(EPISODES, -1, 2)[:, :, LEFT].sum(1)
        error = float(one.std() / EPISODES**0.5)
        away.append([float(abs(one.mean() - t) / error) for t in truth])
        axes.errorbar(x, one.mean(), 5.5 * error, color="black", ls="", marker="o", ms=3)
    axes.axhline(0.0, color="black", lw=0.8)
    axes.set(
        xlabel="probability of left", ylabel="ascent direction", title="bars: samples ± 5.5 standard errors"
    )
    axes.legend()
    opposite = bool((curves[:, :2] > 0).all() and (curves[:, 2] < 0).all())
    middle, table = curves[len(curves) // 2], np.array(away)
    values = ", ".join(f"{name} {x:+.3f}" for name, x in zip(FIELDS, middle, strict=True))
    return numbers | {"standard_errors": away}, [
        Claim(
            opposite,
            f"the usual estimate points the other way than both gradients, at any policy: {values} at 1/2",
        ),
        Claim(
            bool(table[:, 2].max() < 5.5 and table[:, :2].min() > 5.5),
            f"VPG's reward-to-go from {EPISODES:,} episodes is within {table[:, 2].max():.1f} standard errors of the "
            f"usual mean and at least {table[:, :2].min():.0f} from both gradients (the limit is 5.5)",
        ),
    ]


def follow(process: MDP, axes: Axes) -> tuple[dict[str, Any], Claim]:
    """Ascend along the discounted gradient and along the usual field, from the uniform policy; judge both ways by
    both J.
    """
    numbers: dict[str, Any] = {}
    ends = []
    for i, name in ((0, "gradient of discounted J"), (2, "usual estimate")):
        theta, j = 0.0, []
        for _ in range(UPDATES):
            policy = softmax(shared(process, theta))
            j.append([ep.performance(process._replace(gamma=g), policy, HORIZON) for g in (GAMMA, 1.0)])
            theta += RATE * field(name, process, theta)
        curve = np.array(j)
        axes.plot(curve[:, 0], color=f"C{i}", ls="-", label=f"{name}: discounted J")
        axes.plot(curve[:, 1], color=f"C{i}", ls="--", label=f"{name}: undiscounted J")
        numbers[name] = curve.tolist()
        ends.append((curve[0], curve[-1]))
    axes.set(xlabel="updates", ylabel="J", title="following", ylim=(0, 6.5))
    axes.legend(loc="upper left")
    (first, good), (_, bad) = ends
    text = (
        f"the gradient takes the discounted J from {first[0]:.2f} to {good[0]:.2f}, the usual one to {bad[0]:.2f}; "
        f"the undiscounted from {first[1]:.2f} to {good[1]:.2f} and to {bad[1]:.2f}"
    )
    return numbers, Claim(bool((good > first + 0.1).all() and (bad < first - 0.1).all()), text)


def asymmetries(axes: Axes) -> tuple[dict[str, Any], list[Claim]]:
    """Measure how asymmetric the Jacobians of both fields are over γ, in the example MDP with a parameter for each
    state and action.
    """
    process, logits = ep.example()
    both = ep.performance_gradient, ep.usual_gradient
    discounted = [process._replace(gamma=gamma) for gamma in DISCOUNTS]
    found = np.array([[asymmetry(partial(f, x, horizon=HORIZON), logits) for f in both] for x in discounted])
    for i, name in ((0, "with γ^t"), (1, "without, as usual")):
        axes.plot(DISCOUNTS, found[:, i], color=f"C{2 * i}", ls="-", marker=".", label=name)
    axes.set(xlabel="γ", ylabel="asymmetry of the Jacobian", title="a random MDP: is it a gradient?")
    axes.legend()
    numbers = {"gamma": DISCOUNTS.tolist(), "with": found[:, 0].tolist(), "without": found[:, 1].tolist()}
    usual, at_90 = found[:-1, 1], found[np.isclose(DISCOUNTS, 0.9), 1]
    return numbers, [
        Claim(
            bool(found[:, 0].max() < 1e-6),
            f"with γ^t the Jacobian is symmetric for every γ, to {found[:, 0].max():.0e}: the gradient of a function",
        ),
        Claim(
            bool(usual.min() > 1e-3 and found[-1, 1] < 1e-6),
            f"without it is not, but at γ = 1: {usual.max():.2f} of its size at worst, {at_90[0]:.3f} at γ = 0.9",
        ),
    ]


def asymmetry(vector: Any, logits: np.ndarray, width: float = 1e-4) -> float:
    """Return ‖J - J'‖ / ‖J + J'‖ of a field's Jacobian J, by central differences; it is 0 for a gradient (Schwarz)."""
    columns = [
        (vector(logits + d) - vector(logits - d)).ravel() / (2 * width)
        for d in width * np.eye(logits.size).reshape(-1, *logits.shape)
    ]
    jacobian = np.stack(columns, -1)
    return float(np.linalg.norm(jacobian - jacobian.T) / np.linalg.norm(jacobian + jacobian.T))
