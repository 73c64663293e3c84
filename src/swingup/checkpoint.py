"""Checkpoints: an exact and verified copy of a training state. Loading one never runs code.

    DIR/step-000000012345/tensors.safetensors   every array, named by its path in the tree
    DIR/step-000000012345/manifest.json         names, shapes, dtypes, SHA-256 and the caller's `meta`
    DIR/latest                                  the name of the newest, for people and scripts

A checkpoint is written under a hidden name, pushed to the disk, and only then renamed to its own, new name;
older ones go last. A crash at any moment leaves the previous checkpoint or the new one, and `load` takes the
newest whose hashes verify. One process at a time may write to a directory.
"""

import contextlib
import hashlib
import json
import math
import re
import warnings
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors

from swingup import files
from swingup.errors import CheckpointError

TENSORS, MANIFEST, LATEST = "tensors.safetensors", "manifest.json", "latest"
FIELDS = {"format": int, "step": int, "file": dict, "arrays": dict, "keys": dict, "meta": dict, "sha256": str}
NAME = re.compile(r"step-([0-9]{12})(\.old)?")
MAX_JSON = 2**22  # bytes: a manifest of some 20,000 arrays
MAX_SIDE = 2**48  # no axis of an array is longer
DTYPES: dict[str, Any] = {
    **{"BOOL": np.bool_, "U8": np.uint8, "U16": np.uint16, "U32": np.uint32, "U64": np.uint64},
    **{"I8": np.int8, "I16": np.int16, "I32": np.int32, "I64": np.int64},
    **{"F16": np.float16, "BF16": jnp.bfloat16, "F32": np.float32, "F64": np.float64},
}
CODES = {np.dtype(dtype): code for code, dtype in DTYPES.items()}
FS = files.FS  # tests put a failing disk here


class CheckpointWarning(UserWarning):
    """The newest checkpoint is damaged and an older one was used."""


def save(directory: str | Path, state: Any, *, step: int, meta: dict, keep: int = 2) -> Path:
    """Publish `state` (any tree of arrays) as the checkpoint of `step` and keep the newest `keep`.

    Raises OutputError when the disk refuses (earlier checkpoints stay as they are), TypeError or ValueError
    for a leaf that is not an array, a `meta` that is not plain JSON, or a step or `keep` out of range.
    """
    if not (0 <= step < 10**12 and keep >= 1):
        raise ValueError(f"step must be in [0, 10^12) and keep at least 1, not {step} and {keep}")
    directory, target = Path(directory), Path(directory) / f"step-{step:012d}"
    arrays, keys = _to_host(state)
    tensors = _pack(arrays)
    manifest = _describe(step, arrays, keys, tensors, meta)
    text = (json.dumps(manifest, indent=1) + "\n").encode()
    if len(text) > MAX_JSON:
        raise ValueError(f"the manifest has {len(text):,} bytes, more than {MAX_JSON:,}: is `meta` too large?")
    try:
        files.make_directory(directory, FS)
        _sweep(directory)
        if not _holds(target, manifest):
            _publish(target, {TENSORS: tensors, MANIFEST: [text]})
        FS.fsync(directory)
        files.write_atomic(directory / LATEST, target.name.encode() + b"\n", FS)
        found = _published(directory)
        kept = [path for path in found if path.suffix != ".old"][:keep]
        for path in found:
            if path not in (*kept, target):
                _discard(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            _sweep(directory)  # a full disk needs the room
        raise files.output_error(target, error) from error
    return target


def _named(tree: Any) -> dict[str, Any]:
    """The leaves of a tree by their path, e.g. `.learner.params.pi.layers[0].weight`."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    named = {jax.tree_util.keystr(path): leaf for path, leaf in leaves}
    for name, leaf in named.items():
        if not (hasattr(leaf, "dtype") and hasattr(leaf, "shape")):
            raise TypeError(f"leaf {name!r} is a {type(leaf).__name__}, not an array")
    if len(named) < len(leaves):
        raise TypeError("two leaves of the tree have the same path")
    return named


def _to_host(state: Any) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Every leaf as a NumPy array; of a typed PRNG key its data, with the name of its generator beside."""
    arrays, keys = {}, {}
    for name, leaf in _named(state).items():
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            keys[name] = str(jax.random.key_impl(leaf))
            leaf = jax.random.key_data(leaf)
        arrays[name] = np.asarray(leaf, order="C")
        if arrays[name].dtype not in CODES:
            raise TypeError(f"leaf {name!r} has dtype {arrays[name].dtype!r}, which a checkpoint cannot hold")
    return arrays, keys


def _bytes(array: np.ndarray) -> np.ndarray:
    return array.reshape(-1).view(np.uint8)


def _sha256(*chunks: Any) -> str:
    total = hashlib.sha256()
    for chunk in chunks:
        total.update(chunk)
    return total.hexdigest()


def _pack(arrays: dict[str, np.ndarray]) -> list[Any]:
    """The pieces of a safetensors file: header length and header, then the arrays, widest dtype first."""
    header, end = {}, 0
    order = sorted(arrays, key=lambda name: (-arrays[name].itemsize, name))
    for name in order:
        start, end = end, end + arrays[name].nbytes
        spec = {"dtype": CODES[arrays[name].dtype], "shape": arrays[name].shape}
        header[name] = {**spec, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return [len(text).to_bytes(8, "little") + text, *(_bytes(arrays[name]) for name in order)]


def _describe(step: int, arrays: dict[str, np.ndarray], keys: dict, tensors: list, meta: dict) -> dict[str, Any]:
    specs = {
        name: {"shape": list(array.shape), "dtype": array.dtype.name, "sha256": _sha256(_bytes(array))}
        for name, array in arrays.items()
    }
    file = {"size": sum(map(len, tensors)), "sha256": _sha256(*tensors)}
    meta = json.loads(json.dumps(meta, allow_nan=False))  # tuples become lists now, not after a load
    manifest = {"format": 1, "step": int(step), "file": file, "arrays": specs, "keys": keys, "meta": meta}
    return manifest | {"sha256": _seal(manifest)}


def _seal(manifest: dict) -> str:
    """SHA-256 of the manifest itself, less this field."""
    content = {name: value for name, value in manifest.items() if name != "sha256"}
    return _sha256(json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False).encode())


def _holds(path: Path, manifest: dict) -> bool:
    """Whether `path` already is an undamaged checkpoint with this very content."""
    with contextlib.suppress(CheckpointError):
        return read(path)[1]["sha256"] == manifest["sha256"]
    return False


def _publish(target: Path, contents: dict[str, list]) -> None:
    """Write a directory under a hidden name, push it to the disk, and rename it to `target`."""
    hidden = files.hidden(target)
    FS.mkdir(hidden)
    for name, chunks in contents.items():
        FS.write(hidden / name, chunks)
        FS.fsync(hidden / name)
    FS.fsync(hidden)
    if target.exists():
        _set_aside(target)
    FS.rename(hidden, target)
    FS.fsync(target.parent)


def _set_aside(target: Path) -> None:
    """Make room for another version of a step: a good one stays readable as `.old`, a damaged one goes."""
    old = target.with_name(target.name + ".old")
    try:
        read(target)
    except CheckpointError:
        return _discard(target)
    if old.exists():
        _discard(old)
    return FS.rename(target, old)


def _discard(path: Path) -> None:
    hidden = files.hidden(path)  # hide it first: half a deletion must not look like a damaged checkpoint
    FS.rename(path, hidden)
    FS.remove(hidden)


def _sweep(directory: Path) -> None:
    for left in directory.glob(".tmp-*"):
        FS.remove(left)


def load(directory: str | Path, like: Any, *, step: int | None = None) -> tuple[Any, dict]:
    """The newest undamaged state (or that of `step`) and its manifest; `like` is `jax.eval_shape(init, ...)`.

    Leaves are JAX arrays; those that are NumPy arrays in `like`, or need 64 bits that JAX has off, NumPy ones.
    Warns with CheckpointWarning if a newer checkpoint is damaged. Raises CheckpointError if there is none to
    use or its names, shapes or dtypes are not those of `like`, and TypeError for a leaf of `like` without any.
    """
    wanted = _named(like)
    path, arrays, manifest = _newest(directory, step)
    found = {name: _to_key(path, name, array, manifest["keys"]) for name, array in arrays.items()}
    problems = [f"{name} is missing" for name in wanted if name not in found]
    problems += [f"{name} is not expected" for name in found if name not in wanted]
    for name in wanted.keys() & found.keys():
        ours, theirs = (f"{x.dtype}{list(x.shape)}" for x in (wanted[name], found[name]))
        if ours != theirs:
            problems.append(f"{name}: expected {ours}, found {theirs}")
    more = f"; and {len(problems) - 4} more" if len(problems) > 4 else ""
    _require(not problems, path, "does not fit this run: " + "; ".join(sorted(problems)[:4]) + more)
    leaves = [_place(found[name], leaf) for name, leaf in wanted.items()]
    return jax.tree_util.tree_unflatten(jax.tree_util.tree_structure(like), leaves), manifest


def _to_key(path: Path, name: str, array: np.ndarray, keys: dict[str, Any]) -> Any:
    if name not in keys:
        return array
    try:
        return jax.random.wrap_key_data(array, impl=keys[name])
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: {name!r:.80} is not a PRNG key of kind {keys[name]!r:.40}") from error


def _place(value: Any, leaf: Any) -> Any:
    if isinstance(value, jax.Array) or isinstance(leaf, np.ndarray):
        return value
    fits = jax.dtypes.canonicalize_dtype(value.dtype) == value.dtype
    return jnp.array(value) if fits else value


def latest(directory: str | Path) -> Path | None:
    """The newest published checkpoint, not verified; None if there is none. Raises CheckpointError."""
    return next(iter(_published(Path(directory))), None)


def verify(directory: str | Path) -> list[int]:
    """The steps of all checkpoints, oldest first. Raises CheckpointError if one is damaged or there is none."""
    found = _published(Path(directory))
    _require(found, directory, "no checkpoint here")
    return sorted({read(path)[1]["step"] for path in found})


def digest(directory: str | Path) -> str:
    """SHA-256 over name, dtype, shape and bytes of every array of the newest undamaged checkpoint.

    Raises CheckpointError if there is none.
    """
    arrays = _newest(directory)[1]
    heads = {name: json.dumps([name, x.dtype.name, x.shape]).encode() for name, x in arrays.items()}
    return _sha256(*(part for name in sorted(arrays) for part in (heads[name], _bytes(arrays[name]))))


def _published(directory: Path) -> list[Path]:
    """All that is named like a checkpoint, newest step first."""
    try:
        found = [path for path in directory.iterdir() if NAME.fullmatch(path.name)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise CheckpointError(f"cannot read {directory}: {error.strerror}") from error
    return sorted(found, key=lambda path: (path.name[:17], path.suffix != ".old"), reverse=True)


def _newest(directory: str | Path, step: int | None = None) -> tuple[Path, dict[str, np.ndarray], dict]:
    damaged, published = [], _published(Path(directory))
    for path in published:
        if step is not None and path.stem != f"step-{step:012d}":
            continue
        try:
            arrays, manifest = read(path)
        except CheckpointError as error:
            damaged.append(str(error))
            continue
        if damaged:
            warnings.warn(f"damaged: {'; '.join(damaged)}; using {path.name}", CheckpointWarning, stacklevel=3)
        return path, arrays, manifest
    steps = ", ".join(str(int(path.stem[5:])) for path in published) or "none"
    wanted = "checkpoint" if step is None else f"checkpoint of step {step}"
    raise CheckpointError(f"no usable {wanted} in {directory} (steps: {steps})" + "".join(f"; {d}" for d in damaged))


def read(path: str | Path) -> tuple[dict[str, np.ndarray], dict]:
    """The arrays (PRNG keys as their data) and the manifest of one checkpoint, everything verified.

    Raises CheckpointError for all that is missing, damaged or malicious; takes at most about twice the memory
    of the file.
    """
    path = Path(path)
    try:
        manifest = files.read_json(path / MANIFEST, limit=MAX_JSON, error=CheckpointError)
        _check(path, manifest)
        data = files.read_bytes(path / TENSORS, limit=manifest["file"]["size"], error=CheckpointError)
        intact = len(data) == manifest["file"]["size"] and _sha256(data) == manifest["file"]["sha256"]
        _require(intact, path, f"{TENSORS} was changed or cut short")
        header = int.from_bytes(data[:8], "little")
        _require(header <= min(MAX_JSON, len(data) - 8), path, "the header is longer than the file")
        tensors = dict(safetensors.deserialize(data))
        _require(tensors.keys() == manifest["arrays"].keys(), path, "the files name different arrays")
        specs = manifest["arrays"].items()
        return {name: _array(path, name, tensors.pop(name), spec) for name, spec in specs}, manifest
    except (safetensors.SafetensorError, ValueError, RecursionError, MemoryError) as error:
        raise CheckpointError(f"{path}: {error}") from error


def _require(ok: Any, path: str | Path, what: str) -> None:
    if not ok:
        raise CheckpointError(f"{path}: {what}")


def _check(path: Path, manifest: Any) -> None:
    """Refuse a manifest that a checkpoint of ours cannot have, even if all its hashes are right."""
    _require(isinstance(manifest, dict) and "format" in manifest, path, f"{MANIFEST} is not a manifest")
    known = type(manifest["format"]) is int and manifest["format"] == 1
    _require(known, path, f"format {manifest['format']!r:.20} is not one that this swingup reads (1)")
    typed = manifest.keys() == FIELDS.keys() and all(type(manifest[k]) is kind for k, kind in FIELDS.items())
    _require(typed, path, f"{MANIFEST} has wrong fields")
    _require(manifest["sha256"] == _seal(manifest), path, f"{MANIFEST} was changed: its own hash differs")
    name, step, file = NAME.fullmatch(path.name), manifest["step"], manifest["file"]
    named = 0 <= step < 10**12 and (name is None or int(name[1]) == step)
    _require(named, path, f"the manifest is that of step {step}")
    _require(file.keys() == {"size", "sha256"} and type(file["size"]) is int, path, "wrong file entry")
    keyed = manifest["keys"].keys() <= manifest["arrays"].keys()
    _require(keyed and all(type(impl) is str for impl in manifest["keys"].values()), path, "wrong keys entry")
    total = 0
    for array, spec in manifest["arrays"].items():
        good = type(spec) is dict and spec.keys() == {"shape", "dtype", "sha256"} and type(spec["shape"]) is list
        good = good and len(spec["shape"]) <= 32 and all(type(n) is int and 0 <= n < MAX_SIDE for n in spec["shape"])
        good = good and spec["dtype"] in {dtype.name for dtype in CODES}
        _require(good, path, f"wrong entry for array {array!r:.80}")
        total += math.prod(spec["shape"]) * np.dtype(spec["dtype"]).itemsize
    ...
