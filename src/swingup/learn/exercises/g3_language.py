"""Exercise g3 asks for two losses with which language models are trained from feedback."""

import numpy as np

from swingup.learn.form import Case, Exercise

START = '''"""g3: policy gradients for language models.

REINFORCE with a leave-one-out baseline (RLOO) samples G answers to each prompt. The advantage of an answer is
its reward minus the mean reward of the *other* answers to the same prompt.

DPO learns from pairs of answers without a reward. With the log-probabilities of the preferred (w) and the
rejected (l) answer, of the policy and of a fixed reference model, its loss is

    mean -log sigmoid(β ((log π_w - log ref_w) - (log π_l - log ref_l)))
"""

import numpy as np


def advantage_and_dpo(reward, logp_w, logp_l, ref_w, ref_l, beta):
    """Return the advantages of RLOO and the loss of DPO, as a tuple.

    reward                        [P, G]  G answers to each of P prompts, G > 1
    logp_w, logp_l, ref_w, ref_l  [B]
    beta                          float   β
    returns                       [P, G] and a number

    With rewards 1, 1, 0, 0 the advantages are 0.667, 0.667, -0.667, -0.667. With logp_w = -1, logp_l = -5,
    ref_w = -4, ref_l = -2 and β = ½ the loss is 0.0486.
    """
    raise NotImplementedError  # TODO
'''


def advantage_and_dpo(reward, logp_w, logp_l, ref_w, ref_l, beta):
    """Return reward minus the others' mean, and the mean of -log sigmoid of the scaled margin."""
    others = (reward.sum(1, keepdims=True) - reward) / (reward.shape[1] - 1)
    margin = beta * ((logp_w - ref_w) - (logp_l - ref_l))
    return reward - others, np.logaddexp(0, -margin).mean()


def cases() -> dict[str, Case]:
    """Return the cases: the shown one, equal rewards, and random ones."""
    rng = np.random.default_rng(0)
    pairs = ["logp_w", "logp_l", "ref_w", "ref_l"]
    one = dict(zip(pairs, np.array([[-1.0], [-5.0], [-4.0], [-2.0]]), strict=True))
    return {
        "shown": {"reward": np.array([[1.0, 1.0, 0.0, 0.0]]), **one, "beta": 0.5},
        "equal rewards": {"reward": np.array([[1.0, 1.0, 1.0], [0.0, 1.0, 0.0]]), **one, "beta": 0.1},
        "five pairs": {
            "reward": rng.random((3, 4)),
            **dict(zip(pairs, rng.normal(-5, 2, (4, 5)), strict=True)),
            "beta": 0.3,
        },
    }


def _wrong(advantage=None, loss=None):
    def answer(reward, logp_w, logp_l, ref_w, ref_l, beta):
        a, b = advantage_and_dpo(reward, logp_w, logp_l, ref_w, ref_l, beta)
        a = advantage(reward) if advantage else a
        return a, (loss(logp_w - ref_w, logp_l - ref_l, logp_w - logp_l, beta) if loss else b)

    return answer


def _soft(x):
    return np.logaddexp(0, -x)


EXERCISE = Exercise(
    title="policy gradients for language models",
    page="course/policy_optimisation#move-3-subtract-a-baseline",
    start=START,
    answer=advantage_and_dpo,
    cases=cases,
    wrong={
        "the answer's own reward is in its baseline; leave it out": _wrong(
            lambda r: r - r.mean(1, keepdims=True)
        ),
        "the baseline is over all prompts; only answers to the same prompt are compared": _wrong(
            lambda r: r - (r.sum() - r) / (r.size - 1)
        ),
        "this divides by the group's deviation, as GRPO does: NaN where all answers are equal": _wrong(
            lambda r: (r - r.mean(1, keepdims=True)) / r.std(1, keepdims=True)
        ),
        "the reference model is missing, so nothing keeps the policy near it": _wrong(
            loss=lambda won, lost, plain, beta: _soft(beta * plain).mean()
        ),
        "preferred and rejected have changed places": _wrong(
            loss=lambda won, lost, plain, beta: _soft(beta * (lost - won)).mean()
        ),
        "β stands outside of the sigmoid": _wrong(
            loss=lambda won, lost, plain, beta: (beta * _soft(won - lost)).mean()
        ),
        "this is log sigmoid; a loss has the other sign": _wrong(
            loss=lambda won, lost, plain, beta: -_soft(beta * (won - lost)).mean()
        ),
        "this is a sum over the pairs and β is lost": _wrong(
            loss=lambda won, lost, plain, beta: _soft(won - lost).sum()
        ),
    },
    hints=(
        "If the baseline of an answer contained its own reward, would it still be independent of that answer?",
        "Others' mean: (sum of the row - own) / (G - 1). In DPO subtract each reference before the difference.",
        "np.logaddexp(0, -β ((logp_w - ref_w) - (logp_l - ref_l))).mean()",
    ),
)
