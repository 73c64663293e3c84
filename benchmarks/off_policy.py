"""Speed of off-policy training beside Rejax, SBX and Stable-Baselines3.

    python benchmarks/off_policy.py                          # all workloads, about 15 minutes on two cores
    python benchmarks/off_policy.py --only dqn-cartpole

Each measurement is a fresh process in the contestant's own virtual environment; the rounds visit all contestants in
turn, as a machine's clock drifts. Env steps per second, of the part with gradient steps; the ratio is the median over
the rounds of the ratio inside one. Results go to `benchmarks/results/off-policy.json` and `.md`.
"""

import argparse
import json
import os
import statistics
import subprocess
from pathlib import Path
from typing import Any

from peers import launch
from peers.off_policy import WORKLOADS

RESULTS = Path(__file__).parent / "results"
CONTESTANTS = {
    "dqn-cartpole": (("swingup", "default"), ("rejax", "default"), ("rejax", "1"), ("sb3", "1")),
    "dqn-cartpole-10": (("swingup", "default"), ("sb3", "1")),
    "sac-pendulum": (("swingup", "default"), ("rejax", "default")),
    "sac-halfcheetah": (
        ("swingup", "default"),
        ("swingup", "update-only"),
        ("sbx", "default"),
        ("sb3", "default"),
    ),
    "td3-halfcheetah": (("swingup", "default"), ("sbx", "default")),
}


def measure(peer: str, setting: str, workload: str) -> dict[str, Any]:
    """One process; the rate, or what went wrong."""
    command = [str(launch.python_of(peer)), "-m", "peers.off_policy", peer, workload]
    command += ["--update-only"] if setting == "update-only" else ["--threads", setting]
    env = launch.environment(peer, "") | {"MUJOCO_GL": "disabled"}
    env.pop("JAX_COMPILATION_CACHE_DIR")
    done = subprocess.run(
        command, cwd=launch.PEERS.parent, env=env, capture_output=True, text=True, timeout=600, check=False
    )
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        return {
            "error": (done.stderr.strip().splitlines() or ["no output"])[-1].replace(str(launch.REPO), ".")
        }
    return json.loads(lines[-1])


def table(stored: dict[str, Any]) -> str:
    """The stored rounds as Markdown."""
    rows = ["| workload | contestant | threads | env steps/s | swingup / it |", "|---" * 5 + "|"]
    for workload, rounds in stored["workloads"].items():
        for who in rounds[0]:
            rates = [r[who]["best"] for r in rounds if "best" in r[who]]
            peer, _, setting = who.partition(" ")
            if not rates:
                rows.append(f"| {workload} | {peer} | {setting} | {rounds[0][who]['error'][:60]} | – |")
                continue
            pairs = [r["swingup default"]["best"] / r[who]["best"] for r in rounds if "best" in r[who]]
            ratio = "" if who == "swingup default" else f"{statistics.median(pairs):.2f}"
            rows.append(f"| {workload} | {peer} | {setting} | {statistics.median(rates):,.0f} | {ratio} |")
    about = (
        f"{stored['cpu']}, {os.cpu_count()} cores; {stored['rounds']} round(s). One environment, one gradient step per "
        "env step (`-10`: per ten env steps); DQN: batches of 128, 64x64, SAC and TD3: batches of 256, 256x256. "
        "`update-only` is the rate of gradient steps with no environment beside them."
    )
    return "\n".join([about, "", *rows, "", "Command: `python benchmarks/off_policy.py`", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="*", default=list(WORKLOADS), choices=WORKLOADS)
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()
    path = RESULTS / "off-policy.json"
    stored: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"workloads": {}}
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((x.partition(":")[2].strip() for x in lines if x.startswith("model name")), "unknown CPU")
    stored |= {"rounds": args.rounds, "cpu": model}
    for workload in args.only:
        rounds: list[dict[str, Any]] = []
        for _ in range(args.rounds):
            rounds.append({})
            for peer, setting in CONTESTANTS[workload]:
                found = measure(peer, setting, workload)
                rounds[-1][f"{peer} {setting}"] = found
                print(workload, peer, setting, found, flush=True)
        stored["workloads"][workload] = rounds
        path.write_text(json.dumps(stored, indent=1) + "\n")
        path.with_suffix(".md").write_text(table(stored))
    print("\n" + table(stored))


if __name__ == "__main__":
    main()
