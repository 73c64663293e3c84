"""The planner makes fewer mistakes than its apprentice, and the apprentice follows: expert iteration on tic-tac-toe.

Source: Anthony, Tian & Barber 2017, arXiv:1705.08439; Silver et al. 2017, arXiv:1712.01815. AlphaZero plays itself.
After every few iterations it is asked for a move in each of the 4,520 positions in which a game of tic-tac-toe goes on,
once with its search and once by its network alone. A mistake is a move that makes the exact value of the game worse.
The search starts from the network, so what it adds is the planner's lead; the network learns what the search found,
so it comes to where the planner was a while ago.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from swingup.algos.alphazero import AlphaZero
from swingup.arena import exact
from swingup.envs import make
from swingup.envs.games import game_of
from swingup.lab.tools.learning import learn, seeds_of
from swingup.lab.tools.report import Claim, Report
from swingup.training import machine
from swingup.types import Seen

ENV = "pgx:tic_tac_toe"
SEEDS, ITERATIONS, EVERY = 2, 24, 4  # trainings side by side; iterations of each, and between two looks
ALGO = AlphaZero(
    num_envs=32, simulations=16, opening=3, window=16_384, draws=4, batch_size=256, hidden=(128, 128)
)


def run(seed: int = 0) -> Report:
    """Train, and draw the share of mistakes of planner and apprentice over env steps."""
    wrong = mistakes(seed)  # [seeds, points, 2]
    at = ALGO.env_steps_per_iteration * EVERY * np.arange(1, 1 + wrong.shape[1])
    figure = Figure(figsize=(6, 3.6), dpi=150, layout="constrained")
    axes = figure.subplots()
    for i, name in enumerate(("planner (network and search)", "apprentice (network alone)")):
        axes.plot(
            at, 100 * wrong[..., i].T, color=f"C{i}", ls="-", lw=0.9, label=[name, *["_"] * (SEEDS - 1)]
        )
    axes.set(xlabel="env steps (moves of self-play)", ylabel="mistakes, % of all positions", ylim=(0, None))
    axes.legend()
    look = "the planner's lines lie below the apprentice's, and the apprentice comes to where the planner was before."
    numbers = {"env": ENV, "env_steps": at.tolist(), "mistakes": wrong.tolist()}
    return Report(look, tuple(claims_of(wrong)), numbers, figure)


def mistakes(seed: int) -> np.ndarray:
    """Return the share of mistakes [seeds, points, 2] of the planner and of the apprentice."""
    rows = seeds_of(seed, SEEDS)
    machine.set_up(ALGO, len(rows))
    env = make(ENV, ALGO.num_envs)
    game = game_of(env)
    known = exact.solved(game)
    batches = [at for _, at in exact.reached(game, known.moves)]
    state, obs, legal = jax.tree.map(
        lambda *x: jnp.concatenate(x), *[(at.state, at.obs, jnp.asarray(at.legal)) for at in batches]
    )
    seen = Seen(obs, legal, state, ALGO.start_memory(env.action_space, len(obs)))
    good = jnp.asarray(known.good)

    def look(learner: Any) -> Any:
        """Return the shares of mistakes [2]."""
        moves = ALGO.act(learner, seen).action, jnp.argmax(ALGO.policy(learner, seen), -1)
        return jnp.stack([1 - jnp.take_along_axis(good, move[:, None], 1).mean() for move in moves])

    return learn(ALGO, env, rows, ITERATIONS, EVERY, look).seen


def claims_of(wrong: np.ndarray) -> list[Claim]:
    """Claim that search helps at every look, and that the network learns what search knew."""
    planner, apprentice = wrong.mean(0).T
    ahead = (planner < apprentice).mean()
    return [
        Claim(
            bool(ahead == 1),
            f"the planner errs less than its apprentice at {ahead:.0%} of {len(planner)} looks: at "
            f"the first {planner[0]:.1%} against {apprentice[0]:.1%} of all positions, at the last {planner[-1]:.1%} "
            f"against {apprentice[-1]:.1%}",
        ),
        Claim(
            bool(apprentice[-1] < planner[0]),
            f"in the end the apprentice alone errs less ({apprentice[-1]:.1%}) than the planner did at first "
            f"({planner[0]:.1%})",
        ),
    ]
