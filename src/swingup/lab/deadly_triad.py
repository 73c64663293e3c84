"""The deadly triad is function approximation, bootstrapping and off-policy data, each harmless without the others.

First Baird's counterexample, exactly and from samples, with all three legs and without each (`lab.tools.baird`).
Then DQN with four bootstrap targets on a task whose returns are at most 1 (`lab.tools.soft_divergence`).
`benchmarks/deadly_triad.py` measures the second part on six tasks.
"""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from swingup.lab.tools import baird, soft_divergence
from swingup.lab.tools.report import Claim, Report, plain
from swingup.training import machine

UPDATES = np.unique(np.logspace(0, 6, 61).astype(int))  # expected updates at which errors are drawn
TRIAD_UPDATES = 10_000  # with all three legs; after more, the numbers only get longer
SAMPLES, RUNS = 1_000, 10
ENV, LR, GRADIENT_STEPS, SEEDS = "FourRooms-misc", 1e-3, 2_000, 10
BATCHES = 20  # per point of the curves
MOST_STEPS = 50  # the longest returns of which the spectral radius is drawn


def run(seed: int = 0) -> Report:
    """Run both parts, and draw a figure of three panels."""
    figure = Figure(figsize=(12, 3.8), dpi=150, layout="constrained")
    panels = figure.subplots(1, 3)
    exact, exact_claims = counterexample(seed, panels[0], panels[1])
    deep, deep_claims = networks(seed, panels[2])
    look = (
        "left: the one line that rises has all three legs. Middle: with longer returns its eigenvalue comes back "
        "to 1. Right: some targets cross the dashed line, beyond which no return can be."
    )
    numbers = {"baird": exact, "soft_divergence": deep}
    return Report(look, (*exact_claims, *deep_claims), numbers, figure)


def counterexample(seed: int, left: Axes, middle: Axes) -> tuple[dict[str, Any], list[Claim]]:
    """Follow Baird's errors over expected updates, and the spectral radius over the length of the returns."""
    numbers, claims = {}, []
    for name, leg in baird.LEGS.items():
        triad = name == "all three"
        updates = UPDATES[UPDATES <= TRIAD_UPDATES] if triad else UPDATES
        errors, radius = baird.errors(leg, updates), baird.radius(baird.expected(leg))
        norms = np.linalg.norm(baird.sampled(leg, SAMPLES, RUNS, seed), axis=-1)  # [runs, updates + 1]
        first = float(baird.error(leg, leg.start))
        left.loglog(updates, errors, label=name)
        numbers[name] = {
            "spectral_radius": radius,
            "updates": updates.tolist(),
            "errors": errors.tolist(),
            "sampled_norms": norms[:, [0, -1]].tolist(),
        }
        grown = norms[:, -1] / norms[:, 0]
        facts = (
            f"spectral radius {radius:.6f}, error {first:.3g} to {errors[-1]:.2g} in {updates[-1]:,} updates"
        )
        samples = f"from {SAMPLES:,} samples ‖w‖ grows by {grown.min():.2g} to {grown.max():.2g}"
        if triad:
            diverges = radius > 1 + 1e-6 and errors[-1] > 1e3 * first
            claims.append(Claim(bool(diverges), f"Baird, {name}: {facts}"))
            claims.append(Claim(bool(grown.min() > 10), f"Baird, {name}: {samples} in {RUNS} runs"))
        else:
            cured = radius < 1 + 1e-9 and errors[-1] < 1e-2 * first and grown.max() < 3
            claims.append(Claim(bool(cured), f"Baird, {name}: {facts}; {samples}"))
    left.set(
        xlabel="expected updates", ylabel="error of v", title="Baird's counterexample", ylim=(1e-6, 1e13)
    )
    left.set_xticks([10**k for k in range(0, 7, 2)])
    plain(left.xaxis, left.yaxis)
    left.legend(loc="upper left")
    return numbers | {"returns": returns(middle)}, claims


def returns(axes: Axes) -> dict[str, Any]:
    """Return the spectral radius with targets of n rewards, and the least n at which it is not above 1."""
    steps = np.arange(1, MOST_STEPS + 1)
    triad = baird.LEGS["all three"]
    radii = np.array([baird.radius(baird.expected(triad, baird.GAMMA**n)) for n in steps])
    axes.plot(steps, radii, marker=".")
    axes.axhline(1.0, color="black", lw=0.8)
    axes.set(xlabel="rewards before the bootstrap, n", ylabel="spectral radius", title="Less bootstrapping")
    return {
        "n": steps.tolist(),
        "spectral_radius": radii.tolist(),
        "cured_from": int(steps[radii < 1 + 1e-9][0]),
    }


def networks(seed: int, axes: Axes) -> tuple[dict[str, Any], list[Claim]]:
    """Train DQN with each target, all seeds in one program, and record the largest |Q| of its batches."""
    seeds = range(seed * SEEDS, (seed + 1) * SEEDS)  # no two root seeds share any
    algo, rows = soft_divergence.settings(seeds, [LR], GRADIENT_STEPS)
    machine.set_up(algo, len(rows))
    bound = 1 / (1 - algo.gamma)
    found = soft_divergence.largest_q(ENV, algo, rows, GRADIENT_STEPS)
    # [targets, seeds, points]: a point is the largest of all batches since the last, so that no excursion is hidden.
    q = found.reshape(len(soft_divergence.TARGETS), SEEDS, -1, BATCHES).max(-1)
    at = BATCHES * np.arange(1, q.shape[-1] + 1)
    largest = dict(zip(soft_divergence.TARGETS, q.max(-1), strict=True))
    beyond = {name: int((x > bound).sum()) for name, x in largest.items()}
    for i, (name, n) in enumerate(beyond.items()):
        label = [f"{name}: {n} of {SEEDS}", *["_"] * (SEEDS - 1)]
        axes.semilogy(at, q[i].T, color=f"C{i}", ls="-", lw=0.9, label=label)
    axes.axhline(bound, color="black", ls="--", lw=0.8)
    axes.set(xlabel="gradient steps", ylabel="largest |Q| in a batch", title=f"DQN on {ENV}")
    axes.set_ylim(top=1000 * bound)
    plain(axes.yaxis)
    axes.legend(loc="upper left")
    counts = ", ".join(f"{name} {n}" for name, n in beyond.items())
    text = f"DQN on {ENV}: runs of {SEEDS} in which |Q| exceeds 1/(1-γ) = {bound:.0f}: {counts}"
    numbers = {
        "env": ENV,
        "lr": LR,
        "bound": bound,
        "seeds": list(seeds),
        "gradient_steps": GRADIENT_STEPS,
        "largest_q": {name: x.tolist() for name, x in largest.items()},
    }
    return numbers, [Claim(beyond["online max"] > beyond["double"], text)]
