"""Measure how long a learner waits for a verdict: every solution, start file and known mistake goes through the check.

python benchmarks/learn.py

Each is graded as `swingup learn check` does it, in a process of its own, one after the other. It fails if a solution
does not pass, or if a mistake is not rejected under its own name. Written to benchmarks/results/learn.md.
"""

import os
import platform
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from swingup import files
from swingup.learn import FILES, exercise
from swingup.learn.grading import grade

BUSY = """On a machine with more to do than it has cores, the clock tells how busy it was; the processor time is what a
verdict takes."""
OUT = Path(__file__).parent / "results" / "learn.md"


def answers() -> list[tuple[str, str, str, str]]:
    """List all answers: what kind, of which exercise, the text of its file, and the mistake that is to be named."""
    found = []
    for name, file in FILES.items():
        ex = exercise(name)
        found.append(("solutions", name, ex.solution, ""))
        found.append(("start files, with a comment more", name, f"{ex.start}\n# mine\n", ""))
        take = f"from swingup.learn.exercises.{file} import EXERCISE\n{ex.name} = EXERCISE.wrong"
        found += [("known mistakes", name, f"{take}[{phrase!r}]\n", phrase) for phrase in ex.wrong]
    loop = exercise("b1").start.replace("raise NotImplementedError  # TODO", "while True:\n        pass")
    return [*found, ("a loop without an end", "b1", loop, "")]


def measure(kind: str, name: str, text: str, mistake: str, folder: Path) -> tuple[float, float]:
    """Grade one answer; return seconds by the clock and of processor time. It exits where the verdict is wrong."""
    path = folder / f"{FILES[name]}.py"
    path.write_text(text)
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    verdict = grade(name, path)
    seconds, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    if verdict.passed != (kind == "solutions") or (mistake and verdict.finding.mistake != mistake):
        sys.exit(f"{name}, {kind}: {verdict.finding}")
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure all, print the table and store it."""
    seconds: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind, name, text, mistake in answers():
            seconds.setdefault(kind, []).append(measure(kind, name, text, mistake, Path(folder)))
    lines = [
        "# How long a learner waits for a verdict",
        "",
        "`python benchmarks/learn.py`: each answer in a process of its own. All solutions pass, and every known",
        "mistake is rejected under its own name.",
        "",
        "| answers | number | median [s] | worst [s] | processor time, median [s] | worst [s] |",
        "|---|---|---|---|---|---|",
    ]
    for kind, measured in seconds.items():
        clock, cpu = np.array(measured).T
        cells = [f"{f(x):.2f}" for x in (clock, cpu) for f in (np.median, np.max)]
        lines.append(f"| {kind} | {len(measured)} | {' | '.join(cells)} |")
    load = os.getloadavg()[0]
    versions = f"Python {platform.python_version()}, NumPy {np.__version__}"
    if load > (os.cpu_count() or 1):
        lines += ["", BUSY]
    lines += ["", f"{os.cpu_count()} cores, load average {load:.1f} at the end; {versions}.", ""]
    files.write_atomic(OUT, "\n".join(lines).encode())
    print("\n".join(lines))


if __name__ == "__main__":
    main()
