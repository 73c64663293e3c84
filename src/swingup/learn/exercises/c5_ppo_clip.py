"""Exercise c5 asks for PPO's clipped loss, with which an agent is trained then."""

import numpy as np

from swingup.learn.form import Case, Exercise

START = '''"""c5: PPO's clipped loss.

With the ratio ρ = π(a|s) / π_old(a|s) of each sample, PPO maximises

    L = mean min(ρ A, clip(ρ, 1 - ε, 1 + ε) A)

Optimisers minimise, so the loss is -L. The minimum matters: it stops the gradient of what has gone far enough, and
leaves that of mistakes on.

When this is right, `swingup learn train c5` trains PPO with your loss. There the very same text runs with
jax.numpy in the place of np. So work on whole arrays: write no loops, no `if` on numbers, and change no array
in place.
"""

import numpy as np


def policy_loss(logp, logp_old, advantage, epsilon):
    """Return the loss, which an optimiser is to minimise.

    logp       [B]    log π(a|s) of the policy as it is now
    logp_old   [B]    the same of the policy that acted
    advantage  [B]
    epsilon    float  ε, such as 0.2
    returns    a number

    With ratios 3/2, 3/2, ½, ½, advantages 1, -1, 2, -3 and ε = 0.2 it is 0.425.
    """
    raise NotImplementedError  # TODO
'''


def policy_loss(logp, logp_old, advantage, epsilon):
    """Return equation 7 of the paper with its sign turned."""
    ratio = np.exp(logp - logp_old)
    clipped = np.clip(ratio, 1 - epsilon, 1 + epsilon)
    return -np.minimum(ratio * advantage, clipped * advantage).mean()


def cases() -> dict[str, Case]:
    """Return the cases: the shown one, ratios of 1, and random ones."""
    rng = np.random.default_rng(0)
    old = np.array([-1.0, -2.0, -0.5, -3.0])
    return {
        "shown": {
            "logp": old + np.log([1.5, 1.5, 0.5, 0.5]),
            "logp_old": old,
            "advantage": np.array([1.0, -1.0, 2.0, -3.0]),
            "epsilon": 0.2,
        },
        "ratios of 1": {
            "logp": old,
            "logp_old": old,
            "advantage": np.array([1.0, 2.0, 3.0, 5.0]),
            "epsilon": 0.2,
        },
        "a batch of 7": {
            "logp": rng.normal(-1, 0.5, 7),
            "logp_old": rng.normal(-1, 0.5, 7),
            "advantage": rng.normal(size=7),
            "epsilon": 0.1,
        },
    }


def _loss(ratio, advantage, low, high, pick=np.minimum):
    return -pick(ratio * advantage, np.clip(ratio, low, high) * advantage).mean()


EXERCISE = Exercise(
    title="PPO's clipped loss",
    page="algorithms/ppo#the-clip",
    start=START,
    answer=policy_loss,
    cases=cases,
    wrong={
        "the ratio is only clipped; without the minimum, mistakes beyond the clip are frozen": (
            lambda logp, logp_old, advantage, epsilon: (
                -(np.clip(np.exp(logp - logp_old), 1 - epsilon, 1 + epsilon) * advantage).mean()
            )
        ),
        "this takes the larger of the two; the smaller is the cautious one": (
            lambda logp, logp_old, advantage, epsilon: _loss(
                np.exp(logp - logp_old), advantage, 1 - epsilon, 1 + epsilon, np.maximum
            )
        ),
        "the ratio is upside down; it is new over old": lambda logp, logp_old, advantage, epsilon: _loss(
            np.exp(logp_old - logp), advantage, 1 - epsilon, 1 + epsilon
        ),
        "this is the objective; a loss is minimised, so its sign is turned": (
            lambda logp, logp_old, advantage, epsilon: -policy_loss(logp, logp_old, advantage, epsilon)
        ),
        "the logarithm of the ratio stands where the ratio belongs; take its exponential": (
            lambda logp, logp_old, advantage, epsilon: _loss(
                logp - logp_old, advantage, 1 - epsilon, 1 + epsilon
            )
        ),
        "the ratio is clipped to ±ε; it is near 1, so clip it to 1 ± ε": lambda logp, logp_old, advantage, epsilon: (
            _loss(np.exp(logp - logp_old), advantage, -epsilon, epsilon)
        ),
        "every ratio is multiplied with every advantage; shapes [B, 1] and [B] make [B, B]": (
            lambda logp, logp_old, advantage, epsilon: _loss(
                np.exp(logp - logp_old)[:, None], advantage, 1 - epsilon, 1 + epsilon
            )
        ),
        "nothing is clipped: this is the plain surrogate": lambda logp, logp_old, advantage, epsilon: (
            -(np.exp(logp - logp_old) * advantage).mean()
        ),
    },
    hints=(
        "Suppose an action was bad and has become likelier by mistake. Should its gradient be on or off?",
        "Two products, ρ A and the clipped ρ times A; the minimum of the two per sample; the mean; the sign.",
        "-np.minimum(ρ * A, np.clip(ρ, 1 - ε, 1 + ε) * A).mean(), with ρ = np.exp(logp - logp_old)",
    ),
    trains="PPO on CartPole with your loss, ten seeds side by side; under a minute",
)
