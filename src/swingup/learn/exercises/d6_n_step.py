"""Exercise d6 is a bug hunt in n-step targets from a replay."""

import numpy as np

from swingup.learn.form import Case, Exercise

START = '''"""d6: a bug in n-step targets.

From a replay one takes n rows in a row, sums their rewards, and bootstraps from the state after the last one:

    y = Σ_{j<m} γ^j r_j + γ^m (1 - terminated) max Q(s_m),      m <= n

The sum stops after the row in which an episode ended. After a time limit one bootstraps from there; after a real end
there is no bootstrap. The code below is what a public project had. Mend one place.
"""

import numpy as np


def n_step_target(reward, terminated, truncated, next_q, gamma):
    """Return the target, a number.

    reward      [n]  of n neighbouring rows
    terminated  [n]  bool
    truncated   [n]  bool
    next_q      [n]  max Q of the true successor of each row
    gamma       float

    With rewards 1, 1, 1, next_q = 2, 4, 8 and γ = ½ it should be 2.75; with a time limit at the second row, 2.5.
    """
    y = 0.0
    for j in range(len(reward)):
        y += gamma**j * reward[j]
        if terminated[j] or truncated[j]:
            break
    return y + gamma * (1.0 - terminated[j]) * next_q[j]
'''


def n_step_target(reward, terminated, truncated, next_q, gamma):
    """Return the sum of rewards up to an end, and the bootstrap discounted by as many env steps."""
    y = 0.0
    for j in range(len(reward)):
        y += gamma**j * reward[j]
        if terminated[j] or truncated[j]:
            break
    return y + gamma ** (j + 1) * (1.0 - terminated[j]) * next_q[j]


def _case(reward, terminated, truncated, next_q, gamma=0.5):
    ends = {"terminated": np.array(terminated), "truncated": np.array(truncated)}
    return {"reward": np.array(reward), **ends, "next_q": np.array(next_q), "gamma": gamma}


def cases() -> dict[str, Case]:
    """Return the cases: the shown one, both kinds of end, and random ones."""
    rng = np.random.default_rng(0)
    no, second, r, q = [False] * 3, [False, True, False], [1.0, 1.0, 1.0], [2.0, 4.0, 8.0]
    return {
        "shown": _case(r, no, no, q),
        "a time limit at the second row": _case(r, no, second, q),
        "a real end at the second row": _case([1.0, 2.0, 5.0], second, no, q),
        "a limit at the first row": _case(
            rng.normal(size=4), [False] * 4, [True] + [False] * 3, rng.normal(size=4), 0.9
        ),
        "an end at the last row": _case(
            rng.normal(size=4), [False] * 3 + [True], [False] * 4, rng.normal(size=4), 0.9
        ),
    }


def _sum(reward, cut, gamma):
    y, j = 0.0, 0
    for j in range(len(reward)):
        y += gamma**j * reward[j]
        if cut[j]:
            break
    return y, j


def _wrong(
    power=lambda j, n: j + 1, stop=lambda end, cut, j: end[j], last=lambda j, n: j, cut=lambda end, c: end | c
):
    def answer(reward, terminated, truncated, next_q, gamma):
        n = len(reward)
        y, j = _sum(reward, cut(terminated, truncated), gamma)
        return y + gamma ** power(j, n) * (1.0 - stop(terminated, truncated, j)) * next_q[last(j, n)]

    return answer


def _masked(reward, terminated, truncated, next_q, gamma):
    return n_step_target(reward * ~terminated, terminated, truncated, next_q, gamma)


EXERCISE = Exercise(
    title="a bug in n-step targets",
    page="algorithms/dqn#more-than-one-reward",
    start=START,
    answer=n_step_target,
    cases=cases,
    wrong={
        "the bootstrap has γ where γ to the number of summed rewards belongs": _wrong(lambda j, n: 1),
        "the bootstrap always has γⁿ, also where an end left fewer rewards": _wrong(lambda j, n: n),
        "the sum runs on into the next episode": _wrong(cut=lambda end, cut: np.zeros_like(end)),
        "a time limit is taken for a death; bootstrap from its true last state": _wrong(
            stop=lambda end, cut, j: end[j] or cut[j]
        ),
        "the last reward of an episode is thrown away; it was earned": _masked,
        "the bootstrap is from the last row, also where the sum stopped before": _wrong(
            last=lambda j, n: n - 1
        ),
        "the bootstrap stays after a real end, where nothing more is earned": _wrong(
            stop=lambda end, cut, j: False
        ),
        "the power of γ is one too small: after m rewards it is m": _wrong(lambda j, n: j),
    },
    hints=(
        "After three rewards, how many env steps away is the state from which we bootstrap?",
        "The last line: which power of γ?",
        "return y + gamma ** (j + 1) * (1 - terminated[j]) * next_q[j]",
    ),
    hunt="FastTD3, issue 6: n-step targets bootstrapped with γ to the first power",
)
