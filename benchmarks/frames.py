"""Measure pipelines of Atari frames side by side: swingup's through EnvPool and ale-py, and Stable-Baselines3's.

    python benchmarks/frames.py        3 rounds, about 3 minutes on two cores

Pong with 8 environments and random actions: 4 frames per env step, the last two merged, grey, 84x84, 4 stacked; whole
pipeline, without a network. Every measurement is a fresh process; a ratio is the median over rounds of the ratio in a
round. Writes `benchmarks/results/frames.json` and `frames.md`.
"""

import argparse
import json
import os
import subprocess
from pathlib import Path
from statistics import median

from peers import launch
from peers.atari import KINDS
from scores import cpu_model

RESULTS = Path(__file__).parent / "results"


def measure(kind: str, seconds: float) -> float:
    """Env steps per second of all environments together."""
    python = launch.python_of(KINDS[kind][0])
    command = [str(python), "-m", "peers.atari", kind, "--seconds", str(seconds)]
    env = os.environ | {"JAX_PLATFORMS": "cpu"}
    out = subprocess.run(
        command, cwd=Path(__file__).parent, env=env, check=True, capture_output=True, text=True
    )
    return json.loads(out.stdout.splitlines()[-1])["env_steps_per_second"]


def table(report: dict) -> str:
    """As Markdown."""
    rates = report["env_steps_per_second"]
    best = max((k for k in rates if KINDS[k][0] == "sb3"), key=lambda k: median(rates[k]))
    rows = ["| pipeline | env steps/s (median) | over SB3's faster one |", "|---|---|---|"]
    for kind, values in rates.items():
        ratio = median(a / b for a, b in zip(values, rates[best], strict=True))
        rows.append(f"| {KINDS[kind][1]} | {median(values):,.0f} | {ratio:.2f} |")
    about = (
        f"`{report['command']}`: Pong, 8 environments, random actions, {report['rounds']} rounds, {report['cpu']}. "
        "An env step is four frames of the game. No sticky actions."
    )
    return "\n".join([*rows, "", about, ""])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    options = parser.parse_args()
    rates: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for _ in range(options.rounds):
        for kind in KINDS:
            rates[kind].append(measure(kind, options.seconds))
            print(f"{kind:16s} {rates[kind][-1]:10,.0f} env steps/s", flush=True)
    cores = f"{os.cpu_count()} cores of {cpu_model()}"
    command = f"python benchmarks/frames.py --rounds {options.rounds} --seconds {options.seconds:g}"
    about = {"command": command, "rounds": options.rounds, "cpu": cores}
    report = about | {"env_steps_per_second": rates}
    (RESULTS / "frames.json").write_text(json.dumps(report, indent=1) + "\n")
    text = table(report)
    (RESULTS / "frames.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
