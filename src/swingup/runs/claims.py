"""A directory has one writer: of two that come at the same time, one gets it."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from swingup import files
from swingup.errors import OutputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


def write_new(path: Path, data: bytes, fs: files.Fs = files.FS) -> None:
    """Do what `write_atomic` does for a file that must not exist yet: one of two processes succeeds. Raises
    FileExistsError.
    """
    temporary = files.hidden(path)
    try:
        fs.write(temporary, [data])
        fs.fsync(temporary)
        try:
            os.link(temporary, path)
        except FileExistsError:
            raise
        except OSError:  # a file system without links
            fs.write(path, [data])
        fs.fsync(path.parent)
    except FileExistsError:
        raise
    except OSError as error:
        raise files.output_error(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Nobody else may write to a directory for a while; the system lifts it when this process ends.

    Raises OutputError if another one does. Where the system has no such locks, nothing is locked.
    """
    if fcntl is None:
        yield
        return
    try:
        descriptor = os.open(directory, os.O_RDONLY)
    except OSError as error:
        raise files.output_error(directory, error) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OutputError(f"{directory} is in use: another process writes a run there") from None
        except OSError:
            pass  # a file system without locks
        yield
    finally:
        os.close(descriptor)
