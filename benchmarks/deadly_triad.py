"""Measure how often DQN diverges softly. Four bootstrap targets, six tasks, three learning rates, ten seeds each.

    python benchmarks/deadly_triad.py              about eight minutes on one core
    python benchmarks/deadly_triad.py --table      only rewrite the table and the figure from the stored results

A run has softly diverged if |Q(s, a)| of a transition in any of its batches exceeded 1 / (1 - γ) = 100, which no
return can where rewards lie within [-1, 1] (checked). Nothing is tuned: settings, tasks and rates are the same for all
targets. Beside it, CartPole with other periods of the target network. Writes `benchmarks/results/deadly-triad.json`
with the largest |Q| of every run, `deadly-triad.md` and `deadly-triad.png`.
"""

import argparse
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from scores import cpu_model
from swingup.lab.tools.soft_divergence import PAPER, TARGETS, largest_q, settings
from swingup.plots.style import STYLE, pictures
from swingup.runs.experiment import versions
from swingup.statistics import mean_ci
from swingup.training import machine

RESULTS = Path(__file__).parent / "results"
TASKS = ("CartPole-v1", "Acrobot-v1", "MountainCar-v0", "FourRooms-misc", "Catch-bsuite", "DeepSea-bsuite")
LRS = (1e-4, 3e-4, 1e-3)
GRADIENT_STEPS = 10_000
PERIOD, PERIODS = 50, (10, 250)  # gradient steps between renewals: everywhere; on CartPole also
BOUND = 100.0  # 1 / (1 - γ)


def measure(env: str, seeds: range, lrs: tuple[float, ...], period: int) -> dict[str, list[list[float]]]:
    """{target: the largest |Q| of each run, [learning rates][seeds]}."""
    algo, rows = settings(seeds, lrs, GRADIENT_STEPS, target_period=period)
    machine.set_up(algo, len(rows))
    top = largest_q(env, algo, rows, GRADIENT_STEPS).max(1).reshape(len(TARGETS), len(lrs), len(seeds))
    shares = "   ".join(f"{n} {(x > BOUND).mean():.2f}" for n, x in zip(TARGETS, top, strict=True))
    print(f"{env:16s} period {period:3d}   {shares}", flush=True)
    return {
        n: [[float(f"{v:.5g}") for v in row] for row in x] for n, x in zip(TARGETS, top.tolist(), strict=True)
    }


def percent(per_seed: np.ndarray) -> str:
    """The mean over seeds [seeds] and its interval, in percent."""
    low, high = mean_ci(per_seed)
    return f"{100 * per_seed.mean():.0f} % [{100 * low:.0f}, {100 * high:.0f}]"


def shares(tasks: dict[str, Any], target: str, factor: float = 1.0) -> np.ndarray:
    """The share of a target's runs, over all tasks and rates, beyond the bound times a factor; per seed."""
    return (np.array([rows[target] for rows in tasks.values()]) > factor * BOUND).mean((0, 1))


def verdict(found: dict[str, np.ndarray], order: list[str]) -> str:
    """Which neighbours in the order the seeds tell apart: those whose difference, in pairs, is surely above 0."""
    pairs = list(pairwise(order))
    apart = [pair for pair in pairs if mean_ci(found[pair[0]] - found[pair[1]])[0] > 0]
    told, tied = (
        ", ".join(f"{a} from {b}" for a, b in x) or "none"
        for x in (apart, [p for p in pairs if p not in apart])
    )
    return f"Neighbours that the seeds tell apart: {told}. Not told apart: {tied}."


def table(report: dict[str, Any]) -> str:
    """Shares with intervals over seeds, counts per task, and what the period of the target network does."""
    tasks = report["tasks"]
    found = {name: shares(tasks, name) for name in TARGETS}
    order = sorted(TARGETS, key=lambda name: -found[name].mean())
    runs = np.size(tasks[TASKS[0]]["double"])
    head = ["target", "beyond 1/(1-γ)", "fewer than the row above by", "beyond 2/(1-γ)"]
    lines = ["| " + " | ".join([*head, *tasks, "Atari, van Hasselt et al."]) + " |"]
    lines.append("|---" * (len(tasks) + 5) + "|")
    for above, name in zip([None, *order], order, strict=False):
        apart = "" if above is None else percent(found[above] - found[name])
        counts = [f"{(np.array(rows[name]) > BOUND).sum()}/{runs}" for rows in tasks.values()]
        cells = [name, f"**{percent(found[name])}**", apart, percent(shares(tasks, name, 2)), *counts]
        lines.append("| " + " | ".join([*cells, f"{PAPER[name]} %"]) + " |")
    ranks = ", ".join(f"{name} {100 * found[name].mean():.1f} %" for name in order)
    rates = ", ".join(f"{lr:g}" for lr in LRS)
    about = (
        "Shares of runs in which a batch held a transition with \\|Q\\| above the bound, in the order measured "
        f"({ranks}). {verdict(found, order)} Intervals are 95 % bootstrap intervals over {report['seeds']} seeds; "
        f"each seed trains with {len(LRS)} learning rates ({rates}) on {len(tasks)} tasks of gymnax. A run is "
        f"{GRADIENT_STEPS:,} gradient steps on 32 transitions each, one per env step after 1,000 random ones; two "
        f"layers of 64; γ = 0.99; the target network is renewed every {PERIOD} gradient steps."
    )
    lines += ["", about, "", "![Shares and largest values](deadly-triad.png)", ""]
    lines += ["CartPole, learning rate 0.001, with other periods of the target network:", ""]
    lines += ["| gradient steps between renewals | " + " | ".join(TARGETS) + " |"]
    lines += ["|---" * (len(TARGETS) + 1) + "|"]
    here = {name: [rows[LRS.index(1e-3)]] for name, rows in tasks["CartPole-v1"].items()}
    periods = {int(k): v for k, v in report["periods"].items()} | {PERIOD: here}
    for period, rows in sorted(periods.items()):
        top = [np.array(rows[name]).ravel() for name in TARGETS]
        cells = [f"{(x > BOUND).sum()}/{x.size}, median \\|Q\\| {np.median(x):,.0f}" for x in top]
        lines.append(f"| {period} | " + " | ".join(cells) + " |")
    end = f"`{report['command']}`, {report['cpu']}, jax {report['versions']['jax']}."
    return "\n".join([*lines, "", end, ""])


def draw(report: dict[str, Any]) -> bytes:
    """Left: the shares beside the paper's. Right: the largest |Q| of every run."""
    tasks = report["tasks"]
    figure = Figure(figsize=(11, 4.2), dpi=150, layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 2.2))
    for i, name in enumerate(TARGETS):
        x = 100 * shares(tasks, name)
        low, high = mean_ci(x)
        left.bar(i, x.mean(), color=f"C{i}", yerr=[[x.mean() - low], [high - x.mean()]], capsize=4)
        for j, rows in enumerate(tasks.values()):
            top = np.ravel(rows[name])
            at = j + 0.2 * (i - 1.5) + np.linspace(-0.07, 0.07, top.size)
            right.semilogy(at, top, ".", ms=4, color=f"C{i}", label=name if j == 0 else "_")
    left.plot(range(4), [PAPER[n] for n in TARGETS], "kD", ls="none", label="Atari, van Hasselt et al. 2018")
    left.set(title="softly diverged", ylabel="% of runs")
    left.set_xticks(range(4), [name.replace(" ", "\n") for name in TARGETS])
    left.set_axisbelow(True)
    left.legend()
    right.axhline(BOUND, color="black", ls="--", lw=0.8)
    right.set(title="largest |Q| of every run; dashed: 1/(1-γ)")
    right.set_xticks(range(len(tasks)), [name.partition("-")[0] for name in tasks])
    right.yaxis.set_major_formatter("{x:g}")
    right.legend(loc="upper right")
    return pictures(figure)[".png"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--table", action="store_true", help="train nothing")
    options = parser.parse_args()
    path = RESULTS / "deadly-triad.json"
    if not options.table:
        seeds = range(options.seed, options.seed + options.seeds)
        command = f"python benchmarks/deadly_triad.py --seeds {options.seeds} --seed {options.seed}"
        about = {"command": command, "seeds": options.seeds, "cpu": cpu_model(), "lrs": LRS, "bound": BOUND}
        about |= {"gradient_steps": GRADIENT_STEPS, "target_period": PERIOD, "versions": versions()}
        tasks = {env: measure(env, seeds, LRS, PERIOD) for env in TASKS}
        periods = {p: measure("CartPole-v1", seeds, (1e-3,), p) for p in PERIODS}
        path.write_text(json.dumps(about | {"tasks": tasks, "periods": periods}, indent=1) + "\n")
    report = json.loads(path.read_text())
    text = table(report)
    path.with_suffix(".md").write_text(text)
    with matplotlib.rc_context(STYLE):
        path.with_suffix(".png").write_bytes(draw(report))
    print(text)


if __name__ == "__main__":
    main()
