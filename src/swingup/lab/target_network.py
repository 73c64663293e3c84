"""A target network keeps Q from running after its own target: DQN with the copy θ⁻ and without, where returns are <= 1.

Source: Mnih et al. 2015, doi:10.1038/nature14236; Lillicrap et al. 2016, arXiv:1509.02971, for the average. The
states of the chain are numbers from -1 to 1, so that the network which raises Q(s, a) raises the Q of all
neighbours too. Without a target network it raises its own target at once, and runs after it. A copy that stands
still for a while, or follows slowly (Polyak's average), cuts this loop: errors cannot feed themselves at once.
The price is that news comes later.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from swingup.algos.dqn import DQN
from swingup.envs import make
from swingup.lab.tools.learning import all_states, learn, per_seed, seeds_of
from swingup.lab.tools.report import Claim, Report, plain
from swingup.protocols import hyperparameters
from swingup.theory import exact
from swingup.training import machine

ENV = "tabular:Chain?states=10&slip=0.1&gamma=0.99&observe=coordinates"
MOST = 1.0  # no return can be larger: the reward 1 comes once
TARGETS = {  # {name: (gradient steps between renewals, τ)}
    "no target network": (1.0, 1.0),
    "renewed every 100": (100.0, 1.0),
    "Polyak's average": (1.0, 0.01),
}
SEEDS, ENV_STEPS, EVERY = 10, 10_000, 200  # of each kind; env steps of each seed, and between two looks


@hyperparameters
class AnyTarget(DQN):
    """DQN, but the period is a float: so one compiled program runs all kinds of target networks side by side."""

    target_period: float = 500.0  # pyright: ignore[reportIncompatibleVariableOverride]

    def __post_init__(self):
        """The periods are an array with one for each seed; DQN's check is for one number."""


def run(seed: int = 0) -> Report:
    """Train with each kind of target network; draw the largest |Q - Q*|, and its worst moment."""
    errors = dict(zip(TARGETS, distances(list(TARGETS.values()), seed), strict=True))
    figure = Figure(figsize=(9, 3.6), dpi=150, layout="constrained")
    left, right = figure.subplots(1, 2)
    at = EVERY * np.arange(1, ENV_STEPS // EVERY + 1)
    for i, (name, error) in enumerate(errors.items()):
        left.semilogy(at, error.T, color=f"C{i}", ls="-", lw=0.9, label=[name, *["_"] * (SEEDS - 1)])
    left.axhline(2 * MOST, color="black", ls="--", lw=0.8)
    left.set(xlabel="env steps", ylabel="max |Q - Q*|", title=f"{SEEDS} seeds of each")
    left.legend()
    worst = {name: error.max(1) for name, error in errors.items()}
    draw_worst(right, worst)
    plain(left.yaxis, right.yaxis)
    look = (
        "left: without a target network lines leap far above the dashed one. Returns lie between 0 and 1, so an "
        "error above 2 is a Q that cannot be. Right: the worst moment of each seed says the same."
    )
    numbers = {"env": ENV, "env_steps": at.tolist(), "errors": {k: v.tolist() for k, v in errors.items()}}
    return Report(look, tuple(claims_of(worst)), numbers, figure)


def distances(kinds: Sequence[tuple[float, float]], seed: int, env_steps: int = ENV_STEPS) -> np.ndarray:
    """Return max |Q(s, a) - Q*(s, a)| over the states that are not terminal, after each `EVERY` env steps.

    [kinds, seeds, points]; every kind (period, τ) meets the same seeds.
    """
    period, tau = np.repeat(np.array(kinds, np.float32), SEEDS, 0).T
    algo = per_seed(
        AnyTarget,
        epsilon_decay=env_steps / 4,
        warmup=500,
        replay_size=env_steps + 500,
        lr=1e-3,
        target_period=period,
        tau=tau,
    )
    rows = seeds_of(seed, SEEDS) * len(kinds)
    machine.set_up(algo, len(rows))
    env = make(ENV, algo.num_envs)
    mdp, obs, per = env.mdp, all_states(env), algo.env_steps_per_iteration
    found = learn(algo, env, rows, env_steps // per, EVERY // per, lambda x: x.params(obs))
    wrong = np.abs(found.seen - exact.optimal_action_value(mdp))[:, :, ~mdp.terminal].max((2, 3))
    return wrong.reshape(len(kinds), SEEDS, -1)


def draw_worst(axes: Axes, worst: dict[str, np.ndarray]) -> None:
    """Draw one dot for the worst moment of each seed."""
    for i, error in enumerate(worst.values()):
        axes.semilogy(np.full(len(error), i), error, ls="", marker="o", mfc="none")
    axes.axhline(2 * MOST, color="black", ls="--", lw=0.8)
    axes.set_xticks(range(len(worst)), [name.replace(" ", "\n") for name in worst])
    axes.set(ylabel="largest max |Q - Q*| of the training", title="the worst moment", xlim=(-0.5, 2.5))


def claims_of(worst: dict[str, np.ndarray]) -> list[Claim]:
    """Claim what the largest errors [seeds] show. A fifth of the seeds may be exceptions."""
    none, *others = worst.values()
    held = np.concatenate(others)
    beyond, within = (none > 10 * MOST).mean(), (held < 2 * MOST).mean()
    return [
        Claim(
            bool(beyond >= 0.8),
            f"without a target network {beyond:.0%} of {len(none)} seeds come to be wrong by more than 10, where no "
            f"return exceeds {MOST:.0f}; the worst by {none.max():.3g}, the mildest by {none.min():.3g}",
        ),
        Claim(
            bool(within >= 0.8),
            f"with one, {within:.0%} of {len(held)} are never wrong by 2; the worst by {held.max():.3g}",
        ),
    ]
