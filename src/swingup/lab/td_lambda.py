"""TD(λ) lies between TD(0) and Monte Carlo: its error on a random walk is drawn for many λ and learning rates.

Source: Sutton 1988, doi:10.1007/BF00115009; Sutton & Barto 2018, figure 12.6. From the middle of 19 states each env
step goes left or right by chance. The left end pays -1, the right end +1. With λ = 0 news travels one state at a
time. With λ = 1 all of an episode's luck falls on every state that it came through. In between is less error than
at either end, whichever learning rate each of them likes best.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from swingup.algos.td_lambda import TDLambda
from swingup.envs import Vec
from swingup.envs.adapters.tabular import Tabular
from swingup.envs.tabular import MDP, mdp
from swingup.lab.tools.learning import learn, mean_of, per_seed, seeds_of
from swingup.lab.tools.report import Claim, Report
from swingup.theory import exact
from swingup.training import machine

STATES = 19
LAMBDAS = 0.0, 0.4, 0.8, 0.9, 0.95, 1.0
RATES = 0.02, 0.04, 0.08, 0.16, 0.32, 0.64
SEEDS, ENV_STEPS, EVERY = 40, 1_000, 50  # of each setting; about ten episodes; env steps between two looks
SURE = 5.0  # standard errors over 30 seeds: by chance alone in less than one of 50,000 comparisons


def run(seed: int = 0) -> Report:
    """Train with all settings; draw the error against the learning rate, and the best against λ."""
    settings = usable()
    error = errors(settings, seed)
    figure = Figure(figsize=(9, 3.6), dpi=150, layout="constrained")
    left, right = figure.subplots(1, 2)
    for lam in LAMBDAS:
        here = [i for i, (x, _) in enumerate(settings) if x == lam]
        left.semilogx([settings[i][1] for i in here], error[here].mean(1), marker=".", label=f"λ = {lam:g}")
    left.set(
        xlabel="learning rate α", ylabel="RMS error of V", ylim=(0.25, 0.65), title=f"{SEEDS} seeds of each"
    )
    left.set_xticks(RATES, [f"{x:g}" for x in RATES])
    left.minorticks_off()
    left.legend(ncols=2)
    best = best_rates(settings, error)
    draw_best(right, error[best])
    look = (
        "the valley: neither λ = 0 nor λ = 1 has the least error. On the right each λ has the learning rate that suits "
        f"it best. Errors are means over the first {ENV_STEPS:,} env steps."
    )
    numbers = {
        "settings": settings,
        "error": error.mean(1).tolist(),
        "lambda": list(LAMBDAS),
        "best_rate": [settings[i][1] for i in best],
        "best_error": error[best].tolist(),
    }
    return Report(look, tuple(claims_of(settings, error)), numbers, figure)


def walk(states: int = STATES) -> MDP:
    """Make the random walk an MDP of left and right; TD(λ) evaluates the policy that takes either by chance.

    V is -0.9, -0.8, ..., 0.9 for 19 states.
    """
    last = states + 1
    p, r = np.zeros((2, last + 1, 2, last + 1))
    for s in range(last + 1):
        p[s, 0, max(s - 1, 0)] = p[s, 1, min(s + 1, last)] = 1.0
    r[..., 0], r[..., last] = -1.0, 1.0
    return mdp(p, r, np.eye(last + 1)[last // 2], [0, last], 1.0)


def usable() -> list[tuple[float, float]]:
    """Say which pairs (λ, α) are of use: all but the large α of a λ near 1, with which TD(λ) diverges: its traces sum
    up to 1 / (1 - λ).
    """
    return [(lam, lr) for lam in LAMBDAS for lr in RATES if lr <= 6 * (1 - lam) + 0.06]


def errors(settings: list[tuple[float, float]], seed: int, seeds: int = SEEDS) -> np.ndarray:
    """Return the RMS error of V over the states, averaged over training: [settings, seeds]. All settings see the same
    walks.
    """
    lam, lr = np.repeat(np.array(settings, np.float32), seeds, 0).T
    algo = per_seed(TDLambda, num_steps=EVERY, gamma=1.0, lam=lam, lr=lr)
    rows = seeds_of(seed, seeds) * len(settings)
    machine.set_up(algo, len(rows))
    process = walk()
    env = Vec(Tabular(process, time_limit=0), algo.num_envs)
    truth = exact.value(process, exact.uniform(process))
    v = learn(algo, env, rows, ENV_STEPS // EVERY, 1, lambda learner: learner.v).seen.astype(np.float64)
    wrong = (v - truth)[..., ~process.terminal]
    return np.sqrt((wrong**2).mean(-1)).mean(1).reshape(len(settings), seeds)


def best_rates(settings: list[tuple[float, float]], error: np.ndarray) -> list[int]:
    """Find for each λ the setting with the least mean error over seeds [settings, seeds]."""
    mean = error.mean(1)
    groups = [[i for i, (x, _) in enumerate(settings) if x == lam] for lam in LAMBDAS]
    return [min(group, key=lambda i: mean[i]) for group in groups]


def draw_best(axes: Axes, error: np.ndarray) -> None:
    """Draw means and intervals of the errors [λ, seeds]."""
    half = 2 * error.std(1, ddof=1) / np.sqrt(error.shape[1])
    axes.errorbar(LAMBDAS, error.mean(1), half, marker="o", ms=4, capsize=3)
    axes.set(xlabel="λ", ylabel="RMS error of V", title="best α of each λ; mean ± 2 standard errors")


def claims_of(settings: list[tuple[float, float]], error: np.ndarray) -> list[Claim]:
    """Let a quarter of the seeds choose λ and every α, and the others judge them: so the choice is not flattered."""
    few = error.shape[1] // 4
    chosen, judged = best_rates(settings, error[:, :few]), error[:, few:]
    best = min(chosen, key=lambda i: error[i, :few].mean())
    claims = []
    for name, i in (("TD(0)", chosen[0]), ("λ = 1, Monte Carlo", chosen[-1])):
        gain = mean_of(judged[i] - judged[best])  # in pairs: both saw the same walks
        claims.append(
            Claim(
                gain.value > SURE * max(gain.error, 1e-12),
                f"λ = {settings[best][0]:g} with α = {settings[best][1]:g} has the error {mean_of(judged[best])}; "
                f"{name} at its best (α = {settings[i][1]:g}) has {mean_of(judged[i])}, more by {gain} (at least "
                f"{SURE:.0f} standard errors)",
            )
        )
    return claims
