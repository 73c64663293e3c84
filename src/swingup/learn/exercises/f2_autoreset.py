"""Exercise f2 is a bug hunt in the use of an environment that resets itself one env step late."""

import numpy as np

from swingup.learn.form import Case, Exercise

START = '''"""f2: a bug with next-step autoreset.

Vectors of environments in Gymnasium reset themselves by default in the env step *after* an end. In that step
the action is ignored, the reward is 0, and what comes back is the first observation of a new episode. Such a
step is no transition: nobody should learn from it.

The code below collects the transitions of one environment. Mend one place.
"""

import numpy as np


def transitions(obs, action, reward, terminated, truncated):
    """Return obs, action, reward, next_obs and terminated of all true transitions, as a tuple.

    obs         [T + 1]  obs[t] was seen before env step t, obs[t + 1] came back from it (numbers, for once)
    action      [T]
    reward      [T]
    terminated  [T]  bool: env step t ended the episode, obs[t + 1] is its last observation
    truncated   [T]  bool: a time limit ended it there

    With ends at the env steps 1 and 4 of 6, four transitions are true: 0, 1, 3 and 4.
    """
    keep = np.ones(len(action), bool)
    return obs[:-1][keep], action[keep], reward[keep], obs[1:][keep], terminated[keep]
'''


def transitions(obs, action, reward, terminated, truncated):
    """Return the transitions, without the env step after each end."""
    done = terminated | truncated
    keep = np.append(True, ~done[:-1])
    return obs[:-1][keep], action[keep], reward[keep], obs[1:][keep], terminated[keep]


def _case(obs, reward, terminated, truncated):
    t = len(reward)
    return {
        "obs": np.array(obs, float),
        "action": np.arange(t),
        "reward": np.array(reward, float),
        "terminated": np.array(terminated),
        "truncated": np.array(truncated),
    }


def cases() -> dict[str, Case]:
    """Return the cases: the shown one, an end in the last env step, and a long one."""
    rng = np.random.default_rng(0)
    f, end, cut = False, np.zeros(20, bool), np.zeros(20, bool)
    end[[3, 11]], cut[[7, 16]] = True, True
    return {
        "shown": _case(
            [0, 1, 2, 10, 11, 12, 20], [1, 1, 0, 1, 1, 0], [f, True, f, f, f, f], [f, f, f, f, True, f]
        ),
        "an end in the last env step": _case([0, 1, 2, 3], [1, 2, 3], [f, f, True], [f, f, f]),
        "twenty": _case(rng.normal(size=21), rng.normal(size=20), end, cut),
    }


def _keep(obs, action, reward, terminated, keep, flag=None):
    flag = terminated if flag is None else flag
    return obs[:-1][keep], action[keep], reward[keep], obs[1:][keep], flag[keep]


def _after(done):
    return np.append(True, ~done[:-1])


def _same_step(obs, action, reward, terminated, truncated):
    keep = _after(terminated | truncated)
    late = np.append(obs[2:], obs[-1])
    successor = np.where(terminated | truncated, late, obs[1:])
    return obs[:-1][keep], action[keep], reward[keep], successor[keep], terminated[keep]


EXERCISE = Exercise(
    title="a bug with next-step autoreset",
    page="your_environment#environments-on-the-host",
    start=START,
    answer=transitions,
    cases=cases,
    wrong={
        "the resets are learnt from, as if they were transitions; drop the env step after each end": (
            lambda obs, action, reward, terminated, truncated: _keep(
                obs, action, reward, terminated, np.ones(len(action), bool)
            )
        ),
        "the last transition of each episode is dropped; the env step after it must be": (
            lambda obs, action, reward, terminated, truncated: _keep(
                obs, action, reward, terminated, ~(terminated | truncated)
            )
        ),
        "the end's successor is the first observation of the next episode; here it is obs[t + 1]": _same_step,
        "any end is returned as terminated, so a time limit will count as a death": (
            lambda obs, action, reward, terminated, truncated: _keep(
                obs, action, reward, terminated, _after(terminated | truncated), terminated | truncated
            )
        ),
        "the env step after a time limit is kept; a reset follows both kinds of end": (
            lambda obs, action, reward, terminated, truncated: _keep(
                obs, action, reward, terminated, _after(terminated)
            )
        ),
        "both the end and the reset are dropped; the end is a true transition": (
            lambda obs, action, reward, terminated, truncated: _keep(
                obs,
                action,
                reward,
                terminated,
                _after(terminated | truncated) & ~(terminated | truncated),
            )
        ),
        "only the env step after a time limit is dropped; a reset follows both kinds of end": (
            lambda obs, action, reward, terminated, truncated: _keep(
                obs, action, reward, terminated, _after(truncated)
            )
        ),
    },
    hints=(
        "Which env step of the shown case has no action that mattered? What did the env step before it say?",
        "The line of `keep`: row t is true unless row t - 1 ended an episode.",
        "keep = np.append(True, ~(terminated | truncated)[:-1])",
    ),
    hunt="CleanRL, issue 499: Gymnasium 1.0 began to reset one env step late, and old code learnt from it",
)
