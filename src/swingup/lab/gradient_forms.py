"""The policy gradient has four forms with one mean and four variances (Sutton et al. 2000; Schulman et al. 2016,
section 2).

∇J = E[Σ_t ∇ log π(a_t|s_t) Ψ_t] where Ψ_t is the return of the whole episode, the reward-to-go, Q or the advantage
A = Q - V. In a small MDP every episode can be listed, so the mean and the variance of each form are sums, beside
which samples stand. That the variances fall in this order is no theorem: how often they do in random MDPs is
counted. The gradient of log P(τ) has no dynamics in it, which is why one may estimate it without knowing them.
"""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from swingup.envs.tabular import MDP
from swingup.lab.tools import episodes as ep
from swingup.lab.tools.report import Claim, Report, plain
from swingup.theory.exact import softmax

FORMS = ("full return", "reward-to-go", "Q", "advantage")
COUNTS = np.array([10, 30, 100, 300, 1000])  # episodes per estimate
BATCHES = 200  # estimates of each size: from 200 the r.m.s. error is known to about 5%
WORLDS = 100  # random MDPs in which the order is counted


def run(seed: int = 0) -> Report:
    """Compute exact and sampled moments of the four forms, their order in random MDPs, and the score under two
    dynamics.
    """
    figure = Figure(figsize=(12, 3.6), dpi=150, layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    rng = np.random.default_rng(seed)
    mdp, logits = ep.example()
    exact, exact_claims = moments_of_forms(mdp, logits, left)
    sampled, sampled_claims = samples(mdp, logits, rng, middle)
    order, order_claim = random_worlds(rng, right)
    score, score_claim = dynamics_drop_out(mdp, logits, rng)
    look = (
        "left: the means are one, and the variances fall from form to form. Middle: all errors fall as one over "
        "the square root of the episodes, each from its own height. Right: so it is in almost every random MDP."
    )
    numbers = {"exact": exact, "sampled": sampled, "random_mdps": order, "score": score}
    return Report(look, (*exact_claims, *sampled_claims, order_claim, score_claim), numbers, figure)


def forms(mdp: MDP, policy: np.ndarray, data: ep.Episodes) -> dict[str, np.ndarray]:
    """Return Ψ [T, N] of each form, with the true Q and V; the first two are VPG's own."""
    v, q = (ep.along(table, data) for table in ep.values(mdp, policy, len(data.action)))
    whole, to_go = (ep.weights(mdp, data, name) for name in ("full_return", "reward_to_go"))
    return dict(zip(FORMS, (whole, to_go, q, q - v[:-1]), strict=True))


def moments_of_forms(mdp: MDP, logits: np.ndarray, axes: Axes) -> tuple[dict[str, Any], list[Claim]]:
    """Return mean and variance of each form, summed over all episodes; and the gradient of J by dynamic programming."""
    policy = softmax(logits)
    data, truth = ep.every(mdp, policy, ep.HORIZON), ep.performance_gradient(mdp, logits, ep.HORIZON).ravel()
    found = {
        name: ep.moments(ep.gradients(policy, data, weight), data.probability)
        for name, weight in forms(mdp, policy, data).items()
    }
    total = {name: x.total for name, x in found.items()}
    axes.bar(FORMS, list(total.values()), color=[f"C{i}" for i in range(4)], zorder=2)
    axes.set(ylabel="variance of the estimate from one episode", title="exact variances, one mean")
    off = max(float(np.abs(x.mean - truth).max()) for x in found.values())
    ordered = bool(np.all(np.diff(list(total.values())) < 0))
    numbers = {"gradient": truth.tolist(), "variance": total, "largest_difference_of_means": off}
    texts = ", ".join(f"{name} {x:.3g}" for name, x in total.items())
    return numbers, [
        Claim(
            off < 1e-10,
            f"the four means are the gradient of J, to {off:.1g}; its largest part is {np.abs(truth).max():.3g}",
        ),
        Claim(ordered, f"exact variances fall from form to form: {texts}"),
    ]


def samples(
    mdp: MDP, logits: np.ndarray, rng: np.random.Generator, axes: Axes
) -> tuple[dict[str, Any], list[Claim]]:
    """Measure the error of the mean over n episodes, beside the square root of variance / n; and one mean over all."""
    policy, truth = softmax(logits), ep.performance_gradient(mdp, logits, ep.HORIZON).ravel()
    data = ep.simulate(mdp, policy, ep.HORIZON, BATCHES * int(COUNTS[-1]), rng)
    numbers, slopes, away = {}, [], []
    for i, (name, weight) in enumerate(forms(mdp, policy, data).items()):
        gradient = ep.gradients(policy, data, weight)
        batches = gradient.reshape(BATCHES, -1, truth.size).cumsum(1)[:, COUNTS - 1] / COUNTS[:, None]
        errors = np.sqrt(((batches - truth) ** 2).sum(-1).mean(0))
        total = ep.moments(gradient, data.probability)
        slopes.append(float(np.polyfit(np.log(COUNTS), np.log(errors), 1)[0]))
        away.append(ep.deviation(total, truth, len(gradient)))
        axes.loglog(COUNTS, np.sqrt(total.total / COUNTS), color=f"C{i}", ls="-", lw=0.8)
        axes.loglog(COUNTS, errors, color=f"C{i}", ls="", marker="o", ms=4, label=name)
        numbers[name] = {"episodes": COUNTS.tolist(), "error": errors.tolist(), "variance": total.total}
    axes.set(
        xlabel="episodes in the estimate", ylabel="error of the gradient", title=f"{BATCHES} samples each"
    )
    plain(axes.xaxis, axes.yaxis)
    axes.legend()
    total = ", ".join(f"{x:.3f}" for x in slopes)
    near = all(abs(slope + 0.5) < 0.1 for slope in slopes)
    text = f"the mean of {data.action.shape[1]:,} samples of each form is within 5.5 standard errors of the gradient"
    return numbers | {"slopes": slopes, "standard_errors": away}, [
        Claim(near, f"errors fall with n to the power -1/2: measured slopes {total}"),
        Claim(max(away) < 5.5, f"{text}: at most {max(away):.1f}"),
    ]


def random_worlds(rng: np.random.Generator, axes: Axes) -> tuple[dict[str, Any], Claim]:
    """Return the exact variances in random MDPs, and how often each form has less than the one before it."""
    variances = []
    for seed in rng.integers(2**32, size=WORLDS):
        mdp, logits = ep.example(int(seed))
        policy = softmax(logits)
        data = ep.every(mdp, policy, ep.HORIZON)
        v, q = (ep.along(table, data) for table in ep.values(mdp, policy, ep.HORIZON))
        to_go = data.reward[::-1].cumsum(0)[::-1]
        psi = np.broadcast_to(to_go[0], to_go.shape), to_go, q, q - v[:-1]
        variances.append([ep.moments(ep.gradients(policy, data, x), data.probability).total for x in psi])
    table = np.array(variances)  # [worlds, forms]
    ratio = table[:, :-1] / table[:, -1:]
    for i, name in enumerate(FORMS[:-1]):
        axes.semilogy(np.sort(ratio[:, i]), color=f"C{i}", ls="-", label=name)
    axes.axhline(1.0, color="C3", ls="-", lw=1.0, label=FORMS[-1])
    axes.set(
        xlabel="random MDPs, sorted", ylabel="variance, that of the advantage = 1", title="in random MDPs"
    )
    plain(axes.yaxis)
    axes.legend()
    ordered = int(np.all(np.diff(table) < 0, axis=1).sum())
    text = f"the variances have this order in {ordered} of {WORLDS} random MDPs (at least 90 are asked for)"
    return {"variance": table.tolist(), "ordered": ordered}, Claim(ordered >= 90, text)


def dynamics_drop_out(mdp: MDP, logits: np.ndarray, rng: np.random.Generator) -> tuple[dict[str, Any], Claim]:
    """Compute ∇ log P(τ) of all episodes by central differences, under P and under another P, beside Σ_t ∇ log π."""
    other = mdp._replace(transition=rng.dirichlet(np.ones(mdp.num_states), (mdp.num_states, mdp.num_actions)))
    policy = softmax(logits)
    data = ep.every(mdp, policy, ep.HORIZON)
    score = ep.gradients(policy, data, np.ones_like(data.reward))
    off = max(float(np.abs(log_gradient(x, logits, data) - score).max()) for x in (mdp, other))
    chances = [ep.path_probability(x, policy, data.state, data.action) for x in (mdp, other)]
    moved = float(np.abs(chances[0] - chances[1]).sum() / 2)
    text = (
        f"of all {score.shape[0]:,} episodes ∇ log P(τ) is Σ ∇ log π to {off:.1g}, also under other dynamics, "
        f"which move {moved:.0%} of the probability to other episodes"
    )
    return {"difference": off, "moved": moved}, Claim(off < 1e-6 and moved > 0.01, text)


def log_gradient(mdp: MDP, logits: np.ndarray, data: ep.Episodes, width: float = 1e-5) -> np.ndarray:
    """Return ∂ log P(τ|π) / ∂θ by central differences of the whole probability, dynamics and all: [N, S A]."""
    found = []
    for direction in np.eye(logits.size).reshape(-1, *logits.shape):
        ends = [
            np.log(ep.path_probability(mdp, softmax(logits + x * direction), data.state, data.action))
            for x in (width, -width)
        ]
        found.append((ends[0] - ends[1]) / (2 * width))
    return np.stack(found, -1)
