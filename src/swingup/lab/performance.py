"""J(π) = E_τ[R(τ)], three ways: from linear equations, as a sum over all trajectories, and from samples.

A trajectory has the probability P(τ|π) = μ(s_0) Π π(a_t|s_t) P(s_{t+1}|s_t, a_t). In a small process whose episodes end
after four env steps all of them can be listed. Their probabilities sum to 1 and are what a simulator's
frequencies come to; the sum of P(τ) R(τ) is J. And of all deterministic policies none is better than the
planner's, π* = argmax J.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import chi2

from swingup.envs.adapters.tabular import Tabular
from swingup.envs.tabular import MDP, mdp, random
from swingup.lab.tools.report import Claim, Report
from swingup.theory.exact import (
    Trajectory,
    deterministic_policies,
    greedy,
    optimal_action_value,
    performance,
    softmax,
    trajectories,
)

STATES, ACTIONS, HORIZON, GAMMA = 3, 2, 4, 0.9
EPISODES = 20_000
RARE = 10.0  # trajectories that are expected less often than that are counted together


class Sample(NamedTuple):
    """A sample holds episodes of a simulator, all of HORIZON env steps."""

    states: np.ndarray  # [N, T + 1]
    actions: np.ndarray  # [N, T]
    returns: np.ndarray  # Σ γ^t r_t: [N]


def ending(process: MDP, horizon: int) -> MDP:
    """Make the same process with the time as part of the state: s + t S; all states of the last time are terminal."""
    size, actions = process.num_states, process.num_actions
    p, r = np.zeros((2, (horizon + 1) * size, actions, (horizon + 1) * size))
    for t in range(horizon):
        now, later = slice(t * size, (t + 1) * size), slice((t + 1) * size, (t + 2) * size)
        p[now, :, later], r[now, :, later] = process.transition, process.reward
    last = range(horizon * size, (horizon + 1) * size)
    p[last, :, last] = 1.0
    start = np.concatenate([process.start, np.zeros(horizon * size)])
    return mdp(p, r, start, last, process.gamma)


def discounted_return(rewards: Any, gamma: float) -> Any:
    """R(τ) = Σ_t γ^t r_t, over the last axis.

    >>> float(discounted_return([1.0, 1.0, 4.0], 0.5))
    2.5
    """
    rewards = np.asarray(rewards)
    return (rewards * gamma ** np.arange(rewards.shape[-1])).sum(-1)


def enumerated(process: MDP, policy: np.ndarray) -> tuple[list[Trajectory], np.ndarray, np.ndarray]:
    """Return all trajectories, their probabilities and their returns."""
    found = list(trajectories(process, policy, HORIZON))
    returns = np.array([discounted_return(t.rewards, process.gamma) for t in found])
    return found, np.array([t.probability for t in found]), returns


def simulate(process: MDP, policy: np.ndarray, episodes: int, seed: int) -> Sample:
    """Play episodes of `policy` in the environment that algorithms train on, side by side."""
    env, logits = Tabular(process, time_limit=0), jnp.log(jnp.asarray(policy, jnp.float32))

    def episode(key: Array) -> tuple[Array, Array, Array]:
        k_start, k_play = jax.random.split(key)
        state, obs = env.reset(k_start)

        def act(carry, key):
            state, obs = carry
            k_action, k_step = jax.random.split(key)
            action = jax.random.categorical(k_action, logits[obs])
            state, transition = env.step(state, action, k_step)
            return (state, transition.obs), (transition.obs, action, transition.reward)

        _, (states, actions, rewards) = jax.lax.scan(act, (state, obs), jax.random.split(k_play, HORIZON))
        return jnp.concatenate([obs[None], states]), actions, rewards

    keys = jax.random.split(jax.random.key(seed), episodes)
    states, actions, rewards = map(np.asarray, jax.jit(jax.vmap(episode))(keys))
    return Sample(states, actions, discounted_return(rewards.astype(np.float64), process.gamma))


def frequencies(found: list[Trajectory], sample: Sample) -> np.ndarray:
    """Count how often each trajectory occurred: [trajectories], and last all others, which should be none."""
    number = {(*t.states, *t.actions): i for i, t in enumerate(found)}
    rows = np.concatenate([sample.states, sample.actions], 1).tolist()
    return np.bincount([number.get(tuple(row), len(found)) for row in rows], minlength=len(found) + 1)


def chi_square(count: np.ndarray, probability: np.ndarray) -> float:
    """Return the p-value of counts under the probabilities (Pearson's test), rare ones counted together."""
    expected = probability * count.sum()
    rare = expected < RARE
    pairs = np.array([(c, e) for c, e in zip(count[~rare], expected[~rare], strict=True)])
    if rare.any():
        pairs = np.vstack([pairs, [count[rare].sum(), expected[rare].sum()]])
    statistic = float(((pairs[:, 0] - pairs[:, 1]) ** 2 / pairs[:, 1]).sum())
    return float(chi2.sf(statistic, len(pairs) - 1))


def brute_force(process: MDP) -> tuple[np.ndarray, np.ndarray]:
    """Compute J of every deterministic policy, and the best of these policies."""
    policies = list(deterministic_policies(process))
    worth = np.array([performance(process, policy) for policy in policies])
    return worth, policies[int(np.argmax(worth))]


def run(seed: int = 0) -> Report:
    """Estimate J of a random policy in a random process, and compute it for all deterministic policies of another."""
    generated = np.random.SeedSequence(seed).generate_state(4)
    process = ending(random(STATES, ACTIONS, 2, int(generated[0]), GAMMA), HORIZON)
    policy = softmax(np.random.default_rng(int(generated[1])).normal(size=(process.num_states, ACTIONS)))
    exact = performance(process, policy)
    found, probability, returns = enumerated(process, policy)
    summed = float(probability @ returns)
    sample = simulate(process, policy, EPISODES, int(generated[2]))
    error = float(sample.returns.std() / np.sqrt(EPISODES))
    count = frequencies(found, sample)
    p_value = chi_square(count[:-1], probability)
    figure = Figure(figsize=(12, 3.6), dpi=150, layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    draw_returns(left, probability, returns, sample, exact)
    draw_estimates(middle, sample, exact)
    policies, claim = best_of_all(right, int(generated[3]))
    mean = float(sample.returns.mean())
    claims = (
        Claim(
            abs(probability.sum() - 1) < 1e-12 and abs(summed - exact) < 1e-12,
            f"{len(found)} trajectories, whose probabilities sum to 1: Σ P(τ) R(τ) = {summed:.6f}, J from linear "
            f"equations {exact:.6f}, apart by {abs(summed - exact):.0e}",
        ),
        Claim(
            abs(mean - exact) < 5 * error,
            f"the mean return of {EPISODES:,} episodes is {mean:.4f} ± {error:.4f}, within 5 standard errors of J",
        ),
        Claim(
            bool(count[-1] == 0 and p_value > 1e-5),
            f"no other trajectory occurred, and the frequencies are those probabilities: χ² test, p = {p_value:.2g}",
        ),
        claim,
    )
    numbers = {
        "j": exact,
        "enumerated": summed,
        "sample_mean": mean,
        "standard_error": error,
        "p_value": p_value,
    }
    look = (
        "left: the samples' returns fall where the trajectories' probabilities lie. Middle: the interval closes "
        "around J. Right: the planner's policy is the last of all."
    )
    return Report(look, claims, numbers | {"policies": policies}, figure)


def draw_returns(
    axes: Axes, probability: np.ndarray, returns: np.ndarray, sample: Sample, exact: float
) -> None:
    """Draw the distribution of returns, exact and sampled."""
    bins = np.linspace(returns.min() - 0.01, returns.max() + 0.01, 41).tolist()
    axes.hist(returns, bins=bins, weights=probability, label="Σ P(τ|π) of a bin's trajectories", alpha=0.6)
    share = np.histogram(sample.returns, bins)[0] / len(sample.returns)
    axes.plot(
        (np.array(bins[1:]) + bins[:-1]) / 2, share, "k.", ms=4, label=f"share of {EPISODES:,} episodes"
    )
    axes.axvline(exact, color="C1", ls="--", label=f"J = {exact:.3f}")
    axes.set(xlabel="return R(τ)", ylabel="probability", title="Trajectories", ylim=(0, 1.45 * share.max()))
    axes.legend()


def draw_estimates(axes: Axes, sample: Sample, exact: float) -> None:
    """Draw the running mean with its 95 % interval."""
    n = np.unique(np.geomspace(20, EPISODES, 60).astype(int))
    mean = np.array([sample.returns[:k].mean() for k in n])
    wide = np.array([1.96 * sample.returns[:k].std(ddof=1) / np.sqrt(k) for k in n])
    axes.semilogx(n, mean, label="mean of the returns so far")
    axes.fill_between(n, mean - wide, mean + wide, alpha=0.2, label="95 % interval")
    axes.axhline(exact, color="C1", ls="--", label="J")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set(xlabel="episodes", ylabel="return", title="Monte Carlo")
    axes.legend()


def best_of_all(axes: Axes, seed: int) -> tuple[dict[str, Any], Claim]:
    """Compare every deterministic policy of a random process with 4 states and 3 actions with the planner's."""
    process = random(4, 3, 3, seed, GAMMA)
    worth, best = brute_force(process)
    planned = greedy(optimal_action_value(process))
    top = performance(process, planned)
    axes.plot(np.sort(worth), ".", ms=4, label=f"all {len(worth)} policies")
    axes.plot(len(worth) - 1, top, "C1o", mfc="none", ms=9, label="the planner's")
    axes.set(xlabel="policies, from worst to best", ylabel="J", title="Brute force")
    axes.legend()
    claim = Claim(
        bool(abs(top - worth.max()) < 1e-9 and (best == planned).all()),
        f"of all {len(worth)} deterministic policies the best, with J = {worth.max():.4f}, is the planner's",
    )
    return {"worth": np.sort(worth).tolist(), "planner": top}, claim
