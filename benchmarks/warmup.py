"""Measure a replay's warm-up on the host: seconds of 10,000 rows, and memory of 80,000 Atari-sized ones.

The environments cost nothing, so that all of it is ours. Each measurement has a process of its own, since the peak of a
process's memory never falls. Run: python benchmarks/warmup.py, which writes benchmarks/results/warmup.md.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from swingup.envs.adapters.host import Pool

RESULTS = Path(__file__).parent / "results" / "warmup.md"
MIB = 2**20
SAC_ROWS, ATARI_ROWS, FEW = 10_000, 80_000, 4_000
WHICH = "sac", "few", "atari"  # few: what the compiler needs, beside hardly any rows


class Free(Pool):
    """A pool of environments that cost nothing; episodes of 500 env steps."""

    def __init__(self, num_envs: int, observation: Any, action: Any):
        self.num_envs, self.name, self.goal_reward = num_envs, "Free", None
        self.observation_space, self.action_space = observation, action
        self.t = 0

    def observe(self, count: int) -> np.ndarray:
        space: Any = self.observation_space
        return np.full((count, *space.shape), self.t % 200, space.dtype)  # written, so that it takes memory

    def reset(self, start: int, seeds: list[int]) -> np.ndarray:
        return self.observe(len(seeds))

    def restart(self, rows: np.ndarray) -> np.ndarray:
        return self.observe(len(rows))

    def step(self, start: int, action: np.ndarray) -> Any:
        from swingup.envs.adapters.host import Answer

        self.t += 1
        n = len(action)
        ends = np.full(n, self.t % 500 == 0)
        return Answer(self.observe(n), np.zeros(n), ends, np.zeros(n, bool))

    def close(self) -> None: ...


def open_env(num_envs: int, observation: Any, action: Any, stacked: bool) -> Any:
    from swingup.envs.adapters.host import HostVec

    env = HostVec(Free(num_envs, observation, action))
    env.stacked = stacked
    return env


def resident() -> int:
    """Bytes that this process has in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def measure(which: str) -> dict[str, float]:
    """One warm-up in this process."""
    import jax

    from swingup.algos import algorithm
    from swingup.replay import capacity
    from swingup.spaces import Box, Discrete
    from swingup.training import driver, machine

    if which == "sac":
        algo = algorithm("sac")(warmup=SAC_ROWS)
        env = open_env(1, Box.of(-1.0, 1.0, (17,)), Box.of(-1.0, 1.0, (6,)), False)
    else:
        rows = ATARI_ROWS if which == "atari" else FEW
        algo = algorithm("dqn")(num_envs=8, warmup=rows, replay_size=rows, hidden=(512,))
        env = open_env(8, Box.of(0, 255, (84, 84, 4), "uint8"), Discrete(6), True)
    machine.set_up(algo)
    jax.block_until_ready(jax.numpy.zeros(3) + 1)
    clock, before, began = driver.Clock(), resident(), time.perf_counter()
    state = driver.begin(algo, env, [0], clock)
    jax.block_until_ready(state.learner)
    wall = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    assert int(state.learner.replay.pushed[0]) * algo.num_envs == algo.warmup_env_steps
    return {
        "rows": algo.warmup_env_steps,
        "warmup_seconds": clock.warmup_seconds,
        "compile_seconds": clock.compile_seconds,
        "wall_seconds": wall,
        "replay_mib": capacity.replay_bytes(algo, env) / MIB,
        "peak_mib": (peak - before) / MIB,
    }


def table(found: dict[str, dict[str, float]]) -> str:
    """The Markdown that is stored."""
    from swingup.runs.experiment import versions

    names = {"sac": "SAC, vectors of 17, one environment", "few": "DQN, 84 x 84 x 4 bytes, 8 environments"}
    names["atari"] = names["few"]
    lines = [
        "# The warm-up of a replay on the host",
        "",
        "`python benchmarks/warmup.py`. Environments cost nothing. Seconds of the warm-up, then of compiling it and",
        "the networks' beginning; the peak of the process's memory above what it was before, and the replay's own.",
        "XLA's compiler takes a part that does not depend on the number of rows: the run of few rows shows it.",
        "",
        "| what | rows | warm-up [s] | compiling [s] | peak memory [MiB] | replay [MiB] | ratio |",
        "|---|---|---|---|---|---|---|",
    ]
    for which, x in found.items():
        lines.append(
            f"| {names[which]} | {x['rows']:,.0f} | {x['warmup_seconds']:.2f} | {x['compile_seconds']:.1f} | "
            f"{x['peak_mib']:,.0f} | {x['replay_mib']:,.0f} | {x['peak_mib'] / x['replay_mib']:.2f} |"
        )
    load = os.getloadavg()[0]
    about = ", ".join(f"{name} {version}" for name, version in versions().items())
    return "\n".join([*lines, "", f"{os.cpu_count()} cores, load average {load:.1f}; {about}.", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--which", choices=WHICH, help="measure one in this process, print JSON")
    options = parser.parse_args()
    if options.which:
        print(json.dumps(measure(options.which)))
        return
    found = {}
    for which in WHICH:
        out = subprocess.run(
            [sys.executable, __file__, "--which", which], capture_output=True, text=True, check=True
        )
        found[which] = json.loads(out.stdout.splitlines()[-1])
        print(which, found[which], flush=True)
    RESULTS.write_text(table(found))


if __name__ == "__main__":
    main()
