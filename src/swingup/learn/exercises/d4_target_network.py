"""Exercise d4 asks for the life of a target network."""

import numpy as np

from swingup.learn.form import Case, Exercise

START = '''"""d4: the life of a target network.

A target network is an old copy of the online one. After every `period`-th gradient step it moves towards it:

    target <- (1 - τ) target + τ online

With τ = 1 it is copied. Here a network is a single weight, and each gradient step adds a given number to it.
"""

import numpy as np


def target_weights(weight, change, tau, period):
    """Return the target network's weight after each of k gradient steps.

    weight  float  both networks' weight at the beginning
    change  [k]    what each gradient step adds to the online network's weight
    tau     float  τ
    period  int    gradient steps between two moves of the target
    returns [k]

    With weight 0, changes 1, 1, 1, 1, τ = ½ and period 2 they are 0, 1, 1, 2.5.
    """
    raise NotImplementedError  # TODO
'''


def target_weights(weight, change, tau, period):
    """Return the target's weight: it moves after the online network has, at every `period`-th gradient step."""
    online = target = weight
    result = np.zeros(len(change))
    for k, delta in enumerate(change):
        online = online + delta
        if (k + 1) % period == 0:
            target = (1 - tau) * target + tau * online
        result[k] = target
    return result


def cases() -> dict[str, Case]:
    """Return the cases: the shown one, Polyak averaging, copies, and a random one."""
    rng = np.random.default_rng(0)
    return {
        "shown": {"weight": 0.0, "change": np.ones(4), "tau": 0.5, "period": 2},
        "τ small, period 1": {"weight": 1.0, "change": np.array([1.0, -2.0, 3.0]), "tau": 0.1, "period": 1},
        "copies": {"weight": 0.0, "change": np.arange(1.0, 8.0), "tau": 1.0, "period": 3},
        "seven": {"weight": 0.5, "change": rng.normal(size=7), "tau": 0.3, "period": 2},
    }


def _life(tau_of=lambda tau: tau, due=lambda k, period: (k + 1) % period == 0, before=False, back=False):
    def answer(weight, change, tau, period):
        online = target = weight
        result = np.zeros(len(change))
        for k, delta in enumerate(change):
            seen = online if before else online + delta
            online = online + delta
            if due(k, period):
                target = (1 - tau_of(tau)) * target + tau_of(tau) * seen
                online = target if back else online
            result[k] = target
        return result

    return answer


EXERCISE = Exercise(
    title="the life of a target network",
    page="algorithms/dqn#the-target-network",
    start=START,
    answer=target_weights,
    cases=cases,
    wrong={
        "the target is the online network itself, not a copy, so it moves along": lambda weight, change, tau, period: (
            weight + np.cumsum(change)
        ),
        "the target moves before the gradient step, towards the weight of one step ago": _life(before=True),
        "the period is ignored: the target moves after every gradient step": _life(
            due=lambda k, period: True
        ),
        "the count begins one too early: the first move comes after `period` gradient steps": _life(
            due=lambda k, period: k % period == 0
        ),
        "the target never moves": _life(due=lambda k, period: False),
        "the online network is pulled back to the target; only the target moves": _life(back=True),
        "τ and 1 - τ have changed places; a small τ is a slow target": _life(tau_of=lambda tau: 1 - tau),
        "τ is ignored: the target is always copied": _life(tau_of=lambda tau: 1.0),
    },
    hints=(
        "With period 2, does the target move after the first and third gradient step, or the second and fourth?",
        "In each round: the online network first, then perhaps the target, then note its weight.",
        "if (k + 1) % period == 0: target = (1 - tau) * target + tau * online",
    ),
)
