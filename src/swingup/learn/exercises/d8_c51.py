"""Exercise d8 is a bug hunt in the projection of C51."""

import numpy as np

from swingup.learn.form import Case, Exercise

START = '''"""d8: a bug in the projection of C51.

C51 keeps the whole distribution of returns, as probabilities of M equally spaced atoms z. After an env step,
atom j has moved to clip(r + γ z_j), or to clip(r) where the episode terminated. That place lies between two
atoms, and each gets a share of p_j: the nearer, the more. All mass must arrive somewhere.

The code below is what a public project had: sometimes probability is lost. Mend one place.
"""

import numpy as np


def project(reward, terminated, p, z, gamma):
    """Return the moved distributions as probabilities of the same atoms.

    reward      [B]
    terminated  [B]     bool
    p           [B, M]  probabilities of the atoms in s'
    z           [M]     the atoms, equally spaced and rising
    gamma       float
    returns     [B, M], rows that sum to 1

    With r = ¼, γ = ¾, z = 0, 1 and p = 0.8, 0.2 it should be 0.6, 0.4.
    """
    spacing = (z[-1] - z[0]) / (len(z) - 1)
    moved = reward[:, None] + gamma * (1.0 - terminated[:, None]) * z
    place = (np.clip(moved, z[0], z[-1]) - z[0]) / spacing
    result = np.zeros_like(p)
    for b in range(len(p)):
        for j in range(len(z)):
            low, high = int(np.floor(place[b, j])), int(np.ceil(place[b, j]))
            result[b, low] += p[b, j] * (high - place[b, j])
            result[b, high] += p[b, j] * (place[b, j] - low)
    return result
'''


def project(reward, terminated, p, z, gamma):
    """Return the projected distributions; an atom that falls on another gives it all of its mass."""
    spacing = (z[-1] - z[0]) / (len(z) - 1)
    moved = reward[:, None] + gamma * (1.0 - terminated[:, None]) * z
    place = (np.clip(moved, z[0], z[-1]) - z[0]) / spacing
    result = np.zeros_like(p)
    for b in range(len(p)):
        for j in range(len(z)):
            low = min(int(np.floor(place[b, j])), len(z) - 2)
            high = low + 1
            result[b, low] += p[b, j] * (high - place[b, j])
            result[b, high] += p[b, j] * (place[b, j] - low)
    return result


def cases() -> dict[str, Case]:
    """Return the cases: the shown one, an end, places beyond the atoms, and random ones."""
    rng = np.random.default_rng(0)
    one = {"reward": np.array([0.25]), "p": np.array([[0.8, 0.2]]), "z": np.array([0.0, 1.0]), "gamma": 0.75}
    return {
        "shown": {**one, "terminated": np.array([False])},
        "the end of an episode": {**one, "terminated": np.array([True])},
        "beyond the atoms": {
            "reward": np.array([3.0, -3.0, 0.4]),
            "terminated": np.array([False, False, False]),
            "p": np.full((3, 4), 0.25),
            "z": np.linspace(-1, 2, 4),
            "gamma": 0.9,
        },
        "six of five": {
            "reward": rng.normal(size=6),
            "terminated": rng.random(6) < 0.3,
            "p": rng.dirichlet(np.ones(5), 6),
            "z": np.linspace(-2, 2, 5),
            "gamma": 0.8,
        },
    }


def _shares(moved, p, z, spacing, clip=True):
    value = np.clip(moved, z[0], z[-1]) if clip else moved
    share = np.clip(1 - np.abs(value[:, None, :] - z[:, None]) / spacing, 0, 1)
    return (share * p[:, None, :]).sum(-1)


def _moved(reward, terminated, z, gamma):
    return reward[:, None] + gamma * ~terminated[:, None] * z


def _spacing(z):
    return (z[-1] - z[0]) / (len(z) - 1)


def _lossy(reward, terminated, p, z, gamma, swap=False):
    place = (np.clip(_moved(reward, terminated, z, gamma), z[0], z[-1]) - z[0]) / _spacing(z)
    result = np.zeros_like(p)
    for b, j in np.ndindex(p.shape):
        low, high = int(np.floor(place[b, j])), int(np.ceil(place[b, j]))
        down, up = high - place[b, j], place[b, j] - low
        if swap:
            low, high = min(low, len(z) - 2), min(low, len(z) - 2) + 1
            down, up = place[b, j] - low, high - place[b, j]
        result[b, low] += p[b, j] * down
        result[b, high] += p[b, j] * up
    return result


def _nearest(reward, terminated, p, z, gamma):
    place = (np.clip(_moved(reward, terminated, z, gamma), z[0], z[-1]) - z[0]) / _spacing(z)
    result = np.zeros_like(p)
    for b, j in np.ndindex(p.shape):
        result[b, int(np.rint(place[b, j]))] += p[b, j]
    return result


def _mean_only(reward, terminated, p, z, gamma):
    mean = (p * _moved(reward, terminated, z, gamma)).sum(-1, keepdims=True)
    return _shares(mean, np.ones_like(mean), z, _spacing(z))


EXERCISE = Exercise(
    title="a bug in the projection of C51",
    page="algorithms/c51#derivation",
    start=START,
    answer=project,
    cases=cases,
    wrong={
        "where a place falls exactly on an atom, both shares are 0 and its mass is lost": _lossy,
        "the two shares are swapped: the nearer atom gets more": lambda reward, terminated, p, z, gamma: (
            _lossy(reward, terminated, p, z, gamma, swap=True)
        ),
        "places beyond the atoms are not clipped, and their mass is lost": lambda reward, terminated, p, z, gamma: (
            _shares(_moved(reward, terminated, z, gamma), p, z, _spacing(z), clip=False)
        ),
        "M atoms have M - 1 spaces between them, not M": lambda reward, terminated, p, z, gamma: _shares(
            _moved(reward, terminated, z, gamma), p, z, (z[-1] - z[0]) / len(z)
        ),
        "each place gives all of its mass to the nearest atom; it must be shared": _nearest,
        "only the mean is moved; each atom moves by itself": _mean_only,
        "the atoms still count after the episode's end, where only the reward is left": (
            lambda reward, terminated, p, z, gamma: _shares(
                _moved(reward, np.zeros_like(terminated), z, gamma), p, z, _spacing(z)
            )
        ),
        "γ is lost: what comes later counts in full": lambda reward, terminated, p, z, gamma: _shares(
            _moved(reward, terminated, z, 1.0), p, z, _spacing(z)
        ),
    },
    hints=(
        "What are floor and ceil of a place that is a whole number, and what are the two shares then?",
        "The line in which `low` and `high` are made.",
        "low = min(int(np.floor(place)), M - 2); high = low + 1",
    ),
    hunt="rainbow-is-all-you-need, pull request 76: mass on an atom was lost in the projection",
)
