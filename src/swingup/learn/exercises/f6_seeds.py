"""Exercise f6 asks for independent streams of random numbers from one seed."""

import numpy as np

from swingup.learn.form import Answer, Case, Exercise

START = '''"""f6: one seed, three streams.

A run needs random numbers for its environment, for its policy and for shuffling. All of them must follow from
its seed, and none may know of another. The check calls your function several times and looks at eight
properties, in this order:

    [0] the same seed gives the same numbers again
    [1] the environment's and the policy's numbers differ
    [2] the three streams differ from each other, also when one is shifted by a row
    [3] seeds s and s + 1 give the environment different numbers
    [4] seeds s and s + 1 give the policy different numbers
    [5] seeds s and s + 1 shuffle differently
    [6] no stream of seed s is another stream of seed s + 1
    [7] no two of these streams are correlated

Each property counts 1 if it holds, and 0 if not.
"""

import numpy as np


def streams(seed, n):
    """Return n random numbers for each of three uses: environment, policy, shuffling.

    seed    int
    n       int
    returns [n, 3]
    """
    raise NotImplementedError  # TODO
'''


def streams(seed, n):
    """Return one generator's numbers per column; each generator is seeded by the seed and by its use."""
    return np.stack([np.random.default_rng([seed, use]).random(n) for use in range(3)], 1)


def cases() -> dict[str, Case]:
    """Return the cases: three seeds."""
    return {
        "shown": {"seed": 0, "n": 4000},
        "seed 1": {"seed": 1, "n": 4000},
        "seed 41": {"seed": 41, "n": 4000},
    }


def _look(answer: Answer, case: Case):
    """Turn the numbers, which may be any, into the properties that they must have."""
    seed, n = case["seed"], case["n"]
    x, again, other = (np.asarray(answer(s, n)) for s in (seed, seed, seed + 1))
    if x.shape != (n, 3) or other.shape != (n, 3):
        return None if x.dtype == object else x
    pairs = [(0, 1), (0, 2), (1, 2)]

    def shares(a, b):
        return any(np.mean(np.isclose(p, q)) > 0.5 for p, q in [(a, b), (a[1:], b[:-1]), (a[:-1], b[1:])])

    columns = np.concatenate([x, other], 1).T
    correlation = np.abs(np.corrcoef(columns + 1e-9 * np.arange(n)) - np.eye(6)).max()
    return np.array(
        [
            np.array_equal(x, again),
            not np.allclose(x[:, 0], x[:, 1]),
            not any(shares(x[:, i], x[:, j]) for i, j in pairs),
            *(not shares(x[:, i], other[:, i]) for i in range(3)),
            not any(shares(x[:, i], other[:, j]) for i in range(3) for j in range(3) if i != j),
            correlation < 0.1,
        ]
    )


def _generators(*seeds):
    return lambda seed, n: np.stack([np.random.default_rng(s(seed)).random(n) for s in seeds], 1)


def _turned(seed, n):
    x = streams(seed, n)
    x[:, 2] = 1 - x[:, 0]
    return x


def _shifted(seed, n):
    x = np.random.default_rng([seed, 5]).random(n + 2)
    return np.stack([x[:n], x[1 : n + 1], x[2 : n + 2]], 1)


EXERCISE = Exercise(
    title="one seed, three streams",
    page="design#seeds-and-keys",
    start=START,
    answer=streams,
    cases=cases,
    look=_look,
    wrong={
        "the environment and the policy get the same numbers, so one knows of the other": _generators(
            lambda s: [s, 0], lambda s: [s, 0], lambda s: [s, 1]
        ),
        "the policy and the shuffling get the same numbers": _generators(
            lambda s: [s, 0], lambda s: [s, 1], lambda s: [s, 1]
        ),
        "the streams are seeded with seed + 0, + 1, + 2, so the next seed uses two of them again": _generators(
            lambda s: s, lambda s: s + 1, lambda s: s + 2
        ),
        "the seed is ignored: all seeds give the same run": _generators(
            lambda s: [0, 0], lambda s: [0, 1], lambda s: [0, 2]
        ),
        "only the environment follows the seed; the other two get the same numbers in every run": _generators(
            lambda s: [s, 0], lambda s: [0, 1], lambda s: [0, 2]
        ),
        "the global generator is used, so the same seed gives other numbers each time": lambda seed, n: (
            np.random.default_rng().random((n, 3))
        ),
        "one stream is made of another one, 1 - x": _turned,
        "the three are one stream, shifted by one row each": _shifted,
    },
    hints=(
        "What would happen if you ran seeds 0 to 9 and seed 1's policy had the numbers of seed 0's environment?",
        "Make one generator for each use; a generator can be seeded with a list of several whole numbers.",
        "np.random.default_rng([seed, use]).random(n), for use 0, 1 and 2; np.stack(..., axis=1)",
    ),
)
