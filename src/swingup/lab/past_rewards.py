"""Rewards of the past add variance to the policy gradient, and nothing to its mean.

E[∇ log π(a_t|s_t) r_t'] is 0 for t' < t: given what came before, the mean of a score is 0, and the reward is known
by then. For t' >= t the reward depends on the action. So the return of the whole episode may be cut down to the
reward-to-go (Williams 1992; Sutton et al. 2000). Where every reward is about the same, the scores are multiplied
by T in the one form and by T - t in the other: Σ T² against Σ (T - t)², so long episodes have about three times
the variance with the whole return.
"""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from swingup.lab.tools import episodes as ep
from swingup.lab.tools.report import Claim, Report, plain
from swingup.theory.exact import softmax

EPISODES = 20_000
HORIZONS = (1, 2, 4, 8, 16, 32, 64)
LONG = 5_000  # episodes per horizon


def run(seed: int = 0) -> Report:
    """Compute the matrix of all t and t', exact and from samples, and the variance of two forms over the horizon."""
    figure = Figure(figsize=(12, 3.6), dpi=150, layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    rng = np.random.default_rng(seed)
    mdp, logits = ep.example()
    policy = softmax(logits)
    data = ep.every(mdp, policy, ep.HORIZON)
    exact, _ = products(policy, data)
    mean, deviation = products(policy, ep.simulate(mdp, policy, ep.HORIZON, EPISODES, rng))
    size, away = np.linalg.norm(exact, axis=-1), np.abs(mean / deviation).max(-1) * EPISODES**0.5
    draw(figure, left, size, "‖E[∇ log π(a_t|s_t) r_t']‖, exact")
    draw(figure, middle, away, f"from 0, in standard errors, {EPISODES:,} samples")
    variance, variance_claim = variances(rng, right)
    look = (
        "left, below the diagonal: an action and a reward before it have a product of mean 0. Middle: samples say"
        " so as well. Right: those products cost variance, and more of it with longer episodes."
    )
    numbers = {"exact": size.tolist(), "standard_errors": away.tolist(), "variance": variance}
    return Report(look, (*claims(size, away), variance_claim), numbers, figure)


def products(policy: np.ndarray, data: ep.Episodes) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and deviation of ∇ log π(a_t|s_t) r_t' for all t and t': each [T, T, P]."""
    horizon = len(data.action)
    means, deviations = [], []
    for row in np.eye(horizon):
        here = ep.gradients(policy, data, np.broadcast_to(row[:, None], data.reward.shape))  # [N, P]
        mean = np.einsum("n,kn,np->kp", data.probability, data.reward, here, optimize=True)
        square = np.einsum("n,kn,np->kp", data.probability, data.reward**2, here**2, optimize=True)
        means.append(mean)
        deviations.append(np.sqrt(np.maximum(square - mean**2, 0)))
    return np.stack(means), np.stack(deviations)


def claims(size: np.ndarray, away: np.ndarray) -> list[Claim]:
    """Claim what the matrices [T, T] of exact sizes and of sampled standard errors are to show."""
    past = np.tri(len(size), k=-1, dtype=bool)  # [t, t'] with t' < t
    text = f"exactly, all t' < t give at most {size[past].max():.1g}, all t' >= t at least {size[~past].min():.2g}"
    sampled = (
        f"from {EPISODES:,} samples, all t' < t lie within 5.5 standard errors of 0: {away[past].max():.1f}; "
        f"one t' >= t is {away[~past].max():.0f} away"
    )
    return [
        Claim(bool(size[past].max() < 1e-12 and size[~past].min() > 1e-5), text),
        Claim(bool(away[past].max() < 5.5 and away[~past].max() > 5.5), sampled),
    ]


def draw(figure: Figure, axes: Axes, matrix: np.ndarray, title: str) -> None:
    """Draw a heat map with its numbers, t downward and t' to the right."""
    image = axes.imshow(matrix, cmap="Blues", vmin=0)
    axes.grid(False)
    for (t, k), x in np.ndenumerate(matrix):
        text = "0" if x < 1e-12 else f"{x:.2g}"
        axes.text(k, t, text, ha="center", va="center", color="white" if x > matrix.max() / 2 else "black")
    axes.set(xlabel="time t' of the reward", ylabel="time t of the action", title=title)
    axes.set_xticks(range(len(matrix)))
    axes.set_yticks(range(len(matrix)))
    figure.colorbar(image, ax=axes, shrink=0.8)


def variances(rng: np.random.Generator, axes: Axes) -> tuple[dict[str, Any], Claim]:
    """Compute the variances of both forms over the horizon: from samples, and from all episodes while those can be
    listed.
    """
    mdp, logits = ep.example()
    policy = softmax(logits)
    found, exact, away = [], [], []
    for horizon in HORIZONS:
        truth = ep.performance_gradient(mdp, logits, horizon).ravel()
        whole, to_go = squares(policy, ep.simulate(mdp, policy, horizon, LONG, rng), truth)
        found.append([float(whole.mean()), float(to_go.mean())])
        added = whole - to_go
        away.append(float(added.mean() / (added.std() / LONG**0.5)) if horizon > 1 else 0.0)
        if horizon <= ep.HORIZON:
            data = ep.every(mdp, policy, horizon)
            exact.append([float(data.probability @ x) for x in squares(policy, data, truth)])
    for i, name in enumerate(("full return", "reward-to-go")):
        axes.loglog(HORIZONS, np.array(found)[:, i], color=f"C{i}", ls="-", label=name)
        axes.loglog(HORIZONS[: len(exact)], np.array(exact)[:, i], color=f"C{i}", ls="", marker="o", ms=4)
    axes.set(xlabel="env steps in an episode", ylabel="variance of the estimate", title="dots are exact")
    plain(axes.xaxis, axes.yaxis)
    axes.legend()
    ratio = found[-1][0] / found[-1][1]
    text = (
        f"past rewards add variance at every horizon from 2 on, by at least {min(away[1:]):.0f} standard errors "
        f"(5 are asked for); at {HORIZONS[-1]} env steps there is {ratio:.1f} times as much with them"
    )
    numbers = {"horizon": list(HORIZONS), "sampled": found, "exact": exact, "standard_errors": away}
    return numbers, Claim(min(away[1:]) > 5, text)


def squares(policy: np.ndarray, data: ep.Episodes, truth: np.ndarray) -> list[np.ndarray]:
    """Return ‖g - ∇J‖² of each episode's estimate, with the full return and with the reward-to-go: two of [N]."""
    to_go = data.reward[::-1].cumsum(0)[::-1]
    psi = np.broadcast_to(to_go[0], to_go.shape), to_go
    return [((ep.gradients(policy, data, x) - truth) ** 2).sum(-1) for x in psi]
