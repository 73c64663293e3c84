"""Exercise d5 asks for a ring replay."""

import numpy as np

from swingup.learn.form import Case, Exercise

START = '''"""d5: a ring replay.

A replay has room for `size` transitions. When it is full, each new one takes the place of the oldest. What it
keeps must be true: the successor of the last env step of an episode is that episode's last state, and not the
first state of the next one, which the environment shows after its reset. And of the two kinds of end only
`terminated` is kept.
"""

import numpy as np


def replay(obs, next_obs, reset_obs, terminated, truncated, size):
    """Return what is in the replay after T env steps, by place: only places that have been filled.

    obs         [T]  what the agent saw (a number, for once)
    next_obs    [T]  the true successor
    reset_obs   [T]  what the environment showed next: the first observation of a new episode after an end
    terminated  [T]  bool
    truncated   [T]  bool
    size        int
    returns     obs, next_obs and terminated, each [min(T, size)], as a tuple

    With obs 0, 1, 2, 3, 4, next_obs 1, 2, 3, 4, 5, an end by a time limit at obs 3 and size 3, they are 3, 4, 2 and
    4, 5, 3 and 0, 0, 0.
    """
    raise NotImplementedError  # TODO
'''


def replay(obs, next_obs, reset_obs, terminated, truncated, size):
    """Return the places: transition t is at place t mod size."""
    filled = min(len(obs), size)
    kept = np.zeros(filled), np.zeros(filled), np.zeros(filled, bool)
    for t in range(len(obs)):
        for where, what in zip(kept, (obs, next_obs, terminated), strict=True):
            where[t % size] = what[t]
    return kept


def _case(obs, next_obs, terminated, truncated, size):
    end = np.array(terminated) | np.array(truncated)
    return {
        "obs": np.array(obs, float),
        "next_obs": np.array(next_obs, float),
        "reset_obs": np.where(end, -9.0, next_obs),
        "terminated": np.array(terminated),
        "truncated": np.array(truncated),
        "size": size,
    }


def cases() -> dict[str, Case]:
    """Return the cases: the shown one, one that is not full, and a long one."""
    rng = np.random.default_rng(0)
    no, end = [False] * 5, rng.integers(0, 5, 17)
    return {
        "shown": _case([0, 1, 2, 3, 4], [1, 2, 3, 4, 5], no, [False, False, False, True, False], 3),
        "not full yet": _case([0, 1], [1, 2], [False, True], [False, False], 4),
        "17 in 6": _case(rng.normal(size=17), rng.normal(size=17), end == 0, end == 1, 6),
    }


def _ring(next_of=lambda n, r, o: n, flag=lambda end, cut: end, place=lambda t, size: t % size, rows=None):
    def answer(obs, next_obs, reset_obs, terminated, truncated, size):
        filled = (rows or (lambda t, s: min(t, s)))(len(obs), size)
        kept = np.full(filled, np.nan), np.full(filled, np.nan), np.full(filled, np.nan)
        columns = obs, next_of(next_obs, reset_obs, obs), flag(terminated, truncated)
        for t in range(len(obs)):
            if place(t, size) < filled:
                for where, what in zip(kept, columns, strict=True):
                    where[place(t, size)] = what[t]
        return kept

    return answer


EXERCISE = Exercise(
    title="a ring replay",
    page="algorithms/dqn#the-replay",
    start=START,
    answer=replay,
    cases=cases,
    wrong={
        "the first observation of the next episode is kept as successor; keep the true one": _ring(
            lambda n, r, o: r
        ),
        "`terminated` is replaced by any end, so a time limit will count as a death": _ring(
            flag=lambda end, cut: end | cut
        ),
        "the next row's observation is kept as successor, which is wrong wherever an episode ended": _ring(
            lambda n, r, o: np.append(o[1:], n[-1])
        ),
        "a full replay writes to its last place again and again; it must turn and begin at the first": _ring(
            place=lambda t, size: min(t, size - 1)
        ),
        "a full replay takes nothing more; new transitions take the place of the oldest": _ring(
            place=lambda t, size: t
        ),
        "places that were never filled are returned too": _ring(rows=lambda t, size: size),
        "the transitions are in order of their age; they stay at the places where they were written": (
            lambda obs, next_obs, reset_obs, terminated, truncated, size: (
                obs[-size:],
                next_obs[-size:],
                terminated[-size:],
            )
        ),
    },
    hints=(
        "Where does the transition number `size` go, the first that finds the replay full?",
        "Place t mod size; next_obs, not reset_obs; terminated alone.",
        "for each t: place = t % size; kept_obs[place] = obs[t]; and the same for the other two",
    ),
)
