"""Compare the compiled programs of two checkouts. If they are the same, only the speed of Python may differ.

    python benchmarks/programs.py BEFORE              beside this checkout; BEFORE is another, or an unpacked archive
    python benchmarks/programs.py BEFORE --starts     CPU time of the start of a command, in turn

It trains each algorithm for a few iterations in both, from the shell and with an empty cache, lets XLA write down the
optimised programs, and compares how often each operation on each shape and layout occurs in the program of a chunk of
training, of the first state and of evaluations. Numbers behind names, and where a line comes from, are left out. Writes
benchmarks/results/programs.md.
"""

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RUNS = {
    "vpg": ("CartPole-v1", 4096),
    "a2c": ("CartPole-v1", 4096),
    "ppo": ("CartPole-v1", 4096),
    "trpo": ("CartPole-v1", 4096),
    "dqn": ("CartPole-v1", 12000),
    "c51": ("CartPole-v1", 12000),
    "qr_dqn": ("CartPole-v1", 12000),
    "ddpg": ("Pendulum-v1", 2000),
    "td3": ("Pendulum-v1", 2000),
    "sac": ("Pendulum-v1", 2000),
}
PROGRAMS = {"_init": "first state", "_device_chunk": "training", "_on": "evaluations"}


def operations(text: str) -> Counter:
    """Count the operations of a program by their names and results."""
    found = Counter()
    for line in text.splitlines():
        if match := re.search(r"= (\(.*?\)|\S+) ([\w-]+)\(", line):
            found[match[2], re.sub(r"/\*.*?\*/", "", match[1])] += 1
    return found


def programs(source: Path, algo: str, env: str, env_steps: int) -> dict[str, list[Counter]]:
    """Train in a process of its own, and return the operations of its programs."""
    with tempfile.TemporaryDirectory() as folder:
        dump, out = Path(folder) / "dump", Path(folder) / "run"
        command = [sys.executable, "-m", "swingup", "train", algo, env, "--env-steps", str(env_steps)]
        where = {"PYTHONPATH": str(source), "JAX_COMPILATION_CACHE_DIR": str(Path(folder) / "cache")}
        flags = {"XLA_FLAGS": f"--xla_dump_to={dump} --xla_dump_hlo_as_text"}
        subprocess.run(
            [*command, "--out", str(out)], env=os.environ | where | flags, check=True, capture_output=True
        )
        return {
            name: [
                operations(path.read_text())
                for path in sorted(dump.glob(f"*.jit_{name}.cpu_after_optimizations.txt"))
            ]
            for name in PROGRAMS
        }


def start(source: Path, cache: str) -> float:
    """Train for two iterations in a process of its own, and return its CPU time in seconds."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "swingup", "train", "ppo", "CartPole-v1", "--env-steps", "1024"]
        where = {"PYTHONPATH": str(source), "JAX_COMPILATION_CACHE_DIR": cache}
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        run = [*command, "--out", f"{folder}/run"]
        subprocess.run(run, env=os.environ | where, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def starts(roots: tuple[Path, Path], label: str) -> list[str]:
    """Start both in turn, each with a cache of its own that is empty at first."""
    with tempfile.TemporaryDirectory() as folder:
        rows = [[start(root / "src", f"{folder}/{i}") for i, root in enumerate(roots)] for _ in range(6)]
    cold, warm = rows[0], [sorted(column)[len(rows) // 2] for column in zip(*rows[1:], strict=True)]
    return [
        "",
        "CPU time of `swingup train ppo CartPole-v1 --env-steps 1024`, in turn, with a cache of compiled programs "
        "that is empty at first; warm is the median of five.",
        "",
        "| checkout | cold [s] | warm [s] |",
        "|---|---|---|",
        *(
            f"| {name} | {a:.1f} | {b:.1f} |"
            for name, a, b in zip((label, "this one"), cold, warm, strict=True)
        ),
    ]


def main() -> None:
    """Compare all, and write the table."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("before", type=Path)
    options.add_argument("--label", default="the other checkout", help="what it is called on the page")
    options.add_argument("--only", nargs="*", default=list(RUNS), choices=RUNS)
    options.add_argument(
        "--starts", action="store_true", help="measure starts alone, and add them to the page"
    )
    o = options.parse_args()
    page = ROOT / "benchmarks" / "results" / "programs.md"
    if o.starts:
        lines = starts((o.before, ROOT), o.label)
        print("\n".join(lines))
        page.write_text(page.read_text().partition("\nCPU time of")[0] + "\n".join(lines) + "\n")
        return
    lines = [
        "# Compiled programs, before and after",
        "",
        f"`python benchmarks/programs.py` beside {o.label}: operations of the optimised programs, each counted "
        "with the shape and layout of its result.",
        "",
        "| command | " + " | ".join(PROGRAMS.values()) + " |",
        "|---" * (1 + len(PROGRAMS)) + "|",
    ]
    for algo in o.only:
        before, after = (programs(root / "src", algo, *RUNS[algo]) for root in (o.before, ROOT))
        cells = []
        for name in PROGRAMS:
            numbers = " + ".join(f"{x.total():,}" for x in after[name])
            same = before[name] == after[name] and after[name]
            less, more = (
                (sum(before[name], Counter()) - sum(after[name], Counter())).total(),
                (sum(after[name], Counter()) - sum(before[name], Counter())).total(),
            )
            cells.append(f"{numbers}: the same" if same else f"{numbers}: {less:,} less, {more:,} more")
        lines.append(f"| `swingup train {algo} {RUNS[algo][0]}` | " + " | ".join(cells) + " |")
        print(lines[-1], flush=True)
    _, mark, measured = page.read_text().partition("\nCPU time of") if page.exists() else ("", "", "")
    page.write_text("\n".join(lines) + "\n" + mark + measured)


if __name__ == "__main__":
    main()
