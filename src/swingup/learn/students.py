"""A whole class is checked by one command, and a CSV file says who passed what, without grades."""

import csv
import io
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from swingup import files
from swingup.errors import ConfigError
from swingup.learn import FILES
from swingup.learn.folder import NAME
from swingup.learn.grading import grade

COLUMNS = ["student", "exercise", "state", "mistake", "message", "line", "seconds"]


def students(place: Path) -> dict[str, Path]:
    """Return the folder of each student: every directory in `place`, or the `swingup-learn` in it."""
    if not place.is_dir():
        raise ConfigError(f"{place} is not a directory: name the one that holds a folder for each student")
    found = [p for p in sorted(place.iterdir()) if p.is_dir() and not p.name.startswith(".")]
    return {p.name: p / NAME if (p / NAME).is_dir() else p for p in found}


def check(place: Path, out: Path, names: list[str], watch: Callable[[str, int], None]) -> int:
    """Grade the exercises `names` of every student and write the CSV file; return how many students there are."""
    folders, rows = students(place), []
    with ThreadPoolExecutor(max(1, (os.cpu_count() or 2) // 2)) as pool:
        for student, folder in folders.items():
            found = list(pool.map(lambda name, folder=folder: row(folder, name), names))
            rows += [[plain(student), *found_row] for found_row in found]
            watch(student, sum(found_row[1] == "passed" for found_row in found))
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([COLUMNS, *rows])
    files.write_atomic(out, text.getvalue().encode())
    return len(folders)


def row(folder: Path, name: str) -> list[str]:
    """Check one file; a missing one is a row, too, and so is one that cannot be read."""
    path = folder / f"{FILES[name]}.py"
    if not path.exists():
        return [name, "missing", "", "", "", ""]
    try:
        verdict = grade(name, path)
    except files.SwingupError as error:
        return [name, "failed", "", plain(str(error)), "", ""]
    f = verdict.finding
    return [name, f.state, f.mistake, plain(f.message), str(f.line or ""), f"{verdict.seconds:.2f}"]


def plain(text: str) -> str:
    """Put a quote before what a spreadsheet would take for a formula.

    >>> plain("=1+1"), plain("ada")
    ("'=1+1", 'ada')
    """
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
