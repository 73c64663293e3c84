"""Exercise c3 is a bug hunt in generalised advantage estimation."""

import numpy as np

from swingup.learn.form import Case, Exercise

START = '''"""c3: a bug in GAE.

Generalised advantage estimation sums up TD errors, and has to tell two ends of an episode apart:

    δ_t = r_t + γ V(s'_t) - V(s_t)            after a real end, V(s'_t) counts 0
    A_t = δ_t + γ λ A_{t+1}                   the sum stops wherever an episode ends

The code below is what a public project had. It runs, and agents learn with it, but less well than they should. Find
the one wrong place and mend it.
"""

import numpy as np


def gae(reward, value, next_value, terminated, truncated, gamma, lam):
    """Return the advantages [T, N].

    reward, value   [T, N]  r_t and V(s_t)
    next_value      [T, N]  V of the true successor s'_t, also where an episode ended
    terminated      [T, N]  bool: the task ended the episode, nothing comes after
    truncated       [T, N]  bool: a time limit ended it; the state is as good as before
    gamma, lam      float

    With r = 0, -1, 0, V = 2, 3, 100, next_value = 3, 7, 1, a real end at the second env step and a time limit at the
    third, γ = ½ and λ = 1, it should be -2.5, -4, -99.5.
    """
    done = terminated | truncated
    advantage = np.zeros_like(reward)
    later = np.zeros(reward.shape[1])
    for t in reversed(range(len(reward))):
        goes_on = 1.0 - done[t]
        delta = reward[t] + gamma * goes_on * next_value[t] - value[t]
        later = delta + gamma * lam * goes_on * later
        advantage[t] = later
    return advantage
'''


def gae(reward, value, next_value, terminated, truncated, gamma, lam):
    """Return the advantages: termination stops the bootstrap, and any end stops the sum."""
    done = terminated | truncated
    advantage = np.zeros_like(reward)
    later = np.zeros(reward.shape[1])
    for t in reversed(range(len(reward))):
        delta = reward[t] + gamma * (1.0 - terminated[t]) * next_value[t] - value[t]
        later = delta + gamma * lam * (1.0 - done[t]) * later
        advantage[t] = later
    return advantage


def cases() -> dict[str, Case]:
    """Return the cases: the shown one, a limit in the midst, and random rollouts."""
    rng = np.random.default_rng(0)

    def column(*x):
        return np.array(x)[:, None]

    end = rng.integers(0, 5, (8, 3))
    return {
        "shown": {
            "reward": column(0.0, -1.0, 0.0),
            "value": column(2.0, 3.0, 100.0),
            "next_value": column(3.0, 7.0, 1.0),
            "terminated": column(False, True, False),
            "truncated": column(False, False, True),
            "gamma": 0.5,
            "lam": 1.0,
        },
        "a limit in the midst": {
            "reward": column(1.0, 1.0, 1.0),
            "value": column(1.0, 2.0, 3.0),
            "next_value": column(2.0, 9.0, 4.0),
            "terminated": column(False, False, False),
            "truncated": column(False, True, False),
            "gamma": 0.5,
            "lam": 0.5,
        },
        "eight of three": {
            "reward": rng.normal(size=(8, 3)),
            "value": rng.normal(size=(8, 3)),
            "next_value": rng.normal(size=(8, 3)),
            "terminated": end == 0,
            "truncated": end == 1,
            "gamma": 0.9,
            "lam": 0.8,
        },
    }


def _gae(reward, value, next_value, stop, cut, gamma, lam):
    advantage, later = np.zeros_like(reward), np.zeros(reward.shape[1])
    for t in reversed(range(len(reward))):
        later = reward[t] + gamma * ~stop[t] * next_value[t] - value[t] + gamma * lam * ~cut[t] * later
        advantage[t] = later
    return advantage


def _late(x):
    return np.concatenate([x[1:], np.zeros_like(x[:1])])


def _returns(reward, value, next_value, terminated, truncated, gamma, lam):
    cut = terminated | truncated
    last = np.zeros_like(cut)
    last[-1] = True
    result, later = np.zeros_like(reward), np.zeros(reward.shape[1])
    for t in reversed(range(len(reward))):
        later = np.where(cut[t] | last[t], ~terminated[t] * next_value[t], later)
        later = reward[t] + gamma * later
        result[t] = later
    return result


EXERCISE = Exercise(
    title="a bug in GAE",
    page="course/policy_optimisation#generalised-advantage-estimation",
    start=START,
    answer=gae,
    cases=cases,
    wrong={
        "a time limit is taken for a death: at a limit, V of the true successor still counts": (
            lambda reward, value, next_value, terminated, truncated, gamma, lam: _gae(
                reward, value, next_value, terminated | truncated, terminated | truncated, gamma, lam
            )
        ),
        "the bootstrap goes on after a real end, where nothing more is earned": (
            lambda reward, value, next_value, terminated, truncated, gamma, lam: _gae(
                reward, value, next_value, np.zeros_like(terminated), terminated | truncated, gamma, lam
            )
        ),
        "both masks are read one env step late: row t belongs to the end at row t": (
            lambda reward, value, next_value, terminated, truncated, gamma, lam: _gae(
                reward, value, next_value, _late(terminated), _late(terminated | truncated), gamma, lam
            )
        ),
        "the bootstrap uses V(s) where V of the successor belongs": (
            lambda reward, value, next_value, terminated, truncated, gamma, lam: _gae(
                reward, value, value, terminated, terminated | truncated, gamma, lam
            )
        ),
        "the sum is never cut, so advantages leak from one episode into the one before": (
            lambda reward, value, next_value, terminated, truncated, gamma, lam: _gae(
                reward, value, next_value, terminated, np.zeros_like(terminated), gamma, lam
            )
        ),
        "the sum is cut at real ends alone, so it leaks over a time limit into another episode": (
            lambda reward, value, next_value, terminated, truncated, gamma, lam: _gae(
                reward, value, next_value, terminated, terminated, gamma, lam
            )
        ),
        "V of the next row is used, which is the first state of a new episode where one has ended": (
            lambda reward, value, next_value, terminated, truncated, gamma, lam: _gae(
                reward,
                value,
                np.concatenate([value[1:], next_value[-1:]]),
                terminated,
                terminated | truncated,
                gamma,
                lam,
            )
        ),
        "these are returns; the value of the state is not subtracted": _returns,
        "λ is left out of the sum, as if it were 1": (
            lambda reward, value, next_value, terminated, truncated, gamma, lam: _gae(
                reward, value, next_value, terminated, terminated | truncated, gamma, 1.0
            )
        ),
    },
    hints=(
        "Two kinds of end exist. Which of them makes the next state worth nothing, and which stops the sum?",
        "The line of `delta`: which mask does it use?",
        "delta = reward + gamma * (1 - terminated) * next_value - value; only the sum uses (1 - done).",
    ),
    hunt="skrl, issue 449: with its option for time limits, a limit was taken for a death",
)
