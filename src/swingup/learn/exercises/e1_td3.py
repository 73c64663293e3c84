"""Exercise e1 asks for the target of TD3."""

import numpy as np

from swingup.learn.form import Case, Exercise

START = '''"""e1: the target of TD3.

TD3 makes the target of DDPG more cautious, in two ways. Noise on the target's action smooths Q over neighbouring
actions, and the smaller of two critics is believed:

    a' = clip(μ(s') + clip(0.2 z, -½, ½), -1, 1)
    y  = r + γ (1 - terminated) min(Q1(s', a'), Q2(s', a'))

with z standard normal, drawn for each transition and dimension.
"""

import numpy as np


def target(reward, terminated, action, z, q1, q2, gamma):
    """Return the targets y of a batch of B transitions.

    reward      [B]
    terminated  [B]     bool
    action      [B, D]  μ(s'), the target actor's actions
    z           [B, D]  random numbers from a standard normal
    q1, q2      functions: actions [B, D] -> Q(s', actions) [B]
    gamma       float
    returns     [B]

    With r = 1, 0, the second terminated, μ = [0.9], z = [3], Q1(a) = 2a, Q2(a) = 3 and γ = ½ they are 2 and 0.
    """
    raise NotImplementedError  # TODO
'''


def target(reward, terminated, action, z, q1, q2, gamma):
    """Return the targets, with the smoothed action and the smaller of two critics."""
    smoothed = np.clip(action + np.clip(0.2 * z, -0.5, 0.5), -1, 1)
    return reward + gamma * np.where(terminated, 0.0, np.minimum(q1(smoothed), q2(smoothed)))


def cases() -> dict[str, Case]:
    """Return the cases: the shown one, and random batches with curved critics."""
    rng = np.random.default_rng(0)

    def random(b, d):
        return {
            "reward": rng.normal(size=b),
            "terminated": rng.random(b) < 0.3,
            "action": rng.uniform(-1, 1, (b, d)),
            "z": rng.normal(0, 2, (b, d)),
            "q1": lambda a: (a**2 + a).sum(-1),
            "q2": lambda a: np.cos(2 * a).sum(-1),
            "gamma": 0.9,
        }

    shown = {
        "reward": np.array([1.0, 0.0]),
        "terminated": np.array([False, True]),
        "action": np.full((2, 1), 0.9),
        "z": np.full((2, 1), 3.0),
        "q1": lambda a: 2 * a[:, 0],
        "q2": lambda a: np.full(len(a), 3.0),
        "gamma": 0.5,
    }
    return {"shown": shown, "eight of two": random(8, 2), "six of one": random(6, 1)}


def _noise(z):
    return np.clip(0.2 * z, -0.5, 0.5)


def _wrong(act=lambda a, z: np.clip(a + _noise(z), -1, 1), both=np.minimum, stop=lambda end: end):
    def answer(reward, terminated, action, z, q1, q2, gamma):
        a = act(action, z)
        return reward + gamma * np.where(stop(terminated), 0.0, both(q1(a), q2(a)))

    return answer


EXERCISE = Exercise(
    title="the target of TD3",
    page="algorithms/td3#derivation",
    start=START,
    answer=target,
    cases=cases,
    wrong={
        "one noise serves the whole batch; each transition has its own": _wrong(
            lambda a, z: np.clip(a + _noise(z[:1]), -1, 1)
        ),
        "the noise is not clipped to ±½, so a rare large one decides": _wrong(
            lambda a, z: np.clip(a + 0.2 * z, -1, 1)
        ),
        "the noise has its full size; it is scaled by 0.2 first": _wrong(
            lambda a, z: np.clip(a + np.clip(z, -0.5, 0.5), -1, 1)
        ),
        "the noisy action leaves its bounds, where the critics were never trained": _wrong(
            lambda a, z: a + _noise(z)
        ),
        "the action is not smoothed": _wrong(lambda a, z: a),
        "the larger critic is believed, which makes values too large": _wrong(both=np.maximum),
        "the two critics are averaged; the smaller one is believed": _wrong(both=lambda a, b: (a + b) / 2),
        "only the first critic is asked": _wrong(both=lambda a, b: a),
        "the target goes on after the episode's end, where nothing more is earned": _wrong(
            stop=np.zeros_like
        ),
    },
    hints=(
        "Which actions may the environment ever see? Which of two uncertain judges do you believe?",
        "Clip twice: the noise to ±½, and then the action to ±1. Then one minimum.",
        "a = np.clip(action + np.clip(0.2 * z, -0.5, 0.5), -1, 1); r + γ (1 - terminated) np.minimum(q1(a), q2(a))",
    ),
)
