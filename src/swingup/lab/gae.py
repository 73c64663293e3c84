"""Generalised advantage estimation trades bias for variance by λ (Schulman et al. 2016).

Â = (1-λ) Σ_n λⁿ⁻¹ A⁽ⁿ⁾ = Σ_k (γλ)ᵏ δ_{t+k}: an exponential average of all n-step advantages and a discounted sum of TD
errors are the same, terminations and truncations included. λ = 0 is the TD error, λ = 1 the return minus V. On the
slide the sum of n-step rewards runs from t' = t to n; it must run to t + n, or only t = 0 comes out right.
"""

from functools import partial
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from swingup.lab.tools import episodes as ep
from swingup.lab.tools import wrong_values as wv
from swingup.lab.tools.report import Claim, Report
from swingup.returns import discounted, gae, n_step_advantage, reward_to_go, td_error

LAMBDAS = np.linspace(0, 1, 21)
STEPS, ENVS, GAMMA, LAM = 12, 20, 0.9, 0.8  # of the random data in which the identities are checked


def run(seed: int = 0) -> Report:
    """Check the identities on random data, then compute bias and variance of the gradient over λ."""
    figure = Figure(figsize=(12, 3.6), dpi=150, layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    rng = np.random.default_rng(seed)
    same, same_claims = identities(rng, left)
    case = wv.make_case()
    moments = np.stack([wv.lambda_moments(case, lam) for lam in LAMBDAS])
    trade, trade_claims = bias_and_variance(case, moments, rng, middle)
    best, best_claim = best_lambda(case, moments, right)
    look = (
        "left: three ways to compute GAE lie on one line, and the slide's sum lies beside it. Middle: with λ the "
        "bias falls and the variance rises. Right: the best λ lies between 0 and 1, nearer to 1 the more samples "
        "there are."
    )
    numbers = {"identities": same, "gradient": trade, "best": best}
    return Report(look, (*same_claims, *trade_claims, best_claim), numbers, figure)


def identities(rng: np.random.Generator, axes: Axes) -> tuple[dict[str, Any], list[Claim]]:
    """Compute GAE as the average, as the sum, and at both limits, with episodes that end and others that are cut."""
    data = random_data(rng)
    reward, value, following, terminated, done = data
    whole = ep.float64(gae, *data, GAMMA, LAM)
    average, literal = average_of(data, LAM), slide_average(data, LAM)
    delta = ep.float64(td_error, *data[:4], GAMMA)
    total = ep.float64(discounted, delta, done, GAMMA * LAM, np.zeros(ENVS))
    limits = [ep.float64(gae, *data, GAMMA, lam) for lam in (0.0, 1.0)]
    to_go = ep.float64(reward_to_go, reward, following, terminated, done, GAMMA) - value
    off = [float(np.abs(x - y).max()) for x, y in ((average, whole), (total, whole))]
    ends = [float(np.abs(x - y).max()) for x, y in zip(limits, (delta, to_go), strict=True)]
    slip = np.abs(literal - whole).max(1)  # [T]
    axes.plot(whole[:, 0], ls="-", label="GAE")
    axes.plot(average[:, 0], ls="", marker="o", mfc="none", color="C1", label="average of n-step advantages")
    axes.plot(total[:, 0], ls="", marker="x", color="C2", label="sum of TD errors")
    axes.plot(literal[:, 0], ls="--", color="C3", label="the sum to n of the slide")
    axes.set(xlabel="env step t", ylabel="advantage", title=f"one rollout, λ = {LAM}")
    axes.set_ylim(top=axes.get_ylim()[1] + 3)  # room for the legend
    axes.legend(loc="upper left")
    numbers = {"gae": whole[:, 0].tolist(), "literal": literal[:, 0].tolist(), "off": off, "limits": ends}
    kinds = f"{int(terminated.sum())} terminations and {int((done & ~terminated).sum())} truncations"
    return numbers, [
        Claim(
            max(off) < 1e-6, f"with {kinds}, the average is GAE to {off[0]:.1g} and the sum to {off[1]:.1g}"
        ),
        Claim(
            max(ends) < 1e-6,
            f"λ = 0 is the TD error to {ends[0]:.1g}, λ = 1 the return less V to {ends[1]:.1g}",
        ),
        Claim(
            bool(slip[0] < 1e-6 and slip[1:].min() > 0.01),
            f"a sum to n, not t + n, is off by {slip[0]:.1g} at t = 0 and by at least {slip[1:].min():.2g} later",
        ),
    ]


def random_data(rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Draw r, V, V of the successor, terminated and done, each [T, N]; within an episode the successor's V is next."""
    reward, value, other = rng.normal(size=(3, STEPS, ENVS))
    kind = rng.choice(3, (STEPS, ENVS), p=[0.8, 0.1, 0.1])  # goes on, terminates, is truncated
    kind[:3, 0] = 0, 2, 1  # the rollout that is drawn has one of each
    inside = np.concatenate([value[1:], other[-1:]])
    return reward, value, np.where(kind > 0, other, inside), kind == 1, kind > 0


def average_of(data: tuple[np.ndarray, ...], lam: float) -> np.ndarray:
    """Return (1-λ) Σ_n λⁿ⁻¹ A⁽ⁿ⁾ [T, N] by the library's A⁽ⁿ⁾. They are the same from n = T on, where the data end."""

    def of_length(n: Any) -> Any:
        return n_step_advantage(*map(jnp.asarray, data), gamma=GAMMA, n=n)  # pyright: ignore

    with jax.enable_x64(True):
        *inside, last = np.asarray(jax.jit(jax.vmap(of_length))(jnp.arange(1, STEPS + 1)))
    return (1 - lam) * sum(lam**n * a for n, a in enumerate(inside)) + lam ** (STEPS - 1) * last


def slide_average(data: tuple[np.ndarray, ...], lam: float) -> np.ndarray:
    """The same average of the slide's Σ_{t'=t}^n γ^{t'-t} r_t' + γⁿ⁺¹ V(s_{t+n+1}) - V(s_t), taken at its word: [T, N].

    The rewards stop at time n, whatever t is; before t there are none.
    """
    reward, value, following, terminated, done = data
    found = np.zeros_like(reward)
    for t, i in np.ndindex(reward.shape):
        last = t + int(np.argmax(np.append(done[t:-1, i], True)))  # where the episode or the data end
        terms = []
        for n in range(last - t + 1):
            rewards = sum(GAMMA ** (k - t) * reward[k, i] for k in range(t, min(n, last) + 1))
            after = 0.0 if terminated[t + n, i] else following[t + n, i]
            terms.append(rewards + GAMMA ** (n + 1) * after - value[t, i])
        found[t, i] = (1 - lam) * sum(lam**n * a for n, a in enumerate(terms[:-1])) + lam ** (
            last - t
        ) * terms[-1]
    return found


def bias_and_variance(
    case: wv.Case, moments: np.ndarray, rng: np.random.Generator, axes: Axes
) -> tuple[dict[str, Any], list[Claim]]:
    """Return bias and variance of Â + V̂(s_t) as an estimate of Q(s_t, a_t), exactly and by the library's GAE on
    samples.
    """
    bias, variance = np.array([wv.errors_of_q(case, m) for m in moments]).T
    data, arguments = wv.rollouts(case, rng)
    chosen = range(0, len(LAMBDAS), 4)
    with jax.enable_x64(True):
        estimate = jax.jit(partial(gae, gamma=case.mdp.gamma))
        advantages = [np.asarray(estimate(*arguments, lam=LAMBDAS[k]))[0] for k in chosen]
    sampled = [wv.sampled_q(case, data, a) for a in advantages]
    away = [wv.deviation(case, data, a, moments[k]) for k, a in zip(chosen, advantages, strict=True)]
    for i, (name, curve) in enumerate({"bias²": bias, "variance": variance}.items()):
        dots = [s[i] for s in sampled]
        axes.plot(LAMBDAS, curve, color=f"C{i}", ls="-", label=name)
        axes.plot(LAMBDAS[::4], dots, color=f"C{i}", ls="", marker="o", ms=4)
    title = f"estimates of Q; dots: {wv.ROLLOUTS:,} samples"
    axes.set(xlabel="λ", ylabel="mean over states and actions", title=title)
    axes.legend()
    trade = np.all(np.diff(bias) < 0) and np.all(np.diff(variance) > 0) and bias[-1] < 1e-12
    numbers = {"lambda": LAMBDAS.tolist(), "bias_squared": bias.tolist(), "variance": variance.tolist()}
    numbers["sampled"] = {"errors": [s._asdict() for s in sampled], "standard_errors": away}
    text = f"bias² falls from {bias[0]:.3g} to {bias[-1]:.1g}, variance rises from {variance[0]:.3g} to"
    return numbers, [
        Claim(
            bool(trade),
            f"exactly, as λ goes from 0 to 1 {text} {variance[-1]:.3g}, at every one of {len(LAMBDAS)} λ",
        ),
        Claim(
            max(away) < 5.5,
            f"from {wv.ROLLOUTS:,} rollouts the mean of the gradient is within {max(away):.1f} standard errors of what "
            "is exact, for all λ tried (5.5 are allowed)",
        ),
    ]


def best_lambda(case: wv.Case, moments: np.ndarray, axes: Axes) -> tuple[dict[str, Any], Claim]:
    """Return the exact error of the gradient over λ, and where it is least."""
    errors = [wv.errors_of_gradient(case, m) for m in moments]
    best = wv.draw_mse(axes, LAMBDAS, errors)
    axes.set_xlabel("λ")
    middle = np.array([e.mse(1_000) for e in errors])
    ratios = middle[[0, -1]] / middle.min()
    ordered = all(x <= y for x, y in pairwise(best)) and 0 < best[1] < best[-1] < 1
    text = (
        f"the best λ is {[round(x, 3) for x in best]} for {list(wv.COUNTS)} samples; with 1,000 λ = 0 has "
        f"{ratios[0]:.1f} times the least error, λ = 1 {ratios[1]:.1f} times (1.1 asked for)"
    )
    numbers = {"samples": list(wv.COUNTS), "best_lambda": best, "errors": [e._asdict() for e in errors]}
    return numbers, Claim(bool(ordered and ratios.min() > 1.1), text)
