"""This computes what n-step returns and λ-returns make of a wrong V: exact bias and variance, and samples beside them.

The policy has been improved, V̂ is still that of a policy before it, as a critic is that lags behind. Without V̂(s_t),
which is a baseline, an advantage is an estimate X of Q(s_t, a_t). Its mean and its mean square given s_t and a_t obey
Bellman equations (Sobel 1982): X = r + γ Y(s'), where Y is V̂, or the estimate one env step later, or their mix.
"""

from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes

from swingup.envs.tabular import MDP, random
from swingup.lab.tools import episodes as ep
from swingup.lab.tools.report import plain
from swingup.theory.bellman import fixed_point
from swingup.theory.exact import action_value, chain_of, epsilon_greedy, optimal_action_value, uniform, value

LENGTH, ROLLOUTS = 64, 5_000  # env steps of a sampled rollout, of which the first is judged; γ⁶⁴ = 0.001
COUNTS = (100, 1_000, 10_000, 100_000)  # samples in an estimate of the gradient


class Case(NamedTuple):
    """A case is an MDP that never ends, a policy, and a V that is not the policy's."""

    mdp: MDP
    policy: np.ndarray  # [S, A]
    often: np.ndarray  # stationary probability of s and a: [S, A]
    q: np.ndarray  # Q of the policy: [S, A]
    wrong: np.ndarray  # V̂: [S]


def make_case(seed: int = 0, wrong: bool = True) -> Case:
    """Make a random MDP, a policy near its best one, and V of the uniform policy; or the right V."""
    mdp = random(states=6, actions=2, branching=3, seed=seed, gamma=0.9)
    policy = epsilon_greedy(optimal_action_value(mdp), 0.4)
    v = value(mdp, uniform(mdp) if wrong else policy)
    return Case(
        mdp, policy, stationary(chain_of(mdp, policy))[:, None] * policy, action_value(mdp, policy), v
    )


def stationary(chain: np.ndarray) -> np.ndarray:
    """d with d P = d and Σ d = 1, for P [S, S]: [S]."""
    states = len(chain)
    equations = np.vstack([chain.T - np.eye(states), np.ones(states)])
    return np.linalg.lstsq(equations, np.eye(states + 1)[-1], rcond=None)[0]


# --- Exact moments -----------------------------------------------------------------------------------------


def backup(case: Case, mean: np.ndarray, square: np.ndarray) -> np.ndarray:
    """E[X|s, a] and E[X²|s, a] of X = r + γ Y(s'), from E[Y|s'] and E[Y²|s']: [2, S, A]."""
    p, r, gamma = case.mdp.transition, case.mdp.reward, case.mdp.gamma
    squares = r**2 + 2 * gamma * r * mean + gamma**2 * square
    return np.stack([(p * (r + gamma * mean)).sum(-1), (p * squares).sum(-1)])


def n_step_moments(case: Case, longest: int) -> np.ndarray:
    """Return mean and second moment of n rewards and V̂, for n = 1 .. longest: [longest, 2, S, A]."""
    found = [backup(case, case.wrong, case.wrong**2)]
    while len(found) < longest:
        found.append(backup(case, *(case.policy * found[-1]).sum(-1)))
    return np.stack(found)


def lambda_moments(case: Case, lam: float) -> np.ndarray:
    """Return both moments of the λ-return, X = r + γ ((1 - λ) V̂(s') + λ X'): [2, S, A]; X' is that from s'."""
    v = case.wrong

    def again(x: np.ndarray) -> np.ndarray:
        mean, square = (case.policy * x).sum(-1)
        mixed = (1 - lam) ** 2 * v**2 + 2 * lam * (1 - lam) * v * mean + lam**2 * square
        return backup(case, (1 - lam) * v + lam * mean, mixed)

    return fixed_point(again, np.zeros((2, *case.policy.shape))).point


class Errors(NamedTuple):
    """An estimator has two errors: its bias and its variance."""

    bias: float  # squared
    variance: float

    def mse(self, samples: int = 1) -> float:
        """Return the mean-squared error of the mean of `samples` independent estimates."""
        return self.bias + self.variance / samples


def errors_of_q(case: Case, moments: np.ndarray) -> Errors:
    """Return the errors of X as an estimate of Q(s, a), averaged over states and actions."""
    mean, square = moments
    return Errors(
        float((case.often * (mean - case.q) ** 2).sum()), float((case.often * (square - mean**2)).sum())
    )


def errors_of_gradient(case: Case, moments: np.ndarray) -> Errors:
    """Return the errors of g = ∇ log π(a|s) (X - V̂(s)) as an estimate of E[∇ log π(a|s) Q(s, a)], in sum over θ."""
    mean, second = gradient_mean(case, moments[0]), ep.score(case.policy)
    v = case.wrong[:, None]
    square = (case.often * (second**2).sum((2, 3)) * (moments[1] - 2 * v * moments[0] + v**2)).sum()
    bias = ((mean - gradient_mean(case, case.q)) ** 2).sum()
    return Errors(float(bias), float(square - (mean**2).sum()))


def gradient_mean(case: Case, weight: np.ndarray) -> np.ndarray:
    """E[∇ log π(a|s) Ψ] for Ψ = weight [S, A]; any function of s may be added to it: [S A]."""
    return np.einsum("sa,sa,sap->p", case.often, weight, ep.score(case.policy).reshape(*weight.shape, -1))


# --- Samples -----------------------------------------------------------------------------------------------


def rollouts(case: Case, rng: np.random.Generator) -> tuple[ep.Episodes, tuple[np.ndarray, ...]]:
    """Draw data from the stationary distribution, with what `returns` asks for: r, V̂, V̂ of the successor, no ends."""
    data = ep.simulate(case.mdp, case.policy, LENGTH, ROLLOUTS, rng, case.often.sum(-1))
    v, no = case.wrong[data.state], np.zeros(data.reward.shape, bool)
    return data, (data.reward, v[:-1], v[1:], no, no)


def sampled_q(case: Case, data: ep.Episodes, advantage: np.ndarray) -> Errors:
    """Estimate `errors_of_q` from samples of the first env step's advantage [N]; the bias is free of their noise."""
    x, cell = advantage + case.wrong[data.state[0]], data.state[0] * case.mdp.num_actions + data.action[0]
    count, total, square = (np.bincount(cell, w, case.q.size) for w in (None, x, x**2))
    mean = total / np.maximum(count, 1)
    variance = (square - count * mean**2) / np.maximum(count - 1, 1)
    bias = count * (mean - case.q.ravel()) ** 2 - variance * (count > 0)
    return Errors(float(bias.sum() / len(x)), float((count * variance).sum() / len(x)))


def deviation(case: Case, data: ep.Episodes, advantage: np.ndarray, moments: np.ndarray) -> float:
    """Return how far the sampled mean of g lies from its exact mean, in standard errors: the most of any parameter."""
    table = ep.score(case.policy).reshape(*case.policy.shape, -1)
    gradient = table[data.state[0], data.action[0]] * advantage[:, None]
    return ep.deviation(
        ep.moments(gradient, data.probability), gradient_mean(case, moments[0]), len(gradient)
    )


# --- Figures -----------------------------------------------------------------------------------------------


def draw_mse(axes: Axes, x: np.ndarray, errors: list[Errors]) -> list[float]:
    """Draw the mean-squared error of the gradient, with a dot at its lowest point; return the x of those points."""
    best = []
    for i, count in enumerate(COUNTS):
        curve = np.array([e.mse(count) for e in errors])
        best.append(float(x[curve.argmin()]))
        axes.semilogy(x, curve, color=f"C{i}", ls="-", label=f"{count:,} samples")
        axes.semilogy(best[-1], curve.min(), color=f"C{i}", ls="", marker="o", ms=5)
    axes.set(ylabel="mean-squared error", title="the gradient; dots: the best")
    plain(axes.yaxis)
    axes.legend(ncols=2)
    axes.set_ylim(top=axes.get_ylim()[1] * 5)
    return best
