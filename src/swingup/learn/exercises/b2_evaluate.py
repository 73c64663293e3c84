"""Exercise b2 asks for the exact value of a policy."""

import numpy as np

from swingup.learn.form import Case, Exercise

START = '''"""b2: the exact value of a policy.

Bellman's equation for V^π is linear. With the rewards r_π and the transitions P_π that the policy meets on average,

    V = r_π + γ P_π V,      so      (I - γ P_π) V = r_π

A state that ends the episode leads to itself, with reward 0.
"""

import numpy as np


def value(transition, reward, policy, gamma):
    """Return V^π of each state, by solving the linear equations.

    transition [S, A, S]  P(s' | s, a)
    reward     [S, A]     the expected reward of action a in state s
    policy     [S, A]     π(a | s)
    gamma      float
    returns    [S]

    State 0 has two actions: to stay, with reward 0, and to end in state 1, with reward 1. With π = ½, ½ and γ = ½
    the values are [0.667, 0].
    """
    raise NotImplementedError  # TODO
'''


def value(transition, reward, policy, gamma):
    """Return the solution of (I - γ P_π) V = r_π."""
    p = (policy[:, :, None] * transition).sum(1)
    r = (policy * reward).sum(1)
    return np.linalg.solve(np.eye(len(r)) - gamma * p, r)


def _mdp(rng, states, actions):
    transition = rng.dirichlet(np.ones(states), (states, actions))
    reward = rng.normal(size=(states, actions))
    transition[-1], reward[-1] = np.eye(states)[-1], 0.0  # the last state ends the episode
    policy = (
        rng.multinomial(8, np.ones(actions) / actions, states) / 8
    )  # eighths, so that rows sum to 1 exactly
    return {"transition": transition, "reward": reward, "policy": policy, "gamma": 0.9}


def cases() -> dict[str, Case]:
    """Return the cases: the shown one, and random MDPs with an end."""
    rng = np.random.default_rng(0)
    shown = np.zeros((2, 2, 2))
    shown[0, 0, 0] = shown[0, 1, 1] = shown[1, :, 1] = 1
    reward, half = np.array([[0.0, 1.0], [0.0, 0.0]]), np.full((2, 2), 0.5)
    return {
        "shown": {"transition": shown, "reward": reward, "policy": half, "gamma": 0.5},
        "three states": _mdp(rng, 3, 2),
        "five states": _mdp(rng, 5, 3),
    }


def _parts(transition, reward, policy):
    return (policy[:, :, None] * transition).sum(1), (policy * reward).sum(1)


def _transposed(transition, reward, policy, gamma):
    p, r = _parts(transition, reward, policy)
    return np.linalg.solve(np.eye(len(r)) - gamma * p.T, r)


def _greedy(transition, reward, policy, gamma):
    v = np.zeros(len(reward))
    for _ in range(2000):
        v = (reward + gamma * transition @ v).max(1)
    return v


def _twice(transition, reward, policy, gamma):
    p, r = _parts(transition, reward, policy)
    return r + gamma * p @ r


EXERCISE = Exercise(
    title="the exact value of a policy",
    page="course/key_concepts#bellmans-equations",
    start=START,
    answer=value,
    cases=cases,
    wrong={
        "γ is left out, so the matrix is singular as soon as an episode can end": (
            lambda transition, reward, policy, gamma: value(transition, reward, policy, 1.0)
        ),
        "P_π is transposed: row s must hold where s leads to": _transposed,
        "this is one sweep from zeros, the reward of one env step; the equations ask for the fixed point": (
            lambda transition, reward, policy, gamma: _parts(transition, reward, policy)[1]
        ),
        "these are two sweeps from zeros, not the fixed point": _twice,
        "this is the value of the greedy policy; average over π, take no maximum": _greedy,
        "the given π is not used: all actions are weighted alike": lambda transition, reward, policy, gamma: (
            value(transition, reward, np.full_like(policy, 1 / policy.shape[1]), gamma)
        ),
        "rewards are added over the actions; average them with π": lambda transition, reward, policy, gamma: (
            np.linalg.solve(
                np.eye(len(reward)) - gamma * _parts(transition, reward, policy)[0], reward.sum(1)
            )
        ),
    },
    hints=(
        "Which reward, and which next state, does the policy meet on average in state s?",
        "Average P and R over the actions with π first, which leaves [S, S] and [S]; then solve, do not iterate.",
        "np.linalg.solve(I - γ P_π, r_π), with P_π[s, s'] = Σ_a π(a|s) P(s'|s, a) and r_π[s] = Σ_a π(a|s) R(s, a)",
    ),
)
