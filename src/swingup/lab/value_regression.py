"""Least squares on rewards-to-go finds V; bootstrapped targets need fewer episodes, and more regressions.

A table that is fitted to targets holds their mean at each state (t, s). Targets are the rewards-to-go (λ = 1, what VPG
fits), r_t + γ V(s_{t+1}) (λ = 0), or between the two r_t + γ ((1 - λ) V(s_{t+1}) + λ G_{t+1}). With λ < 1 the targets
need a V: so one regresses again and again on the same data until V stands still. For λ = 0 that is the value of the
most likely MDP, "certainty equivalence", and it joins what all episodes through a state found later (Sutton 1988).
"""

from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from swingup.envs.tabular import MDP, random
from swingup.lab.tools import episodes as ep
from swingup.lab.tools.report import Claim, Report, plain
from swingup.theory.exact import chain_of, uniform

HORIZON = 10
LAMBDAS = {"λ = 0, bootstrapped": 0.0, "λ = 0.8": 0.8, "λ = 1, rewards-to-go": 1.0}
COUNTS = (10, 30, 100, 300, 1000)  # episodes
LATE = 2  # the power is measured from here on: with fewer episodes some states are never visited
RUNS = 100
WRONG = 5.0  # V before the first regression is this everywhere, for the second panel


def process() -> tuple[MDP, np.ndarray]:
    """Make a random MDP of six states, and the uniform policy, which is evaluated."""
    mdp = random(states=6, actions=2, branching=3, gamma=1.0)
    return mdp, uniform(mdp)


def run(seed: int = 0) -> Report:
    """Compute the error over the number of episodes, and over the number of regressions."""
    figure = Figure(figsize=(8.4, 3.6), dpi=150, layout="constrained")
    left, right = figure.subplots(1, 2)
    sampled, sampled_claims = learning(np.random.default_rng(seed), left)
    repeated, repeated_claim = regressions(right)
    look = (
        "left: all three fall towards 0, and the bootstrapped targets are ahead. Right: rewards-to-go need one "
        "regression; bootstrapped targets need one for every env step that is still to come."
    )
    return Report(
        look, (*sampled_claims, repeated_claim), {"episodes": sampled, "regressions": repeated}, figure
    )


def fit(state: np.ndarray, reward: np.ndarray, states: int, gamma: float, lam: float) -> np.ndarray:
    """Find the V [runs, T, S] at which repeated regression on the λ-targets of each run stands still.

    `state` is [T + 1, runs, N], `reward` [T, runs, N]. As V_T = 0 is known, one pass from the end finds it: the
    targets of time t read V at t + 1 only. What was never visited stays 0.
    """
    runs = np.arange(reward.shape[1])[:, None]
    value, target = np.zeros((len(runs), states)), np.zeros_like(reward[0])
    found = []
    for now, following, r in zip(state[-2::-1], state[:0:-1], reward[::-1], strict=True):  # t = T-1 .. 0
        target = r + gamma * ((1 - lam) * value[runs, following] + lam * target)
        cell = (runs * states + now).ravel()
        total, count = (
            np.bincount(cell, weight, len(runs) * states).reshape(-1, states)
            for weight in (target.ravel(), None)
        )
        value = total / np.maximum(count, 1)
        found.append(value)
    return np.stack(found[::-1], 1)


class Fits(NamedTuple):
    """These are the fits of one λ to the data of all runs."""

    error: np.ndarray  # mean-squared, of each run: [runs]; states count as often as they are visited
    away: float  # the mean of all runs from V in standard errors, at the worst of all (t, s)


def fits(mdp: MDP, policy: np.ndarray, episodes: int, rng: np.random.Generator) -> dict[str, Fits]:
    """Fit V to the first episodes of each run: {λ: fits}."""
    data = ep.simulate(mdp, policy, HORIZON, RUNS * episodes, rng)
    state, reward = (x.reshape(len(x), RUNS, episodes) for x in (data.state, data.reward))
    truth, often = ep.values(mdp, policy, HORIZON)[0][:-1], ep.visits(mdp, policy, HORIZON) / HORIZON
    found = {}
    for name, lam in LAMBDAS.items():
        off = fit(state, reward, mdp.num_states, mdp.gamma, lam) - truth
        away = np.abs(off.mean(0)) / (off.std(0, ddof=1) / RUNS**0.5)
        found[name] = Fits((often * off**2).sum((1, 2)), float(away.max()))
    return found


def learning(rng: np.random.Generator, axes: Axes) -> tuple[dict[str, Any], list[Claim]]:
    """Compute the error over the number of episodes, for all λ on the same data."""
    mdp, policy = process()
    found = [fits(mdp, policy, n, rng) for n in COUNTS]
    curves = {name: np.sqrt([x[name].error.mean() for x in found]) for name in LAMBDAS}
    for name, curve in curves.items():
        axes.loglog(COUNTS, curve, marker="o", ms=4, label=name)
    axes.set(xlabel="episodes", ylabel="error of V (r.m.s.)", title=f"mean of {RUNS} runs")
    plain(axes.xaxis, axes.yaxis)
    axes.legend()
    boot, _, whole = LAMBDAS
    slopes = {n: float(np.polyfit(np.log(COUNTS[LATE:]), np.log(c[LATE:]), 1)[0]) for n, c in curves.items()}
    more = [x[whole].error - x[boot].error for x in found]
    ahead = [float(d.mean() / (d.std() / RUNS**0.5)) for d in more]
    ratio, away = (curves[whole] / curves[boot]) ** 2, found[-1][whole].away
    fall = ", ".join(f"{name} {slope:.2f}" for name, slope in slopes.items())
    final = max(c[-1] for c in curves.values())
    numbers = {
        "episodes": list(COUNTS),
        "error": {n: c.tolist() for n, c in curves.items()},
        "slopes": slopes,
    }
    return numbers | {"ahead": ahead, "standard_errors": away}, [
        Claim(
            away < 5.5,
            f"the mean of {RUNS} regressions on rewards-to-go is within {away:.1f} standard errors of V everywhere",
        ),
        Claim(
            all(abs(s + 0.5) < 0.1 for s in slopes.values()),
            f"all errors fall towards 0 with the power -1/2 of the episodes ({fall}), to {final:.3f} at most",
        ),
        Claim(
            min(ahead) > 5,
            f"bootstrapped targets are ahead by at least {min(ahead):.0f} standard errors at every number of episodes: "
            f"rewards-to-go need {ratio.min():.1f} to {ratio.max():.1f} times as many",
        ),
    ]


def regressions(axes: Axes) -> tuple[dict[str, Any], Claim]:
    """Return the exact error after each regression on any number of episodes, V being wrong at first."""
    mdp, policy = process()
    truth, often = ep.values(mdp, policy, HORIZON)[0], ep.visits(mdp, policy, HORIZON) / HORIZON
    curves = {}
    for name, lam in LAMBDAS.items():
        v, curve = truth.copy(), []
        v[:-1] += WRONG
        for _ in range(HORIZON + 2):
            curve.append(float(np.sqrt((often * (v - truth)[:-1] ** 2).sum())))
            v = regress(mdp, policy, v, lam)
        curves[name] = curve
        axes.plot(np.maximum(curve, 0), marker="o", ms=4, label=name)
    axes.set(xlabel="regressions", ylabel="error of V (r.m.s.)", title="exact, as from endless data")
    axes.legend()
    boot, middle, whole = curves.values()
    needed = [next(i for i, x in enumerate(c) if x < 1e-9) for c in (whole, boot)]
    text = f"without noise rewards-to-go need {needed[0]} regression, bootstrapped targets {needed[1]}, all env steps"
    return curves, Claim(needed == [1, HORIZON] and boot[5] > middle[5] > whole[5], text)


def regress(mdp: MDP, policy: np.ndarray, v: np.ndarray, lam: float) -> np.ndarray:
    """Return the mean of the λ-targets at each (t, s), for V [T + 1, S]: what one regression on endless data makes of
    it.

    E[G_t] = r + γ P ((1 - λ) V_{t+1} + λ E[G_{t+1}]), and G_T = V_T.
    """
    chain, reward = chain_of(mdp, policy), (policy * mdp.expected_reward).sum(-1)
    found = [v[-1]]
    for following in v[:0:-1]:
        found.append(reward + mdp.gamma * chain @ ((1 - lam) * following + lam * found[-1]))
    return np.stack(found[::-1])
