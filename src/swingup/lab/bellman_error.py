"""The mean-squared Bellman error says how well Q solves Bellman's equation only where transitions are certain.

    E[(Q(s, a) - y)²] = E[(Q(s, a) - (T*Q)(s, a))²] + E[Var(y | s, a)],      y = r + γ max_a' Q(s', a')

The first part is 0 at Q*, the second is not where s' is random, and it depends on Q as well: a Q whose next values
differ less has less of it. So the minimiser is another Q, and the policy greedy in it can be worse (Sutton & Barto
2018, section 11.5). Two independent draws of s' for the same s and a cure it (Baird 1995): the mean of
(Q - y₁)(Q - y₂) is the first part alone.

Here the agent begins in one of two places. In the first, a coin leads to the good or the bad room, worth 1 and 0; in
the second it may take a sure reward of 0.95, or walk into the good room. To please the coin's equation the minimiser
moves the two rooms towards each other, and so the good room looks worth less than the sure reward.
"""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from swingup.envs.tabular import MDP, chain, frozen_lake, grid, mdp, random
from swingup.lab.tools.report import Claim, Report
from swingup.theory.exact import greedy, mean_squared_bellman_error, optimal_action_value, performance
from swingup.theory.fitted import equally

COIN, CHOICE, GOOD, BAD, END = range(5)
SURE = 0.95  # the reward for not walking into the good room, which is worth 1
SAMPLES = 20_000


def rooms(luck: float = 0.5, gamma: float = 1.0) -> MDP:
    """Make the task of the module's text; the coin falls on the good room with probability `luck`.

    Action 1 ends the episode: with the sure reward in the place of choice, and with -1 elsewhere.
    """
    p, r = np.zeros((5, 2, 5)), np.zeros((5, 2))
    p[COIN, 0, [GOOD, BAD]] = luck, 1 - luck
    p[CHOICE, 0, GOOD] = 1.0
    p[[GOOD, BAD], 0, END] = p[:, 1, END] = p[END, 0, END] = 1.0
    r[GOOD, 0], r[:, 1] = 1.0, -1.0
    r[CHOICE, 1] = SURE
    return mdp(p, r, [0.5, 0.5, 0, 0, 0], [END], gamma)


def target_variance(process: MDP, q: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Return E[Var(r + γ max_a' Q(s', a') | s, a)], over the pairs' `weight` [S, A]."""
    y = process.reward + process.gamma * np.where(process.terminal, 0.0, q.max(-1))  # [S, A, S]
    mean = (process.transition * y).sum(-1)
    variance = (process.transition * (y - mean[..., None]) ** 2).sum(-1)
    return float(((equally(process) if weight is None else weight) * variance).sum())


def minimise(process: MDP, q: np.ndarray, iterations: int = 50) -> np.ndarray:
    """Find a Q [S, A] at which the mean-squared Bellman error is least, by Gauss-Newton from q.

    Each error Q(s, a) - R - γ Q(s', a*) is linear in Q while the best actions a* stay. So an iteration is one linear
    least-squares problem; its update is halved until the error falls, and it ends where no update lowers it.
    """
    size, best = q.size, mean_squared_bellman_error(process, q)
    s, a, following = np.nonzero((process.transition > 0) & ~process.terminal[:, None, None])
    root = np.sqrt(process.transition[s, a, following])
    going, rows = ~process.terminal[following], np.arange(len(s))
    for _ in range(iterations):
        matrix = np.zeros((len(s), size))
        matrix[rows, s * process.num_actions + a] += 1.0
        after = following * process.num_actions + q[following].argmax(-1)
        np.add.at(matrix, (rows, after), -process.gamma * going)
        aim = np.linalg.lstsq(matrix * root[:, None], process.reward[s, a, following] * root, rcond=None)[0]
        update = np.where(process.terminal[:, None], 0.0, aim.reshape(q.shape) - q)
        for share in 0.5 ** np.arange(30):
            error = mean_squared_bellman_error(process, q + share * update)
            if error < best - 1e-15:
                q, best = q + share * update, error
                break
        else:
            break
    return q


def double_sampled(process: MDP, q: np.ndarray, samples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Sample (Q - y₁)² and (Q - y₁)(Q - y₂) of pairs met equally often, with two independent next states: [samples]
    each.
    """
    rng = np.random.default_rng(seed)
    pairs = np.argwhere(equally(process) > 0)
    s, a = pairs[rng.integers(len(pairs), size=samples)].T
    cumulative = process.transition[s, a].cumsum(-1)
    v = np.where(process.terminal, 0.0, q.max(-1))

    def error() -> np.ndarray:
        following = (rng.random((samples, 1)) >= cumulative[:, :-1]).sum(-1)
        return q[s, a] - process.reward[s, a, following] - process.gamma * v[following]

    first, second = error(), error()
    return first**2, first * second


def run(seed: int = 0) -> Report:
    """Find where the error's minimum lies, what that does to Q, and the error at Q* where chance grows."""
    figure = Figure(figsize=(12, 3.6), dpi=150, layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    process = rooms()
    best = optimal_action_value(process)
    found = minimise(process, best)
    numbers: dict[str, Any] = {"q_star": best.tolist(), "minimiser": found.tolist()}
    numbers["line"] = draw_line(left, process, best, found)
    draw_values(middle, best, found)
    numbers["slips"] = draw_slips(right)
    look = (
        "left: the error's minimum is not at Q* (0), where the squared residual has its own. Middle: for the "
        "minimiser, orange, the sure reward looks better than the good room."
    )
    claims = (*at_the_solution(seed), *at_the_minimum(process, best, found), sampled(process, best, seed))
    return Report(look, claims, numbers, figure)


def at_the_solution(seed: int) -> list[Claim]:
    """Compare the error at Q* of processes with and without chance."""
    seeds = np.random.SeedSequence(seed).generate_state(5)
    certain = [chain(), chain(9, gamma=0.5), rooms(luck=1.0), *(random(8, 3, 1, int(s)) for s in seeds)]
    chancy = [chain(slip=0.1), grid(), frozen_lake(), rooms(), *(random(8, 3, 3, int(s)) for s in seeds)]
    zero = max(mean_squared_bellman_error(p, optimal_action_value(p)) for p in certain)
    at_best = [(p, optimal_action_value(p)) for p in chancy]
    errors = [mean_squared_bellman_error(p, q) for p, q in at_best]
    gap = max(abs(error - target_variance(p, q)) for error, (p, q) in zip(errors, at_best, strict=True))
    return [
        Claim(
            zero < 1e-15, f"at Q* of {len(certain)} deterministic processes the error is at most {zero:.0e}"
        ),
        Claim(
            gap < 1e-10 and min(errors) > 1e-4,
            f"at Q* of {len(chancy)} random ones it lies between {min(errors):.3g} and {max(errors):.3g}, which is "
            f"the variance of the target, to {gap:.0e}",
        ),
    ]


def at_the_minimum(process: MDP, best: np.ndarray, found: np.ndarray) -> list[Claim]:
    """The minimiser is another Q, with a worse policy; without the coin it is Q*."""
    low, high = (mean_squared_bellman_error(process, q) for q in (found, best))
    worse, top = (performance(process, greedy(q)) for q in (found, best))
    certain = rooms(luck=1.0)
    start = optimal_action_value(certain)
    moved = float(np.abs(minimise(certain, start) - start).max())
    return [
        Claim(
            low < high - 1e-4 and worse < top - 1e-4,
            f"the minimiser has an error of {low:.4f}, Q* one of {high:.4f}; it values the good room at "
            f"{found[GOOD, 0]:.3f} instead of 1, and its greedy policy is worth {worse:.3f} instead of {top:.3f}",
        ),
        Claim(
            moved < 1e-9, f"with a coin that always falls the same way the minimiser is Q*, to {moved:.0e}"
        ),
    ]


def sampled(process: MDP, best: np.ndarray, seed: int) -> Claim:
    """Allow five standard errors: one false alarm in a million."""
    once, twice = double_sampled(process, best, SAMPLES, seed)
    truth = target_variance(process, best)
    sizes = [float(x.std() / np.sqrt(SAMPLES)) for x in (once, twice)]
    near = abs(once.mean() - truth) < 5 * sizes[0] and abs(twice.mean()) < 5 * sizes[1]
    return Claim(
        bool(near and once.mean() > 5 * sizes[0]),
        f"{SAMPLES:,} samples at Q*: mean of (Q - y)² {once.mean():.4f} ± {sizes[0]:.4f}, exact {truth:.4f}; with two "
        f"independent next states {twice.mean():.4f} ± {sizes[1]:.4f}, exact 0",
    )


def draw_line(axes: Axes, process: MDP, best: np.ndarray, found: np.ndarray) -> dict[str, list[float]]:
    """Draw the error and its two parts from Q* (0) to the minimiser (1) and beyond."""
    share = np.linspace(-0.5, 2, 51)
    values = [best + x * (found - best) for x in share]
    error = np.array([mean_squared_bellman_error(process, q) for q in values])
    variance = np.array([target_variance(process, q) for q in values])
    parts = {
        "mean-squared Bellman error": error,
        "squared residual": error - variance,
        "variance of y": variance,
    }
    for name, y in parts.items():
        axes.plot(share, y, label=name)
    axes.plot([0, 1], [error[10], error[30]], "k.")
    axes.set(xlabel="from Q* (0) to the minimiser (1)", ylabel="error", title="Two parts", ylim=(0, None))
    axes.legend()
    return {"share": share.tolist()} | {name: y.tolist() for name, y in parts.items()}


def draw_values(axes: Axes, best: np.ndarray, found: np.ndarray) -> None:
    """Draw both Q beside each other, for the actions that matter."""
    pairs = {"coin": (COIN, 0), "good\nroom": (GOOD, 0), "bad\nroom": (BAD, 0)}
    pairs |= {"choice:\nwalk in": (CHOICE, 0), "choice:\nsure": (CHOICE, 1)}
    for i, (name, q) in enumerate({"Q*": best, "minimiser": found}.items()):
        heights = [q[pair] for pair in pairs.values()]
        axes.bar(np.arange(len(pairs)) + 0.4 * i - 0.2, heights, 0.38, label=name, color=f"C{i}")
    axes.set_xticks(range(len(pairs)), list(pairs))
    axes.set(ylabel="Q", title="What the agent believes", ylim=(0, 1.25))
    axes.set_axisbelow(True)
    axes.legend(loc="upper left", ncols=2)


def draw_slips(axes: Axes) -> dict[str, list[float]]:
    """Draw the error at Q* of a chain over the probability of a slip, beside the exact variance."""
    slips = np.linspace(0, 0.5, 21)
    solved = [(p, optimal_action_value(p)) for p in (chain(slip=float(x)) for x in slips)]
    error = [mean_squared_bellman_error(p, q) for p, q in solved]
    variance = [target_variance(p, q) for p, q in solved]
    axes.plot(slips, variance, label="variance of y")
    axes.plot(slips, error, "k.", label="error at Q*")
    axes.set(xlabel="probability of a slip", ylabel="mean-squared Bellman error", title="At Q* of a chain")
    axes.legend()
    return {"slip": slips.tolist(), "error_at_q_star": error, "variance": variance}
