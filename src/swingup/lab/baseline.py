"""Any function of the state, taken as a baseline, leaves the policy gradient's mean as it is and changes its variance.

E[∇ log π(a|s) b(s)] = b(s) ∇ Σ_a π(a|s) = 0 (Williams 1992). V is a good choice and not the best one: the variance
is a quadratic function of the baseline, and its minimum weighs each return by the square of the score (Greensmith,
Bartlett & Baxter 2004). A function of the action is no baseline: Q(s, a) takes the whole gradient away.
"""

from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from swingup.envs.tabular import MDP
from swingup.lab.tools import episodes as ep
from swingup.lab.tools.report import Claim, Report
from swingup.theory.exact import softmax

BASELINES = 200  # random ones
SCALES = np.linspace(-1, 3, 41)  # c of b = c V
SHARES = np.linspace(0, 1, 6)  # c of G - c b
EPISODES = 20_000
WORLDS = 40  # random MDPs in which V is compared with the best baseline


def run(seed: int = 0) -> Report:
    """Compute the variance along c V and of random baselines, and the mean with one of the state and of the action."""
    figure = Figure(figsize=(12, 3.6), dpi=150, layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    rng = np.random.default_rng(seed)
    along, along_claims = multiples_of_v(rng, left)
    random, random_claims = random_baselines(rng, middle)
    biased, biased_claims = of_the_action(rng, right)
    look = (
        "left: the parabola has its lowest point near V. Middle: all random baselines have the same mean, and "
        "none lies below the dashed line. Right: with a baseline of the action nothing is left of the gradient at"
        " c = 1."
    )
    numbers = {"multiples_of_v": along, "random": random, "of_the_action": biased}
    return Report(look, (*along_claims, *random_claims, *biased_claims), numbers, figure)


class Case(NamedTuple):
    """A case is the example with all that the three panels share."""

    mdp: MDP
    policy: np.ndarray  # [S, A]
    data: ep.Episodes  # all of them
    v: np.ndarray  # V_t(s): [T, S]
    q: np.ndarray  # Q_t(s, a): [T, S, A]
    truth: np.ndarray  # the gradient of J: [S A]
    to_go: np.ndarray  # G_t of each episode, as VPG has it: [T, N]


def make_case(seed: int = 0) -> Case:
    """Make the example of a seed; the demonstration draws the first."""
    mdp, logits = ep.example(seed)
    policy = softmax(logits)
    data, (v, q) = ep.every(mdp, policy, ep.HORIZON), ep.values(mdp, policy, ep.HORIZON)
    truth = ep.performance_gradient(mdp, logits, ep.HORIZON).ravel()
    return Case(mdp, policy, data, v[:-1], q, truth, ep.weights(mdp, data, "reward_to_go"))


def moments_with(case: Case, table: np.ndarray) -> ep.Moments:
    """Exact, of the estimate with Ψ_t = G_t - b, for b [T, S] or [T, S, A]."""
    weight = case.to_go - ep.along(table, case.data)
    return ep.moments(ep.gradients(case.policy, case.data, weight), case.data.probability)


def best_baseline(case: Case) -> np.ndarray:
    """Return the baseline [T, S] with the least variance of all: with g the estimate without one, it is

        b*_t(s) = E[∇ log π(a_t|s_t) · g | s_t = s] / E[‖∇ log π(a_t|s_t)‖² | s_t = s]

    because the products of scores at two times have mean 0, so that each b_t(s) has a parabola of its own.
    """
    whole, found = ep.gradients(case.policy, case.data, case.to_go), []
    for now, state in zip(np.eye(len(case.to_go)), case.data.state, strict=False):
        score = ep.gradients(case.policy, case.data, np.broadcast_to(now[:, None], case.to_go.shape))
        above, below = (
            np.bincount(state, case.data.probability * (score * x).sum(-1)) for x in (whole, score)
        )
        found.append(above / below)
    return np.stack(found)


def multiples_of_v(rng: np.random.Generator, axes: Axes) -> tuple[dict[str, Any], list[Claim]]:
    """The exact variance with b = c V, and with the best b; and what V does in random MDPs."""
    case = make_case()
    curve = np.array([moments_with(case, c * case.v).total for c in SCALES])
    none, with_v, least = found = three_variances(case)
    axes.plot(SCALES, curve, label="b = c V")
    axes.plot([0, 1], [none, with_v], ls="", marker="o", color="C1", label="no baseline, and V")
    axes.axhline(least, color="black", ls="--", lw=0.8, label="the best baseline")
    axes.set(xlabel="c", ylabel="variance of the estimate", title="exact, b = c V", ylim=(0, None))
    axes.legend()
    worlds = np.array([three_variances(make_case(int(s))) for s in rng.integers(2**32, size=WORLDS)])
    shares = (worlds[:, 0] - worlds[:, 1]) / (worlds[:, 0] - worlds[:, 2])
    share, median = (none - with_v) / (none - least), float(np.median(shares))
    numbers = {"c": SCALES.tolist(), "variance": curve.tolist(), "none": none, "v": with_v, "best": least}
    text = f"V takes the variance from {none:.3g} to {with_v:.3g}, the best baseline to {least:.3g}:"
    often = f"in {WORLDS} random MDPs the median share is {median:.0%} (80% asked for), the least {shares.min():.0%}"
    return numbers | {"shares_in_random_mdps": shares.tolist()}, [
        Claim(
            found == sorted(found, reverse=True) and share > 0.7,
            f"{text} V does {share:.0%} of what can be done",
        ),
        Claim(median > 0.8, often),
    ]


def three_variances(case: Case) -> list[float]:
    """Return the variance without a baseline, with V, and with the best one."""
    return [moments_with(case, b).total for b in (0 * case.v, case.v, best_baseline(case))]


def random_baselines(rng: np.random.Generator, axes: Axes) -> tuple[dict[str, Any], list[Claim]]:
    """Return mean and variance with V plus a random function of time and state, for each of several."""
    case = make_case()
    v, least = case.v, moments_with(case, best_baseline(case)).total
    noise = rng.normal(size=(BASELINES, *v.shape)) * rng.uniform(0, 2 * np.abs(v).max(), (BASELINES, 1, 1))
    found = [moments_with(case, v + x) for x in noise]
    distance, variance = np.sqrt((noise**2).mean((1, 2))), np.array([x.total for x in found])
    off = max(float(np.abs(x.mean - case.truth).max()) for x in found)
    axes.plot(distance, variance, ls="", marker=".", label="a random b(s)")
    axes.axhline(moments_with(case, 0 * v).total, color="C1", ls="-", lw=1.0, label="no baseline")
    axes.axhline(least, color="black", ls="--", lw=0.8, label="the best baseline")
    axes.set(xlabel="distance from V (r.m.s.)", ylabel="variance of the estimate", title="one mean for all")
    axes.legend()
    numbers = {"distance": distance.tolist(), "variance": variance.tolist(), "difference_of_means": off}
    spread = f"from {variance.min():.3g} to {variance.max():.3g}, the best has {least:.3g}"
    return numbers, [
        Claim(off < 1e-10, f"with {BASELINES} random baselines the mean is the gradient to {off:.1g}"),
        Claim(
            bool(least <= variance.min() and variance.max() > 2 * variance.min()),
            f"their variances differ: {spread}",
        ),
    ]


def of_the_action(rng: np.random.Generator, axes: Axes) -> tuple[dict[str, Any], list[Claim]]:
    """How much of the gradient is lost with Ψ = G - c b, for b = V and for b = Q; exact, and from samples."""
    case = make_case()
    data = ep.simulate(case.mdp, case.policy, ep.HORIZON, EPISODES, rng)
    to_go, numbers, claims = ep.weights(case.mdp, data, "reward_to_go"), {}, []
    size = float(np.linalg.norm(case.truth))
    for i, (name, table) in enumerate({"b(s) = V": case.v, "b(s, a) = Q": case.q}.items()):
        exact = [
            float(np.linalg.norm(moments_with(case, c * table).mean - case.truth)) / size for c in SHARES
        ]
        found = [
            ep.moments(ep.gradients(case.policy, data, to_go - c * ep.along(table, data)), data.probability)
            for c in SHARES
        ]
        away = [ep.deviation(x, case.truth, EPISODES) for x in found]
        sampled = [float(np.linalg.norm(x.mean - case.truth)) / size for x in found]
        axes.plot(SHARES, exact, color=f"C{i}", ls="-", label=f"{name}, exact")
        axes.plot(SHARES, sampled, color=f"C{i}", ls="", marker="o", ms=4, label=f"{EPISODES:,} samples")
        numbers[name] = {"c": SHARES.tolist(), "bias": exact, "sampled": sampled, "standard_errors": away}
        if i == 0:
            holds = max(exact) < 1e-10 and max(away) < 5.5
            text = f"V, times any c, leaves no bias (to {max(exact):.1g}); samples are within {max(away):.1f}"
        else:
            holds = abs(exact[-1] - 1) < 1e-10 and min(away[1:]) > 5.5
            text = (
                f"Q takes {exact[1]:.0%} of the gradient at c = {SHARES[1]:.1f} and {exact[-1]:.0%} at c = 1"
            )
            text += f"; samples with it are at least {min(away[1:]):.1f}"
        claims.append(Claim(holds, text + " standard errors from the gradient (the limit is 5.5)"))
    axes.set(xlabel="c of Ψ = G - c b", ylabel="bias, as part of the gradient", title="state or action")
    axes.legend()
    return numbers, claims
