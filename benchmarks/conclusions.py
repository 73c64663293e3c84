"""Measure how often `swingup compare` is wrong where the truth is known, and what its intervals are worth.

    python benchmarks/conclusions.py [--trials 1000] [--seed 0]

Settings whose scores are drawn from one distribution are equal: whoever calls one of them higher is wrong. The
distributions are normal, skewed (exponential), and one with many ties, as tasks with a best score have it: 80 % of the
seeds reach 500, the others less. `compare` decides by `conclusions.verdicts`, and that is what is called here: for two
settings, and for five, where any wrong one of the ten comparisons counts. Beside it stands what it does not do: two
rules by bootstrap intervals, and sixteen settings of which the highest is compared with the others, corrected over
these fifteen alone. Then the share of differences that it finds, and how often the "95 %" intervals of the IQM and
the mean hold the truth. Results go to benchmarks/results/conclusions.json and .md; it exits with 1 where a bar is
missed.
"""

import argparse
import json
import sys
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np

from swingup import statistics
from swingup.conclusions import COVERAGE, verdicts

RESULTS = Path(__file__).resolve().parent / "results"
SIZES = 3, 5, 10, 20  # seeds of each setting
BAR = 0.07  # of wrong conclusions, which a right rule of 5 % passes by chance in 1,000 trials in all but 3 of 1,000
REPS = 400  # resamples of an interval, of which each trial has one
Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def ties(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Draw scores of which 80 % are 500 and the others whole numbers below."""
    return np.where(rng.uniform(size=shape) < 0.8, 500.0, rng.integers(100, 500, size=shape))


EQUAL: dict[str, Draw] = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "skewed": lambda rng, shape: rng.exponential(size=shape),
    "80 % at 500": ties,
}


def by_compare(settings: np.ndarray) -> bool:
    """Say whether `compare` calls any two settings [k, n] different."""
    return bool((verdicts(list(combinations(settings, 2)))[0] <= statistics.LEVEL).any())


def by_the_best(settings: np.ndarray) -> bool:
    """Say whether the setting with the highest IQM is called higher than another, by Holm over the others alone."""
    best, *others = settings[np.argsort(-statistics.iqm(settings, axis=1), kind="stable")]
    return bool((verdicts([(best, other) for other in others])[0] <= statistics.LEVEL).any())


def by_means(settings: np.ndarray) -> bool:
    """Say whether the bootstrap interval of the difference of means leaves out 0."""
    x, y = settings
    low, high = statistics.two_sample_ci(x, y, statistics.difference(np.mean), reps=REPS)
    return not low <= 0 <= high


def by_improvement(settings: np.ndarray) -> bool:
    """Say whether the bootstrap interval of the probability of improvement leaves out a half."""
    x, y = settings
    low, high = statistics.two_sample_ci(x, y, reps=REPS)
    return not low <= 0.5 <= high


RULES = {  # name: settings, rule, distributions, shift of the first setting in standard deviations
    "`compare`, 2 settings": (2, by_compare, list(EQUAL), 0.0),
    "`compare`, 5 settings": (5, by_compare, list(EQUAL), 0.0),
    "the highest of 16 against the others, Holm over 15": (16, by_the_best, ["normal"], 0.0),
    "the interval of the difference of means leaves out 0": (2, by_means, ["normal"], 0.0),
    "the interval of the probability of improvement leaves out 1/2": (2, by_improvement, ["normal"], 0.0),
    "`compare`, 2 settings, one of them better by 1 standard deviation": (2, by_compare, ["normal"], 1.0),
    "`compare`, 2 settings, one of them better by 2 standard deviations": (2, by_compare, ["normal"], 2.0),
}


def share(rule: str, name: str, n: int, trials: int, seed: int) -> float:
    """Return in which share of trials a rule calls settings of n seeds each different."""
    k, decide, _, shift = RULES[rule]
    rng, called = np.random.default_rng([seed, n, len(rule)]), 0
    for _ in range(trials):
        settings = EQUAL[name](rng, (k, n))
        settings[0] += shift
        called += decide(settings)
    return called / trials


def coverage(n: int, trials: int, seed: int) -> dict[str, float]:
    """Return how often the "95 %" intervals of n normal scores hold the truth, which is 0."""
    rng, held = np.random.default_rng([seed, n]), np.zeros(2)
    for trial in range(trials):
        x = rng.normal(size=n)
        for i, statistic in enumerate((statistics.iqm, np.mean)):
            low, high = statistics.bootstrap_ci(x, statistic, reps=REPS, seed=trial)
            held[i] += low <= 0 <= high
    return dict(zip(("iqm", "mean"), (held / trials).tolist(), strict=True))


def measure(trials: int, seed: int) -> dict:
    found = [
        {"rule": rule, "scores": name, "different": {n: share(rule, name, n, trials, seed) for n in SIZES}}
        for rule, (_, _, names, _) in RULES.items()
        for name in names
    ]
    cover = {n: coverage(n, trials, seed) for n in COVERAGE}
    return {"trials": trials, "seed": seed, "reps": REPS, "rules": found, "coverage": cover}


def missed(report: dict) -> list[str]:
    """Return which bars are missed."""
    said = []
    for row in report["rules"]:
        if not row["rule"].startswith("`compare`") or "better" in row["rule"]:
            continue
        for n, x in row["different"].items():
            if x > (0 if n == 3 else BAR):
                said.append(f"{row['rule']}, {row['scores']}: {x:.1%} at {n} seeds")
    for n, x in report["coverage"].items():
        if abs(100 * x["iqm"] - COVERAGE[n]) > 4:
            said.append(f"COVERAGE says {COVERAGE[n]} % for {n} seeds, and it is {x['iqm']:.1%}")
    return said


def table(report: dict) -> str:
    lines = [
        "# What conclusions are worth",
        "",
        f"`python benchmarks/conclusions.py --trials {report['trials']}`; its first lines say what is measured. "
        f"The bar: at most {BAR:.0%} at 5, 10 and 20 seeds each, and none at 3.",
        "",
        "Settings that are equal, but for the last two rows, are called different in this share of trials:",
        "",
        "| rule | scores | " + " | ".join(f"{n} seeds" for n in SIZES) + " |",
        "|---|---|" + "---|" * len(SIZES),
    ]
    for row in report["rules"]:
        cells = " | ".join(f"{x:.1%}" for x in row["different"].values())
        lines.append(f"| {row['rule']} | {row['scores']} | {cells} |")
    lines += [
        "",
        'The "95 %" bootstrap interval of normal scores holds the truth in this share of trials:',
        "",
        "| seeds | IQM | mean |",
        "|---|---|---|",
        *(f"| {n} | {x['iqm']:.1%} | {x['mean']:.1%} |" for n, x in report["coverage"].items()),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    report = measure(args.trials, args.seed)
    (RESULTS / "conclusions.json").write_text(json.dumps(report, indent=1) + "\n")
    (RESULTS / "conclusions.md").write_text(table(report))
    print(table(report))
    if problems := missed(report):
        sys.exit("missed: " + "; ".join(problems))


if __name__ == "__main__":
    main()
