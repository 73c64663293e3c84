"""Regenerate the stored numbers of README and docs that two cores can make, and fail where one leaves its band.

    python benchmarks/regenerate.py                 all of benchmarks/results.toml; goes on where it was stopped
    python benchmarks/regenerate.py --only forms    some of them
    python benchmarks/regenerate.py --list          what there is, and about how many minutes it takes
    python benchmarks/regenerate.py --check         run nothing: do the stored numbers lie in their bands?
    python benchmarks/regenerate.py --accept        keep the new numbers also where they leave their bands

Each benchmark runs in a copy of the repository's files below `.bench/regenerate`, without its own results. These take
the place of the stored ones only if every statistic lies in its band; else they stay in the copy, to be looked at.
"""

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import tomllib
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
STATISTICS = {"mean": np.mean, "median": np.median, "min": np.min, "max": np.max}


class Band(NamedTuple):
    """A statistic of numbers in a JSON file must lie in an interval."""

    file: str
    at: list[str]  # keys from the top of the file down to a number, or to a list of them; "*" is each one
    statistic: str  # of the numbers: mean, median, min or max
    within: tuple[float, float]

    def value(self, root: Path) -> float:
        """Return the statistic; NaN, which is in no band, if the file has no such numbers."""
        try:
            numbers = below(json.loads((root / self.file).read_text()), self.at)
            return float(STATISTICS[self.statistic](np.asarray(numbers, float)))
        except (OSError, ValueError, LookupError, TypeError):
            return float("nan")


def below(found: Any, at: list[str]) -> Any:
    """Return what stands below keys: a number, or lists of them."""
    if not at:
        return found
    key, *rest = at
    if key == "*":
        return [below(x, rest) for x in (found.values() if isinstance(found, dict) else found)]
    return below(found[int(key)] if isinstance(found, list) else found[key], rest)


class Benchmark(NamedTuple):
    """A benchmark is a command and what it writes."""

    name: str
    command: str
    writes: list[str]  # files, relative to the root of the repository, or patterns of their names
    minutes: float  # on two quiet cores
    bands: list[Band]

    def writes_to(self, name: str) -> bool:
        """Say whether a file is one of those that it writes."""
        return any(fnmatchcase(name, pattern) for pattern in self.writes)

    def written(self, root: Path) -> list[str]:
        """List the files that it writes and that stand in a copy of the repository."""
        return sorted({str(x.relative_to(root)) for pattern in self.writes for x in root.glob(pattern)})


def read(root: Path) -> list[Benchmark]:
    """Read the table of benchmarks."""
    table = tomllib.loads((root / "benchmarks" / "results.toml").read_text())
    found = []
    for name, entry in table.items():
        bands = [Band(**band) for band in entry.pop("bands")]
        found.append(Benchmark(name, bands=bands, **entry))
    return found


def copied(root: Path, b: Benchmark, work: Path) -> Path:
    """Return a copy of the repository's files without what the benchmark writes, or one whose run was stopped."""
    copy, begun = work / b.name, work / f"{b.name}.begun"
    if begun.exists():
        return copy
    shutil.rmtree(copy, ignore_errors=True)
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=root, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        if (root / name).is_file() and not b.writes_to(name):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, copy / name)
    begun.touch()
    return copy


def compare(root: Path, copy: Path, b: Benchmark) -> bool:
    """Print each statistic, stored and new, and say whether all of the new ones lie in their bands."""
    right = True
    for band in b.bands:
        old, new, (low, high) = band.value(root), band.value(copy), band.within
        inside = low <= new <= high
        right &= inside
        about = f"{band.statistic} of {' / '.join(band.at)}"
        print(f"  {about}: {old:.6g} -> {new:.6g}, {'in' if inside else 'OUTSIDE'} [{low:g}, {high:g}]")
    return right


def regenerate(root: Path, b: Benchmark, work: Path, accept: bool) -> bool:
    """Run a benchmark and keep what it writes. Return False, and keep nothing, if it fails or leaves a band.

    With `accept`, what another run has left because of its bands is kept without running again.
    """
    copy, left = work / b.name, work / f"{b.name}.left"
    if not (accept and left.exists()):
        left.unlink(missing_ok=True)
        copy = copied(root, b, work)
        code = execute(b, copy)
        (work / f"{b.name}.begun").unlink()  # it has ended: only a run that was killed is gone on with
        wanted = {*b.written(root), *(name for name in b.writes if "*" not in name)}
        lacking = sorted(wanted - {*b.written(copy)})
        if code or lacking:
            print(f"  FAILED with exit code {code}; not written: {', '.join(lacking) or 'nothing'}")
            return False
    if not compare(root, copy, b) and not accept:
        left.touch()
        print(f"  the stored numbers stay; the new ones are in {copy}, and --accept would keep them")
        return False
    for name in b.written(copy):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(copy / name, root / name)
    left.unlink(missing_ok=True)
    shutil.rmtree(copy)
    return True


def execute(b: Benchmark, copy: Path) -> int:
    """Run the command of a benchmark in a copy, with the copy's own code, and return its exit code."""
    words = shlex.split(b.command)
    words = [sys.executable, *words[1:]] if words[0] == "python" else words
    paths = os.pathsep.join([str(copy / "src"), str(copy / "benchmarks")])
    return subprocess.run(words, cwd=copy, env=os.environ | {"PYTHONPATH": paths}).returncode


def run(root: Path, chosen: list[Benchmark], accept: bool) -> int:
    """Regenerate what has not been done since the last time that all of it was done; return the exit code."""
    work = root / ".bench" / "regenerate"
    work.mkdir(parents=True, exist_ok=True)
    failed = []
    for b in chosen:
        done = work / f"{b.name}.done"
        if done.exists():
            print(f"{b.name}: done before")
            continue
        print(f"{b.name}: {b.command}, about {b.minutes:g} minutes", flush=True)
        if regenerate(root, b, work, accept):
            done.touch()
        else:
            failed.append(b.name)
    if failed:
        print(f"failed, or left a band: {', '.join(failed)}")
        return 1
    for b in chosen:
        (work / f"{b.name}.done").unlink()
    return 0


def main(args: list[str] | None = None, root: Path = ROOT) -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--only", nargs="+", metavar="NAME")
    options.add_argument("--list", action="store_true")
    options.add_argument("--check", action="store_true")
    options.add_argument("--accept", action="store_true")
    given = options.parse_args(args)
    table = read(root)
    unknown = set(given.only or ()) - {b.name for b in table}
    if unknown:
        options.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(b.name for b in table)}")
    chosen = [b for b in table if not given.only or b.name in given.only]
    if given.list:
        for b in chosen:
            print(f"{b.name:<32}{b.minutes:>6g} min   {b.command}")
        return 0
    if given.check:
        return 1 if [b for b in chosen if not compare(root, root, b)] else 0
    return run(root, chosen, given.accept)


if __name__ == "__main__":
    sys.exit(main())
