"""T* is a contraction: it brings any two Q closer, by γ at least, in the sup norm.

    ‖T*Q - T*Q'‖ <= γ ‖Q - Q'‖

So it has one fixed point, Q*, and value iteration from anywhere is at most γ^k times its first error away from it
after k sweeps (Banach 1922; Puterman 1994, section 6.2). Both bounds are attained where Q and Q' differ by a constant,
so no smaller modulus would do. A map whose modulus is 1 or more need not converge; nor need one which brings all
points closer, if no β below 1 says by how much.
"""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from swingup.envs.tabular import MDP, random
from swingup.lab.tools.report import Claim, Report
from swingup.theory.bellman import fixed_point, optimality_q

PROCESSES, PAIRS = 100, 40  # random MDPs, and pairs of Q for each
ROUNDING = 1e-9
MAPS = {  # {name: (map, whether it converges)}
    "x/2 + 1": (lambda x: x / 2 + 1, True),
    "0.9 x + 1": (lambda x: 0.9 * x + 1, True),
    "1 - x": (lambda x: 1 - x, False),
    "1.1 x + 1": (lambda x: 1.1 * x + 1, False),
    "x + 1/(1 + e^x)": (lambda x: x + 1 / (1 + np.exp(x)), False),
}


def ratio(process: MDP, q: np.ndarray, other: np.ndarray) -> float:
    """Return ‖T*Q - T*Q'‖ / ‖Q - Q'‖ in the sup norm."""
    after = np.abs(optimality_q(process, q) - optimality_q(process, other)).max()
    return float(after / np.abs(q - other).max())


def random_processes(rng: np.random.Generator, count: int) -> list[MDP]:
    """Make MDPs of 2 to 10 states and 1 to 5 actions, with any γ up to 0.99."""
    processes = []
    for _ in range(count):
        states, actions = int(rng.integers(2, 11)), int(rng.integers(1, 6))
        branching, gamma = int(rng.integers(1, states + 1)), rng.uniform(0.1, 0.99)
        processes.append(random(states, actions, branching, int(rng.integers(2**31)), gamma))
    return processes


def ratios(rng: np.random.Generator, process: MDP, pairs: int) -> np.ndarray:
    """Measure ratios over γ of random pairs: half far apart, half that differ in one entry alone; the last by a
    constant.
    """
    shape = (process.num_states, process.num_actions)
    found = []
    for i in range(pairs):
        q = rng.normal(size=shape)
        other = rng.normal(size=shape) * 10 ** rng.uniform(-2, 2)
        if i % 2:
            other = q.copy()
            other.flat[rng.integers(q.size)] += rng.uniform(0.5, 2)
        if i == pairs - 1:
            other = q + rng.uniform(0.5, 2)
        found.append(ratio(process, q, other) / process.gamma)
    return np.array(found)


def errors(process: MDP, q: np.ndarray, sweeps: int) -> np.ndarray:
    """Return ‖Q_k - Q*‖ after 0 .. sweeps sweeps from q."""
    best = fixed_point(lambda x: optimality_q(process, x), q, tolerance=1e-13).point
    iterates = fixed_point(lambda x: optimality_q(process, x), q, tolerance=-1.0, limit=sweeps).iterates
    return np.array([np.abs(x - best).max() for x in iterates])


def run(seed: int = 0) -> Report:
    """Compute ratios on many MDPs, value iteration's error beside its bound, and maps with moduli below and above 1."""
    rng = np.random.default_rng(seed)
    figure = Figure(figsize=(12, 3.6), dpi=150, layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    processes = random_processes(rng, PROCESSES)
    found = np.array([ratios(rng, p, PAIRS) for p in processes])  # [processes, pairs]
    counts, edges, _ = left.hist(found[:, :-1].ravel(), bins=50, label="random pairs")
    left.axvline(1.0, color="black", lw=0.8, ls="--", label="γ; attained by Q + constant")
    left.set(xlabel="‖T*Q - T*Q'‖ / γ‖Q - Q'‖", ylabel="pairs", title=f"{PROCESSES} random MDPs")
    left.set_axisbelow(True)
    left.legend()
    constant = np.abs(found[:, -1] - 1).max()
    claims = [
        Claim(
            bool(found.max() < 1 + ROUNDING),
            f"‖T*Q - T*Q'‖ / ‖Q - Q'‖ is never above γ: at most {found[:, :-1].max():.4f} γ in "
            f"{found[:, :-1].size} random pairs",
        ),
        Claim(bool(constant < ROUNDING), f"and γ to {constant:.0e} where Q and Q' differ by a constant"),
    ]
    iteration, iteration_claim = value_iteration(rng, middle)
    maps, map_claims = one_dimension(right)
    histogram = {"edges": np.asarray(edges).tolist(), "pairs": np.asarray(counts).tolist()}
    numbers = {"ratios_over_gamma": histogram, "value_iteration": iteration, "maps": maps}
    look = (
        "left: nothing lies beyond the dashed line. Middle: no error lies above its dashed bound, and one line "
        "lies on it. Right: some differences fall to rounding, the others do not."
    )
    return Report(look, (*claims, iteration_claim, *map_claims), numbers, figure)


def value_iteration(rng: np.random.Generator, axes: Axes) -> tuple[dict[str, Any], Claim]:
    """Return errors of value iteration, from 0 and from Q* + 1, which attains the bound."""
    numbers, above, attained, sweeps = {}, 0.0, 0.0, 60
    for i, gamma in enumerate((0.5, 0.8, 0.9)):
        process = random(10, 3, 3, int(rng.integers(2**31)), gamma)
        zero = np.zeros((10, 3))
        best = fixed_point(lambda x, p=process: optimality_q(p, x), zero, tolerance=1e-13).point
        plain, shifted = errors(process, zero, sweeps), errors(process, best + 1, sweeps)
        bound = gamma ** np.arange(sweeps + 1)
        above = max(above, float((plain / plain[0] - bound).max()), float((shifted - bound).max()))
        attained = max(attained, float(np.abs(shifted - bound).max()))
        axes.semilogy(bound, color=f"C{i}", ls="--", lw=0.9)
        axes.semilogy(plain / plain[0], color=f"C{i}", ls="-", label=f"γ = {gamma}")
        axes.semilogy(shifted[::6], "k.", ms=3, **({"label": "from Q* + 1"} if not i else {}))
        axes.lines[-1].set_xdata(np.arange(0, sweeps + 1, 6))
        numbers[str(gamma)] = {"from_zero": plain.tolist(), "from_shifted": shifted.tolist()}
    axes.set(xlabel="sweeps, k", ylabel="‖Q_k - Q*‖ / ‖Q_0 - Q*‖", title="Value iteration", ylim=(1e-9, 2))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.legend(title="dashed: γ^k")
    holds = above < ROUNDING and attained < ROUNDING
    text = f"value iteration's error is at most γ^k times the first one, and from Q* + 1 equal to it to {attained:.0e}"
    return numbers, Claim(holds, text)


def one_dimension(axes: Axes) -> tuple[dict[str, Any], list[Claim]]:
    """Iterate maps of the line; those with a modulus of at least 1 do not converge."""
    numbers, texts, right = {}, [], True
    for name, (f, converges) in MAPS.items():
        found = fixed_point(f, np.array([3.0]), limit=2000)
        right &= found.converged == converges and (found.modulus < 0.9 + 1e-6) == converges
        texts.append(f"{name}: {found.modulus:.4f}, {'converged' if found.converged else 'did not'}")
        differences = found.steps[:100]
        axes.semilogy(np.arange(1, len(differences) + 1), differences, label=name)
        shown = {"modulus": found.modulus, "converged": found.converged}
        numbers[name] = shown | {"differences": differences.tolist()}
    starts = np.array(
        [fixed_point(MAPS["0.9 x + 1"][0], np.array([x])).point for x in np.linspace(-1e3, 1e3, 21)]
    )
    one = float(np.abs(starts - 10).max())
    axes.set(xlabel="iterations, i", ylabel="|x_i - x_{i-1}|", title="Maps of a line", ylim=(1e-13, 1e6))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.legend(loc="lower right")
    return numbers, [
        Claim(right, "largest ratio of neighbouring differences: " + "; ".join(texts)),
        Claim(one < 1e-10, f"0.9 x + 1 ends at 10 from 21 starts, to {one:.0e}"),
    ]
