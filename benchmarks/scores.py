"""Train every preset with the seeds of one command each, and store the results per seed.

    python benchmarks/scores.py                       all presets, 10 seeds each
    python benchmarks/scores.py --only Acrobot-v1     some of them
    python benchmarks/scores.py --table               only rewrite the table from the stored results

Each run is the command that a user would type, and that the stored result names. Results go to
`benchmarks/results/scores/`: result.json and curve.png per preset, metrics.csv with every seed's curve; and the
table to `benchmarks/results/scores.md`.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from swingup.presets import PRESETS
from swingup.statistics import iqm, mean_ci

RESULTS = Path(__file__).parent / "results"

# What we hold ourselves to (mean over seeds, unless it says every), and the best published result we know.
BARS: dict[str, tuple[str, float, str]] = {
    "gymnax:CartPole-v1": ("every", 500, "500 at 100k (RL Zoo)"),
    "gymnax:Acrobot-v1": ("mean", -80, "-73.5 at 1M (RL Zoo)"),
    "gymnax:MountainCar-v0": ("mean", -120, "-110.4 at 1M (RL Zoo)"),
    "gymnax:MountainCarContinuous-v0": ("mean", 90, "88.3 at 20k (RL Zoo, PPO); 94.7 at 50k (SAC)"),
    "gymnax:Pendulum-v1": ("mean", -180, "-172.2 at 100k (RL Zoo)"),
    "gymnax:Breakout-MinAtar": ("mean", 25, "38 to 44 at 10M (PureJaxRL, from its figure)"),
}


def run(algo: str, env: str, seeds: int, first: int) -> None:
    """One command; its outcome is kept, its run directory is not."""
    name = f"{algo}-{env.partition(':')[2]}"
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / name
        command = [
            "swingup",
            "train",
            algo,
            env.partition(":")[2],
            "--seeds",
            str(seeds),
            "--seed",
            str(first),
        ]
        full = [sys.executable, "-m", "swingup", *command[1:], "--out", str(out)]
        subprocess.run(full, check=True, env=os.environ)
        result = json.loads((out / "result.json").read_text())
        result["command"] = " ".join(command)
        result["cpu"] = {"cores": os.cpu_count(), "model": cpu_model()}
        target = RESULTS / "scores"
        target.mkdir(parents=True, exist_ok=True)
        (target / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
        shutil.copy(out / "metrics.csv", target / f"{name}.csv")
        shutil.copy(out / "curve.png", target / f"{name}.png")


def cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown"
    )


def table() -> str:
    """The stored results as Markdown."""
    rows = [
        "| env | env steps per seed | seeds | mean | 95 % CI | IQM | worst seed | bar | met | published best |"
    ]
    rows.append("|---" * 10 + "|")
    commands = []
    for algo, env in PRESETS:
        path = RESULTS / "scores" / f"{algo}-{env.partition(':')[2]}.json"
        if not path.exists():
            continue
        r = json.loads(path.read_text())
        x = np.array(r["final_return"])
        low, high = mean_ci(x)
        interval = f"[{low:.2f}, {high:.2f}]" if np.isfinite(low) else "– (under 3 seeds)"
        kind, bar, published = BARS[env]
        met = x.min() >= bar if kind == "every" else x.mean() >= bar
        shown = f"{kind} seed {bar:g}" if kind == "every" else f"mean {bar:g}"
        cells = [
            env.partition(":")[2],
            f"{r['env_steps']:,}",
            len(x),
            f"{x.mean():.2f}",
            interval,
        ]
        cells += [f"{iqm(x):.2f}", f"{x.min():.2f}", shown, "yes" if met else "**no**", published]
        rows.append("| " + " | ".join(map(str, cells)) + " |")
        versions = ", ".join(f"{k} {v}" for k, v in r["versions"].items())
        commands.append(
            f"- `{r['command']}`: {r['steps_per_second']:,.0f} env steps/s over all seeds; {versions}"
        )
    about = (
        "PPO with its presets. The score of a seed is the mean return of the greedy policy over 100 fresh"
        " episodes after the last update; the table gives the mean over seeds, a percentile-bootstrap 95 %"
        " interval of it, the interquartile mean and the worst seed. Environments are gymnax 1.0.1; its MinAtar"
        " has the minimal action set and no sticky actions. Published numbers are single runs of tuned settings"
        " (RL Zoo, on Gymnasium's versions of the classic tasks) or read from figures (PureJaxRL)."
    )
    return "\n".join(
        [
            about,
            "",
            *rows,
            "",
            "Commands, speeds (two cores, shared with other jobs) and versions:",
            "",
            *commands,
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", help="names of environments")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--table", action="store_true", help="train nothing")
    options = parser.parse_args()
    for algo, env in [] if options.table else PRESETS:
        if not options.only or env.partition(":")[2] in options.only:
            run(algo, env, options.seeds, options.seed)
    (RESULTS / "scores.md").write_text(table())
    print(table())


if __name__ == "__main__":
    main()
