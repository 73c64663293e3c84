"""Two equal algorithms look different with three seeds; intervals say more or less with 3, 10 and 30.

Source: Henderson et al. 2018, arXiv:1709.06560; Colas et al. 2018, arXiv:1806.08295; Agarwal et al. 2021,
arXiv:2108.13264. One algorithm is trained with hundreds of seeds, and each policy's J is computed exactly: so all
that differs is the seed, and the mean of all is known. Experiments are then drawn from these results: in each,
algorithm A and algorithm B get n results of the same algorithm. Whoever finds a winner has been fooled.
"""

from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from swingup.algos.q_learning import QLearning
from swingup.envs import make
from swingup.lab.tools.learning import greedy_performance, learn, per_seed, seeds_of
from swingup.lab.tools.report import Claim, Report
from swingup.statistics import bootstrap_ci, iqm, mean_ci
from swingup.training import machine

ENV, ENV_STEPS = "tabular:FrozenLake", 10_000
RATES = 0.1, 0.13  # learning rates of the algorithm, and of another one that is truly better
SEEDS, SIZES = 300, (3, 10, 30)  # of each learning rate; n
COMPARISONS, INTERVALS = 4_000, 600  # experiments of each size; those for which intervals are bootstrapped
FIFTH = 0.2


def run(seed: int = 0) -> Report:
    """Train, then draw bars of three seeds; count how often equals look different, and what intervals cover."""
    pool, better = results(list(RATES), seed)
    rng = np.random.default_rng(seed)
    found = {n: compare(pool, better, n, rng) for n in SIZES}
    cover = {n: coverage(pool, n, rng) for n in SIZES}
    figure = Figure(figsize=(12, 3.6), dpi=150, layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    draw_bars(left, pool, rng)
    for name, values in zip(Fooled._fields, zip(*found.values(), strict=True), strict=True):
        middle.plot(SIZES, values, marker="o", label=RULES[name])
    middle.axhline(0.05, color="black", ls="--", lw=0.8, label="5%")
    middle.set(xlabel="seeds n", ylabel="share of comparisons", ylim=(0, None), title="wrong conclusions")
    for name, values in zip(Coverage._fields, zip(*cover.values(), strict=True), strict=True):
        right.plot(SIZES, values, marker="o", label=name.replace("_", " "))
    right.axhline(0.95, color="black", ls="--", lw=0.8, label="95%")
    right.set(xlabel="seeds n", ylabel="share that contain the truth", title="intervals that claim 95%")
    for axes in (middle, right):
        axes.semilogx()
        axes.minorticks_off()
        axes.set_xticks(SIZES, list(map(str, SIZES)))
        axes.legend()
    look = (
        "left: each pair of bars is the same algorithm, with three seeds each. Middle: often that looks like a "
        "difference, and often the worse of two wins. Right: bootstrap intervals of 3 seeds are far too narrow."
    )
    numbers = {
        "results": {f"lr {lr}": x.tolist() for lr, x in zip(RATES, (pool, better), strict=True)},
        "comparisons": {str(n): x._asdict() for n, x in found.items()},
        "coverage": {str(n): x._asdict() for n, x in cover.items()},
    }
    claims = claims_of(found, cover, three_cover(pool), float(better.mean() / pool.mean() - 1))
    return Report(look, tuple(claims), numbers, figure)


def results(rates: list[float], seed: int) -> np.ndarray:
    """Return the exact J of the greedy policies that Q-learning ends with: [rates, seeds]."""
    algo = per_seed(
        QLearning,
        lr=np.repeat(np.array(rates, np.float32), SEEDS),
        epsilon_decay=ENV_STEPS * 0.75,
        epsilon_end=0.1,
    )
    # No seed serves both: pairs that share one would not be independent.
    rows = seeds_of(seed, SEEDS * len(rates))
    machine.set_up(algo, len(rows))
    env = make(ENV, algo.num_envs)
    q = learn(algo, env, rows, ENV_STEPS, ENV_STEPS, lambda learner: learner.q).seen[:, -1]
    return np.array([greedy_performance(env.mdp, x) for x in q]).reshape(len(rates), SEEDS)


# --- What one would conclude -------------------------------------------------------------------------------


class Fooled(NamedTuple):
    """Comparisons of n seeds with n seeds are fooled in these shares."""

    fifth: float  # the means of equals differ by more than a fifth of the true mean
    bars: float  # the bars of equals, mean ± 1 standard error, do not meet
    welch: float  # Welch's t-test at 5% calls equals different
    wrong: float  # of two that truly differ, the worse has the higher mean


RULES = {
    "fifth": "means differ by over 20%",
    "bars": "bars of ± 1 standard error apart",
    "welch": "Welch's test at 5%",
    "wrong": "the truly worse one wins",
}


def compare(pool: np.ndarray, better: np.ndarray, n: int, rng: np.random.Generator) -> Fooled:
    """Draw `COMPARISONS` experiments of n against n from one pool [P], and as many against a better one."""
    a, b = rng.choice(pool, (2, COMPARISONS, n))
    gap = np.abs(a.mean(1) - b.mean(1))
    bars = (a.std(1, ddof=1) + b.std(1, ddof=1)) / np.sqrt(n)
    high = rng.choice(better, (COMPARISONS, n)).mean(1)
    shares = gap > FIFTH * pool.mean(), gap > bars, welch(a, b), high < a.mean(1)
    return Fooled(*(float(x.mean()) for x in shares))


def welch(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Does Welch's t-test (1947) at 5% call the means of a and b [experiments, n] different: [experiments]."""
    from scipy.stats import t

    n, one, two = a.shape[1], a.var(1, ddof=1), b.var(1, ddof=1)
    freedom = (n - 1) * (one + two) ** 2 / np.maximum(one**2 + two**2, 1e-30)
    return np.abs(a.mean(1) - b.mean(1)) > t.ppf(0.975, np.maximum(freedom, n - 1)) * np.sqrt((one + two) / n)


class Coverage(NamedTuple):
    """Intervals of 95% from n seeds contain the pool's own value in these shares."""

    t_interval: float  # mean ± t s / √n
    bootstrap_mean: float  # swingup.statistics.mean_ci
    bootstrap_iqm: float  # bootstrap_ci of the interquartile mean


def coverage(pool: np.ndarray, n: int, rng: np.random.Generator) -> Coverage:
    """Draw experiments of n from a pool [P], and see which intervals contain its mean, or its interquartile mean."""
    from scipy.stats import t

    x = rng.choice(pool, (COMPARISONS, n))
    off = np.abs(x.mean(1) - pool.mean())
    within = off <= t.ppf(0.975, n - 1) * x.std(1, ddof=1) / np.sqrt(n)
    mean, middle = np.array([(mean_ci(row), bootstrap_ci(row, iqm)) for row in x[:INTERVALS]]).swapaxes(0, 1)

    def share(interval: np.ndarray, truth: float) -> float:
        return float(((interval[:, 0] <= truth) & (truth <= interval[:, 1])).mean())

    return Coverage(float(within.mean()), share(mean, pool.mean()), share(middle, iqm(pool)))


def three_cover(pool: np.ndarray) -> float:
    """Return how often [min, max] of three results contains the mean μ of all, exactly: 1 - P(x > μ)³ - P(x < μ)³.

    The bootstrap's 95% interval of three is just that, because each of the three resamples of one number thrice has a
    chance of 1/27, above 2.5%.

    >>> round(three_cover(np.array([0.0, 1.0])), 2)
    0.75
    """
    return float(1 - (pool > pool.mean()).mean() ** 3 - (pool < pool.mean()).mean() ** 3)


def draw_bars(axes: Axes, pool: np.ndarray, rng: np.random.Generator, pairs: int = 8) -> None:
    """Draw experiments with three seeds for A and for B, in the way that papers show them."""
    for i, name in enumerate("AB"):
        x = rng.choice(pool, (pairs, SIZES[0]))
        at, error = np.arange(pairs) + 0.35 * i, x.std(1, ddof=1) / np.sqrt(SIZES[0])
        axes.bar(
            at, x.mean(1), 0.33, yerr=error, color=f"C{i}", alpha=0.7, capsize=2, label=f"algorithm {name}"
        )
    axes.axhline(pool.mean(), color="black", ls="--", lw=0.8, label="the truth for both")
    axes.set_xticks(np.arange(pairs) + 0.175, list(map(str, range(1, pairs + 1))))
    axes.set(
        xlabel="experiment", ylabel="J, mean ± 1 standard error", title="three seeds of one algorithm, twice"
    )
    axes.set_ylim(top=1.4 * axes.get_ylim()[1])  # room for the legend
    axes.legend()


def claims_of(
    found: dict[int, Fooled], cover: dict[int, Coverage], exactly: float, gain: float
) -> list[Claim]:
    """Claim something of each number of seeds; `exactly` comes from `three_cover`; the other one is better by `gain`.

    The limits lie more than 5 standard errors of these shares away from what we measured with every root seed.
    """

    def each(shares: Any) -> str:
        return ", ".join(f"{x:.1%} with {n}" for n, x in shares)

    few, many = found[SIZES[0]], found[SIZES[-1]]
    narrow, wide = cover[SIZES[0]], cover[SIZES[-1]]
    off = abs(narrow.bootstrap_mean - exactly) / np.sqrt(exactly * (1 - exactly) / INTERVALS)
    return [
        Claim(
            few.fifth > 0.25 and many.fifth < 0.15,
            f"equal algorithms differ by over a fifth in {each((n, x.fifth) for n, x in found.items())} seeds",
        ),
        Claim(
            few.bars > 0.15 and max(x.welch for x in found.values()) < 0.08,
            f"their bars of ± 1 standard error do not meet in {each((n, x.bars) for n, x in found.items())} seeds; "
            f"Welch's test at 5% is fooled in {each((n, x.welch) for n, x in found.items())}",
        ),
        Claim(
            bool(
                narrow.bootstrap_mean < min(0.87, wide.bootstrap_mean)
                and wide.bootstrap_mean > 0.85
                and off < 5
                and wide.t_interval > 0.9
            ),
            f"the 95% bootstrap interval contains the mean in {each((n, x.bootstrap_mean) for n, x in cover.items())} "
            f"seeds (exactly {exactly:.1%} with {SIZES[0]}, {off:.1f} standard errors away), the t interval in "
            f"{each((n, x.t_interval) for n, x in cover.items())}",
        ),
        Claim(
            gain > 0 and few.wrong > many.wrong + 0.05,
            f"an algorithm that is better by {gain:.0%} loses in {each((n, x.wrong) for n, x in found.items())} seeds",
        ),
    ]
