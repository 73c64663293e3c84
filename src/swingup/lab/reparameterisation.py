"""E[F(x)], x ~ N(μ, σ²), has two estimates of its gradient: pathwise (the reparameterisation trick) and score-function.

Both have the true gradient as their mean. The pathwise one uses the slope of F, and has far less variance where F is
smooth: for F = Σ x² in D dimensions the ratio grows with D², or with D if a baseline is subtracted. But it needs the
slope. Where F jumps it is wrong, and where F oscillates within σ it is the worse of the two. (Mohamed, Rosca, Figurnov
& Mnih 2020, "Monte Carlo gradient estimation in machine learning", compares the two.)
"""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from swingup.course.recap import pathwise_gradient, score_function_gradient
from swingup.lab.tools.report import Claim, Report

MEAN, STD = 1.0, 0.5
SAMPLES = 50_000
DIMENSIONS = (1, 4, 16, 64)
FREQUENCIES = np.logspace(-1, 1, 41)
ERRORS = 5.0  # standard errors; 16 comparisons go beyond it by accident once in 100,000 times
Function = Callable[[Any], Any]


def square(x: Any) -> Any:
    return (x**2).sum()


def gap(x: Any) -> Any:
    return jnp.where(x > 0.5, 1.0, 0.0).sum()


def truths(m: float = MEAN, s: float = STD) -> dict[str, tuple[Function, float, float]]:
    """Return {name: (F, ∂/∂μ E[F], ∂/∂σ E[F])} in one dimension, in closed form."""
    exp, damp = np.exp(m + s**2 / 2), np.exp(-(s**2) / 2)
    z = (m - 0.5) / s  # of the jump
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    return {
        "x²": (square, 2 * m, 2 * s),
        "exp x": (lambda x: jnp.exp(x).sum(), exp, s * exp),
        "cos x": (lambda x: jnp.cos(x).sum(), -np.sin(m) * damp, -s * np.cos(m) * damp),
        "jump": (gap, density / s, -density * z / s),
    }


def variances(d: int, m: float = MEAN, s: float = STD) -> dict[str, float]:
    """Exact variances of one entry of ∂/∂μ for F = Σ x² in `d` dimensions, from the moments of z ~ N(0, 1).

    With A = x_i², B the sum of the others and b the baseline: Var = E[(A + B - b)² z_i²] / σ² - (2 μ)².
    """
    az, aaz = m**2 + 3 * s**2, m**4 + 18 * m**2 * s**2 + 15 * s**4  # E[A z²], E[A² z²]
    b = (d - 1) * (m**2 + s**2)
    bb = b**2 + (d - 1) * (2 * s**4 + 4 * m**2 * s**2)
    fz, ffz = az + b, aaz + 2 * az * b + bb  # E[F z²], E[F² z²]
    base = d * (m**2 + s**2)
    return {
        "pathwise": 4 * s**2,
        "score function": ffz / s**2 - 4 * m**2,
        "with a baseline": (ffz - 2 * base * fz + base**2) / s**2 - 4 * m**2,
    }


def oscillation(w: np.ndarray, m: float = MEAN, s: float = STD) -> tuple[np.ndarray, np.ndarray]:
    """Exact variances of both estimates of ∂/∂μ for F = sin(w x)."""
    mean = w * np.cos(w * m) * np.exp(-((w * s) ** 2) / 2)
    twice = np.cos(2 * w * m) * np.exp(-2 * (w * s) ** 2)  # E[cos 2wx]
    pathwise = w**2 * (1 + twice) / 2 - mean**2
    score = (1 - twice * (1 - 4 * (w * s) ** 2)) / 2 / s**2 - mean**2
    return pathwise, score


def means(rng: np.random.Generator, functions: dict[str, tuple[Function, float, float]]) -> dict[str, Any]:
    """Return {name: {way: [(mean, standard error, truth) of ∂/∂μ and of ∂/∂σ]}} from samples."""
    mean, std, found = jnp.array([MEAN]), jnp.array([STD]), {}
    for name, (f, *truth) in functions.items():
        z = jnp.asarray(rng.normal(size=(SAMPLES, 1)), jnp.float32)
        ways = {
            "pathwise": pathwise_gradient(f, mean, std, z),
            "score function": score_function_gradient(f, mean, std, z),
        }
        found[name] = {
            way: [
                (float(np.mean(g)), float(np.std(g) / np.sqrt(SAMPLES)), float(true))
                for g, true in zip((np.asarray(g, np.float64) for g in gradients), truth, strict=True)
            ]
            for way, gradients in ways.items()
        }
    return found


def sampled(rng: np.random.Generator, d: int) -> dict[str, float]:
    """Return the variances of `variances` from samples: the mean over the entries, which are alike."""
    z = jnp.asarray(rng.normal(size=(SAMPLES // 5, d)), jnp.float32)
    mean, std = jnp.full(d, MEAN), jnp.full(d, STD)
    gradients = {
        "pathwise": pathwise_gradient(square, mean, std, z),
        "score function": score_function_gradient(square, mean, std, z),
        "with a baseline": score_function_gradient(square, mean, std, z, d * (MEAN**2 + STD**2)),
    }
    return {name: float(np.asarray(g[0], np.float64).var(0).mean()) for name, g in gradients.items()}


def judge(found: dict[str, Any], measured: dict[int, dict[str, float]]) -> list[Claim]:
    """Claim one mean and other variances; and say where the pathwise gradient is the worse one."""
    off = {
        name: {way: max(abs(m - true) / max(se, 1e-9) for m, se, true in x) for way, x in ways.items()}
        for name, ways in found.items()
    }
    smooth = [x for name, ways in off.items() if name != "jump" for x in ways.values()]
    ratio = {d: x["score function"] / x["pathwise"] for d, x in measured.items()}
    with_baseline = {d: x["with a baseline"] / x["pathwise"] for d, x in measured.items()}
    least, most = min(ratio), max(ratio)
    pathwise, score = oscillation(FREQUENCIES)
    worse = FREQUENCIES[pathwise > score]
    return [
        Claim(
            max(smooth) < ERRORS,
            f"smooth F: both means are the true one, within {max(smooth):.1f} standard errors ({SAMPLES:,} samples)",
        ),
        Claim(
            ratio[least] > 10 and ratio[most] > 100 * ratio[least],
            f"the score function's variance is {ratio[least]:.0f} times the pathwise one in {least} dimension, "
            f"{ratio[most]:,.0f} times in {most}; {with_baseline[most]:.0f} times with a baseline",
        ),
        Claim(
            off["jump"]["score function"] < ERRORS and found["jump"]["pathwise"][0][0] == 0,
            f"where F jumps the pathwise mean is 0 and the truth {found['jump']['pathwise'][0][2]:.2f}; the score "
            f"function's is {found['jump']['score function'][0][0]:.2f}",
        ),
        Claim(
            bool(worse.size and pathwise[0] < score[0]),
            f"for F = sin(w x) the pathwise variance is the larger one from w = {worse.min():.2g} on (exact), w σ = "
            f"{worse.min() * STD:.2g}",
        ),
    ]


def run(seed: int = 0) -> Report:
    """Compute means of both gradients, and their variances over dimensions and over the frequency of F."""
    rng = np.random.default_rng(seed)
    found = means(rng, truths())
    measured = {d: sampled(rng, d) for d in DIMENSIONS}
    figure = Figure(figsize=(12, 3.6), dpi=150, layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    for i, way in enumerate(("pathwise", "score function")):
        points = [x[way][0] for x in found.values()]
        at = np.arange(len(points)) + 0.15 * (2 * i - 1)
        left.errorbar(
            at,
            [p[0] for p in points],
            [ERRORS * p[1] for p in points],
            fmt="o",
            ms=4,
            color=f"C{i}",
            label=way,
        )
    for i, x in enumerate(found.values()):
        left.hlines(
            x["pathwise"][0][2],
            i - 0.35,
            i + 0.35,
            color="black",
            lw=0.8,
            label="_" if i else "true gradient",
        )
    left.set_xticks(range(len(found)), list(found))
    left.set(xlabel="F", ylabel="mean of ∂/∂μ (bars: 5 standard errors)", title="One mean, unless F jumps")
    left.legend()
    dense = np.unique(np.logspace(0, np.log10(max(DIMENSIONS)), 30).astype(int))
    for i, way in enumerate(measured[1]):
        middle.loglog(dense, [variances(int(d))[way] for d in dense], color=f"C{i}", label=way)
        middle.loglog(DIMENSIONS, [x[way] for x in measured.values()], "o", color=f"C{i}", ms=4)
    middle.set(xlabel="dimensions", ylabel="variance of ∂/∂μ", title="F = Σ x²: exact, and samples (dots)")
    middle.legend()
    for way, x in zip(("pathwise", "score function"), oscillation(FREQUENCIES), strict=True):
        right.loglog(FREQUENCIES, x, label=way)
    right.set(xlabel="frequency w", ylabel="variance of ∂/∂μ", title="F = sin(w x)")
    right.legend()
    for axis in (middle.xaxis, middle.yaxis, right.xaxis, right.yaxis):
        axis.set_major_formatter("{x:g}")
    numbers = {
        "means": found,
        "variances": {str(d): {"sampled": x, "exact": variances(d)} for d, x in measured.items()},
        "frequencies": FREQUENCIES.tolist(),
        "oscillation": [x.tolist() for x in oscillation(FREQUENCIES)],
    }
    look = "middle: the gap between the lines widens with the dimension. Right: they cross where F oscillates fast."
    return Report(look, tuple(judge(found, measured)), numbers, figure)
