"""Exercise c4 asks what a fitted value function is worth, by enumerating all trajectories."""

import numpy as np

from swingup.learn.form import Case, Exercise

START = '''"""c4: what a value function is worth.

In a tiny MDP one can list every trajectory of H env steps with its probability, and so compute the mean and the
variance of the policy gradient's estimate exactly. For one trajectory the estimate is

    g = Σ_t γ^t (G_t - V(s_t)) ∇log π(a_t | s_t),      G_t = Σ_{k ≥ t} γ^{k-t} r_k

with respect to the logits [S, A] of a softmax policy: ∂ log π(a|s) / ∂ logits[s, b] = 1(a = b) - π(b|s), and 0 for
other states. The mean does not depend on V. The variance does: compare V = 0 with a fitted one.
"""

import numpy as np


def mean_and_variance(transition, reward, policy, start, *, gamma, v, horizon):
    """Return the mean of g, and its variance, summed over all S A entries.

    transition [S, A, S]  P(s' | s, a)
    reward     [S, A]
    policy     [S, A]     π(a | s)
    start      [S]        the probability of each first state
    gamma      float
    v          [S]        the baseline
    horizon    int        H: every trajectory has H env steps
    returns    [S, A] and a float, as a tuple

    One state, actions with rewards 1 and 3, π = ½, ½, H = 1: the mean is [[-½, ½]]. With v = 0 the variance is 2,
    with v = 2, which is fitted, it is 0.
    """
    raise NotImplementedError  # TODO
'''


def mean_and_variance(transition, reward, policy, start, *, gamma, v, horizon):
    """Return mean and variance, by a walk through the tree of all trajectories."""
    states, actions = policy.shape
    mean, square = np.zeros((states, actions)), 0.0
    paths = [(start[s], [s], [], []) for s in range(states) if start[s] > 0]
    for _ in range(horizon):
        paths = [
            (
                p * policy[s[-1], a] * transition[s[-1], a, s_next],
                [*s, s_next],
                [*acts, a],
                [*r, reward[s[-1], a]],
            )
            for p, s, acts, r in paths
            for a in range(actions)
            for s_next in range(states)
            if policy[s[-1], a] * transition[s[-1], a, s_next] > 0
        ]
    for p, s, acts, r in paths:
        g, later = np.zeros((states, actions)), 0.0
        for t in reversed(range(horizon)):
            later = r[t] + gamma * later
            g[s[t]] += gamma**t * (later - v[s[t]]) * (np.eye(actions)[acts[t]] - policy[s[t]])
        mean += p * g
        square += p * (g**2).sum()
    return mean, square - (mean**2).sum()


def cases() -> dict[str, Case]:
    """Return the cases: the shown one with and without a fit, and random MDPs."""
    rng = np.random.default_rng(0)
    one = {
        "transition": np.ones((1, 2, 1)),
        "reward": np.array([[1.0, 3.0]]),
        "policy": np.full((1, 2), 0.5),
        "start": np.ones(1),
        "gamma": 1.0,
        "horizon": 1,
    }

    def random(s, a, horizon):
        return {
            "transition": rng.dirichlet(np.ones(s), (s, a)),
            "reward": rng.normal(1, 1, size=(s, a)),
            "policy": rng.dirichlet(np.ones(a), s),
            "start": rng.dirichlet(np.ones(s)),
            "gamma": 0.8,
            "v": rng.normal(size=s),
            "horizon": horizon,
        }

    return {
        "shown": {**one, "v": np.zeros(1)},
        "fitted": {**one, "v": np.array([2.0])},
        "two states": random(2, 2, 3),
    }


def _wrong(**change):
    def answer(transition, reward, policy, start, *, gamma, v, horizon):
        given = {"transition": transition, "reward": reward, "policy": policy, "start": start}
        given |= {"gamma": gamma, "v": v, "horizon": horizon}
        return mean_and_variance(**{**given, **{k: f(given) for k, f in change.items()}})

    return answer


def _second_moment(transition, reward, policy, start, *, gamma, v, horizon):
    mean, variance = mean_and_variance(transition, reward, policy, start, gamma=gamma, v=v, horizon=horizon)
    return mean, variance + (mean**2).sum()


def _deviation(transition, reward, policy, start, *, gamma, v, horizon):
    mean, variance = mean_and_variance(transition, reward, policy, start, gamma=gamma, v=v, horizon=horizon)
    return mean, np.sqrt(max(variance, 0.0))


EXERCISE = Exercise(
    title="what a value function is worth",
    page="course/policy_optimisation#move-3-subtract-a-baseline",
    start=START,
    answer=mean_and_variance,
    cases=cases,
    wrong={
        "this is the mean square; the variance is what is left without the squared mean": _second_moment,
        "the baseline is added; subtract what was expected from what came": _wrong(v=lambda c: -c["v"]),
        "V is not used, so the variance is that without a baseline": _wrong(
            v=lambda c: np.zeros_like(c["v"])
        ),
        "the trajectories are weighted by a uniform policy, not by π": _wrong(
            policy=lambda c: np.full_like(c["policy"], 1 / c["policy"].shape[1])
        ),
        "all states begin equally often here; `start` says how often they do": _wrong(
            start=lambda c: np.full_like(c["start"], 1 / len(c["start"]))
        ),
        "nothing is discounted": _wrong(gamma=lambda c: 1.0),
        "this is the standard deviation; the variance is asked for": _deviation,
        "the trajectories are one env step too short": _wrong(horizon=lambda c: c["horizon"] - 1),
    },
    hints=(
        "How many trajectories of H env steps are there, and what is the probability of each?",
        "Build the list of paths step by step, each with its probability; then one g per path; then E[g] and E[|g|²].",
        "variance = Σ_paths p |g|² - |Σ_paths p g|², with p = μ(s_0) Π_t π(a_t|s_t) P(s_{t+1}|s_t, a_t)",
    ),
)
