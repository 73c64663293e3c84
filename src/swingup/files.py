"""After a crash a file holds the old content or the new, never half of it; files of strangers are read with care."""

import contextlib
import errno
import hashlib
import json
import os
import secrets
import shutil
import stat
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import safetensors

from swingup.errors import OutputError, SwingupError

MAX_JSON = 2**22  # bytes; as a manifest, some 20,000 arrays
CODES = {  # NumPy's names of the dtypes and those of safetensors
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "bool": "BOOL",
    "int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8",
    "uint64": "U64", "uint32": "U32", "uint16": "U16", "uint8": "U8",
}  # fmt: skip
# How a stranger's file is opened: through no link, and without waiting for a pipe's other end.
CAREFUL = os.O_BINARY if sys.platform == "win32" else os.O_NOFOLLOW | os.O_NONBLOCK
DTYPES = {code: name for name, code in CODES.items()}


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


def home(path: str | Path) -> Path:
    """Return the path with `~` as the home directory. Raises `OutputError` where there is no such user."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise OutputError(f"{path}: {error}") from error


def output_error(path: Path, error: OSError) -> OutputError:
    """The one sentence a user reads when `path` cannot be written."""
    return OutputError(f"cannot write {path}: {error.strerror or error}")


def hidden(path: Path) -> Path:
    """Invent a new name beside `path` that no reader looks at; what a killed writer leaves starts with `.tmp-`."""
    return path.with_name(f".tmp-{path.name}-{secrets.token_hex(4)}")


def make_directory(path: Path, fs: Fs = FS) -> None:
    """Create `path` and its parents so that they outlive a power cut. Raises OSError."""
    if not path.is_dir():
        make_directory(path.parent, fs)
        fs.mkdir(path)
        fs.fsync(path.parent)


def write_atomic(path: str | Path, data: bytes, fs: Fs = FS) -> None:
    """Write `data` to `path` so that a crash leaves the old content or the new, never a mixture.

    Raises OutputError (full disk, read-only, missing directory, ...); nothing else is left behind.
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
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def publish(target: Path, contents: dict[str, Iterable[Any]], fs: Fs = FS) -> None:
    """Write a directory of files under a hidden name, push it to the disk, and rename it to `target`.

    What was at `target` stays beside it as `.old-*`, for the caller to `discard`. Raises OSError.
    """
    new = hidden(target)
    fs.mkdir(new)
    for name, chunks in contents.items():
        fs.write(new / name, chunks)
        fs.fsync(new / name)
    fs.fsync(new)
    if target.exists():
        fs.rename(target, target.with_name(f"{target.name}.old-{secrets.token_hex(4)}"))
    fs.rename(new, target)
    fs.fsync(target.parent)


def discard(path: Path, fs: Fs = FS) -> None:
    """Delete, hiding it first: half a deletion must not look like damage. Raises OSError."""
    doomed = hidden(path)
    fs.rename(path, doomed)
    fs.fsync(path.parent)
    fs.remove(doomed)


def sweep(directory: Path, fs: Fs = FS) -> None:
    """Delete what killed writers left in a directory. Raises OSError."""
    for left in directory.glob(".tmp-*"):
        fs.remove(left)


def to_json(obj: Any) -> bytes:
    """Write the text that `read_json` takes back. Raises TypeError or ValueError for what JSON has not, as NaN."""
    data = (json.dumps(obj, indent=1, allow_nan=False) + "\n").encode()
    if len(data) > MAX_JSON:
        raise ValueError(f"{len(data):,} bytes of JSON, where {MAX_JSON:,} are allowed")
    return data


def write_json(path: str | Path, obj: Any) -> None:
    """Write `obj` as JSON, atomically. Raises OutputError, and what `to_json` raises."""
    write_atomic(path, to_json(obj))


def read_bytes(path: str | Path, *, limit: int, error: type[SwingupError] = SwingupError) -> bytes:
    """Read a regular file of at most `limit` bytes; a link, pipe or device is refused.

    Raises `error` for everything that is wrong, before any memory is taken.
    """
    try:
        with open(path, "rb", opener=lambda name, mode: os.open(name, mode | CAREFUL)) as file:
            info = os.fstat(file.fileno())
            if not stat.S_ISREG(info.st_mode):
                raise ValueError("not a regular file")
            if info.st_size > limit:
                raise ValueError(f"{info.st_size:,} bytes where at most {limit:,} are expected")
            return file.read(info.st_size)
    except OSError as problem:
        raise error(f"cannot read {path}: {problem.strerror or problem}") from problem
    except (MemoryError, ValueError) as problem:
        raise error(f"cannot read {path}: {problem}") from problem


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        raise ValueError("a name occurs twice")
    return result


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def read_json(path: str | Path, *, limit: int = MAX_JSON, error: type[SwingupError] = SwingupError) -> Any:
    """Read strict JSON: UTF-8, no NaN or Infinity, no name twice, at most `limit` bytes. Raises `error`."""
    data = read_bytes(path, limit=limit, error=error)
    try:
        return json.loads(data.decode(), object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
    except (ValueError, RecursionError) as problem:
        raise error(f"cannot read {path}: not valid JSON ({problem})") from problem


def sha256(*chunks: Any) -> str:
    """Return the hash of all chunks in a row, in hexadecimal."""
    total = hashlib.sha256()
    for chunk in chunks:
        total.update(chunk)
    return total.hexdigest()


def raw(array: np.ndarray) -> np.ndarray:
    """Return the bytes of a contiguous array, not copied."""
    return array.reshape(-1).view(np.uint8)


def pack_tensors(arrays: dict[str, np.ndarray]) -> list[Any]:
    """Return the pieces of a safetensors file: header length and header, then the arrays, widest dtype first."""
    header, end = {}, 0
    order = sorted(arrays, key=lambda name: (-arrays[name].itemsize, name))
    for name in order:
        start, end = end, end + arrays[name].nbytes
        spec = {"dtype": CODES[arrays[name].dtype.name], "shape": arrays[name].shape}
        header[name] = {**spec, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return [len(text).to_bytes(8, "little") + text, *(raw(arrays[name]) for name in order)]


def unpack_tensors(data: bytes) -> dict[str, np.ndarray]:
    """Return the arrays of a safetensors file. Raises ValueError if it is not a valid one of ours."""
    if int.from_bytes(data[:8], "little") > min(MAX_JSON, len(data) - 8):
        raise ValueError("the header is longer than the file")
    try:
        tensors = safetensors.deserialize(data)
        unknown = {tensor["dtype"] for _, tensor in tensors} - DTYPES.keys()
        if unknown:
            raise ValueError(f"it has arrays of dtype {sorted(unknown)}")
        arrays = {name: np.ndarray(t["shape"], DTYPES[t["dtype"]], t["data"]) for name, t in tensors}
    except (safetensors.SafetensorError, TypeError) as error:
        raise ValueError(str(error)) from error
    if any(array.dtype == np.bool_ and raw(array).max(initial=0) > 1 for array in arrays.values()):
        raise ValueError("a truth value that is neither 0 nor 1")
    return arrays
