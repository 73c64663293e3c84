"""Fitted value iteration, V_{k+1} = M T* V_k: some fits keep the contraction of T*, and some break it.

Two states, worth 0 and given the values w and 2w; the first leads to the second, the second to itself. Least squares
takes w_k to γ (6 - 4ε)/5 w_k, where ε is the chance that the second state ends the episode: with ε = 0 it diverges
beyond γ = 5/6, though w = 0 is exact (Tsitsiklis & Van Roy 1996). The fit is nearest in the 2-norm, and T*
contracts in the sup norm, which the fit lengthens by 6/5.

An averager's values are means of targets and constants, as in aggregation and interpolation: it never lengthens
the sup norm, so M T* contracts by γ, and ends within ‖M V* - V*‖ / (1 - γ) of V* (Gordon 1995). The very same values
w and 2w may be fitted so: take the target of the second state, and half of it for the first.
"""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from swingup.envs.tabular import MDP, cells, gridworld, mdp, random
from swingup.lab.tools.report import Claim, Report
from swingup.theory.bellman import Iteration, lookahead
from swingup.theory.exact import chain_of, greedy, optimal_value, uniform
from swingup.theory.fitted import (
    aggregation,
    averager_bound,
    expansion,
    fitted_value_iteration,
    interpolation,
    least_squares,
)

FEATURES = np.array([[1.0], [2.0], [0.0]])  # of both states and the terminal one
FITS = {
    "least squares": least_squares(FEATURES),
    "least squares, on-policy": least_squares(FEATURES, np.array([0.0, 1.0, 0.0])),
    "interpolation": interpolation(FEATURES[:, 0], knots=[2, 1]),  # between the terminal and the second state
}
STYLES: dict[str, dict] = {
    "least squares": {},
    "least squares, on-policy": {"lw": 3},
    "interpolation": {"ls": "--"},
}
GAMMA, ITERATIONS = 0.95, 60
SIZE = 8  # of the gridworld, with the goal in a corner
PROCESSES = 20  # random ones, with random groups of states


def two_states(gamma: float, ending: float = 0.0) -> MDP:
    """Make two states: the first leads to the second, that to itself, or to the end with probability `ending`; no
    reward.
    """
    return mdp([[[0, 1, 0]], [[0, 1 - ending, ending]], [[0, 0, 1]]], np.zeros((3, 1)), [1, 0, 0], [2], gamma)


def radius(process: MDP, fit: np.ndarray, policy: np.ndarray) -> float:
    """Return the spectral radius of γ M P_π: by it, in the end, each M T^π lengthens what it is applied to."""
    return float(np.abs(np.linalg.eigvals(process.gamma * fit @ chain_of(process, policy))).max())


def growth(found: Iteration) -> float:
    """Return by how much the last difference of neighbours is longer than the one before."""
    return float(found.steps[-1] / found.steps[-2])


def corner(gamma: float = GAMMA) -> tuple[MDP, dict[str, np.ndarray]]:
    """Fit the values of an empty gridworld with a reward of 1 in its last corner in four ways."""
    layout = ["S" + "." * (SIZE - 1), *["." * SIZE] * (SIZE - 2), "." * (SIZE - 1) + "G"]
    place = np.array(cells(layout))
    alive = np.arange(SIZE**2) < SIZE**2 - 1
    features = (place[:, ::-1] + 1) * alive[:, None] / SIZE  # column and row, from 1/8 to 1
    blocks = np.where(alive, place[:, 0] // 2 * SIZE + place[:, 1] // 2, -1)
    fits = {"a table": np.diag(alive * 1.0), "means of 2 x 2 cells": aggregation(blocks)}
    fits["least squares"] = least_squares(features)
    fits["least squares, with a constant"] = least_squares(np.column_stack([features, alive]))
    return gridworld(layout, gamma=gamma), fits


def gordon_bound(process: MDP, groups: np.ndarray) -> float:
    """Return 2ε / (1 - γ) of aggregation: ε, the distance to the nearest constants, is half V*'s spread in a group."""
    best = optimal_value(process)
    spread = max(float(np.ptp(best[groups == g])) for g in np.unique(groups))
    return spread / (1 - process.gamma)


def random_groups(seed: int) -> list[dict[str, float]]:
    """Run fitted value iteration of random processes in random groups: return modulus, error, and both bounds."""
    rng, rows = np.random.default_rng(seed), []
    for _ in range(PROCESSES):
        process = random(20, 3, 4, int(rng.integers(2**31)), rng.uniform(0.5, 0.95))
        groups = rng.integers(0, 6, 20)
        fit = aggregation(groups)
        found = fitted_value_iteration(process, fit, rng.normal(size=20))
        error = float(np.abs(found.point - optimal_value(process)).max())
        row = {"gamma": process.gamma, "modulus": found.modulus, "converged": float(found.converged)}
        bounds = {"bound": averager_bound(process, fit), "gordon": gordon_bound(process, groups)}
        rows.append(row | {"error": error} | bounds)
    return rows


def run(seed: int = 0) -> Report:
    """Compute weights of the two states, growth over γ, errors in a gridworld, and random processes."""
    figure = Figure(figsize=(12, 3.6), dpi=150, layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    rng = np.random.default_rng(seed)
    weights, weights_claim = draw_weights(left, float(rng.uniform(0.5, 2)))
    sweep, sweep_claim = draw_growth(middle)
    corners, corner_claims = draw_corner(right)
    rows = random_groups(int(np.random.SeedSequence(seed).generate_state(1)[0]))
    inside = all(
        r["converged"] and r["modulus"] < r["gamma"] + 1e-6 and r["error"] < r["bound"] + 1e-9
        and r["bound"] < r["gordon"] + 1e-9 for r in rows
    )  # fmt: skip
    closest = max(r["error"] / r["bound"] for r in rows)
    groups_claim = Claim(
        inside,
        f"{PROCESSES} random processes in random groups of states: all converge, with moduli of at most γ, and end "
        f"within ‖M V* - V*‖/(1-γ), itself within Gordon's 2ε/(1-γ); the error is at most {closest:.2f} of the former",
    )
    look = (
        "left: one line rises, with the same two values as the others; only the fit differs. Right: least squares"
        " leaves the gridworld's V*, while means of cells end below their dashed bound."
    )
    numbers = {"weights": weights, "growth": sweep, "gridworld": corners, "random_groups": rows}
    return Report(look, (weights_claim, sweep_claim, *corner_claims, groups_claim), numbers, figure)


def draw_weights(axes: Axes, first: float) -> tuple[dict[str, Any], Claim]:
    """Draw w over iterations for the three fits, and their growth beside the spectral radius."""
    process, numbers, texts = two_states(GAMMA), {}, []
    for name, fit in FITS.items():
        found = fitted_value_iteration(process, fit, first * FEATURES[:, 0], limit=ITERATIONS)
        w = np.array(found.iterates)[:, 0]
        axes.semilogy(w, label=name, **STYLES[name])
        exact = radius(process, fit, uniform(process))
        numbers[name] = {
            "w": w.tolist(),
            "growth": growth(found),
            "radius": exact,
            "expansion": expansion(fit),
        }
        texts.append(f"{name} {growth(found):.4f}")
    axes.set(xlabel="iterations, k", ylabel="w_k", title=f"Values w and 2w, γ = {GAMMA}")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.legend()
    same = max(abs(n["growth"] - n["radius"]) for n in numbers.values())
    factors = [n["growth"] for n in numbers.values()]
    right = factors[0] > 1.1 and max(factors[1:]) < GAMMA + 1e-6
    return numbers, Claim(
        same < 1e-6 and right,
        f"two states, growth of w per iteration: {', '.join(texts)}; equal to the spectral radii, to {same:.0e}",
    )


def draw_growth(axes: Axes) -> tuple[dict[str, Any], Claim]:
    """Draw growth per iteration over γ, for two chances of the end: 6/5 γ and (6 - 4ε)/5 γ."""
    gammas, worst, numbers = np.linspace(0.05, 0.99, 48), 0.0, {}
    for ending in (0.0, 0.5):
        formula = gammas * (6 - 4 * ending) / 5
        runs = [
            fitted_value_iteration(
                two_states(g, ending), FITS["least squares"], FEATURES[:, 0], limit=10, tolerance=0
            )
            for g in gammas.tolist()
        ]
        observed = np.array([growth(found) for found in runs])
        worst = max(worst, float(np.abs(observed - formula).max()))
        line = axes.plot(gammas, formula, label=f"γ (6 - 4ε)/5, ε = {ending:g}")[0]
        axes.plot(gammas[::4], observed[::4], ".", color=line.get_color())
        numbers[f"ending {ending:g}"] = observed.tolist()
    axes.plot(gammas, gammas, label="γ: interpolation")
    axes.axhline(1, color="black", lw=0.8)
    axes.axvline(5 / 6, color="black", lw=0.8, ls="--", label="γ = 5/6")
    axes.set(
        xlabel="discount γ", ylabel="growth of w per iteration", title="Least squares, over γ", ylim=(0, 1.7)
    )
    axes.legend()
    text = f"least squares multiplies w by γ (6 - 4ε)/5 at every γ, to {worst:.0e}: it diverges beyond 5/6 where ε = 0"
    return {"gamma": gammas.tolist()} | numbers, Claim(worst < 1e-9, text)


def draw_corner(axes: Axes) -> tuple[dict[str, Any], list[Claim]]:
    """Draw errors of the gridworld's four fits over iterations."""
    process, fits = corner()
    best, numbers = optimal_value(process), {}
    for name, fit in fits.items():
        found = fitted_value_iteration(process, fit, np.zeros(process.num_states), limit=400)
        errors = np.array([np.abs(v - best).max() for v in found.iterates])
        exact = radius(process, fit, greedy(lookahead(process, found.point)))
        axes.semilogy(np.maximum(errors, 1e-4)[:200], label=name)
        row = {
            "error": errors.tolist(),
            "expansion": expansion(fit),
            "radius": exact,
            "modulus": found.modulus,
        }
        numbers[name] = row | {
            "growth": growth(found) if found.steps[-2] else 0.0,
            "converged": found.converged,
        }
    means, squares = numbers["means of 2 x 2 cells"], numbers["least squares"]
    bound = averager_bound(process, fits["means of 2 x 2 cells"])
    axes.axhline(bound, color="C1", lw=0.8, ls="--", label="bound of the means")
    axes.set(xlabel="iterations, k", ylabel="‖V_k - V*‖", title=f"Gridworld, {SIZE} x {SIZE}, γ = {GAMMA}")
    axes.set_ylim(1e-4, 1e6)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.legend()
    ratio = squares["growth"]
    return numbers | {"bound": bound}, [
        Claim(
            means["converged"] and means["modulus"] < GAMMA + 1e-6 and means["error"][-1] < bound,
            f"gridworld, means of 2 x 2 cells: error {means['error'][-1]:.3f}, below the bound of {bound:.3f}",
        ),
        Claim(
            ratio > 1.001 and abs(ratio - squares["radius"]) < 1e-3 and squares["error"][-1] > 1e3,
            f"gridworld, least squares on row and column: the fit lengthens the sup norm by up to "
            f"{squares['expansion']:.2f}, the values grow by {ratio:.4f} per iteration (spectral radius "
            f"{squares['radius']:.4f}), error {squares['error'][-1]:.1e} after 400",
        ),
    ]
