"""Measure swingup beside an earlier swingup: did a change of the house cost speed?

    python benchmarks/before.py --before COMMIT             4 rounds, about 15 minutes on two quiet cores
    python benchmarks/before.py --before COMMIT --only sac-pendulum starts
    python benchmarks/before.py --before COMMIT --quick     one short round: proves that it works, decides nothing

The workloads are those of speed.py and off_policy.py, run by each commit's own runner on its own code, with the same
packages. Every measurement is a fresh process. A machine's clock drifts, so a round runs both commits beside each
other, the order turned round by round, and a ratio is the median over the rounds of now / before inside one round.
Written to benchmarks/results/before.json and .md.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from speed import commit, machine

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "benchmarks" / "results" / "before.json"
DROPPED = ("JAX_", "XLA_", "NPROC", "OMP_", "MKL_", "OPENBLAS_", "SWINGUP_", "PYTHONPATH")
PPO = "--workload", "cartpole", "--repetitions", "2", "--env-steps"
CHEETAH = "--workload", "halfcheetah", "--repetitions", "2", "--env-steps"
ONE = (
    "gymnasium:HalfCheetah-v5",
    "--num-envs",
    "1",
    "--hidden",
    "256",
    "256",
    "--warmup",
    "800",
    "--episodes",
    "1",
)
# Runner and options, or a command (the older runner of off_policy.py cannot open environments on the host). The last
# word is the env steps of a repetition: about 4 seconds of training.
WORKLOADS: dict[str, tuple[str, ...]] = {
    "ppo-cartpole": ("peers.swingup", *PPO, "614400"),
    "ppo-cartpole, 8 seeds": ("peers.swingup", "--seeds", "8", *PPO, "122880"),
    "ppo-halfcheetah, EnvPool": ("peers.swingup", "--suite", "envpool", *CHEETAH, "32768"),
    "ppo-halfcheetah, Gymnasium": ("peers.swingup", "--suite", "gymnasium", *CHEETAH, "16384"),
    "dqn-cartpole": ("peers.off_policy", "swingup", "dqn-cartpole", "--env-steps", "40000"),
    "dqn-cartpole-10": ("peers.off_policy", "swingup", "dqn-cartpole-10", "--env-steps", "300000"),
    "sac-pendulum": ("peers.off_policy", "swingup", "sac-pendulum", "--env-steps", "640"),
    "sac-halfcheetah": (
        "train",
        "sac",
        *ONE,
        "--replay-ratio",
        "1",
        "--num-steps",
        "16",
        "--env-steps",
        "1520",
    ),
    "td3-halfcheetah": (
        "train",
        "td3",
        *ONE,
        "--replay-ratio",
        "1",
        "--num-steps",
        "2",
        "--env-steps",
        "1700",
    ),
}
COMMANDS = {"swingup --help": ("--help",), "swingup list algos": ("list", "algos")}
RUN = "from swingup.cli import main; main()"
QUICK = 8  # --quick divides env steps by this


def process(root: Path, *words: str, cache: str) -> tuple[str, float]:
    """Run Python on a commit's code; return what it printed, and its seconds."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(DROPPED)}
    env |= {"PYTHONPATH": str(root / "src"), "JAX_PLATFORMS": "cpu", "JAX_COMPILATION_CACHE_DIR": cache}
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *words],
        cwd=root / "benchmarks",
        env=env,
        capture_output=True,
        text=True,
        timeout=600,
    )
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return done.stdout, time.perf_counter() - began


def rate(root: Path, workload: str, cache: str, quick: bool) -> float:
    """Return the env steps per second of a workload's best repetition."""
    *options, env_steps = WORKLOADS[workload]
    if options[0] == "train":
        with tempfile.TemporaryDirectory() as folder:
            words = *options, "1000" if quick else env_steps, "--json", "--out", f"{folder}/run"
            process(root, "-c", RUN, *words, cache=cache)
            result = json.loads((Path(folder) / "run" / "result.json").read_text())
        return result["env_steps"] / result["run_seconds"]
    few = max(1, int(env_steps) // QUICK // 4096) * 4096 if options[0] == "peers.swingup" else 320
    text, _ = process(root, "-m", *options, str(few) if quick else env_steps, cache=cache)
    return json.loads(text.strip().splitlines()[-1])["env_steps_per_second"]


def starts(root: Path, cache: str) -> dict[str, float]:
    """Return seconds: of commands that compute nothing, and of `swingup train` until its first row, cold and warm."""
    found = {
        name: min(process(root, "-c", RUN, *words, cache=cache)[1] for _ in range(3))
        for name, words in COMMANDS.items()
    }
    with tempfile.TemporaryDirectory() as empty:
        for state in ("cold", "warm"):
            began = time.time()
            options = "--env-steps", "512", "--repetitions", "1", "--start-only"
            text, _ = process(root, "-m", "peers.swingup", *options, cache=empty)
            said = json.loads(text.strip().splitlines()[-1])
            found[f"swingup train, {state}"] = said["finished_at"] - said.get("started_at", began)
    return found


def table(stored: dict[str, Any]) -> str:
    """Write all ratios as Markdown."""
    on = stored["machine"]
    lines = [
        f"# Speed beside commit {stored['before']}",
        "",
        f"`{stored['command']}`, commit {stored['commit']}, {stored['date'][:10]}, {on['cpu']}, {on['cores']} "
        f"cores, load average {on['load_average'][0]:g} at the beginning, medians over rounds of each "
        f"round's best of two repetitions, and the median over rounds of now / before.",
        "",
        "| workload | before, env steps/s | now, env steps/s | now / before | in each round |",
        "|---|---:|---:|---:|---|",
    ]
    for name, pairs in stored["rates"].items():
        before, now = (statistics.median(x) for x in zip(*pairs, strict=True))
        each = [b / a for a, b in pairs]
        lines.append(
            f"| {name} | {before:,.0f} | {now:,.0f} | {statistics.median(each):.3f} | "
            f"{', '.join(f'{x:.2f}' for x in each)} |"
        )
    lines += ["", "| start | before, s | now, s | now - before, s |", "|---|---:|---:|---:|"]
    for name, pairs in stored["starts"].items():
        before, now = (statistics.median(x) for x in zip(*pairs, strict=True))
        lines.append(
            f"| {name} | {before:.2f} | {now:.2f} | {statistics.median(b - a for a, b in pairs):+.2f} |"
        )
    return "\n".join([*lines, ""])


def main() -> None:
    """Measure round by round, and store after each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--before", metavar="COMMIT", required=True)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--only", nargs="*", default=[*WORKLOADS, "starts"], choices=[*WORKLOADS, "starts"])
    parser.add_argument("--quick", action="store_true")
    o = parser.parse_args()
    stored: dict[str, Any] = {
        "before": o.before, "commit": commit(), "date": datetime.now(UTC).isoformat(), "machine": machine(),
        "command": f"python benchmarks/before.py --before {o.before}", "rounds": 0, "rates": {}, "starts": {},
    }  # fmt: skip
    if OUT.exists() and not o.quick:  # what is not measured now is kept, if it was beside the same commit
        known = json.loads(OUT.read_text())
        if known["before"] == o.before:
            kept = {name: x for name, x in known["rates"].items() if name not in o.only}
            stored |= {"rates": kept, "starts": {} if "starts" in o.only else known["starts"]}
    with tempfile.TemporaryDirectory() as temporary:
        old = Path(temporary) / "before"
        old.mkdir()
        archive = subprocess.run(
            ["git", "archive", o.before], cwd=ROOT, check=True, capture_output=True
        ).stdout
        subprocess.run(["tar", "-x", "-C", str(old)], input=archive, check=True)
        for number in range(1 if o.quick else o.rounds):
            order = [(0, old), (1, ROOT)][:: -1 if number % 2 else 1]
            for name in o.only:
                if name == "starts":
                    both = {i: starts(root, str(Path(temporary) / f"cache-{i}")) for i, root in order}
                    for what in both[0]:
                        stored["starts"].setdefault(what, []).append([both[0][what], both[1][what]])
                else:
                    both = {
                        i: rate(root, name, str(Path(temporary) / f"cache-{i}"), o.quick) for i, root in order
                    }
                    stored["rates"].setdefault(name, []).append([both[0], both[1]])
                    print(f"round {number}: {name}: {both[1] / both[0]:.3f}", flush=True)
            stored["rounds"] = number + 1
            if not o.quick:
                OUT.write_text(json.dumps(stored, indent=1) + "\n")
                OUT.with_suffix(".md").write_text(table(stored))
    print(table(stored))


if __name__ == "__main__":
    main()
