"""The maximum of noisy estimates is too high: Q-learning believes it for long, double Q-learning does not.

Source: van Hasselt 2010, "Double Q-learning"; Sutton & Barto 2018, example 6.7. In the first state action 0 ends
the episode with reward 0, and is right. All others lead to a second state, where every action pays +1 or -1 and -0.1 on
average. After a few tries some of its actions look good by luck. Their maximum is what Q-learning takes for the
value of that state, and it goes there again and again. Double Q-learning lets one table choose and a second one, which
had other luck, judge. Both explore with ε, so some wrong actions remain: ε (A - 1) / A of all, the floor.
"""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from swingup.algos.double_q_learning import DoubleQLearning
from swingup.algos.q_learning import QLearning
from swingup.envs import Vec
from swingup.envs.adapters.tabular import Tabular
from swingup.envs.tabular import MDP, bias
from swingup.lab.tools.learning import apart, learn, mean_of, seeds_of
from swingup.lab.tools.report import Claim, Report
from swingup.theory import exact
from swingup.training import machine

EPSILON, LR = 0.1, 0.1  # the book's
LEARNERS: dict[str, Any] = {"Q-learning": QLearning, "double Q-learning": DoubleQLearning}
SEEDS, EPISODES, EVERY = 400, 300, 20  # of each learner; episodes of each seed; env steps between two looks
SURE = 5.0  # standard errors; two equal learners are that far apart in less than one of a million comparisons


def run(seed: int = 0) -> Report:
    """Train both; draw how often the first action is wrong, and what they hold the second state to be worth."""
    mdp = bias()
    found = {name: learnt(kind, mdp, seed) for name, kind in LEARNERS.items()}
    floor = EPSILON * (mdp.num_actions - 1) / mdp.num_actions
    truth = float(exact.optimal_value(mdp)[1])
    figure = Figure(figsize=(9, 3.6), dpi=150, layout="constrained")
    left, right = figure.subplots(1, 2)
    at = EVERY * np.arange(1, 2 * EPISODES // EVERY + 1)
    for name, (wrong, belief) in found.items():
        left.plot(np.arange(1, EPISODES + 1), wrong.mean(0), label=name)
        mean, half = belief.mean(0), 2 * belief.std(0, ddof=1) / np.sqrt(len(belief))
        right.plot(at, mean, label=name)
        right.fill_between(at, mean - half, mean + half, alpha=0.25, lw=0)
    left.axhline(floor, color="black", ls="--", lw=0.8, label="exploration alone")
    right.axhline(truth, color="black", ls="--", lw=0.8, label="exact")
    left.set(
        xlabel="episode", ylabel="share of wrong first actions", ylim=(0, 1), title=f"{SEEDS} seeds of each"
    )
    right.set(xlabel="env steps", ylabel="belief in max Q(second state, a)", title="mean ± 2 standard errors")
    left.legend()
    right.legend()
    look = (
        "left: Q-learning takes the wrong action most of the time before it learns better, double Q-learning "
        "stays near the dashed floor. Right: the reason is that Q-learning holds a state to be good that is worth"
        " -0.1."
    )
    numbers = {
        "floor": floor,
        "truth": truth,
        "wrong": {name: wrong.mean(0).tolist() for name, (wrong, _) in found.items()},
        "env_steps": at.tolist(),
        "belief": {name: belief.mean(0).tolist() for name, (_, belief) in found.items()},
    }
    return Report(look, tuple(claims_of(found, floor, truth)), numbers, figure)


def learnt(kind: Any, mdp: MDP, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return whether each episode's first action was wrong [S, EPISODES], and `belief` after each `EVERY` env steps
    [S, points].

    An episode has two env steps if its first action was wrong, and one if not.
    """
    algo = kind(gamma=1.0, lr=LR, epsilon_start=EPSILON, epsilon_end=EPSILON)
    machine.set_up(algo, SEEDS)
    env = Vec(Tabular(mdp), algo.num_envs)
    found = learn(algo, env, seeds_of(seed, SEEDS), 2 * EPISODES, EVERY, lambda learner: learner.q[..., 1, :])
    ended = found.metrics["ep/count"] > 0
    first = np.argsort(~ended, 1, kind="stable")[:, :EPISODES]  # the iterations in which episodes ended
    return np.take_along_axis(found.metrics["ep/length"], first, 1) == 2, belief(found.seen)


def belief(q: np.ndarray) -> np.ndarray:
    """Return max_a Q(s, a) of one table [..., A]; of two [..., 2, A] the mean of what each says of the other's best
    action.

    >>> belief(np.array([[[1.0, 5.0], [3.0, 2.0]]])), belief(np.array([[[[1.0, 5.0], [3.0, 2.0]]]]))
    (array([[5., 3.]]), array([[1.5]]))
    """
    if q.ndim == 3:
        return q.max(-1)
    judged = np.take_along_axis(q[..., ::-1, :], q.argmax(-1)[..., None], -1)
    return judged[..., 0].mean(-1)


def claims_of(found: dict[str, tuple[np.ndarray, np.ndarray]], floor: float, truth: float) -> list[Claim]:
    """Claim what wrong first actions [S, episodes] and beliefs [S, points] of each learner show."""
    (one, high), (two, low) = found["Q-learning"], found["double Q-learning"]
    wrong, peak = [x.mean(1) for x in (one, two)], int(high.mean(0).argmax())
    more = apart(wrong[0], wrong[1])
    high, low = high[:, peak], low[:, peak]
    above, believed = apart(high, low), mean_of(high)
    return [
        Claim(
            bool(more > SURE and wrong[0].mean() > 2 * floor),
            f"the first action is wrong in {wrong[0].mean():.1%} of Q-learning's {EPISODES} episodes and in "
            f"{wrong[1].mean():.1%} of double Q-learning's, {more:.0f} standard errors apart (at least {SURE:.0f}); "
            f"exploration alone makes {floor:.1%}",
        ),
        Claim(
            bool(above > SURE and believed.value > SURE * believed.error),
            f"Q-learning comes to believe that the second state is worth {believed}, more than the {truth:.1f} "
            f"that it is and than the 0 at the beginning; double Q-learning then believes {mean_of(low)}",
        ),
    ]
