"""Finite MDPs have exact answers, in NumPy and float64: what every algorithm is tested against.

V is [S], Q is [S, A], a policy π(a|s) is [S, A]. With γ = 1 a policy must reach a terminal state from everywhere.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from swingup.envs.tabular import MDP
from swingup.errors import ConfigError
from swingup.theory.bellman import evaluate_q, evaluate_v, fixed_point, lookahead, optimality_q, optimality_v


def uniform(mdp: MDP) -> np.ndarray:
    """Return the policy that takes all actions equally often: [S, A]."""
    return np.full((mdp.num_states, mdp.num_actions), 1 / mdp.num_actions)


def greedy(q: np.ndarray) -> np.ndarray:
    """π(s) = argmax_a Q(s, a), the first of equals, as probabilities: [S, A].

    >>> greedy(np.array([[1.0, 3.0, 3.0]]))
    array([[0., 1., 0.]])
    """
    return np.eye(q.shape[-1])[np.argmax(q, -1)]


def epsilon_greedy(q: np.ndarray, epsilon: float) -> np.ndarray:
    """Be greedy with probability 1 - ε, else uniform: [S, A]."""
    return (1 - epsilon) * greedy(q) + epsilon / q.shape[-1]


def softmax(logits: np.ndarray) -> np.ndarray:
    """π(a|s) = exp(θ_sa) / Σ_b exp(θ_sb): [S, A]."""
    z = np.exp(logits - logits.max(-1, keepdims=True))
    return z / z.sum(-1, keepdims=True)


# --- What holds of one policy ------------------------------------------------------------------------------


def chain_of(mdp: MDP, policy: np.ndarray) -> np.ndarray:
    """Return P_π(s, s'), the probability that the policy goes from s to s' in one env step and the episode goes on:
    [S, S].
    """
    following = np.einsum("sa,sat->st", policy, mdp.transition)
    return following * ~mdp.terminal * ~mdp.terminal[:, None]


def value(mdp: MDP, policy: np.ndarray) -> np.ndarray:
    """V^π = (I - γ P_π)^-1 r_π: [S]. Raises `ConfigError` where it is infinite."""
    return _solve(mdp, policy, (policy * mdp.expected_reward).sum(-1))


def action_value(mdp: MDP, policy: np.ndarray) -> np.ndarray:
    """Q^π(s, a) = r(s, a) + γ E_s'[V^π(s')]: [S, A]."""
    return lookahead(mdp, value(mdp, policy))


def advantage(mdp: MDP, policy: np.ndarray) -> np.ndarray:
    """A^π = Q^π - V^π: [S, A]; its mean under π is 0 in every state."""
    return action_value(mdp, policy) - value(mdp, policy)[:, None]


def performance(mdp: MDP, policy: np.ndarray) -> float:
    """J(π) = Σ_s μ(s) V^π(s)."""
    return float(mdp.start @ value(mdp, policy))


def occupancy(mdp: MDP, policy: np.ndarray) -> np.ndarray:
    """d(s, a) = Σ_t γ^t P(s_t = s, a_t = a): [S, A]; J = Σ d r. It sums to 1 / (1 - γ) where nothing is terminal."""
    states = _solve(mdp, policy, mdp.start * ~mdp.terminal, transpose=True)
    return states[:, None] * policy


def performance_gradient(mdp: MDP, logits: np.ndarray) -> np.ndarray:
    """∂J/∂θ of π = softmax(θ): d(s, a) A^π(s, a), by the policy gradient theorem (Sutton et al. 2000): [S, A]."""
    policy = softmax(logits)
    return occupancy(mdp, policy) * advantage(mdp, policy)


def _solve(mdp: MDP, policy: np.ndarray, b: np.ndarray, transpose: bool = False) -> np.ndarray:
    matrix = np.eye(mdp.num_states) - mdp.gamma * chain_of(mdp, policy)
    if np.linalg.cond(matrix) > 1e13:
        raise ConfigError("the return is infinite: with gamma = 1 every state must lead to a terminal one")
    return np.linalg.solve(matrix.T if transpose else matrix, b)


# --- What holds of the best policy -------------------------------------------------------------------------


def optimal_value(mdp: MDP) -> np.ndarray:
    """Return V*, by value iteration: [S]."""
    return fixed_point(lambda v: optimality_v(mdp, v), np.zeros(mdp.num_states)).point


def optimal_action_value(mdp: MDP) -> np.ndarray:
    """Return Q*: [S, A]."""
    return lookahead(mdp, optimal_value(mdp))


def optimal_by_policies(mdp: MDP) -> np.ndarray:
    """Return V*, by policy iteration (Howard 1960): evaluate a policy exactly, act greedily, until nothing changes:
    [S].

    It needs γ < 1, or a first policy that ends everywhere: it begins with the uniform one.
    """
    policy = uniform(mdp)
    while True:
        q = action_value(mdp, policy)
        keep = (
            q.max(-1) <= (policy * q).sum(-1) + 1e-12
        )  # among equals the old one stays: it must come to an end
        better = np.where(keep[:, None], policy, greedy(q))
        if np.array_equal(better, policy):
            return value(mdp, policy)
        policy = better


def optimal_by_linear_program(mdp: MDP) -> np.ndarray:
    """V*, the least V with V(s) >= r(s, a) + γ E_s'[V(s')] for all s and a (d'Epenoux 1963): [S]."""
    from scipy.optimize import linprog

    going_on = mdp.transition * ~mdp.terminal
    constraints = (np.eye(mdp.num_states)[:, None] - mdp.gamma * going_on).reshape(-1, mdp.num_states)
    found = linprog(
        np.ones(mdp.num_states),
        -constraints,
        -mdp.expected_reward.ravel(),
        bounds=(None, None),
        method="highs",
    )
    if not found.success:
        raise ConfigError(f"the linear program has no solution: {found.message}")
    return found.x


def deterministic_policies(mdp: MDP) -> Iterator[np.ndarray]:
    """Return all A^S of them, each [S, A]: for brute force on very small MDPs."""
    for actions in np.ndindex(*[mdp.num_actions] * mdp.num_states):
        yield np.eye(mdp.num_actions)[list(actions)]


# --- How far from a solution -------------------------------------------------------------------------------


class Residuals(NamedTuple):
    """Both sides of the four Bellman equations are subtracted; the differences are 0 at the solution."""

    v: np.ndarray  # V - T^π V: [S]
    q: np.ndarray  # Q - T^π Q: [S, A]
    v_optimal: np.ndarray  # V - T* V: [S]
    q_optimal: np.ndarray  # Q - T* Q: [S, A]


def residuals(mdp: MDP, policy: np.ndarray, v: np.ndarray, q: np.ndarray) -> Residuals:
    """Return the four Bellman residuals of V and Q."""
    return Residuals(
        v - evaluate_v(mdp, policy, v),
        q - evaluate_q(mdp, policy, q),
        v - optimality_v(mdp, v),
        q - optimality_q(mdp, q),
    )


def mean_squared_bellman_error(mdp: MDP, q: np.ndarray, weight: np.ndarray | None = None) -> float:
    """E[(Q(s, a) - (R + γ max_a' Q(s', a')))²], s' drawn from P, as the lecture's loss over transitions has it.

    It is the squared residual plus the variance of the target: so at Q* it is 0 only where that variance is,
    as in deterministic MDPs. `weight` [S, A] says how often a pair is met; by default all not terminal ones alike.
    """
    alive = np.broadcast_to(~mdp.terminal[:, None], q.shape)
    often: np.ndarray = alive / alive.sum() if weight is None else weight
    target = mdp.reward + mdp.gamma * np.where(mdp.terminal, 0.0, q.max(-1))
    return float((often[..., None] * mdp.transition * (q[..., None] - target) ** 2).sum())


# --- Trajectories ------------------------------------------------------------------------------------------


class Trajectory(NamedTuple):
    """A trajectory is one way that an episode can go."""

    states: tuple[int, ...]  # s_0 .. s_T
    actions: tuple[int, ...]  # a_0 .. a_{T-1}
    probability: float  # P(τ|π) = μ(s_0) Π π(a_t|s_t) P(s_{t+1}|s_t, a_t)
    rewards: tuple[float, ...]  # r_0 .. r_{T-1}


def trajectories(mdp: MDP, policy: np.ndarray, horizon: int) -> Iterator[Trajectory]:
    """List all that are possible up to a terminal state, or to `horizon` env steps; their probabilities sum to 1."""

    def go(t: Trajectory) -> Iterator[Trajectory]:
        s = t.states[-1]
        if mdp.terminal[s] or len(t.actions) == horizon:
            yield t
            return
        for a, following in np.argwhere((policy[s][:, None] * mdp.transition[s]) > 0).tolist():
            chance = t.probability * policy[s, a] * mdp.transition[s, a, following]
            reward = float(mdp.reward[s, a, following])
            yield from go(
                Trajectory((*t.states, following), (*t.actions, a), float(chance), (*t.rewards, reward))
            )

    for s in np.flatnonzero(mdp.start).tolist():
        yield from go(Trajectory((s,), (), float(mdp.start[s]), ()))
