"""One task needs memory; an LSTM and attention solve it, and an MLP that sees the present alone cannot.

In task:Recall the first of five observations shows a cue and the last action has to name it. What is shown in between
has nothing to do with the cue, so whoever sees only the present names one of the four at random, whatever it learns.
The LSTM and the attention read a window of the last five observations. (So can an MLP of the flattened window, as
short as it is: what is impossible is to do without the past.) PPO trains all three with the same settings.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import jax
import numpy as np
from matplotlib.figure import Figure

from swingup.algos.ppo import PPO
from swingup.envs import make
from swingup.lab.tools.report import Claim, Report
from swingup.training import driver, machine

WAYS = {  # {name: (memory, window)}; a window of 0 is the whole episode
    "LSTM": ("lstm", 0),
    "attention": ("attention", 0),
    "MLP of the present": ("none", 1),
}
SEEDS, ITERATIONS, LAST = 3, 20, 5
CUES, CHANCE, LENGTH = 4, 0.25, 5  # cues to choose from, and env steps of an episode
SOLVED = 0.8  # the share of right answers that counts; the policies still explore a little


def settings(memory: str) -> PPO:
    """Return PPO's settings, with 512 env steps per iteration, which are about a hundred episodes."""
    horizon = 512.0 * ITERATIONS
    return PPO(
        num_envs=16,
        num_steps=32,
        gamma=0.9,
        lr=1e-2,
        lr_decay=True,
        lr_horizon=horizon,
        hidden=(16,),
        memory=memory,
    )


@contextmanager
def quickly_compiled() -> Iterator[None]:
    """Compile programs in half the time, which run slower: here making them is most of the work."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    try:
        yield
    finally:
        jax.config.update("jax_disable_most_optimizations", before)


def train(
    ways: dict[str, tuple[str, int]], seeds: Sequence[int], iterations: int = ITERATIONS
) -> dict[str, np.ndarray]:
    """Return the share of right answers in every iteration: {name: [seeds, iterations]}. All ways are trained side by
    side.
    """

    def one(way: tuple[str, int]) -> np.ndarray:
        memory, window = way
        algo, parts = settings(memory), []
        env = make(f"task:Recall?length={LENGTH}&cues={CUES}&window={window}", algo.num_envs)
        state = driver.begin(algo, env, seeds)
        keep = [lambda progress: parts.append(progress.metrics["ep/return"])]
        driver.run(algo, env, state, iterations, callbacks=keep)
        return np.concatenate(parts, 1)

    with quickly_compiled(), ThreadPoolExecutor() as pool:
        return dict(zip(ways, pool.map(one, ways.values()), strict=True))


def judge(right: dict[str, np.ndarray], episodes: int) -> list[Claim]:
    """Claim that with a memory every seed solves it; without one, the share of all seeds is that of chance.

    The latter within 5 standard errors of a fair guess, so it fails by accident once in 1.7 million times.
    """
    claims = []
    for name, share in right.items():
        late = share[:, -LAST:].mean(1)
        if name in ("LSTM", "attention"):
            text = f"{name}: {late.min():.3f} of the answers are right in the worst of {len(late)} seeds"
            claims.append(Claim(bool(late.min() > SOLVED), text))
        else:
            error = np.sqrt(CHANCE * (1 - CHANCE) / (episodes * LAST * len(late)))
            distance = (late.mean() - CHANCE) / error
            text = (
                f"{name}: {late.mean():.3f} are right, {distance:+.1f} standard errors from chance, {CHANCE}"
            )
            claims.append(Claim(bool(abs(distance) < 5), text))
    return claims


def run(seed: int = 0) -> Report:
    """Draw learning curves of the three, every seed a line."""
    algo = settings("none")
    machine.set_up(algo)  # one device: the cores are busy with one program each
    seeds = range(seed * SEEDS, (seed + 1) * SEEDS)  # no two root seeds share any
    right = train(WAYS, seeds)
    episodes = algo.env_steps_per_iteration // LENGTH
    figure = Figure(figsize=(6.4, 3.6), dpi=150, layout="constrained")
    axes = figure.subplots()
    env_steps = algo.env_steps_per_iteration * np.arange(1, ITERATIONS + 1)
    for i, (name, share) in enumerate(right.items()):
        label = [name, *["_"] * (SEEDS - 1)]
        axes.plot(env_steps, share.T, color=f"C{i}", ls=("-", "--", ":")[i], lw=1.1, label=label)
    axes.axhline(CHANCE, color="black", lw=0.8)
    axes.set(xlabel="env steps per seed", ylabel="share of right answers", ylim=(0, 1.02))
    axes.set_title(f"task:Recall, one of {CUES} cues after {LENGTH} env steps")
    axes.legend()
    look = "some curves leave the black line, chance: those of the networks that read the past."
    numbers = {"env_steps": env_steps.tolist(), "right": {name: x.tolist() for name, x in right.items()}}
    return Report(look, tuple(judge(right, episodes)), numbers, figure)
