"""Exercise b1 asks for discounted returns within episodes."""

import numpy as np

from swingup.learn.form import Case, Exercise

START = '''"""b1: discounted returns.

A rollout holds T env steps of N environments. Episodes end in its midst, and the last ones go on beyond it. The
return of each env step is summed up from the back:

    G_t = r_t + γ (1 - done_t) G_{t+1},      G_T = last

so nothing leaks from one episode into the one before. `last` is what a running episode will still earn.
"""

import numpy as np


def returns(reward, done, gamma, last):
    """Return the discounted return that follows each env step.

    reward  [T, N]  float
    done    [T, N]  bool: the episode ended with this env step
    gamma   float
    last    [N]     float, the return after the end of the rollout
    returns [T, N]

    With rewards 1, 1, 1, an end at the second one, γ = ½ and last = 8, they are 1.5, 1, 5.
    """
    raise NotImplementedError  # TODO
'''


def returns(reward, done, gamma, last):
    """Return G, from the last env step to the first."""
    result, later = np.zeros_like(reward), last
    for t in reversed(range(len(reward))):
        later = reward[t] + gamma * np.where(done[t], 0.0, later)
        result[t] = later
    return result


def cases() -> dict[str, Case]:
    """Return the cases: the shown one, one env step, and random rollouts."""
    rng = np.random.default_rng(0)
    return {
        "shown": {
            "reward": np.ones((3, 1)),
            "done": np.array([[False], [True], [False]]),
            "gamma": 0.5,
            "last": np.array([8.0]),
        },
        "one env step": {
            "reward": np.array([[2.0, 3.0]]),
            "done": np.array([[True, False]]),
            "gamma": 0.9,
            "last": np.array([5.0, 7.0]),
        },
        "six of four": {
            "reward": rng.normal(size=(6, 4)),
            "done": rng.random((6, 4)) < 0.3,
            "gamma": 0.8,
            "last": rng.normal(size=4),
        },
    }


def _back(reward, keep, gamma, last):
    result, later = np.zeros_like(reward), last
    for t in reversed(range(len(reward))):
        later = reward[t] + gamma * keep[t] * later
        result[t] = later
    return result


def _late(reward, done, gamma, last):
    return _back(reward, np.concatenate([~done[1:], np.ones_like(done[:1])]), gamma, last)


def _from_start(reward, done, gamma, last):
    result, later = np.zeros_like(reward), last
    for t in reversed(range(len(reward))):
        later = reward[t] + gamma * np.where(done[t], 0.0, later)
        result[t] = later * gamma**t
    return result


EXERCISE = Exercise(
    title="discounted returns within episodes",
    page="course/key_concepts#reward-and-return",
    start=START,
    answer=returns,
    cases=cases,
    wrong={
        "the sum runs through the end of an episode into the next one": lambda reward, done, gamma, last: (
            _back(reward, np.ones_like(reward), gamma, last)
        ),
        "done is read one env step late: row t uses done[t], not done[t + 1]": _late,
        "the reward of an episode's last env step is thrown away; it was earned": lambda reward, done, gamma, last: (
            _back(reward * ~done, ~done, gamma, last)
        ),
        "`last` is ignored, so an episode that goes on earns nothing more": lambda reward, done, gamma, last: (
            _back(reward, ~done, gamma, np.zeros_like(last))
        ),
        "this is discounted from the rollout's start; each return counts from its own env step": _from_start,
        "nothing is discounted": lambda reward, done, gamma, last: _back(reward, ~done, 1.0, last),
        "the reward itself is discounted; γ belongs to what comes after it": lambda reward, done, gamma, last: (
            _back(gamma * reward, ~done, gamma, last)
        ),
    },
    hints=(
        "If you knew the return of env step t + 1, how would you get that of env step t?",
        "Loop from the last row to the first; where done[t] is true, nothing of later rows may be added.",
        "later = last; then for t = T-1 ... 0: later = reward[t] + gamma * (1 - done[t]) * later",
    ),
)
