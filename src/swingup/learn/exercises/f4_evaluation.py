"""Exercise f4 asks for an evaluation without the bias of episodes that end early."""

import numpy as np

from swingup.learn.form import Case, Exercise

START = '''"""f4: an evaluation without bias.

N environments run side by side, and n episodes are to be evaluated. If one takes the first n that finish, short
episodes are preferred, since in the time of a long one several short ones end. So each environment gets a
quota: its first n / N episodes count, however long they take.

The return of an episode is its length here, as on CartPole.
"""

import numpy as np


def mean_return(length, n):
    """Return the mean return of n episodes, a number.

    length  [N, K]  lengths of the episodes of each environment, in the order in which it plays them
    n       int, a multiple of N; n / N is less than K

    With lengths [[1, 1, 1, 1], [9, 9, 9, 9]] and n = 2 it is 5.
    """
    raise NotImplementedError  # TODO
'''


def mean_return(length, n):
    """Return the mean over the same number of first episodes of each environment."""
    return length[:, : n // len(length)].mean()


def cases() -> dict[str, Case]:
    """Return the cases: the shown one, and random lengths."""
    rng = np.random.default_rng(0)
    return {
        "shown": {"length": np.array([[1.0, 1.0, 1.0, 1.0], [9.0, 9.0, 9.0, 9.0]]), "n": 2},
        "three environments": {"length": rng.integers(1, 30, (3, 6)).astype(float), "n": 9},
        "four environments": {"length": rng.integers(1, 200, (4, 9)).astype(float), "n": 16},
    }


def _finished(length, n):
    """Return lengths of the first n episodes to finish, and how far each environment's next one is by then."""
    end = np.cumsum(length, 1)
    order = np.argsort(end, axis=None, kind="stable")[:n]
    now = end.ravel()[order[-1]]
    running = [now - max([0.0, *row[row <= now]]) for row in end]
    return length.ravel()[order], np.array(running)


def _with_running(length, n):
    done, running = _finished(length, n)
    return np.concatenate([done, running[running > 0]]).mean()


EXERCISE = Exercise(
    title="an evaluation without bias",
    page="metrics#evaluation",
    start=START,
    answer=mean_return,
    cases=cases,
    wrong={
        "the first n episodes to finish are taken, which prefers short ones": lambda length, n: _finished(
            length, n
        )[0].mean(),
        "episodes that have not finished are counted with what they have so far": _with_running,
        "all episodes are from the first environment": lambda length, n: length[0, : n // len(length)].mean(),
        "this is a mean per env step, in which long episodes count more often": lambda length, n: (
            (length[:, : n // len(length)] ** 2).sum() / length[:, : n // len(length)].sum()
        ),
        "this is the best environment's mean; all environments count": lambda length, n: (
            length[:, : n // len(length)].mean(1).max()
        ),
        "each environment plays one episode more than its quota": lambda length, n: length[
            :, : n // len(length) + 1
        ].mean(),
        "this is the median; the mean is asked for": lambda length, n: float(
            np.median(length[:, : n // len(length)])
        ),
        "all episodes that there are count; n of them are asked for": lambda length, n: length.mean(),
    },
    hints=(
        "In the time of one episode of 9 env steps, how many of 1 env step finish? Which would you count?",
        "How many episodes of each environment make n in all? Take the first ones of each row.",
        "length[:, : n // N].mean()",
    ),
)
