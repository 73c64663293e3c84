"""Exercise f5 asks for the interval of a mean over seeds, and for the interquartile mean."""

import numpy as np

from swingup.learn.form import Case, Exercise

START = '''"""f5: what a few seeds tell.

The unit of an experiment is the training run: episodes of one agent are no independent trials of the algorithm.
So first average each seed's episodes. Then, for S seeds with standard deviation s (dividing by S - 1),

    mean ± t s / sqrt(S)

is an interval that holds the true mean with 95 % probability, if t is the 97.5 % quantile of Student's
distribution with S - 1 degrees of freedom. The interquartile mean leaves out the lowest and the highest ⌊S / 4⌋
seeds.
"""

import numpy as np


def summary(score, t):
    """Return the mean over seeds, half the length of its interval, and the interquartile mean: three numbers, a tuple.

    score  [S, E]  returns of E episodes of each of S seeds
    t      float   the quantile of Student's distribution

    With seed means 1, 2, 3, 5, 10 and t = 2.776 they are 4.2, 4.42 and 3.33.
    """
    raise NotImplementedError  # TODO
'''


def summary(score, t):
    """Return mean, half an interval and interquartile mean of the seeds' means."""
    x = np.sort(score.mean(1))
    n = len(x)
    return x.mean(), t * x.std(ddof=1) / np.sqrt(n), x[n // 4 : n - n // 4].mean()


def cases() -> dict[str, Case]:
    """Return the cases: the shown one, and random scores."""
    rng = np.random.default_rng(0)
    shown = np.array([3.0, 1.0, 10.0, 2.0, 5.0])[:, None] + np.array([-0.5, 0.5])
    return {
        "shown": {"score": shown, "t": 2.776},
        "eight seeds": {"score": rng.normal(100, 20, (8, 1)) + rng.normal(0, 5, (8, 4)), "t": 2.365},
        "ten seeds": {"score": rng.exponential(50, (10, 3)), "t": 2.262},
    }


def _wrong(
    mean=np.mean,
    half=lambda x, t: t * x.std(ddof=1) / np.sqrt(len(x)),
    iqm=lambda x: x[len(x) // 4 : len(x) - len(x) // 4].mean(),
):
    def answer(score, t):
        x = np.sort(score.mean(1))
        return mean(x), half(x, t), iqm(x)

    return answer


def _episodes(score, t):
    x = np.sort(score.ravel())
    n = len(x)
    return x.mean(), t * x.std(ddof=1) / np.sqrt(n), x[n // 4 : n - n // 4].mean()


EXERCISE = Exercise(
    title="what a few seeds tell",
    page="labs#seeds",
    start=START,
    answer=summary,
    cases=cases,
    wrong={
        "episodes are counted as seeds, which makes the interval much too short": _episodes,
        "this is the standard deviation of seeds; divide by the root of their number": _wrong(
            half=lambda x, t: x.std(ddof=1)
        ),
        "t times the deviation is not divided by the root of the number of seeds": _wrong(
            half=lambda x, t: t * x.std(ddof=1)
        ),
        "1.96 is used in place of t, which is too short for a few seeds": _wrong(
            half=lambda x, t: 1.96 * x.std(ddof=1) / np.sqrt(len(x))
        ),
        "the deviation divides by S; for the interval divide by S - 1": _wrong(
            half=lambda x, t: t * x.std() / np.sqrt(len(x))
        ),
        "this is the median; the interquartile mean averages the middle half": _wrong(iqm=np.median),
        "only the lowest quarter is left out, which flatters": _wrong(iqm=lambda x: x[len(x) // 4 :].mean()),
        "the best seed is reported as if it were the mean": _wrong(mean=np.max),
        "the seeds are not sorted, so the first and last ones are left out, not the extreme ones": lambda score, t: (
            summary(score, t)[0],
            summary(score, t)[1],
            score.mean(1)[len(score) // 4 : len(score) - len(score) // 4].mean(),
        ),
    },
    hints=(
        "If you evaluated one agent a million times, how much would you know about the algorithm?",
        "Average over axis 1 first, sort, and go on with S numbers.",
        "x.mean(), t * x.std(ddof=1) / sqrt(S), x[S // 4 : S - S // 4].mean(), with x = np.sort(score.mean(1))",
    ),
)
