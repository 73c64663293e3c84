"""Exercise d1 asks for the target of DQN."""

import numpy as np

from swingup.learn.form import Case, Exercise

START = '''"""d1: the target of DQN.

DQN fits Q(s, a) to what one env step showed, plus what the *target network* says of the rest:

    y = r + γ (1 - terminated) max_a' Q_target(s', a')

A time limit is no reason to stop there: the episode was cut, the task was not over.
"""

import numpy as np


def target(reward, terminated, truncated, q_target, q_online, gamma):
    """Return the targets y of a batch of B transitions.

    reward      [B]
    terminated  [B]     bool: the task ended the episode in s'
    truncated   [B]     bool: a time limit ended it in s'
    q_target    [B, A]  the target network's Q(s', ·)
    q_online    [B, A]  the online network's Q(s', ·)
    gamma       float
    returns     [B]

    With r = 1, 1, the first truncated, the second terminated, Q_target = [4, 2], [8, 0], Q_online = [3, 0], [0,
    3] and γ = ½, they are 3 and 1.
    """
    raise NotImplementedError  # TODO
'''


def target(reward, terminated, truncated, q_target, q_online, gamma):
    """Return the reward plus the discounted best value of the target network, unless the task was over."""
    return reward + gamma * np.where(terminated, 0.0, q_target.max(1))


def _case(reward, terminated, truncated, q_target, q_online, gamma):
    ends = {"terminated": np.array(terminated), "truncated": np.array(truncated)}
    return {
        "reward": np.array(reward),
        **ends,
        "q_target": np.array(q_target),
        "q_online": np.array(q_online),
        "gamma": gamma,
    }


def cases() -> dict[str, Case]:
    """Return the cases: the shown one, and random batches."""
    rng = np.random.default_rng(0)
    ends = rng.integers(0, 3, 9)
    return {
        "shown": _case(
            [1.0, 1.0], [False, True], [True, False], [[4.0, 2.0], [8.0, 0.0]], [[3.0, 0.0], [0.0, 3.0]], 0.5
        ),
        "a batch of 9": _case(
            rng.normal(size=9), ends == 0, ends == 1, rng.normal(size=(9, 4)), rng.normal(size=(9, 4)), 0.9
        ),
        "three with one action": _case(
            [1.0, 2.0, 3.0],
            [False, True, False],
            [False, False, True],
            rng.normal(size=(3, 1)),
            np.ones((3, 1)),
            0.99,
        ),
    }


EXERCISE = Exercise(
    title="the target of DQN",
    page="algorithms/dqn#the-loss",
    start=START,
    answer=target,
    cases=cases,
    wrong={
        "the online network makes the target, which then moves with every gradient step": (
            lambda reward, terminated, truncated, q_target, q_online, gamma: (
                reward + gamma * ~terminated * q_online.max(1)
            )
        ),
        "a time limit is taken for a death; a truncated episode still bootstraps": (
            lambda reward, terminated, truncated, q_target, q_online, gamma: (
                reward + gamma * ~(terminated | truncated) * q_target.max(1)
            )
        ),
        "the target goes on after a real end, where nothing more is earned": (
            lambda reward, terminated, truncated, q_target, q_online, gamma: reward + gamma * q_target.max(1)
        ),
        "the maximum runs over the whole batch; each row has its own": (
            lambda reward, terminated, truncated, q_target, q_online, gamma: (
                reward + gamma * ~terminated * q_target.max()
            )
        ),
        "the last reward is masked too; it was earned on entering the end": (
            lambda reward, terminated, truncated, q_target, q_online, gamma: (
                ~terminated * (reward + gamma * q_target.max(1))
            )
        ),
        "shapes [B] and [B, 1] make a table [B, B]; keep everything [B]": (
            lambda reward, terminated, truncated, q_target, q_online, gamma: (
                reward + gamma * (~terminated * q_target.max(1))[:, None]
            )
        ),
        "the bootstrap is not discounted": lambda reward, terminated, truncated, q_target, q_online, gamma: (
            reward + ~terminated * q_target.max(1)
        ),
    },
    hints=(
        "Which of the two networks stands still for a while, and why should the target?",
        "Only `terminated` masks, and it masks the bootstrap alone. The maximum is over the last axis.",
        "reward + gamma * (1 - terminated) * q_target.max(1)",
    ),
)
