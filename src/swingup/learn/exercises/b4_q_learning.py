"""Exercise b4 asks for one update of Q-learning and the policy that explores."""

import numpy as np

from swingup.learn.form import Case, Exercise

START = '''"""b4: one update of Q-learning, and ε-greedy.

After an env step from s with action a, reward r and next state s',

    Q(s, a) += lr (r + γ (1 - terminated) max_a' Q(s', a') - Q(s, a))

Then the agent acts in s' by the new Q: the best action with probability 1 - ε, else any action, the best one
included.
"""

import numpy as np


def update(q, s, a, r, s_next, terminated, *, lr, gamma, epsilon):
    """Return the new Q, and the probabilities of the actions in s_next. Leave `q` as it is.

    q                    [S, A]
    s, a, s_next         int
    r                    float
    terminated           bool: the episode ended in s_next, where nothing more is earned
    lr, gamma, epsilon   float
    returns              Q [S, A] and π(· | s_next) [A], as a tuple

    With Q(0, ·) = [0, 0], Q(1, ·) = [1, 2], s = 0, a = 0, r = 1, s' = 1, lr = ½, γ = 0.9 and ε = 0.2, the new
    Q(0, ·) is [1.4, 0] and π is [0.1, 0.9].
    """
    raise NotImplementedError  # TODO
'''


def update(q, s, a, r, s_next, terminated, *, lr, gamma, epsilon):
    """Return the new Q and the ε-greedy policy in the next state."""
    q = q.copy()
    target = r + (0.0 if terminated else gamma * q[s_next].max())
    q[s, a] += lr * (target - q[s, a])
    policy = np.full(q.shape[1], epsilon / q.shape[1])
    policy[q[s_next].argmax()] += 1 - epsilon
    return q, policy


def cases() -> dict[str, Case]:
    """Return the cases: the shown one, an episode's end, and random tables."""
    rng = np.random.default_rng(0)
    shown = {
        "s": 0,
        "a": 0,
        "r": 1.0,
        "s_next": 1,
        "terminated": False,
        "lr": 0.5,
        "gamma": 0.9,
        "epsilon": 0.2,
    }
    table = {"q": rng.normal(size=(4, 3)), "s": 2, "a": 1, "r": -1.5, "s_next": 3}
    rates = {"lr": 0.1, "gamma": 0.7, "epsilon": 0.3}
    return {
        "shown": {"q": np.array([[0.0, 0.0], [1.0, 2.0]]), **shown},
        "the end of an episode": {**shown, "q": np.array([[0.3, 0.0], [1.0, 2.0]]), "terminated": True},
        "four states": {**table, "terminated": False, **rates},
        "back to the same state": {**table, "s_next": 2, "terminated": False, **rates},
    }


def _wrong(later_of, rate=1.0, row=False, policy_of=None):
    def answer(q, s, a, r, s_next, terminated, *, lr, gamma, epsilon):
        q = q.copy()
        target = r + gamma * later_of(q, s, s_next, terminated, epsilon)
        where = (s, slice(None)) if row else (s, a)
        q[where] = q[where] + (lr if rate else 1.0) * (target - q[where])
        n = q.shape[1]
        best = np.eye(n)[q[s_next].argmax()]
        return q, policy_of(best, n, epsilon) if policy_of else epsilon / n + (1 - epsilon) * best

    return answer


def _right(q, s, s_next, terminated, epsilon):
    return 0.0 if terminated else q[s_next].max()


def _expected(q, s, s_next, terminated, epsilon):
    return 0.0 if terminated else epsilon * q[s_next].mean() + (1 - epsilon) * q[s_next].max()


EXERCISE = Exercise(
    title="one update of Q-learning, and ε-greedy",
    page="algorithms/q_learning#derivation",
    start=START,
    answer=update,
    cases=cases,
    wrong={
        "the target goes on after the episode's end; a terminated episode earns nothing more": _wrong(
            lambda q, s, s_next, terminated, epsilon: q[s_next].max()
        ),
        "this is expected SARSA, a mean over the policy; Q-learning takes the best next action": _wrong(
            _expected
        ),
        "the maximum is over the actions of the old state s; the next state's count": _wrong(
            lambda q, s, s_next, terminated, epsilon: 0.0 if terminated else q[s].max()
        ),
        "lr is ignored: Q jumps to its target, and one noisy reward wipes out the rest": _wrong(
            _right, rate=0.0
        ),
        "all actions of s are updated; only the one that was taken has been tried": _wrong(_right, row=True),
        "the best action is left out of the random ones; ε is shared by all": _wrong(
            _right, policy_of=lambda best, n, epsilon: np.where(best > 0, 1 - epsilon, epsilon / (n - 1))
        ),
        "the best action gets 1 - ε alone, so the probabilities do not sum to 1": _wrong(
            _right, policy_of=lambda best, n, epsilon: np.where(best > 0, 1 - epsilon, epsilon / n)
        ),
        "ε and 1 - ε have changed places, so this explores almost always": _wrong(
            _right, policy_of=lambda best, n, epsilon: (1 - epsilon) / n + epsilon * best
        ),
    },
    hints=(
        "What does the agent still earn after the episode has ended? And which entries of Q did this env step try?",
        "One entry changes, Q(s, a). The maximum is over row s_next. Copy q before you write into it.",
        "π = ε / A for every action, and 1 - ε more for np.argmax of the new Q(s_next, ·).",
    ),
)
