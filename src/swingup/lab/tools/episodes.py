"""Episodes of a fixed number of env steps in a finite MDP are listed with their probabilities, or sampled.

What an estimator of the policy gradient has for its mean and its variance is then a sum over a list. The policy is
π = softmax(θ) with one row of logits θ [S, A] for each state, and V and Q depend on the time t, as the end draws
near. Nothing here ends early: a terminal state is one that is never left and pays nothing.
"""

from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from swingup.algos.vpg import VPG
from swingup.envs.tabular import MDP, random
from swingup.theory.bellman import lookahead
from swingup.theory.exact import softmax

HORIZON = 4  # T of the example: 3 (2 · 3)⁴ = 3,888 episodes are possible


class Episodes(NamedTuple):
    """These are N episodes of T env steps each."""

    state: np.ndarray  # s_0 .. s_T: [T + 1, N]
    action: np.ndarray  # a_0 .. a_{T-1}: [T, N]
    reward: np.ndarray  # r_0 .. r_{T-1}: [T, N]
    probability: np.ndarray  # P(τ|π) where all are listed, 1/N where they are samples: [N]


def example(seed: int = 0, gamma: float = 1.0) -> tuple[MDP, np.ndarray]:
    """Make a random MDP of three states and two actions, and logits θ [S, A] of a policy that is not uniform.

    Rewards have mean 1, as where every env step that one lives through is worth something.
    """
    mdp = random(3, 2, 3, seed, gamma)
    logits = np.random.default_rng([seed, 1]).normal(0, 0.7, (3, 2))
    return mdp._replace(reward=1 + mdp.reward), logits


def every(mdp: MDP, policy: np.ndarray, horizon: int) -> Episodes:
    """List all S (A S)^T episodes, with their probabilities under `policy`, which sum to 1."""
    path = np.indices([mdp.num_states] + [mdp.num_actions, mdp.num_states] * horizon).reshape(
        2 * horizon + 1, -1
    )
    state, action = path[::2], path[1::2]
    chance = path_probability(mdp, policy, state, action)
    return Episodes(state, action, mdp.reward[state[:-1], action, state[1:]], chance)


def path_probability(mdp: MDP, policy: np.ndarray, state: np.ndarray, action: np.ndarray) -> np.ndarray:
    """P(τ|π) = μ(s_0) Π_t π(a_t|s_t) P(s_{t+1}|s_t, a_t): [N]."""
    moves = mdp.transition[state[:-1], action, state[1:]]
    return mdp.start[state[0]] * (policy[state[:-1], action] * moves).prod(0)


def simulate(
    mdp: MDP, policy: np.ndarray, horizon: int, number: int, rng: np.random.Generator, start: Any = None
) -> Episodes:
    """Play `number` episodes, all at once; from μ, or from another distribution `start` [S]."""

    def draw(p: np.ndarray) -> np.ndarray:
        return np.minimum((p.cumsum(-1) < rng.random((number, 1))).sum(-1), p.shape[-1] - 1)

    first = mdp.start if start is None else start
    state, action = [draw(np.broadcast_to(first, (number, mdp.num_states)))], []
    for _ in range(horizon):
        action.append(draw(policy[state[-1]]))
        state.append(draw(mdp.transition[state[-1], action[-1]]))
    s, a = np.stack(state), np.stack(action)
    return Episodes(s, a, mdp.reward[s[:-1], a, s[1:]], np.full(number, 1 / number))


# --- Exact, by dynamic programming -------------------------------------------------------------------------


def values(mdp: MDP, policy: np.ndarray, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """Return V_t(s) [T + 1, S] and Q_t(s, a) [T, S, A]: what is still to come, V_T = 0.

    Q_t(s, a) = r(s, a) + γ E_s'[V_{t+1}(s')],      V_t(s) = Σ_a π(a|s) Q_t(s, a)
    """
    v, q = [np.zeros(mdp.num_states)], []
    for _ in range(horizon):
        q.append(lookahead(mdp, v[-1]))
        v.append((policy * q[-1]).sum(-1))
    return np.stack(v[::-1]), np.stack(q[::-1])


def visits(mdp: MDP, policy: np.ndarray, horizon: int) -> np.ndarray:
    """P(s_t = s) for t = 0 .. T-1: [T, S]."""
    chain = np.einsum("sa,sat->st", policy, mdp.transition)
    found = [mdp.start]
    while len(found) < horizon:
        found.append(found[-1] @ chain)
    return np.stack(found)


def performance(mdp: MDP, policy: np.ndarray, horizon: int) -> float:
    """J(π) = E[Σ_t γ^t r_t] = Σ_s μ(s) V_0(s)."""
    return float(mdp.start @ values(mdp, policy, horizon)[0][0])


def performance_gradient(mdp: MDP, logits: np.ndarray, horizon: int) -> np.ndarray:
    """Return ∂J/∂θ [S, A] by the policy gradient theorem (Sutton et al. 2000), for T env steps.

    ∂J/∂θ_sa = Σ_t γ^t P(s_t = s) π(a|s) (Q_t(s, a) - V_t(s))
    """
    return _gradient(mdp, logits, mdp.gamma ** np.arange(horizon))


def usual_gradient(mdp: MDP, logits: np.ndarray, horizon: int) -> np.ndarray:
    """Return the mean of what everybody estimates: that of `performance_gradient`, but for γ^t, which is left out:
    [S, A].

    Σ_t P(s_t = s) π(a|s) (Q_t(s, a) - V_t(s)), with the discounted Q and V: no gradient of J unless γ = 1.
    """
    return _gradient(mdp, logits, np.ones(horizon))


def _gradient(mdp: MDP, logits: np.ndarray, weight: np.ndarray) -> np.ndarray:
    policy = softmax(logits)
    v, q = values(mdp, policy, len(weight))
    often = weight[:, None] * visits(mdp, policy, len(weight))
    return (often[..., None] * policy * (q - v[:-1, :, None])).sum(0)


# --- Estimators --------------------------------------------------------------------------------------------


def score(policy: np.ndarray) -> np.ndarray:
    """∇_θ log π(a|s) of the softmax, 1[s = i] (1[a = j] - π(j|s)) for θ_ij: [S, A, S, A]."""
    states, actions = policy.shape
    here = np.eye(actions) - policy[:, None]  # [S, a, j]
    return np.eye(states)[:, None, :, None] * here[:, :, None]


def gradients(policy: np.ndarray, episodes: Episodes, weight: np.ndarray) -> np.ndarray:
    """Return the estimate Σ_t ∇ log π(a_t|s_t) Ψ_t from each episode alone, for Ψ [T, N]: [N, S A].

    With Ψ = 1 it is the score ∇ log P(τ|π) of the episode: the dynamics do not depend on θ and drop out.
    """
    table = score(policy).reshape(*policy.shape, -1)
    terms = zip(episodes.state, episodes.action, weight, strict=False)  # the last state has no action
    return np.sum([table[s, a] * w[:, None] for s, a, w in terms], 0)


def weights(mdp: MDP, episodes: Episodes, name: str, v: np.ndarray | None = None) -> np.ndarray:
    """Return Ψ [T, N] of a form that VPG has, by `VPG.weigh` in float64; `v` [T + 1, S] are the values it reads."""
    horizon, shape = len(episodes.action), episodes.action.shape
    table = np.zeros((horizon + 1, mdp.num_states)) if v is None else v
    done = np.broadcast_to((np.arange(horizon) == horizon - 1)[:, None], shape)
    value = along(table, episodes)
    return float64(_weigh(name, mdp.gamma), episodes.reward, value[:-1], value[1:], done, done)


@cache
def _weigh(name: str, gamma: float) -> Any:
    return jax.jit(VPG(weight=name, gamma=gamma).weigh)  # compiled once for all episodes of a shape


def along(table: np.ndarray, episodes: Episodes) -> np.ndarray:
    """Look up what a table [T, S] (or of T + 1 rows) says of each s_t, or one [T, S, A] of each s_t and a_t: [T, N]."""
    t, state = np.arange(len(table))[:, None], episodes.state[: len(table)]
    return table[t, state] if table.ndim == 2 else table[t, state, episodes.action]


def float64(function: Any, *arguments: Any) -> np.ndarray:
    """Return what a function of the library gives in double precision, for claims that are exact but for rounding."""
    with jax.enable_x64(True):
        return np.asarray(function(*map(jnp.asarray, arguments)))


class Moments(NamedTuple):
    """These are the moments of an estimate from one episode."""

    mean: np.ndarray  # [P]
    variance: np.ndarray  # of each of the P parameters: [P]

    @property
    def total(self) -> float:
        """Return the variance, summed over the parameters: E‖g - E g‖²."""
        return float(self.variance.sum())


def moments(gradient: np.ndarray, probability: np.ndarray) -> Moments:
    """Return mean and variance of estimates [N, P], each of which has its probability [N]."""
    mean = probability @ gradient
    return Moments(mean, probability @ (gradient - mean) ** 2)


def deviation(found: Moments, truth: np.ndarray, number: int) -> float:
    """Return how far the mean of `number` samples lies from `truth` [P], in standard errors: the largest of P."""
    error = np.sqrt(found.variance / number)
    return float((np.abs(found.mean - truth) / np.maximum(error, 1e-12)).max())


# --- Figures -----------------------------------------------------------------------------------------------
