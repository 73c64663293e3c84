"""Find out whether the replay is ever copied. Time the same training with rings of 10,000 to 1,000,000 transitions.

    python benchmarks/replay.py

DQN, one gradient step of 32 transitions per env step, inside the compiled loop, and as a host environment's update
(one dispatch each). A copy of the ring would show as a cost that grows with it: 1,000,000 transitions of CartPole are
48 MB, 100,000 frames of 84x84 are 706 MB. Prints microseconds per env step, best of 5, and writes
`benchmarks/results/replay.json`; the bar is 1.2 times the smallest ring's.
"""

import json
import os
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("NPROC", "1")

import jax
import jax.numpy as jnp
import numpy as np

from swingup.algos.dqn import DQN
from swingup.envs import Hosted, Vec, make
from swingup.spaces import Box, Discrete
from swingup.training import driver, host_loop
from swingup.training.clock import Clock
from swingup.types import Transition

RESULTS = Path(__file__).parent / "results" / "replay.json"
ITERATIONS = 2_000


class Screen:
    """Frames of 84x84 that cost next to nothing to make."""

    name, observation_space, action_space = "Screen", Box.of(0, 255, (84, 84, 1), "uint8"), Discrete(2)

    def reset(self, key):
        return jnp.int32(0), jnp.zeros((84, 84, 1), jnp.uint8)

    def step(self, state, action, key):
        obs = jnp.full((84, 84, 1), state % 256, jnp.uint8)
        return state + 1, Transition(obs, jnp.float32(0), state % 100 == 99, jnp.bool_(False))


def on_device(env: Any, size: int, seeds: int, iterations: int) -> float:
    """Microseconds per env step and seed."""
    algo = settings(size, env)
    state = driver.init(algo, env, range(seeds))
    best = float("inf")
    for _ in range(6):  # the first compiles
        began = time.perf_counter()
        state, _ = driver._device_chunk(
            algo, state, jnp.int32(iterations), env=env, chunk=iterations, mesh=None
        )
        jax.block_until_ready(state)
        best = min(best, time.perf_counter() - began)
    return 1e6 * best / iterations / seeds


def on_host(env: Any, size: int, iterations: int) -> float:
    """The same where the environment is stepped from Python."""
    algo = settings(size, env)
    state = driver.init(algo, env, [0])
    loop = host_loop.Loop(algo, Hosted(env), state, Clock())  # pyright: ignore[reportArgumentType]
    best = float("inf")
    for _ in range(6):
        began = time.perf_counter()
        state, _ = loop(state, iterations)
        jax.block_until_ready(state)
        best = min(best, time.perf_counter() - began)
    return 1e6 * best / iterations


def settings(size: int, env: Any) -> DQN:
    image = env.observation_space.shape == (84, 84, 1)
    # A network that costs little, so that a copy would stand out.
    hidden = (1,) if image else (64, 64)
    return DQN(num_steps=1, replay_ratio=1.0, replay_size=size, warmup=1000, batch_size=32, hidden=hidden)


def main() -> None:
    cartpole, screen = make("CartPole-v1", 1), Vec(Screen(), 1)  # pyright: ignore[reportArgumentType]
    found: dict[str, dict[str, float]] = {}
    for name, sizes, cost in (
        (
            "CartPole, compiled loop, 1 seed",
            (10_000, 100_000, 1_000_000),
            lambda n: on_device(cartpole, n, 1, ITERATIONS),
        ),
        (
            "CartPole, compiled loop, 4 seeds",
            (10_000, 100_000, 1_000_000),
            lambda n: on_device(cartpole, n, 4, ITERATIONS),
        ),
        ("CartPole, host loop", (10_000, 100_000, 1_000_000), lambda n: on_host(cartpole, n, ITERATIONS)),
        ("84x84 frames, compiled loop", (2_000, 20_000, 100_000), lambda n: on_device(screen, n, 1, 50)),
    ):
        found[name] = {str(n): round(cost(n), 1) for n in sizes}
        costs = np.array(list(found[name].values()))
        print(f"{name:<36}", "   ".join(f"{n:>9} {c:9.1f} us" for n, c in found[name].items()), end="")
        print(f"   largest / smallest ring {costs[-1] / costs[0]:.2f}", flush=True)
    RESULTS.write_text(json.dumps({"jax": jax.__version__, "microseconds": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
