"""Measure what trackers cost a run: one that hangs, one that raises, one that is slow, and TensorBoard's.

Runs of PPO on CartPole are trained in turn with and without each, in one process and by one compiled program. Training
waits for a tracker nowhere but in one call after each chunk, so the seconds inside that call are the cost, and they are
what is held to 1 % of the run's seconds; wall and CPU times of the whole run stand beside them. How long the command
takes to end is measured in processes of their own, with a package that hangs in its first call and again at the exit of
the interpreter. Run: python benchmarks/trackers.py, which writes benchmarks/results/trackers.json and .md.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).parent / "results" / "trackers.json"
KINDS = "none", "stuck", "raising", "slow", "tensorboard"
WITHIN, EXIT = 0.01, 6.0  # share of a run's seconds; seconds
HANGING = """
import atexit, time
class Settings:
    def __init__(self, **how): pass
def init(**how): time.sleep(3600)
atexit.register(time.sleep, 3600)
"""


class Trouble:
    """This tracker behaves badly in each of its points."""

    def __init__(self, name: str):
        self.name, self.free = name, threading.Event()

    def start(self, about: Any) -> None: ...
    def finish(self) -> None: ...
    def log(self, point: Any) -> None:
        if self.name == "raising":
            raise ConnectionError("no server")
        self.free.wait(None if self.name == "stuck" else 0.05)


def timed(kind: str, folder: Path, env_steps: int) -> dict[str, float]:
    """Train once; return seconds of the run and those in which training waited for trackers."""
    import swingup
    from swingup.tracking.feed import Feeds

    spent, sends = [0.0], [0]
    inner = Feeds.__call__

    def measured(self: Feeds, progress: object) -> None:
        began = time.perf_counter()
        inner(self, progress)
        spent[0] += time.perf_counter() - began
        sends[0] += 1

    tracker = [] if kind == "none" else ["tensorboard"] if kind == "tensorboard" else [Trouble(kind)]
    Feeds.__call__ = measured
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        run = swingup.train(
            "ppo", "CartPole-v1", env_steps=env_steps, seeds=4, episodes=2, out=folder / kind, track=tracker
        )
    finally:
        Feeds.__call__ = inner
    for one in tracker:
        if isinstance(one, Trouble):
            one.free.set()
    seconds = run.result["run_seconds"]
    whole = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    return {"run": seconds, "waited": spent[0], "share": spent[0] / seconds, "calls": sends[0], **whole}


def exit_seconds(folder: Path, env_steps: int) -> dict[str, float]:
    """Return how long the command goes on after its run is over, with a package that hangs; and its exit code."""
    (folder / "wandb.py").write_text(HANGING)
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    args = ["train", "ppo", "CartPole-v1", "--env-steps", str(env_steps), "--out", str(folder / "run")]
    command = [sys.executable, "-m", "swingup", *args, "--track", "wandb"]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True)
    ended = time.time()
    over = (folder / "run" / "outcome.json").stat().st_mtime
    return {"seconds": ended - over, "code": done.returncode}


def measure(env_steps: int, repeats: int, exits: int) -> dict[str, Any]:
    """Measure all; the kinds take turns, so that what else the machine does hits all of them."""
    from swingup.runs.experiment import versions

    warnings.simplefilter("ignore")
    rows: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
    with tempfile.TemporaryDirectory() as folder:
        timed("none", Path(folder) / "first", 2_000)  # compiles
        for i in range(repeats):
            for kind in KINDS:
                rows[kind].append(timed(kind, Path(folder) / str(i), env_steps))
    ends = []
    for _ in range(exits):
        with tempfile.TemporaryDirectory() as folder:
            ends.append(exit_seconds(Path(folder), env_steps))
    return {
        "env_steps": env_steps,
        "rows": rows,
        "exits": ends,
        "load": os.getloadavg()[0],
        "versions": versions(),
        "command": f"python benchmarks/trackers.py --env-steps {env_steps} --repeats {repeats} --exits {exits}",
    }


def table(data: dict[str, Any]) -> str:
    """Write what was measured as Markdown."""
    lines = [
        f"Medians of {len(data['rows']['none'])} runs of four seeds, {data['env_steps']:,} env steps each. A slow "
        "tracker takes 50 ms for a point, a stuck one never returns.",
        "",
        "| tracker | training waited for it [ms] | share of the run, median | largest share | the run [s] | CPU [s] |",
        "|---|---|---|---|---|---|",
    ]
    for kind, rows in data["rows"].items():
        middle = {name: float(np.median([row[name] for row in rows])) for name in rows[0]}
        most = max(row["share"] for row in rows)
        lines.append(
            f"| {kind} | {1e3 * middle['waited']:.2f} | {middle['share']:.4%} | {most:.4%} | {middle['run']:.2f} "
            f"| {middle['cpu']:.2f} |"
        )
    late = ", ".join(f"{e['seconds']:.1f}" for e in data["exits"])
    about = ", ".join(f"{name} {version}" for name, version in data["versions"].items())
    lines += [
        "",
        f"Seconds that the command took to end after its run was over, with a package that hangs: {late}.",
        "",
        f"Versions: {about}; load average {data['load']:.1f}. `{data['command']}`",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, write the results, and fail if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--env-steps", type=int, default=200_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--exits", type=int, default=3)
    args = parser.parse_args()
    from swingup.training import machine

    machine.set_up(None, 4)
    data = measure(args.env_steps, args.repeats, args.exits)
    RESULTS.write_text(json.dumps(data, indent=1) + "\n")
    RESULTS.with_suffix(".md").write_text(table(data))
    print(table(data))
    worst = max(row["share"] for rows in data["rows"].values() for row in rows)
    late = max(e["seconds"] for e in data["exits"])
    codes = {e["code"] for e in data["exits"]}
    assert worst <= WITHIN, worst
    assert late <= EXIT, late
    assert codes == {0}, codes


if __name__ == "__main__":
    main()
