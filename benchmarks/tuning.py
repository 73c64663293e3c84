"""Measure what is lost when `swingup tune` is killed at random moments: is it the study that nobody stopped?

    python benchmarks/tuning.py                 # ten kills
    python benchmarks/tuning.py --kills 2 --trials 8

A study of PPO on CartPole is searched to its end, with its final on fresh seeds. Then the same command is started and
killed with SIGKILL, again and again, until it ends by itself; further kills go to a fresh copy. Compared are Optuna's
trials (number, state, settings, score), the blocks' files, and the digests of the runs of the final. Written to
benchmarks/results/tuning.json and .md.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from speed import machine
from swingup.runs import checkpoint
from swingup.tuning import journal

OUT = Path(__file__).resolve().parent / "results" / "tuning.json"
LONGEST = 25.0  # seconds between two kills
SIZE = ["--env-steps", "20000", "--together", "4", "--seeds", "4", "--fresh", "4"]


def started(trials: int, out: Path, cache: Path) -> subprocess.Popen[bytes]:
    """Start the study, or go on with it."""
    words = ["tune", "ppo", "CartPole-v1", "--trials", str(trials), *SIZE, "--out", str(out)]
    env = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(cache)}
    with open(out.parent / f"{out.name}.log", "ab") as log:
        return subprocess.Popen([sys.executable, "-m", "swingup", *words], stdout=log, stderr=log, env=env)


def ended(trials: int, out: Path, cache: Path) -> float:
    """Let the study come to its end; return seconds."""
    began = time.perf_counter()
    if started(trials, out, cache).wait():
        raise SystemExit((out.parent / f"{out.name}.log").read_text()[-3000:])
    return time.perf_counter() - began


def known(path: Path) -> dict[str, Any]:
    """Return all that a study has found: Optuna's trials, the blocks, and the digests of the final's runs."""
    study = journal.opened(path, "swingup")
    finals = sorted(run.parent for run in (path / "final").glob("*/result.json"))
    return {
        "trials": [(t.number, t.state.name, t.params, t.value) for t in study.trials],
        "blocks": {file.name: file.read_bytes() for file in sorted((path / "blocks").iterdir())},
        "final": {run.name: checkpoint.digest(run / "checkpoints") for run in finals},
    }


def killed(trials: int, out: Path, cache: Path, kills: int) -> list[float]:
    """Kill the study until it ends by itself, or has been killed as often; return the seconds before each kill."""
    moments = []
    while len(moments) < kills:
        process, after = started(trials, out, cache), random.uniform(1.0, LONGEST)
        try:
            process.wait(after)
            break
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            moments.append(round(after, 1))
    ended(trials, out, cache)
    return moments


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--trials", type=int, default=32)
    o = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tuning-") as folder:
        base, moments, same, copies = Path(folder), [], [], 0
        seconds = ended(o.trials, base / "whole", base / "cache")
        wanted = known(base / "whole")
        again = ended(o.trials, base / "whole", base / "cache")
        while len(moments) < o.kills:
            out = base / f"killed-{copies}"
            moments += killed(o.trials, out, base / "cache", o.kills - len(moments))
            found, copies = known(out), copies + 1
            same.append({name: found[name] == wanted[name] for name in wanted})
            print(moments, same[-1], flush=True)
    numbers = [number for number, *_ in wanted["trials"]]
    states = [state for _, state, *_ in wanted["trials"]]
    result = {
        "kills": len(moments),
        "after_seconds": moments,
        "copies": copies,
        "trials": len(numbers),
        "given_up": states.count("PRUNED"),
        "runs_of_the_final": len(wanted["final"]),
        "same_trials": sum(row["trials"] for row in same),
        "same_blocks": sum(row["blocks"] for row in same),
        "same_digests_of_the_final": sum(row["final"] for row in same),
        "seconds": round(seconds, 1),
        "repeat_seconds": round(again, 1),
        "machine": machine(),
    }
    OUT.write_text(json.dumps(result, indent=1) + "\n")
    OUT.with_suffix(".md").write_text(page(result))
    print(page(result))


NAMES = {
    "kills": "SIGKILLs",
    "copies": "copies that these killed until they ended",
    "trials": "trials of a study",
    "given_up": "trials that it gave up early",
    "runs_of_the_final": "settings trained anew on fresh seeds",
    "same_trials": "copies with the same trials",
    "same_blocks": "copies with the same files of all blocks",
    "same_digests_of_the_final": "copies with the same digests of the final's runs",
    "seconds": "seconds of the study that nobody stopped",
    "repeat_seconds": "seconds of the same command again, which has nothing to do",
}


def page(result: dict[str, Any]) -> str:
    """Return benchmarks/results/tuning.md."""
    about = (
        f"`python benchmarks/tuning.py --kills {result['kills']} --trials {result['trials']}`: a study of PPO on "
        f"CartPole-v1 ({' '.join(SIZE)}), killed with SIGKILL after up to {LONGEST:g} "
        "seconds, again and again until it ends; then a fresh copy of it. A copy is the same if every trial of "
        "Optuna's journal (number, state, settings, score), every byte of the blocks' files and every digest of the "
        f"final's runs is that of the study that nobody stopped. {result['machine']['cpu']}, "
        f"load average {result['machine']['load_average'][0]:g} at the end."
    )
    lines = ["# A study that is killed", "", about, "", "| what | number |", "|---|---:|"]
    return "\n".join([*lines, *(f"| {text} | {result[key]} |" for key, text in NAMES.items()), ""])


if __name__ == "__main__":
    main()
