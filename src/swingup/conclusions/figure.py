"""A comparison is drawn: for each environment its curves, its performance profiles and who wins how often."""

import csv
import io
from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from swingup.conclusions import Comparison, Pair
from swingup.conclusions.scores import FINAL, Scores
from swingup.files import home
from swingup.plots.curves import MAX_POINTS, curve, draw, legend
from swingup.plots.style import STYLE, compact, lines, write
from swingup.statistics import MIN_RUNS, bootstrap_band, iqm, performance_profile

Looks = dict[str, dict[str, Any]]
TAUS = 200  # thresholds of a profile
PAIRS = 10  # that are drawn in one panel; if there are more, those with the highest


def figure(comparison: Comparison, out: str | Path) -> list[Path]:
    """Draw a comparison; write .png and .svg, and the scores of all seeds as .csv; return these three paths."""
    found = [row.scores for row in comparison.rows]
    envs, looks = list(dict.fromkeys(one.env for one in found)), lines([one.label for one in found])
    logged = "ep/return" if comparison.metric == FINAL else comparison.metric
    most = max(50, MAX_POINTS // len(found))
    curves = {one.env: [] for one in found}
    for one in found:
        curves[one.env].append(curve(one.setting, one.label, logged, "env_steps", statistic=iqm, most=most))
    named = legend([c for part in curves.values() for c in part])
    with matplotlib.rc_context(STYLE):
        drawn = Figure(
            figsize=(10.2, 2.9 * len(envs) + 0.5 + 0.17 * len(named)), dpi=150, layout="constrained"
        )
        grid = drawn.subplots(len(envs), 3, squeeze=False)
        for row, env in zip(grid, envs, strict=True):
            draw(row[0], curves[env], looks)
            row[0].set(title=env, xlabel="environment steps per seed", ylabel=f"IQM of {logged}")
            profiles(row[1], [one for one in found if one.env == env], looks)
            row[1].set(xlabel=f"{comparison.metric} τ", ylabel="share of seeds above τ")
            improvement(row[2], [pair for pair in comparison.pairs if pair.first.env == env])
        handles = [
            Line2D([], [], lw=1.6, label=fill(text, 120), **looks[label]) for label, text in named.items()
        ]
        about = "bands and bars: pointwise 95% bootstrap intervals over seeds"
        drawn.legend(
            handles=handles, loc="outside lower center", title=about, ncols=1 if len(named) < 5 else 2
        )
        out = home(out)
        return write(out / "compare" if out.is_dir() else out, drawn, to_csv(found))


def profiles(axes: Axes, found: list[Scores], looks: Looks) -> None:
    """Draw the share of seeds whose score is above each τ. A seed that diverged is above none."""
    finite = np.concatenate([one.scores[np.isfinite(one.scores)] for one in found])
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 1.0)
    taus = np.linspace(low - 0.02 * (high - low), high, TAUS)
    for one in found:
        axes.plot(taus, performance_profile(one.scores, taus), lw=1.6, **looks[one.label])
        if len(one.scores) >= MIN_RUNS:
            band = bootstrap_band(one.scores[:, None] > taus, reps=500)
            axes.fill_between(taus, *band, color=looks[one.label]["color"], alpha=0.15, lw=0)
    axes.set_ylim(-0.03, 1.03)
    axes.xaxis.set_major_formatter(compact)


def improvement(axes: Axes, pairs: list[Pair]) -> None:
    """Draw how often the first of a pair wins, with its interval; filled where the rank test tells them apart."""
    if len(pairs) > PAIRS:
        best = pairs[0].first
        pairs = [pair for pair in pairs if best in (pair.first, pair.second)][:PAIRS]
    for y, pair in enumerate(reversed(pairs)):
        if np.isfinite(pair.low):
            axes.plot([pair.low, pair.high], [y, y], color="black", lw=1.2)
        face = "black" if pair.apart else "white"
        axes.plot([pair.wins], [y], marker="o", color="black", markerfacecolor=face, ls="none")
    names = [fill(f"{pair.first.label} > {pair.second.label}", 28) for pair in reversed(pairs)]
    axes.set_yticks(range(len(pairs)), names, fontsize=7)
    axes.axvline(0.5, color="grey", ls="--", lw=0.8)
    axes.set(
        xlim=(-0.03, 1.03), ylim=(-0.6, len(pairs) - 0.4), xlabel="how often a seed wins (filled: told apart)"
    )


def to_csv(found: list[Scores]) -> str:
    """Write one row per seed: env, label, seed, score; blank where it diverged."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["env", "label", "seed", "score"])
    for one in found:
        for seed, score in zip(one.seeds, one.scores, strict=True):
            writer.writerow([one.env, one.label, seed, f"{score:.12g}" if np.isfinite(score) else ""])
    return text.getvalue()
