"""Measure what is lost when machines of a Ray cluster die: nodes on this machine are killed while a grid trains.

    python benchmarks/cluster.py                                60 jobs on 3 nodes, 20 workers and 2 nodes killed
    python benchmarks/cluster.py --jobs 12 --kills 5 --deaths 1

The same grid is trained without Ray first, and digests are compared: a run that was lost, or came out otherwise, shows.
Needs Ray. Written to benchmarks/results/cluster.md.
"""

import argparse
import json
import os
import random
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from speed import machine
from swingup.runs import checkpoint

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "benchmarks" / "results" / "cluster.json"


def grid(out: Path, jobs: int, env_steps: int, *more: str) -> list[str]:
    """Return the command of a grid with as many jobs: eight seeds fill a block, so each setting is one."""
    rates = [f"{0.1 + 0.01 * i:.2f}" for i in range(jobs)]
    how = ["--env-steps", str(env_steps), "--episodes", "5", "--seeds", "8", "--out", str(out)]
    return [
        sys.executable,
        "-m",
        "swingup",
        "grid",
        "q_learning",
        "tabular:Grid",
        "--lr",
        *rates,
        *how,
        *more,
    ]


def digests(path: Path) -> dict[str, str]:
    """Return the digest of each finished run."""
    runs = [p.parent for p in sorted(path.glob("*/result.json"))]
    return {run.name: checkpoint.digest(run / "checkpoints") for run in runs}


class Killer:
    """Kills workers at random while a grid trains, and nodes. Each dead node is replaced, as clusters do."""

    def __init__(self, cluster: Any, nodes: list[Any], kills: int, deaths: int):
        self.cluster, self.nodes, self.kills, self.deaths = cluster, nodes, kills, deaths
        self.killed, self.dead, self.random = 0, 0, random.Random(0)

    def watch(self, process: subprocess.Popen) -> None:
        """Kill one, wait a little, and go on until the process ends."""
        while process.poll() is None:
            time.sleep(self.random.uniform(1.0, 4.0))
            due = self.kills * (self.dead + 1) // (self.deaths + 1)
            if self.dead < self.deaths and self.killed >= due:
                self.cluster.remove_node(self.nodes.pop(0), allow_graceful=False)
                self.nodes.append(self.cluster.add_node(num_cpus=1))
                self.dead += 1
            elif self.killed < self.kills and (victims := workers()):
                os.kill(self.random.choice(victims), signal.SIGKILL)
                self.killed += 1


def workers() -> list[int]:
    """Return the processes of Ray that do a task now."""
    listing = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True).stdout
    return [
        int(line.split()[0]) for line in listing.splitlines() if "ray::work" in line and "IDLE" not in line
    ]


def main() -> None:
    """Train a grid twice, and compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=60)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--deaths", type=int, default=2)
    parser.add_argument("--env-steps", type=int, default=200_000)
    o = parser.parse_args()
    # Before Ray is imported, which reads them then.
    os.environ |= {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
    }
    Cluster = import_module("ray.cluster_utils").Cluster

    with tempfile.TemporaryDirectory(prefix="g") as folder:
        alone, beside = Path(folder) / "alone", Path(folder) / "ray"
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
        killer = Killer(cluster, [cluster.add_node(num_cpus=1) for _ in range(3)], o.kills, o.deaths)
        begun, more = time.monotonic(), ("--engine", "ray", "--address", cluster.address)
        with open(Path(folder) / "out", "w+") as out, open(Path(folder) / "err", "w+") as err:
            process = subprocess.Popen(
                grid(beside, o.jobs, o.env_steps, *more), stdout=out, stderr=err, text=True
            )
            killer.watch(process)
            seconds = time.monotonic() - begun
            out.seek(0)
            err.seek(0)
            said = out.read()
            print(said[-3000:], err.read()[-3000:])
        cluster.shutdown()
        left = workers()
        ours = [line for line in said.splitlines() if line.startswith("job ")]
        subprocess.run(grid(alone, o.jobs, o.env_steps), check=True, capture_output=True)
        wanted, found = digests(alone), digests(beside)
        rows = [json.loads((beside / name / "result.json").read_text()) for name in found]
    result = {
        "jobs": o.jobs,
        "nodes": 3,
        "workers_killed": killer.killed,
        "nodes_killed": killer.dead,
        "exit_code": process.returncode,
        "lost": sorted(set(wanted) - set(found)),
        "different": [name for name in found if found[name] != wanted.get(name)],
        "answers": len(ours),
        "results": len(rows),
        "processes_left": len(left),
        "seconds": round(seconds),
        "machine": machine(),
    }
    OUT.write_text(json.dumps(result, indent=1) + "\n")
    options = f"--jobs {o.jobs} --kills {o.kills} --deaths {o.deaths} --env-steps {o.env_steps}"
    command = f"python benchmarks/cluster.py {options}"
    lines = ["# A cluster whose machines die", "", f"`{command}`: three nodes of Ray on one machine.", ""]
    lines += ["| what | number |", "|---|---|"]
    names = {
        "jobs": "jobs, eight seeds each",
        "workers_killed": "workers killed (SIGKILL)",
        "nodes_killed": "nodes killed",
        "results": "runs with a result",
        "processes_left": "workers left behind",
        "seconds": "seconds",
    }
    lines += [f"| {text} | {result[name]} |" for name, text in names.items()]
    lines += [
        f"| runs lost | {len(result['lost'])} |",
        f"| runs with other bits than without Ray | {len(result['different'])} |",
    ]
    OUT.with_suffix(".md").write_text("\n".join([*lines, ""]))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
