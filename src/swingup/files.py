"""Files that are either the old or the new content after a crash, and files read from strangers."""

import errno
import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from swingup.errors import OutputError, SwingupError


class Fs:
    """Every change a writer makes on disk, one method each, so that a test can stop or break any of them."""

    def mkdir(self, path: Path) -> None:
        path.mkdir(exist_ok=True)

    def write(self, path: Path, chunks: Iterable[Any]) -> None:
        with open(path, "xb") as file:
            for chunk in chunks:
                file.write(chunk)

    def fsync(self, path: Path) -> None:
        """Push a file, or the names in a directory, to the disk; until then a power cut may undo them."""
        is_dir = path.is_dir()
        if is_dir and os.name == "nt":
            return  # Windows cannot open a directory
        descriptor = os.open(path, os.O_RDONLY if is_dir else os.O_RDWR)
        try:
            os.fsync(descriptor)
        except OSError as error:  # some network file systems have no fsync for directories
            if not (is_dir and error.errno in (errno.EINVAL, errno.ENOTSUP)):
                raise
        finally:
            os.close(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        os.rename(source, target)

    def replace(self, source: Path, target: Path) -> None:
        os.replace(source, target)

    def remove(self, path: Path) -> None:
        """Delete a file, or a directory and all that is in it."""
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


FS = Fs()


def output_error(path: Path, error: OSError) -> OutputError:
    """The one sentence a user reads when `path` cannot be written."""
    return OutputError(f"cannot write {path}: {error.strerror or error}")


def hidden(path: Path) -> Path:
    """A new name beside `path` that no reader looks at; what a killed writer leaves starts with `.tmp-`."""
    return path.with_name(f".tmp-{path.name}-{secrets.token_hex(4)}")


def make_directory(path: Path, fs: Fs = FS) -> None:
    """Create `path` and its parents so that they outlive a power cut. Raises OSError."""
    if not path.is_dir():
        make_directory(path.parent, fs)
        fs.mkdir(path)
        fs.fsync(path.parent)


def write_atomic(path: str | Path, data: bytes, fs: Fs = FS) -> None:
    """Write `data` to `path` so that a crash leaves the old content or the new, never a mixture.

    Raises OutputError (full disk, read-only, missing directory, ...); `path` is then as it was.
    """
    path = Path(path)
    temporary = hidden(path)
    try:
        fs.write(temporary, [data])
        fs.fsync(temporary)
        fs.replace(temporary, path)
        fs.fsync(path.parent)
    except OSError as error:
        raise output_error(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: str | Path, obj: Any) -> None:
    """Write `obj` as JSON, atomically. Raises OutputError, or TypeError/ValueError if it is not plain JSON."""
    write_atomic(path, (json.dumps(obj, indent=1, allow_nan=False) + "\n").encode())


def read_bytes(path: str | Path, *, limit: int, error: type[SwingupError] = SwingupError) -> bytes:
    """The content of a regular file of at most `limit` bytes; a link, pipe or device is refused.

    Raises `error` for everything that is wrong, before any memory is taken.
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        with open(os.open(path, flags), "rb") as file:
            info = os.fstat(file.fileno())
            if not stat.S_ISREG(info.st_mode):
                raise error(f"cannot read {path}: not a regular file")
            if info.st_size > limit:
                raise error(f"cannot read {path}: {info.st_size:,} bytes where at most {limit:,} are expected")
            return file.read(info.st_size)
    except (OSError, MemoryError, ValueError) as problem:  # ValueError: a NUL in the path
        raise error(f"cannot read {path}: {getattr(problem, 'strerror', None) or problem}") from problem


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        raise ValueError("a name occurs twice")
    return result


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def read_json(path: str | Path, *, limit: int = 2**22, error: type[SwingupError] = SwingupError) -> Any:
    """Strict JSON: UTF-8, no NaN or Infinity, no name twice, at most `limit` bytes. Raises `error`."""
    data = read_bytes(path, limit=limit, error=error)
    try:
        return json.loads(data.decode(), object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
    except (ValueError, RecursionError) as problem:
        raise error(f"cannot read {path}: not valid JSON ({problem})") from problem
