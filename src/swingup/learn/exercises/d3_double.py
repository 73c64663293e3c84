"""Exercise d3 is a bug hunt in the target of double DQN."""

import numpy as np

from swingup.learn.form import Case, Exercise

START = '''"""d3: a bug in the double target.

The maximum of noisy values is too large on average. Double DQN lets one network pick the action, and the other
judge it:

    y = r + γ (1 - terminated) Q_target(s', argmax_a' Q_online(s', a'))

The code below calls itself double and is not. Mend one place.
"""

import numpy as np


def double_target(reward, terminated, q_online, q_target, gamma):
    """Return the targets y of a batch of B transitions.

    reward      [B]
    terminated  [B]     bool
    q_online    [B, A]  the online network's Q(s', ·)
    q_target    [B, A]  the target network's Q(s', ·)
    gamma       float
    returns     [B]

    With r = 1, Q_online = [2, 0], Q_target = [4, 8] and γ = ½ it should be 3.
    """
    best = q_target.argmax(1)
    judged = q_target[np.arange(len(best)), best]
    return reward + gamma * (1.0 - terminated) * judged
'''


def double_target(reward, terminated, q_online, q_target, gamma):
    """Return the targets: the online network picks, the target network judges."""
    best = q_online.argmax(1)
    judged = q_target[np.arange(len(best)), best]
    return reward + gamma * (1.0 - terminated) * judged


def cases() -> dict[str, Case]:
    """Return the cases: the shown one, an end, and a random batch."""
    rng = np.random.default_rng(0)
    one = {
        "reward": np.array([1.0]),
        "q_online": np.array([[2.0, 0.0]]),
        "q_target": np.array([[4.0, 8.0]]),
        "gamma": 0.5,
    }
    return {
        "shown": {**one, "terminated": np.array([False])},
        "the end of an episode": {**one, "terminated": np.array([True])},
        "a batch of 9": {
            "reward": rng.normal(size=9),
            "terminated": rng.random(9) < 0.3,
            "q_online": rng.normal(size=(9, 4)),
            "q_target": rng.normal(size=(9, 4)),
            "gamma": 0.9,
        },
    }


def _at(table, index):
    return table[np.arange(len(index)), index]


def _of(next_value):
    def answer(reward, terminated, q_online, q_target, gamma):
        return reward + gamma * ~terminated * next_value(q_online, q_target)

    return answer


EXERCISE = Exercise(
    title="a bug in the double target",
    page="algorithms/dqn#double-dqn",
    start=START,
    answer=double_target,
    cases=cases,
    wrong={
        "the target network picks and judges too, which is plain DQN": _of(lambda q, target: target.max(1)),
        "the online network judges its own pick; the other one must": _of(lambda q, target: q.max(1)),
        "the roles are swapped; the online network must pick and the target network judge": _of(
            lambda q, target: _at(q, target.argmax(1))
        ),
        "this takes the smaller of the two networks' values per action, which is TD3's idea": _of(
            lambda q, target: np.minimum(q, target).max(1)
        ),
        "this averages the two networks; each has its own role": _of(
            lambda q, target: ((q + target) / 2).max(1)
        ),
        "the target goes on after the episode's end, where nothing more is earned": (
            lambda reward, terminated, q_online, q_target, gamma: (
                reward + gamma * _at(q_target, q_online.argmax(1))
            )
        ),
        "the smaller of the two maxima is taken; one network picks, the other judges that one action": _of(
            lambda q, target: np.minimum(q.max(1), target.max(1))
        ),
    },
    hints=(
        "Which network picks here, and which judges? Which should?",
        "The line of `best`.",
        "best = q_online.argmax(1)",
    ),
    hunt="Papers-in-100-Lines-of-Code, issue 21: the target network picked the action, too",
)
