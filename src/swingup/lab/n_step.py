"""Under a wrong V, n-step advantages have less bias and more variance the larger n is (Sutton & Barto 2018, chapter 7).

A⁽ⁿ⁾_t = r_t + .. + γⁿ⁻¹ r_{t+n-1} + γⁿ V̂(s_{t+n}) - V̂(s_t). An error of V̂ counts for γⁿ of itself and is averaged over
where one can be n env steps later; each reward brings noise of its own. The lecture's n is one less. What is
wrong by as much for every action is a baseline and does no harm; so the gradient's error, not the advantage's, says
which n is best: the more samples it is averaged over, the longer.
"""

from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from swingup.lab.tools import episodes as ep
from swingup.lab.tools import wrong_values as wv
from swingup.lab.tools.report import Claim, Report, plain
from swingup.returns import n_step_advantage

LONGEST = 48
SAMPLED = (1, 2, 4, 8, 16, 32)


def run(seed: int = 0) -> Report:
    """Compute the table of bias and variance, exact and sampled, and the gradient's error with more and more data."""
    figure = Figure(figsize=(8.4, 3.6), dpi=150, layout="constrained")
    left, right = figure.subplots(1, 2)
    case = wv.make_case()
    moments = wv.n_step_moments(case, LONGEST)
    table, table_claims = bias_and_variance(case, moments, np.random.default_rng(seed), left)
    best, best_claims = best_n(case, moments, right)
    look = (
        "left: the bias of the estimate of Q falls and its variance rises with n. Right: the error of the gradient "
        "is least in between, further to the right the more samples it is averaged over."
    )
    return Report(look, (*table_claims, *best_claims), {"q": table, "gradient": best}, figure)


def bias_and_variance(
    case: wv.Case, moments: np.ndarray, rng: np.random.Generator, axes: Axes
) -> tuple[dict[str, Any], list[Claim]]:
    """Return bias and variance of A⁽ⁿ⁾ + V̂(s_t) as an estimate of Q(s_t, a_t)."""
    exact, n = [wv.errors_of_q(case, m) for m in moments], np.arange(1, LONGEST + 1)
    bias, variance = np.array(exact).T
    data, arguments = wv.rollouts(case, rng)
    advantages = {k: ep.float64(n_step_advantage, *arguments, case.mdp.gamma, k)[0] for k in SAMPLED}
    sampled = [wv.sampled_q(case, data, a) for a in advantages.values()]
    away = [wv.deviation(case, data, a, moments[k - 1]) for k, a in advantages.items()]
    for i, (name, curve) in enumerate({"bias²": bias, "variance": variance}.items()):
        dots = [s[i] for s in sampled]
        axes.semilogx(n, curve, color=f"C{i}", ls="-", label=name)
        axes.semilogx(SAMPLED, dots, color=f"C{i}", ls="", marker="o", ms=4)
    title = f"estimates of Q; dots: {wv.ROLLOUTS:,} samples"
    axes.set(xlabel="rewards before V, n", ylabel="mean over states and actions", title=title)
    plain(axes.xaxis)
    axes.legend()
    trade = np.all(np.diff(bias) < 0) and np.all(np.diff(variance) > 0)
    text = f"bias² {bias[0]:.3g} at n = 1, {bias[7]:.3g} at 8, {bias[-1]:.1g} at {LONGEST}; "
    text += f"variance {variance[0]:.3g}, {variance[7]:.3g} and {variance[-1]:.3g}"
    numbers = {"n": n.tolist(), "bias_squared": bias.tolist(), "variance": variance.tolist()}
    numbers["sampled"] = {"n": SAMPLED, "errors": [s._asdict() for s in sampled], "standard_errors": away}
    agree = (
        f"from {wv.ROLLOUTS:,} rollouts the mean of the gradient is within {max(away):.1f} standard errors"
    )
    return numbers, [
        Claim(bool(trade), f"exactly, from n to n + 1 bias always falls and variance rises: {text}"),
        Claim(max(away) < 5.5, f"{agree} of what is exact, for n of {SAMPLED} (5.5 are allowed)"),
    ]


def best_n(case: wv.Case, moments: np.ndarray, axes: Axes) -> tuple[dict[str, Any], list[Claim]]:
    """Return the exact error of the gradient over n, and where it is least."""
    errors, n = [wv.errors_of_gradient(case, m) for m in moments], np.arange(1, LONGEST + 1)
    best = wv.draw_mse(axes, n, errors)
    axes.set_xscale("log")
    axes.set_xlabel("rewards before V, n")
    plain(axes.xaxis)
    middle = np.array([e.mse(1_000) for e in errors])
    numbers = {"samples": list(wv.COUNTS), "best_n": best, "errors": [e._asdict() for e in errors]}
    ratios = middle[[0, -1]] / middle.min()
    text = (
        f"with 1,000 samples n = {middle.argmin() + 1} is best: n = 1 has {ratios[0]:.1f} times its error, "
    )
    ordered = all(x <= y for x, y in pairwise(best)) and best[0] < best[-1]
    return numbers, [
        Claim(bool(ratios.min() > 1.1), text + f"n = {LONGEST} {ratios[1]:.1f} times (1.1 asked for)"),
        Claim(
            ordered,
            f"more samples ask for a longer n: best n = {[int(x) for x in best]} of {list(wv.COUNTS)}",
        ),
    ]
