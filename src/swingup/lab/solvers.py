"""Three ways lead to V*: value iteration, policy iteration, linear programming. One answer, three prices.

Value iteration applies T* until nothing changes; its error falls by γ per sweep, so it needs about
log(tolerance) / log(γ) sweeps, without end as γ goes to 1. Policy iteration (Howard 1960) evaluates a policy exactly,
by linear equations, and acts greedily on that: a handful of improvements, whatever γ. The least V with V >= T*V solves
a linear program (d'Epenoux 1963).
"""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from swingup.envs.tabular import MDP, chain, cliff, frozen_lake, grid, random, two_state_loop, windy_grid
from swingup.lab.tools.report import Claim, Report
from swingup.theory.bellman import Iteration, fixed_point, lookahead, optimality_v
from swingup.theory.exact import (
    greedy,
    optimal_by_linear_program,
    optimal_by_policies,
    optimal_value,
    uniform,
    value,
)

TOLERANCE = 1e-6
GAMMAS = (0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999)


def value_iteration(process: MDP, tolerance: float = TOLERANCE) -> Iteration:
    """Repeat V <- T* V from 0, until a sweep changes nothing by more than the tolerance."""
    zero = np.zeros(process.num_states)
    return fixed_point(lambda v: optimality_v(process, v), zero, tolerance=tolerance)


def policy_iteration(process: MDP) -> Iteration:
    """Repeat V <- V^π of the π that is greedy for V, from the uniform policy's V: values of ever better policies."""
    first = value(process, uniform(process))
    return fixed_point(lambda v: value(process, greedy(lookahead(process, v))), first, tolerance=1e-9)


def improvements(found: Iteration) -> int:
    """Count how many policies were better than the one before."""
    return int((found.steps > 1e-9).sum())


def predicted(found: Iteration, gamma: float, tolerance: float = TOLERANCE) -> float:
    """Count sweeps until a difference that falls by γ per sweep from the first one is within the tolerance."""
    return 1 + np.log(tolerance / found.steps[0]) / np.log(gamma)


def differences(seed: int) -> dict[str, float]:
    """Return by how much any two of the three answers differ at most, per process, over the largest |V*| or 1."""
    seeds = np.random.SeedSequence(seed).generate_state(5)
    processes = {"Chain": chain(), "TwoStateLoop": two_state_loop(), "Grid": grid(), "Cliff": cliff()}
    processes |= {"FrozenLake": frozen_lake(), "WindyGrid": windy_grid()}
    processes |= {f"Random {i + 1}": random(20, 4, 5, int(s), 0.95) for i, s in enumerate(seeds)}
    found = {}
    for name, process in processes.items():
        answers = [f(process) for f in (optimal_value, optimal_by_policies, optimal_by_linear_program)]
        v = np.stack(answers) * ~process.terminal
        found[name] = float(np.ptp(v, axis=0).max() / max(1.0, np.abs(v).max()))
    return found


def run(seed: int = 0) -> Report:
    """Differences of the answers, work as γ goes to 1, and both errors over iterations."""
    figure = Figure(figsize=(12, 3.6), dpi=150, layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    apart = differences(seed)
    left.barh(list(apart), [max(x, 1e-16) for x in apart.values()], color="C0")
    left.set(xscale="log", xlim=(1e-17, 1e-6), xlabel="largest difference of two answers", title="One V*")
    left.invert_yaxis()
    left.set_axisbelow(True)
    left.xaxis.set_major_formatter("{x:g}")
    worst = max(apart, key=lambda name: apart[name])
    numbers, claims = prices(seed, middle)
    numbers |= {"differences": apart, "errors": draw_errors(seed, right)}
    agree = Claim(
        apart[worst] < 1e-8,
        f"value iteration, policy iteration and linear programming agree on {len(apart)} processes, "
        f"to {apart[worst]:.0e} at worst ({worst})",
    )
    look = (
        "middle: value iteration's line rises with the horizon 1/(1-γ), policy iteration's stays where it is."
    )
    return Report(look, (agree, *claims), numbers, figure)


def prices(seed: int, axes: Axes) -> tuple[dict[str, Any], list[Claim]]:
    """Count sweeps and improvements on one random MDP with several γ."""
    table = random(20, 4, 5, int(np.random.SeedSequence((seed, 1)).generate_state(1)[0]))
    processes = [table._replace(gamma=gamma) for gamma in GAMMAS]
    swept = [value_iteration(p) for p in processes]
    improved = [policy_iteration(p) for p in processes]
    sweeps, policies = [len(x.steps) for x in swept], [improvements(x) for x in improved]
    formula = [predicted(x, gamma) for x, gamma in zip(swept, GAMMAS, strict=True)]
    horizons = [1 / (1 - gamma) for gamma in GAMMAS]
    axes.loglog(horizons, sweeps, marker=".", label="sweeps of value iteration")
    axes.loglog(
        horizons, formula, color="black", lw=0.8, ls="--", label="log(tolerance / first change) / log γ"
    )
    axes.loglog(horizons, policies, marker=".", label="improvements of policy iteration")
    axes.set(
        xlabel="horizon 1/(1-γ)", ylabel="iterations", title=f"To a change of {TOLERANCE:g}", ylim=(1, 1e6)
    )
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
    axes.legend()
    within = [n <= most + 1 for n, most in zip(sweeps, formula, strict=True)]
    growth = sweeps[-1] / sweeps[0]
    numbers = {"gamma": GAMMAS, "sweeps": sweeps, "predicted": formula, "improvements": policies}
    return numbers, [
        Claim(
            bool(all(within) and growth > 30),
            f"value iteration: {sweeps[0]} sweeps with γ = {GAMMAS[0]}, {sweeps[-1]} with γ = {GAMMAS[-1]}, within "
            f"the bound log(tolerance / first change) / log γ of {formula[0]:.0f} and {formula[-1]:.0f}",
        ),
        Claim(
            max(policies) <= 10,
            f"policy iteration: {policies[0]} improvements with γ = {GAMMAS[0]}, {policies[-1]} with γ = {GAMMAS[-1]}",
        ),
    ]


def draw_errors(seed: int, axes: Axes) -> dict[str, Any]:
    """‖V - V*‖ after each iteration of both, with γ = 0.95."""
    process = random(20, 4, 5, int(np.random.SeedSequence((seed, 1)).generate_state(1)[0]), 0.95)
    best = optimal_by_policies(process)
    numbers = {}
    runs = {"value iteration": value_iteration(process, 1e-10), "policy iteration": policy_iteration(process)}
    for name, found in runs.items():
        error = [max(float(np.abs(v - best).max()), 1e-16) for v in found.iterates]
        axes.semilogy(error[:300], label=name, marker="." if len(error) < 30 else None)
        numbers[name] = error
    axes.set(xlabel="sweeps or improvements", ylabel="‖V - V*‖", title="γ = 0.95")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.legend()
    return numbers
