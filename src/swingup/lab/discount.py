"""A discount looks ahead only so far.

A small reward is near, a large one far. A reward b after m env steps is worth γ^(m-1) b, one of a after n is worth
γ^(n-1) a; so the far one is preferred where γ > (a/b)^(1/(m-n)), and below that threshold the best first action flips.
A reward of 1 per env step for ever is worth 1 + γ + γ² + ... = 1 / (1 - γ), the horizon: a share of 1 - γ^k of it lies
within k env steps, so 1 - γ^(1/(1-γ)) within the horizon, which falls to 1 - 1/e = 0.632 as γ goes to 1.
"""

import math
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.optimize import bisect

from swingup.envs.tabular import MDP, mdp
from swingup.lab.tools.report import Claim, Report
from swingup.theory.exact import optimal_action_value, uniform, value

GAMMAS = (0.9, 0.97, 0.99, 0.999)
PROBLEMS = 20  # drawn from the seed


class Choice(NamedTuple):
    """Two ends of a corridor, seen from the start between them."""

    near: float  # a: the reward to the left
    far: float  # b: the reward to the right, larger
    env_steps_near: int  # n: env steps to the left end
    env_steps_far: int  # m: env steps to the right end, more

    @property
    def threshold(self) -> float:
        """(a/b)^(1/(m-n)): below it the near reward is worth more."""
        return (self.near / self.far) ** (1 / (self.env_steps_far - self.env_steps_near))

    def process(self, gamma: float) -> MDP:
        """Make the corridor: action 0 goes left, action 1 right; both ends are terminal, the start is state n."""
        states = self.env_steps_near + self.env_steps_far + 1
        p, r = np.zeros((states, 2, states)), np.zeros((states, 2, states))
        for s in range(1, states - 1):
            p[s, 0, s - 1] = p[s, 1, s + 1] = 1.0
        p[[0, -1], :, [0, -1]] = 1.0
        r[:, :, 0], r[:, :, -1] = self.near, self.far
        return mdp(p, r, np.eye(states)[self.env_steps_near], [0, states - 1], gamma)

    def preference(self, gamma: float) -> float:
        """Return Q*(start, right) - Q*(start, left)."""
        left, right = optimal_action_value(self.process(gamma))[self.env_steps_near]
        return float(right - left)


def measured_threshold(choice: Choice) -> float:
    """Find the γ at which the best first action flips, by bisection on Q* from value iteration."""
    return float(bisect(choice.preference, 1e-3, 1 - 1e-9, xtol=1e-13))  # pyright: ignore[reportArgumentType]


def share_within(gamma: float, env_steps: np.ndarray) -> np.ndarray:
    """Return 1 - γ^k, the share that the first k env steps have of a return of equal rewards."""
    return 1 - gamma**env_steps


def random_choice(rng: np.random.Generator) -> Choice:
    n = int(rng.integers(1, 5))
    return Choice(rng.uniform(0.1, 0.9), 1.0, n, n + int(rng.integers(1, 8)))


def run(seed: int = 0) -> Report:
    """Compute two values that cross, their thresholds over distances, and shares of the return."""
    rng = np.random.default_rng(seed)
    figure = Figure(figsize=(12, 3.6), dpi=150, layout="constrained")
    panels = figure.subplots(1, 3)
    choice = Choice(near=0.5, far=1.0, env_steps_near=2, env_steps_far=7)
    draw_crossing(panels[0], choice)
    distances = np.arange(3, 31)
    closed = [choice._replace(env_steps_far=int(m)).threshold for m in distances]
    found = [measured_threshold(choice._replace(env_steps_far=int(m))) for m in distances[::3]]
    panels[1].plot(distances, closed, label="(a/b)^(1/(m-n))")
    panels[1].plot(distances[::3], found, "k.", label="where V* flips")
    panels[1].set(
        xlabel="env steps to the far reward, m", ylabel="threshold of γ", title="Farther needs more γ"
    )
    panels[1].legend()
    choices = [choice, *(random_choice(rng) for _ in range(PROBLEMS))]
    thresholds = [(measured_threshold(c), c.threshold) for c in choices]
    worst = max(abs(x - y) for x, y in thresholds)
    flips = all(c.preference(c.threshold - 1e-6) < 0 < c.preference(c.threshold + 1e-6) for c in choices)
    numbers, claims = horizons(panels[2])
    first = Claim(
        bool(worst < 1e-9 and flips),
        f"the best first action flips at γ = {choice.threshold:.6f} = (a/b)^(1/(m-n)), and so in {PROBLEMS} random "
        f"corridors; largest difference of bisection on Q* and closed form {worst:.1e}",
    )
    look = (
        "left: where the two lines cross, the best first action changes. Right: whatever γ, about 63 % of the return "
        "lies within the dotted horizon of 1/(1-γ) env steps."
    )
    distance_numbers = {"env_steps": distances.tolist(), "closed_form": closed, "measured": found}
    numbers |= {"thresholds": [list(x) for x in thresholds], "distance": distance_numbers}
    return Report(look, (first, *claims), numbers, figure)


def draw_crossing(axes: Axes, choice: Choice) -> None:
    """Draw what each of the two rewards is worth at the start, over γ."""
    gammas = np.linspace(0.7, 1, 200)
    axes.plot(gammas, choice.near * gammas ** (choice.env_steps_near - 1), label="0.5 after 2 env steps")
    axes.plot(gammas, choice.far * gammas ** (choice.env_steps_far - 1), label="1 after 7 env steps")
    exact = [float(c.start @ optimal_action_value(c).max(-1)) for c in map(choice.process, gammas[10:190:20])]
    axes.plot(gammas[10:190:20], exact, "k.", label="V* of the start")
    axes.axvline(choice.threshold, color="black", lw=0.8, ls="--")
    axes.set(xlabel="discount γ", ylabel="value at the start", title="Near and small, or far and large")
    axes.legend()


def horizons(axes: Axes) -> tuple[dict, list[Claim]]:
    """Compute the share of the return within each of several horizons, and the limit of the geometric series."""
    numbers, sums, shares = {}, [], []
    for gamma in GAMMAS:
        horizon = 1 / (1 - gamma)
        forever = mdp([[[1.0]]], [[1.0]], [1.0], gamma=gamma)
        limit = float(value(forever, uniform(forever))[0])
        partial = np.cumsum(gamma ** np.arange(int(40 * horizon)))  # 40 horizons leave e^-40 of it
        sums.append(max(abs(limit / horizon - 1), abs(partial[-1] / horizon - 1)))
        within = float(partial[round(horizon) - 1] / limit)
        shares.append((gamma, within, float(share_within(gamma, np.array(round(horizon))))))
        k = np.arange(1, int(10 * horizon))
        line = axes.semilogx(k, partial[: len(k)] / limit, label=f"γ = {gamma}")[0]
        axes.plot([horizon] * 2, [0, 1 - 1 / math.e], color=line.get_color(), lw=0.8, ls=":")
        numbers[str(gamma)] = {"return": limit, "horizon": horizon, "share_within_horizon": within}
    axes.axhline(1 - 1 / math.e, color="black", lw=0.8, ls="--", label="1 - 1/e")
    axes.set(
        xlabel="within this many env steps",
        ylabel="share of the return",
        title="Horizons 1/(1-γ)",
        ylim=(0, 1.02),
    )
    axes.xaxis.set_major_formatter("{x:g}")
    axes.legend()
    texts = ", ".join(f"{within:.3f} (γ = {gamma})" for gamma, within, _ in shares)
    right = all(abs(within - closed) < 1e-9 and 0.63 < within < 0.66 for _, within, closed in shares)
    return {"horizons": numbers}, [
        Claim(
            bool(max(sums) < 1e-9), f"1 + γ + γ² + ... = 1/(1-γ): largest relative difference {max(sums):.1e}"
        ),
        Claim(right, f"the share of the return within 1/(1-γ) env steps is 1 - γ^(1/(1-γ)): {texts}"),
    ]
