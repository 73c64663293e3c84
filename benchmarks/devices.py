"""Measure what a second device is worth to a run: env steps per second with `--devices 1` and with `--devices 2`.

    python benchmarks/devices.py              # three rounds
    python benchmarks/devices.py --rounds 1 --quick
    python benchmarks/devices.py --table      # only write the page from what is stored

Each measurement is a command in a process of its own. A round visits all of them in turn, with one device and with
two, because a machine's clock drifts; a ratio is the median over rounds of the ratio inside one. Seconds of compiling
and of evaluations do not count. A device of a CPU is a core, and a run with one device may use the other core's thread
inside large products, as it does by default. Written to benchmarks/results/devices.json and .md.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from speed import commit, machine

OUT = Path(__file__).resolve().parent / "results" / "devices.json"


class Case(NamedTuple):
    """This run is measured; `shares` says what two devices share of it."""

    words: str
    env_steps: int
    shares: str


WIDE = "ppo CartPole-v1 --num-envs 256 --num-steps 32 --epochs 4 --num-minibatches 4 --hidden 256 256"
CASES = [
    Case("ppo CartPole-v1 --seed 0", 200_000, "environments"),
    Case(f"{WIDE} --seed 0", 500_000, "environments"),
    Case("ppo Breakout-MinAtar --seed 0", 400_000, "environments"),
    Case("sac Pendulum-v1 --seed 0 --num-envs 2", 12_000, "environments"),
    Case("ppo CartPole-v1 --seeds 2", 200_000, "seeds"),
    Case("ppo Breakout-MinAtar --seeds 2", 200_000, "seeds"),
]


def speed(case: Case, devices: int, base: Path, quick: bool) -> float:
    """Train once; return env steps per second, over all seeds."""
    with tempfile.TemporaryDirectory(dir=base) as folder:
        out = Path(folder) / "run"
        words = [*case.words.split(), "--env-steps", str(case.env_steps // (10 if quick else 1))]
        words += ["--episodes", "1", "--devices", str(devices), "--out", str(out)]
        env = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(base / "cache")}
        command = [sys.executable, "-m", "swingup", "train", *words]
        done = subprocess.run(command, env=env, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stdout + done.stderr)
        return json.loads((out / "result.json").read_text())["steps_per_second"]


def page(stored: dict[str, Any]) -> str:
    """Write the table."""
    on = stored["machine"]
    about = (
        f"`python benchmarks/devices.py`, commit {stored['commit']}, {stored['date'][:10]}, {on['cpu']}, "
        f"{os.cpu_count()} cores, load average {on['load_average'][0]:g} at the beginning, {stored['rounds']} rounds. "
        "Env steps per second of training, over all seeds, without compiling and evaluations: medians over rounds; the "
        "ratio is the median of the ratios inside a round, and behind it stand the lowest and the highest."
    )
    lines = ["# What a second device is worth", "", about, ""]
    lines += ["| run | two devices share its | one device | two devices | ratio |", "|---|---|---:|---:|---|"]
    for words, found in stored["cases"].items():
        one, two = found["1"], found["2"]
        ratios = [b / a for a, b in zip(one, two, strict=True)]
        ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        speeds = f"{statistics.median(one):,.0f} | {statistics.median(two):,.0f}"
        lines.append(f"| `{words}` | {found['shares']} | {speeds} | {ratio} |")
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a tenth of the env steps, which is not stored")
    parser.add_argument("--table", action="store_true", help="run nothing")
    options = parser.parse_args()
    if options.table:
        OUT.with_suffix(".md").write_text(page(json.loads(OUT.read_text())))
        return
    stored: dict[str, Any] = {"commit": commit(), "date": datetime.now(UTC).isoformat(), "machine": machine()}
    stored |= {"rounds": options.rounds, "cases": {}}
    with tempfile.TemporaryDirectory(prefix="devices-") as folder:
        for _ in range(options.rounds):
            for case in CASES:
                found = stored["cases"].setdefault(case.words, {"shares": case.shares, "1": [], "2": []})
                for devices in (1, 2):
                    found[str(devices)].append(speed(case, devices, Path(folder), options.quick))
                print(case.words, found, flush=True)
    text = page(stored)
    print("\n" + text)
    if not options.quick:
        OUT.write_text(json.dumps(stored, indent=1) + "\n")
        OUT.with_suffix(".md").write_text(text)


if __name__ == "__main__":
    main()
