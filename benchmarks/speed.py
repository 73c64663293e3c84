"""Measure swingup against Stable-Baselines3, SBX and Rejax, side by side, on one small PPO workload.

    python benchmarks/speed.py                    # 3 rounds, about 20 minutes on two cores
    python benchmarks/speed.py --workload halfcheetah   # environments on the host: MuJoCo, 8 of them
    python benchmarks/speed.py --starts           # measure only the starts of processes again
    python benchmarks/speed.py --quick            # one short round: proves that it works, decides nothing

By default the workload is PPO on CartPole-v1: 4 environments x 128 env steps an iteration, 4 epochs of 4 minibatches,
two separate 64x64 tanh networks (see `peers/common.py`). Every measurement is a fresh process in the
contestant's own virtual environment, which is made when it is missing. A machine's clock may drift by tens
of percent within minutes, so each round visits all contestants in turn, and a ratio is the median over the
rounds of the ratio inside one round.
"""

import argparse
import itertools
import json
import os
import platform
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from peers import common, launch, summary, tables
from peers.summary import Row

PEERS = ("swingup", "rejax", "sbx", "sb3")


@dataclass(frozen=True)
class Contestant:
    """One program under one setting."""

    peer: str
    seeds: int
    threads: str  # NPROC for the JAX programs, torch.set_num_threads for SB3; "default" sets neither
    suite: str = ""  # who steps the environments, where there is a choice


# In the order in which a round visits them: those to be compared are neighbours. For swingup "default" is its own
# rule (src/swingup/training/machine.py); Rejax is shown at each setting, because it is fastest at another on another
# machine.
CONTESTANTS = {
    "cartpole": [
        *(Contestant(peer, 1, "default") for peer in PEERS),
        *(Contestant(peer, 1, "1") for peer in PEERS[1:]),
        Contestant("rejax", 1, "4"),
        Contestant("swingup", 8, "default"),
        *(Contestant("rejax", 8, threads) for threads in ("default", "1", "4")),
    ],
    "halfcheetah": [
        *(Contestant("swingup", seeds, "default", "envpool") for seeds in (1, 5)),
        Contestant("swingup", 1, "default", "gymnasium"),
        *(
            Contestant(peer, 1, threads, suite)
            for peer, threads, suite in itertools.product(
                ("sbx", "sb3"), ("default", "1"), ("", "subprocess")
            )
        ),
    ],
}
ENV_STEPS = {  # per seed and repetition: about 5 to 15 seconds of training
    "cartpole": {("swingup", 1): 1_024_000, ("rejax", 1): 1_024_000, ("swingup", 8): 153_600}
    | {("rejax", 8): 153_600, ("sbx", 1): 40_960, ("sb3", 1): 40_960},
    "halfcheetah": {("swingup", 1): 65_536, ("swingup", 5): 32_768, ("sbx", 1): 32_768, ("sb3", 1): 32_768},
}
QUICK = 8  # --quick divides those numbers by this


def measure_rates(args: argparse.Namespace, number: int, hung: set[Contestant]) -> Iterator[Row]:
    """Training rates in round `number`. A contestant that hangs is not asked again in later rounds."""
    iteration = common.WORKLOADS[args.workload].iteration
    for contestant in CONTESTANTS[args.workload]:
        if contestant in hung or contestant.peer not in args.only:
            continue
        env_steps = ENV_STEPS[args.workload][contestant.peer, contestant.seeds]
        if args.quick:
            env_steps = max(1, env_steps // QUICK // iteration) * iteration
        options = ["--workload", args.workload, "--suite", contestant.suite]
        options += ["--env-steps", str(env_steps), "--repetitions", str(args.repetitions)]
        options += ["--seeds", str(contestant.seeds), "--threads", contestant.threads]
        result = launch.measure(contestant.peer, options, timeout=args.timeout)
        if result["status"] == "hang":
            hung.add(contestant)
        yield {"kind": "rate", "round": number, **asdict(contestant), **result}


def measure_starts(args: argparse.Namespace, number: int) -> Iterator[Row]:
    """Process start to the first finished iteration, without and then with a filled compilation cache."""
    iteration = common.WORKLOADS["cartpole"].iteration
    options = ["--env-steps", str(iteration), "--repetitions", "1", "--start-only"]
    for peer in args.only:
        with tempfile.TemporaryDirectory() as cache:
            for state in ("cold", "warm"):
                result = launch.measure(peer, options, timeout=args.timeout, cache=cache)
                yield {"kind": "start", "round": number, "peer": peer, "cache": state, **result}


def machine() -> Row:
    """What the numbers depend on; nothing that identifies the machine."""
    models = []
    if (cpuinfo := Path("/proc/cpuinfo")).exists():
        models = [x.split(":", 1)[1].strip() for x in cpuinfo.read_text().splitlines() if "model name" in x]
    return {
        "cpu": models[0] if models else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "load_average": [round(load, 2) for load in os.getloadavg()],
    }


def commit() -> str:
    """The commit under measurement, with "+" where the package differs from it."""
    git = ["git", "-C", str(launch.REPO)]
    head = subprocess.run([*git, "rev-parse", "--short", "--verify", "HEAD"], capture_output=True, text=True)
    changes = subprocess.run([*git, "status", "--porcelain", "src"], capture_output=True, text=True)
    return (head.stdout.strip() or "none") + ("+" if changes.stdout.strip() else "")


def store(rows: list[Row], header: Row, out: Path) -> str:
    """Write the report as JSON and, beside it, as Markdown; return the Markdown."""
    report = {
        **header,
        "versions": {row["peer"]: row["versions"] for row in rows if row["status"] == "ok"},
        "rates": summary.rates(rows),
        "ratios": summary.ratios(rows, header["name"]),
        "starts": summary.starts(rows),
        "measurements": [{name: row[name] for name in row if name != "versions"} for row in rows],
    }
    text = tables.markdown(report)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(report, indent=1) + "\n")
    out.with_suffix(".md").write_text(text)
    return text


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workload", default="cartpole", choices=common.WORKLOADS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repetitions", type=int, default=2, help="trainings timed in one process")
    parser.add_argument("--only", default=",".join(PEERS), help="comma-separated contestants")
    parser.add_argument(
        "--out", type=Path, help="default: results/speed.json; with --quick .bench/speed.json"
    )
    parser.add_argument("--quick", action="store_true", help="one round of short trainings")
    parser.add_argument(
        "--starts", action="store_true", help="measure the starts again, and keep the stored rates"
    )
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds after which a process is hung")
    args = parser.parse_args()
    if unknown := set(args.only.split(",")) - set(PEERS):
        parser.error(f"unknown contestant {', '.join(sorted(unknown))}: choose from {', '.join(PEERS)}")
    args.only = tuple(peer for peer in PEERS if peer in args.only.split(","))
    args.rounds = 1 if args.quick else args.rounds
    folder = launch.HOME if args.quick else Path(__file__).resolve().parent / "results"
    args.only = tuple(p for p in args.only if any(c.peer == p for c in CONTESTANTS[args.workload]))
    args.out = args.out or folder / (
        "speed.json" if args.workload == "cartpole" else f"speed-{args.workload}.json"
    )
    return args


def main() -> None:
    """Measure, store after every round, and print the tables."""
    args = parse_arguments()
    for peer in args.only:
        launch.python_of(peer)
    work = common.WORKLOADS[args.workload]
    header: Row = {
        "benchmark": f"PPO on {work.env}",
        "name": args.workload,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "quick": args.quick,
        "rounds": args.rounds,
        "machine": machine(),
        "workload": work._asdict(),
    }
    rows: list[Row] = []
    if args.starts:
        stored = json.loads(args.out.read_text())
        rows = [
            {"suite": "", "versions": stored["versions"].get(row["peer"])} | row
            for row in stored["measurements"]
        ]
        rows = [row for row in rows if row["kind"] != "start"]
        header |= {"date": stored["date"], "commit": stored["commit"], "rounds": stored["rounds"]}
        header["starts_commit"] = commit()
    hung: set[Contestant] = set()
    text = ""
    for number in range(args.rounds):
        rates = () if args.starts else measure_rates(args, number, hung)
        starts = measure_starts(args, number) if args.workload == "cartpole" else ()
        for row in itertools.chain(rates, starts):
            print(tables.progress(row), flush=True)
            rows.append(row)
        text = store(rows, header, args.out)
    print("\n" + text)


if __name__ == "__main__":
    main()
