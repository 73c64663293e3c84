"""Exercise b5 asks for TD(λ) with eligibility traces."""

import numpy as np

from swingup.learn.form import Case, Exercise

START = '''"""b5: TD(λ) with eligibility traces.

Each env step has one TD error. A trace remembers which states led here, and all of them share the error:

    e(s) <- γ λ e(s) for all s,  then  e(s_t) += 1
    δ = r_t + γ (1 - terminated_t) V(s_{t+1}) - V(s_t)
    V(s) += lr δ e(s) for all s

When an episode has terminated, the trace is forgotten.
"""

import numpy as np


def td_lambda(v, states, reward, terminated, lr, gamma, lam):
    """Return V after T env steps. Leave `v` as it is.

    v           [S]     values at the beginning
    states      [T, 2]  int: the state of each env step, and its next state
    reward      [T]
    terminated  [T]     bool
    lr, gamma, lam      float
    returns     [S]

    From v = [0, 0, 1] the agent goes 0, 1, 0 and ends in 2, with rewards 0, 0, 1. With lr = γ = λ = ½ the new values
    are [0.531, 0.125, 1].
    """
    raise NotImplementedError  # TODO
'''


def td_lambda(v, states, reward, terminated, lr, gamma, lam):
    """Return V after all env steps, by the backward view with accumulating traces."""
    v, trace = v.copy(), np.zeros_like(v)
    for (s, s_next), r, end in zip(states, reward, terminated, strict=True):
        trace *= gamma * lam
        trace[s] += 1
        delta = r + gamma * (1 - end) * v[s_next] - v[s]
        v += lr * delta * trace
        if end:
            trace[:] = 0
    return v


def _case(v, path, reward, end, lr=0.5, gamma=0.5, lam=0.5):
    return {
        "v": np.array(v),
        "states": np.array(path),
        "reward": np.array(reward),
        "terminated": np.array(end),
        "lr": lr,
        "gamma": gamma,
        "lam": lam,
    }


def cases() -> dict[str, Case]:
    """Return the cases: the shown one, two episodes, and a random walk."""
    rng = np.random.default_rng(0)
    walk = rng.integers(0, 4, 11)
    return {
        "shown": _case([0.0, 0.0, 1.0], [[0, 1], [1, 0], [0, 2]], [0.0, 0.0, 1.0], [False, False, True]),
        "two episodes": _case(
            [0.0, 0.5, 1.0], [[0, 2], [1, 0], [0, 2]], [1.0, 2.0, 3.0], [True, False, True], 0.5, 0.9, 0.8
        ),
        "a walk": _case(
            rng.normal(size=4),
            np.stack([walk[:-1], walk[1:]], 1),
            rng.normal(size=10),
            rng.random(10) < 0.2,
            0.3,
            0.9,
            0.7,
        ),
    }


def _wrong(
    decay=lambda gamma, lam: gamma * lam, bootstrap=True, replace=False, late=False, forget=True, total=True
):
    def answer(v, states, reward, terminated, lr, gamma, lam):
        v, trace = v.copy(), np.zeros_like(v)
        for (s, s_next), r, end in zip(states, reward, terminated, strict=True):
            trace *= decay(gamma, lam)
            if not late:
                trace[s] = 1 if replace else trace[s] + 1
            delta = r + gamma * (1 - end * bootstrap) * v[s_next] - v[s]
            v = v + lr * delta * (trace if total else np.eye(len(v))[s])
            if late:
                trace[s] += 1
            if end and forget:
                trace[:] = 0
        return v

    return answer


EXERCISE = Exercise(
    title="TD(λ) with eligibility traces",
    page="algorithms/td_lambda#derivation",
    start=START,
    answer=td_lambda,
    cases=cases,
    wrong={
        "the trace decays by λ alone; γ is missing": _wrong(lambda gamma, lam: lam),
        "the trace decays by γ alone; λ is missing, so this is TD(1)": _wrong(lambda gamma, lam: gamma),
        "the TD error goes on after the episode's end, where V counts 0": _wrong(bootstrap=False),
        "only the current state is updated, which is TD(0); the trace says who shares the error": _wrong(
            total=False
        ),
        "the trace is set to 1 where it should grow by 1: these are replacing traces": _wrong(replace=True),
        "the current state enters the trace after the update, so it never gets its own TD error": _wrong(
            late=True
        ),
        "the trace outlives the episode, so the next one changes states of the last": _wrong(forget=False),
        "the trace does not decay at all": _wrong(lambda gamma, lam: 1.0),
    },
    hints=(
        "Which states deserve a share of this TD error, and how much each?",
        "Within one env step: decay, then add 1 for the current state, then the error, then the update of all states.",
        "trace *= gamma * lam; trace[s] += 1; v += lr * (r + gamma * (1 - end) * v[s_next] - v[s]) * trace",
    ),
)
