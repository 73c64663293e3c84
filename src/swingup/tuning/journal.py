"""Optuna's journal is a file of one JSON object per line. A crash can tear its last line; here it is mended.

Optuna reads a torn journal, but its next append makes one broken line of two, after which nothing can read it (Optuna
5.0). So it is cut back to its last whole line before it is opened.
"""

import json
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from swingup import files
from swingup.errors import ConfigError

NAME = "journal.log"
MOST = 2**28  # bytes


def optuna() -> Any:
    """Return the package. Raises `ConfigError` where it is not installed."""
    if find_spec("optuna") is None:
        raise ConfigError("tuning needs Optuna: pip install 'swingup[tune]'")
    return import_module("optuna")


def mend(path: Path) -> int:
    """Cut a journal back to its last whole line; return how many bytes that were.

    The caller holds the directory's lock, so that nobody else writes to it; what a killed process has left of Optuna's
    own lock is removed. Raises `ConfigError` if a line before the last ones is damaged: that was no crash.
    """
    path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
    if not path.exists():
        return 0
    data = files.read_bytes(path, limit=MOST, error=ConfigError)
    lines = data.split(b"\n")
    whole = lines[:-1]  # what follows the last newline is torn, or nothing
    while whole and not _is_record(
        whole[-1]
    ):  # a file system may have made the file longer than what it holds
        whole.pop()
    for number, line in enumerate(whole, start=1):
        if not _is_record(line):
            raise ConfigError(f"{path} is damaged in line {number}: tune into another directory")
    kept = b"".join(line + b"\n" for line in whole)
    if kept != data:
        files.write_atomic(path, kept)
    return len(data) - len(kept)


def _is_record(line: bytes) -> bool:
    try:
        return "op_code" in json.loads(line)
    except (ValueError, TypeError):
        return False


def opened(directory: Path, name: str) -> Any:
    """Return the study that is kept in a directory, or a new one; to maximise."""
    package = optuna()
    package.logging.set_verbosity(package.logging.ERROR)
    path = directory / NAME
    mend(path)
    backend = package.storages.journal.JournalFileBackend(str(path))
    storage = package.storages.JournalStorage(backend)
    return package.create_study(storage=storage, study_name=name, direction="maximize", load_if_exists=True)
