"""How many random legal moves a second do the rules of board games make? One core, CPU time.

    python benchmarks/games.py

64 games are played side by side for 128 moves, and begin anew when they end. The time is that of the process on a
core, after compilation, the median of five repetitions. Writes benchmarks/results/games.md.
"""

import os
import platform
import time
from pathlib import Path

os.environ["NPROC"] = "1"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false " + os.environ.get("XLA_FLAGS", "")

GAMES = ["tic_tac_toe", "connect_four", "othello", "hex", "go_5x5", "go_9x9"]
GAMES_AT_ONCE, MOVES, REPETITIONS = 64, 128, 5
HEAD = """# Moves of random games

`python benchmarks/games.py` wrote this: random legal moves a second of CPU time, one core, {games} games side by side
for {moves} moves, median of {repetitions} repetitions; pgx {pgx}, jax {jax}, {machine}.

| game | moves, 1/s of CPU time |
|---|---|
"""


def main() -> None:
    """Measure each game, and write the table."""
    import jax
    import numpy as np
    import pgx

    from swingup.envs import make
    from swingup.rollout import wander

    rows = []
    for name in GAMES:
        env = make(f"pgx:{name}", GAMES_AT_ONCE)
        run = jax.jit(lambda key, env=env: wander(env, tuple(jax.random.split(key)), MOVES)[1].step)
        jax.block_until_ready(run(jax.random.key(0)))
        seconds = []
        for i in range(REPETITIONS):
            began = time.process_time()
            jax.block_until_ready(run(jax.random.key(i)))
            seconds.append(time.process_time() - began)
        speed = GAMES_AT_ONCE * MOVES / np.median(seconds)
        rows.append(f"| {name} | {speed:,.0f} |")
        print(rows[-1], flush=True)
    head = HEAD.format(
        games=GAMES_AT_ONCE,
        moves=MOVES,
        repetitions=REPETITIONS,
        pgx=pgx.__version__,
        jax=jax.__version__,
        machine=platform.machine(),
    )
    Path(__file__).with_name("results").joinpath("games.md").write_text(head + "\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
