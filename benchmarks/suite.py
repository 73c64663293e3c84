"""How long do the tests take, which take longest, and what does each of these prove?

    python benchmarks/suite.py                 the fast suite, as `make test` runs it
    python benchmarks/suite.py --slow          the slow one
    python benchmarks/suite.py --at COMMIT     the fast suite of another commit, with its own code

Processor time is that of all workers; it hardly depends on what else the machine does, the clock does. What a test
proves is the first sentence of its docstring, or its name. Written to benchmarks/results/suite.md, a part for each
suite and commit; parts that are there stay.
"""

import argparse
import ast
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from speed import machine

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "benchmarks" / "results" / "suite.json"
LINE = re.compile(r"^\s*([\d.]+)s (?:call|setup|teardown)\s+(\S.*)$", re.MULTILINE)
FASTER = "--xla_cpu_use_fusion_emitters=false"  # what `make test` sets
TEN = 10


def proves(root: Path, test: str) -> str:
    """Return the first sentence of a test's docstring, with its name in words where it has none."""
    path, _, name = test.partition("[")[0].partition("::")
    for node in ast.walk(ast.parse((root / path).read_text())):
        if isinstance(node, ast.FunctionDef) and node.name == name.rpartition("::")[2]:
            text = " ".join((ast.get_docstring(node) or "").split())
            return re.split(r"(?<=\.) ", text)[0] or name.removeprefix("test_").replace("_", " ")
    return name


def ran(root: Path, slow: bool) -> dict[str, Any]:
    """Run a suite; return its closing line, its seconds, and the ten tests that took longest."""
    env = os.environ | {
        "XLA_FLAGS": f"{FASTER} {os.environ.get('XLA_FLAGS', '')}",
        "PYTHONPATH": str(root / "src"),
    }
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--durations=0",
        "--durations-min=0.1",
        "-p",
        "no:cacheprovider",
    ]
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    with tempfile.TemporaryDirectory() as base:
        command += ["--basetemp", f"{base}/pytest", *(["-m", "slow"] if slow else [])]
        done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True)
    after, seconds = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - begun
    tests: dict[str, float] = {}
    for took, test in LINE.findall(done.stdout):
        tests[test] = tests.get(test, 0.0) + float(took)
    longest = sorted(tests, key=tests.__getitem__, reverse=True)
    files: dict[str, float] = {}
    for test, took in tests.items():
        files[test.partition("::")[0]] = files.get(test.partition("::")[0], 0.0) + took
    print(done.stdout[-3000:], file=sys.stderr)
    return {
        "closing": re.findall(r"^=* ?(\d+ (?:passed|failed).*?) ?=*$", done.stdout, re.MULTILINE)[-1:],
        "seconds": round(seconds),
        "processor_seconds": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime),
        "longest": [[test, round(tests[test], 1), proves(root, test)] for test in longest[:TEN]],
        "files": {name: round(files[name], 1) for name in sorted(files, key=files.__getitem__, reverse=True)},
        "machine": machine(),
    }


def page(stored: dict[str, Any]) -> str:
    """Write the table of all suites, and the ten slowest tests of each."""
    lines = [
        "# How long the tests take",
        "",
        "`python benchmarks/suite.py`, with `--slow`, with `--at COMMIT`. Two workers.",
        "",
    ]
    lines += [
        "| suite | result | minutes by the clock | processor minutes | load average |",
        "|---|---|---|---|---|",
    ]
    for name, r in stored.items():
        minutes = f"{r['seconds'] / 60:.1f} | {r['processor_seconds'] / 60:.1f}"
        closing = (r["closing"] or ["?"])[0]
        lines.append(f"| {name} | {closing} | {minutes} | {r['machine']['load_average'][1]:.1f} |")
    for name, r in stored.items():
        lines += [
            "",
            f"## The ten slowest tests: {name}",
            "",
            "| test | seconds | what it proves |",
            "|---|---|---|",
        ]
        lines += [f"| `{test}` | {took:.0f} | {text} |" for test, took, text in r["longest"]]
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--slow", action="store_true")
    parser.add_argument("--at", metavar="COMMIT")
    o = parser.parse_args()
    name = ("slow" if o.slow else "fast") + (f", at {o.at}" if o.at else "")
    with tempfile.TemporaryDirectory() as temporary:
        root = ROOT
        if o.at:
            root = Path(temporary)
            archive = subprocess.run(
                ["git", "archive", o.at], cwd=ROOT, check=True, capture_output=True
            ).stdout
            subprocess.run(["tar", "-x", "-C", str(root)], input=archive, check=True)
        found = ran(root, o.slow)
    stored = json.loads(OUT.read_text()) if OUT.exists() else {}
    stored[name] = found
    OUT.write_text(json.dumps(stored, indent=1) + "\n")
    OUT.with_suffix(".md").write_text(page(stored))
    print(page(stored))


if __name__ == "__main__":
    main()
