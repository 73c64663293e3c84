"""Data of an older policy bias the policy gradient; importance weights repair the mean, and cost variance.

The episodes are of the policy of some updates ago, the gradient is wanted at today's. Taken as they are they pull the
policy back to what it did. Multiplied by P(τ|π) / P(τ|old) = Π_t π(a_t|s_t) / old(a_t|s_t) they have the right mean
again. A reward owes nothing to actions after it, so the product may end at the time of the reward: "per decision"
(Precup, Sutton & Singh 2000), with less variance. Either way the variance grows quickly with the age of the data.
"""

from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from swingup.envs.tabular import MDP
from swingup.lab.tools import episodes as ep
from swingup.lab.tools.report import Claim, Report, plain
from swingup.theory.exact import softmax

AGES = 10  # gradient steps since the data were collected
RATE = 0.2  # of those gradient steps, which are exact
EPISODES = 50_000
ESTIMATORS = ("as they are", "whole product", "per decision")


def run(seed: int = 0) -> Report:
    """Compute bias, variance and the number of samples that still count, over the age of the data."""
    figure = Figure(figsize=(12, 3.6), dpi=150, layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    ages = study(np.random.default_rng(seed))
    draw_bias(ages, left)
    draw_variance(ages, middle)
    x, left_over, kl = range(AGES + 1), [a.effective for a in ages], [a.kl for a in ages]
    right.plot(x, left_over, label="share of the samples that is left")
    right.plot(x, kl, label="KL(old || new) of an episode")
    right.set(xlabel="age of the data in gradient steps", title="how far the policies are apart")
    right.legend()
    look = (
        "left: the older the data, the larger the bias; with importance weights there is none. Middle: the "
        "weights are paid for in variance. Right: fewer and fewer of the samples still count, 1 / E[w²]."
    )
    numbers = {
        "kl": kl,
        "effective": left_over,
        "bias": {n: [a.bias(n) for a in ages] for n in ESTIMATORS},
        "variance": {n: [a.exact[n].total for a in ages] for n in ESTIMATORS},
        "variance_on_policy": [a.fresh.total for a in ages],
        "standard_errors": {n: [a.away(n) for a in ages] for n in ESTIMATORS},
    }
    return Report(look, claims(ages), numbers, figure)


class Age(NamedTuple):
    """An age is a number of gradient steps; this holds what the estimators make of data of that age."""

    truth: np.ndarray  # the gradient of J of today's policy: [P]
    fresh: ep.Moments  # of the estimate from today's episodes
    exact: dict[str, ep.Moments]  # of each estimator, from the old policy's
    sampled: dict[str, ep.Moments]
    effective: float  # 1 / E[w²]: the share of the samples that is left (Kong 1992)
    kl: float  # KL of the distributions of episodes, old from new

    def bias(self, name: str) -> float:
        return float(np.linalg.norm(self.exact[name].mean - self.truth))

    def away(self, name: str) -> float:
        """Return how far the samples' mean lies from the gradient in standard errors; these are exact, not sampled."""
        return ep.deviation(self.exact[name]._replace(mean=self.sampled[name].mean), self.truth, EPISODES)


def study(rng: np.random.Generator) -> list[Age]:
    """Compute all ages, with one set of old episodes: a policy is improved, and its first data are used again and
    again.
    """
    mdp, logits = ep.example()
    old = softmax(logits)
    every = ep.every(mdp, old, ep.HORIZON)
    data = ep.simulate(mdp, old, ep.HORIZON, EPISODES, rng)
    found = []
    for _ in range(AGES + 1):
        found.append(at_age(mdp, old, logits, every, data))
        logits = logits + RATE * ep.performance_gradient(mdp, logits, ep.HORIZON)
    return found


def at_age(mdp: MDP, old: np.ndarray, logits: np.ndarray, every: ep.Episodes, data: ep.Episodes) -> Age:
    """Compute the three estimators with all episodes and with samples, both of the policy `old` [S, A]."""
    new = softmax(logits)
    exact, sampled = (
        {
            name: ep.moments(ep.gradients(new, some, weight), some.probability)
            for name, weight in zip(ESTIMATORS, estimators(mdp, new, old, some), strict=True)
        }
        for some in (every, data)
    )
    chance = ep.path_probability(mdp, new, every.state, every.action)
    fresh = ep.moments(ep.gradients(new, every, ep.weights(mdp, every, "reward_to_go")), chance)
    truth = ep.performance_gradient(mdp, logits, ep.HORIZON).ravel()
    ratio = chance / every.probability
    effective = float(1 / (every.probability @ ratio**2))
    return Age(truth, fresh, exact, sampled, effective, float(-every.probability @ np.log(ratio)))


def estimators(mdp: MDP, new: np.ndarray, old: np.ndarray, data: ep.Episodes) -> list[np.ndarray]:
    """Return Ψ [T, N] of each: the reward-to-go; times the ratio of the episode; of rewards times the ratio so far."""
    to_go = ep.weights(mdp, data, "reward_to_go")
    ratio = (new / old)[data.state[:-1], data.action].cumprod(0)  # Π_{k<=t} π(a_k|s_k) / old(a_k|s_k)
    reweighted = data._replace(reward=ratio * data.reward)
    return [to_go, ratio[-1] * to_go, ep.weights(mdp, reweighted, "reward_to_go")]


def claims(ages: list[Age]) -> tuple[Claim, ...]:
    """Claim what the ages are to show."""
    bias = np.array([a.bias(ESTIMATORS[0]) for a in ages])
    stale = min(a.away(ESTIMATORS[0]) for a in ages[1:])
    repaired = max(a.bias(n) for a in ages for n in ESTIMATORS[1:])
    away = max(a.away(n) for a in ages for n in ESTIMATORS[1:])
    variance = np.array([[a.exact[n].total for n in ESTIMATORS[1:]] for a in ages])
    last, fresh = variance[-1], ages[-1].fresh.total
    grows = bool(np.all(np.diff(bias) > 0) and bias[0] < 1e-10)
    dearer = bool(np.all(np.diff(variance, axis=0) > 0) and np.all(variance[1:, 0] > variance[1:, 1]))
    return (
        Claim(grows, f"the exact bias is 0 on fresh data and grows with every update, to {bias[-1]:.2f}"),
        Claim(
            stale > 5.5,
            f"from {EPISODES:,} old episodes the mean is at least {stale:.0f} standard errors away (5.5 asked for)",
        ),
        Claim(
            repaired < 1e-10 and away < 5.5,
            f"with importance weights the bias is {repaired:.1g}; samples are within {away:.1f} standard errors",
        ),
        Claim(
            dearer and bool(last[0] > 2 * fresh),
            f"their variance grows with every update, to {last[0]:.3g} with the whole product and {last[1]:.3g} per "
            f"decision; fresh data have {fresh:.3g}",
        ),
    )


def draw_bias(ages: list[Age], axes: Axes) -> None:
    """Draw the exact bias, and the error of the samples' mean."""
    for i, name in enumerate(ESTIMATORS):
        error = [float(np.linalg.norm(a.sampled[name].mean - a.truth)) for a in ages]
        axes.plot([a.bias(name) for a in ages], color=f"C{i}", ls=("-", "-", "--")[i], label=name)
        axes.plot(error, color=f"C{i}", ls="", marker="o", ms=3)
    title = f"lines exact, dots {EPISODES:,} samples"
    axes.set(xlabel="age of the data in gradient steps", ylabel="bias of the gradient", title=title)
    axes.legend()


def draw_variance(ages: list[Age], axes: Axes) -> None:
    """Draw the exact variance, beside that of fresh data."""
    for i, name in enumerate(ESTIMATORS):
        axes.semilogy([a.exact[name].total for a in ages], color=f"C{i}", ls="-", label=name)
    axes.semilogy([a.fresh.total for a in ages], color="black", ls="--", lw=0.8, label="fresh data")
    axes.set(xlabel="age of the data in gradient steps", ylabel="variance of the estimate", title="exact")
    plain(axes.yaxis)
    axes.legend()
