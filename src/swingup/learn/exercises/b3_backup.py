"""Exercise b3 asks for one sweep of value iteration."""

import numpy as np

from swingup.learn.form import Case, Exercise

START = '''"""b3: one sweep of value iteration.

The optimality operator replaces every Q(s, a) by the reward plus the discounted value of acting best from then on:

    (T* Q)(s, a) = R(s, a) + γ Σ_s' P(s' | s, a) max_a' Q(s', a')

All new values are made of the old ones.
"""

import numpy as np


def backup(transition, reward, gamma, q):
    """Return T* Q, and leave `q` as it is.

    transition [S, A, S]  P(s' | s, a)
    reward     [S, A]
    gamma      float
    q          [S, A]
    returns    [S, A]

    From state 0 each action leads to state 1 or 2, with probability ½ each, and reward 1. With Q(1, ·) = [4, 0],
    Q(2, ·) = [0, 2] and γ = ½, the new Q(0, ·) is [2.5, 2.5].
    """
    raise NotImplementedError  # TODO
'''


def backup(transition, reward, gamma, q):
    """Return the reward plus the discounted mean, over successors, of their best value."""
    return reward + gamma * transition @ q.max(1)


def cases() -> dict[str, Case]:
    """Return the cases: the shown one, and random MDPs."""
    rng = np.random.default_rng(0)
    shown = np.zeros((3, 2, 3))
    shown[0, :, 1] = shown[0, :, 2] = 0.5
    shown[1, :, 1] = shown[2, :, 2] = 1.0
    q = np.array([[0.0, 2.0], [4.0, 0.0], [0.0, 2.0]])
    reward = np.array([[1.0, 1.0], [0.0, 0.0], [0.0, 0.0]])

    def random(s, a):
        p = rng.dirichlet(np.ones(s), (s, a))
        return {
            "transition": p,
            "reward": rng.normal(size=(s, a)),
            "gamma": 0.8,
            "q": rng.normal(size=(s, a)),
        }

    return {
        "shown": {"transition": shown, "reward": reward, "gamma": 0.5, "q": q},
        "four states": random(4, 3),
        "two": random(2, 2),
    }


def _in_place(transition, reward, gamma, q):
    q = q.copy()
    for s in range(len(q)):
        q[s] = reward[s] + gamma * transition[s] @ q.max(1)
    return q


EXERCISE = Exercise(
    title="one sweep of value iteration",
    page="course/q_learning#value-iteration",
    start=START,
    answer=backup,
    cases=cases,
    wrong={
        "this averages over the next actions; the best one counts": lambda transition, reward, gamma, q: (
            reward + gamma * transition @ q.mean(1)
        ),
        "this takes the best next state; chance picks it, so average over P": lambda transition, reward, gamma, q: (
            reward + gamma * np.where(transition > 0, q.max(1), -np.inf).max(-1)
        ),
        "the maximum is taken after the mean over next states; the agent sees s' before it acts": (
            lambda transition, reward, gamma, q: reward + gamma * np.max(transition @ q, -1)
        ),
        "this uses max Q of the state itself; the values of the next states are needed": (
            lambda transition, reward, gamma, q: reward + gamma * q.max(1, keepdims=True)
        ),
        "γ multiplies the reward too; only what comes later is discounted": lambda transition, reward, gamma, q: (
            gamma * (reward + transition @ q.max(1))
        ),
        "this takes the worst next action": lambda transition, reward, gamma, q: (
            reward + gamma * transition @ q.min(1)
        ),
        "new values are used within the same sweep; all of them must come from the old Q": _in_place,
        "nothing is discounted": lambda transition, reward, gamma, q: reward + transition @ q.max(1),
    },
    hints=(
        "What is chosen by the agent here, and what by chance? Which of the two is a maximum, which a mean?",
        "First reduce Q over the actions of each next state, then let P average over the next states.",
        "reward + gamma * transition @ q.max(1): [S, A, S] @ [S] is [S, A]",
    ),
)
