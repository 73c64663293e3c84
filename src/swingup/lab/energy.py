"""A reward can weigh speed against energy: R = v - α |a|², the lecture's robot that runs forwards on little energy.

The runner's speed follows its effort a, with friction: v' = (1 - k) v + k a, a from 0 to 1. Its value is linear in
its speed, V(v) = v / (1 - γ(1 - k)) + constant, so the best effort is the same at every speed:

    a* = min(1, γ k / (2α (1 - γ(1 - k))))

Whatever the process, the best policy's energy and speed fall as α rises. For if π is best at α and π' at a larger
α', then speed(π) - α energy(π) >= speed(π') - α energy(π'), and the other way round at α'; the sum of both is
(α' - α)(energy(π) - energy(π')) >= 0.
"""

from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from swingup.envs.tabular import MDP, mdp, random
from swingup.lab.tools.report import Claim, Report
from swingup.theory.bellman import lookahead
from swingup.theory.exact import greedy, occupancy, optimal_by_policies, value

FRICTION, GAMMA = 0.2, 0.95  # k, γ
SPEEDS, EFFORTS = np.linspace(0, 1, 21), np.linspace(0, 1, 101)
ALPHAS = np.concatenate([[0.0], np.geomspace(0.05, 20, 40)])
PROCESSES = 20  # random ones


class Use(NamedTuple):
    """A policy gets and spends this much per env step: means of v and |a|² with discounted weights."""

    speed: float
    energy: float


def runner(alpha: float) -> MDP:
    """Make the runner on a grid of speeds; a speed between two is shared by them so that its mean is kept."""
    following = (1 - FRICTION) * SPEEDS[:, None] + FRICTION * EFFORTS  # [S, A]
    place = following * (len(SPEEDS) - 1)
    transition = np.clip(1 - np.abs(place[..., None] - np.arange(len(SPEEDS))), 0, 1)
    reward = SPEEDS[:, None] - alpha * EFFORTS**2
    return mdp(transition, reward, np.eye(len(SPEEDS))[0], gamma=GAMMA)


def best_effort(alpha: float) -> float:
    """Return a* of the module's text, for efforts that are not on a grid."""
    marginal = GAMMA * FRICTION / (1 - GAMMA * (1 - FRICTION))
    return min(1.0, marginal / (2 * alpha)) if alpha > 0 else 1.0


def best_effort_on_grid(alpha: float) -> float:
    """Return the effort of the grid with the largest γ k a / (1 - γ(1-k)) - α a²."""
    marginal = GAMMA * FRICTION / (1 - GAMMA * (1 - FRICTION))
    return float(EFFORTS[np.argmax(marginal * EFFORTS - alpha * EFFORTS**2)])


def steady_value(effort: float, alpha: float) -> np.ndarray:
    """Return V of one effort for ever, at each speed v: v/(1 - γ(1-k)) + (γ k a/(1 - γ(1-k)) - α a²)/(1 - γ)."""
    slope = 1 / (1 - GAMMA * (1 - FRICTION))
    return slope * SPEEDS + (slope * GAMMA * FRICTION * effort - alpha * effort**2) / (1 - GAMMA)


def use(process: MDP, policy: np.ndarray, speed: np.ndarray, energy: np.ndarray) -> Use:
    """Return means of tables [S, A] over the policy's discounted occupancy."""
    often = (1 - process.gamma) * occupancy(process, policy)
    return Use(float((often * speed).sum()), float((often * energy).sum()))


def best_policy(process: MDP) -> np.ndarray:
    """Return the greedy policy of V* from policy iteration: [S, A]."""
    return greedy(lookahead(process, optimal_by_policies(process)))


def falls(uses: list[Use]) -> bool:
    """Say whether neither speed nor energy ever rises, beyond rounding."""
    return bool((np.diff(np.array(uses), axis=0) < 1e-9).all())


def random_uses(seed: int) -> list[Use]:
    """Return what the best policies use over all α in a random process with random speeds and energies [S, A]."""
    rng = np.random.default_rng(seed)
    table = random(8, 4, 3, int(rng.integers(2**31)), GAMMA)
    speed, energy = rng.normal(size=(8, 4)), rng.uniform(0, 1, (8, 4))
    uses = []
    for alpha in ALPHAS:
        reward = np.broadcast_to((speed - alpha * energy)[..., None], table.reward.shape)
        process = table._replace(reward=reward)
        uses.append(use(process, best_policy(process), speed, energy))
    return uses


def run(seed: int = 0) -> Report:
    """Draw speed and energy over α, one against the other, and runs from standstill."""
    figure = Figure(figsize=(12, 3.6), dpi=150, layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    speed, energy = np.meshgrid(SPEEDS, EFFORTS**2, indexing="ij")
    processes = [runner(alpha) for alpha in ALPHAS]
    policies = [best_policy(p) for p in processes]
    uses = [use(p, policy, speed, energy) for p, policy in zip(processes, policies, strict=True)]
    efforts = np.array([[float(EFFORTS[a]) for a in policy.argmax(1)] for policy in policies])  # [α, S]
    off = max(
        abs(effort - best_effort_on_grid(alpha)) for effort, alpha in zip(efforts[:, 0], ALPHAS, strict=True)
    )
    gap = max(
        float(np.abs(value(p, policy) - steady_value(best_effort_on_grid(alpha), alpha)).max())
        for p, policy, alpha in zip(processes, policies, ALPHAS, strict=True)
    )
    draw_sweep(left, uses)
    middle.plot([x.energy for x in uses], [x.speed for x in uses], marker=".")
    middle.set(xlabel="mean energy |a|² per env step", ylabel="mean speed v", title="What energy buys")
    runs = draw_runs(right, efforts)
    seeds = np.random.SeedSequence(seed).generate_state(PROCESSES)
    others = [random_uses(int(s)) for s in seeds]
    claims = (
        Claim(
            falls(uses) and uses[-1].energy < 0.01 * uses[0].energy,
            f"as α goes from 0 to {ALPHAS[-1]:g} the best policy's speed and energy never rise: mean speed "
            f"{uses[0].speed:.3f} to {uses[-1].speed:.3f}, mean energy {uses[0].energy:.3f} to {uses[-1].energy:.4f}",
        ),
        Claim(bool((efforts[0] == 1).all()), "at α = 0 the best policy runs at full throttle at every speed"),
        Claim(
            off < 1e-9 and gap < 1e-8,
            f"the tables give the closed form: largest difference of V* {gap:.0e}, of the effort {off:.0e}",
        ),
        Claim(
            all(map(falls, others)),
            f"neither rises with α in {PROCESSES} random processes with random speeds and energies",
        ),
    )
    look = "left: the best policy pays for full speed up to a price of energy, then gives way as 1/α."
    numbers: dict[str, Any] = {"alpha": ALPHAS.tolist(), "speed": [x.speed for x in uses]}
    numbers |= {"energy": [x.energy for x in uses], "effort": efforts[:, 0].tolist(), "runs": runs}
    return Report(look, claims, numbers, figure)


def draw_sweep(axes: Axes, uses: list[Use]) -> None:
    """Draw dots for the tables, and lines for the closed form, whose effort is constant from standstill on."""
    alphas = np.geomspace(ALPHAS[1], ALPHAS[-1], 200)
    effort = np.array([best_effort(alpha) for alpha in alphas])
    # (1 - γ) Σ γ^t v_t of v_t = a (1 - (1-k)^t)
    share = 1 - (1 - GAMMA) / (1 - GAMMA * (1 - FRICTION))
    axes.loglog(alphas, share * effort, label="mean speed v")
    axes.loglog(alphas, effort**2, label="mean energy |a|²")
    axes.loglog(ALPHAS[1:], [x.speed for x in uses[1:]], "k.", ms=4, label="tables, solved exactly")
    axes.loglog(ALPHAS[1:], [x.energy for x in uses[1:]], "k.", ms=4)
    axes.set(xlabel="price of energy, α", ylabel="per env step", title="R = v - α|a|²")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
    axes.legend()


def draw_runs(axes: Axes, efforts: np.ndarray) -> dict[str, list[float]]:
    """Draw speeds over time from standstill, for four prices."""
    numbers = {}
    for i in (0, 20, 27, 34):
        v = efforts[i, 0] * (1 - (1 - FRICTION) ** np.arange(31))
        axes.plot(v, label=f"α = {ALPHAS[i]:.2g}")
        numbers[f"{ALPHAS[i]:.3g}"] = v.tolist()
    axes.set(xlabel="env steps", ylabel="speed v", title="From standstill")
    axes.legend(loc="upper left", bbox_to_anchor=(0.55, 0.9))
    return numbers
