"""A checkpoint is an exact and verified copy of a training state. Loading one never runs code.

    DIR/step-000000012345/tensors.safetensors   every array, named by its path in the tree
    DIR/step-000000012345/manifest.json         names, shapes, dtypes, SHA-256 and the caller's `meta`
    DIR/latest                                  the name of the last one written, for people and scripts

A checkpoint is written under a hidden name, pushed to the disk, and only then renamed to its own name; older
ones go last. A crash at any moment leaves the previous checkpoint or the new one, and `load` takes the newest
(highest step) whose hashes verify. One process at a time may write to a directory.
"""

import contextlib
import json
import re
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from swingup import files
from swingup.errors import CheckpointError

TENSORS, MANIFEST, LATEST = "tensors.safetensors", "manifest.json", "latest"
FORMAT = 1
EXTRA = "extra:"  # before the names of arrays that are no part of the state
FIELDS = {"format": int, "step": int, "file": dict, "arrays": dict, "keys": dict, "meta": dict, "sha256": str}
NAME = re.compile(r"step-([0-9]{12})(\.old-[0-9a-f]{8})?")
FS = files.FS  # tests put a failing disk here


class CheckpointWarning(UserWarning):
    """The newest checkpoint is damaged and an older one is used."""


def save(
    directory: str | Path,
    state: Any,
    *,
    step: int,
    meta: dict,
    keep: int = 2,
    extra: dict[str, np.ndarray] | None = None,
) -> Path:
    """Publish `state` (any tree of arrays) as the checkpoint of `step` and keep the newest `keep`.

    `extra` are further arrays by name, of any shapes, which `load` hands over apart from the state.
    Raises OutputError when the disk refuses (earlier checkpoints stay as they are), TypeError or ValueError
    for a leaf that is not an array, a `meta` that is not plain JSON, or a step or `keep` out of range.
    """
    if not (0 <= step < 10**12 and keep >= 1):
        raise ValueError(f"step must be in [0, 10^12) and keep at least 1, not {step} and {keep}")
    directory, target = Path(directory), Path(directory) / f"step-{step:012d}"
    arrays, keys = _to_host(state)
    arrays |= {EXTRA + name: np.asarray(x, order="C") for name, x in (extra or {}).items()}
    tensors = files.pack_tensors(arrays)
    file = {"size": sum(map(len, tensors)), "sha256": files.sha256(*tensors)}
    manifest = _manifest(int(step), arrays, keys, file, meta)
    text = files.to_json(manifest)
    try:
        files.make_directory(directory, FS)
        files.sweep(directory, FS)
        if not _holds(target, manifest):
            files.publish(target, {TENSORS: tensors, MANIFEST: [text]}, FS)
        files.write_atomic(directory / LATEST, f"{target.name}\n".encode(), FS)
        found = _published(directory)
        kept = {target, *[path for path in found if not path.suffix][:keep]}
        for path in found:
            if path not in kept:
                files.discard(path, FS)
    except OSError as error:
        with contextlib.suppress(OSError):
            files.sweep(directory, FS)  # a full disk needs the room
        raise files.output_error(target, error) from error
    return target


def _named(tree: Any) -> dict[str, Any]:
    """The leaves of a tree by their path, e.g. `.learner.params.pi.layers[0].weight`."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    named = {jax.tree_util.keystr(path): leaf for path, leaf in leaves}
    if len(named) < len(leaves):
        raise TypeError("two leaves of the tree have the same path")
    for name, leaf in named.items():
        if not isinstance(leaf, np.ndarray | np.generic | jax.Array | jax.ShapeDtypeStruct):
            raise TypeError(f"leaf {name!r} is a {type(leaf).__name__}, not an array")
    return named


def _to_host(state: Any) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return every leaf as a NumPy array, a typed PRNG key as its data; and the generators of the keys."""
    arrays, keys = {}, {}
    for name, leaf in _named(state).items():
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            keys[name] = str(jax.random.key_impl(leaf))
            leaf = jax.random.key_data(leaf)
        arrays[name] = np.asarray(leaf, order="C")
        dtype = arrays[name].dtype
        if not (dtype.name in files.CODES and dtype.isnative):
            raise TypeError(f"leaf {name!r} has dtype {dtype}, which a checkpoint cannot hold")
    return arrays, keys


def _manifest(step: int, arrays: dict[str, np.ndarray], keys: dict, file: dict, meta: dict) -> dict[str, Any]:
    """Return all that is known of a checkpoint, and under `sha256` the hash of all the rest."""
    specs = {
        name: {"shape": list(x.shape), "dtype": x.dtype.name, "sha256": files.sha256(files.raw(x))}
        for name, x in arrays.items()
    }
    meta = json.loads(json.dumps(meta, allow_nan=False))  # tuples become lists now, not after a load
    manifest = {"format": FORMAT, "step": step, "file": file, "arrays": specs, "keys": keys, "meta": meta}
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return {**manifest, "sha256": files.sha256(text.encode())}


def _holds(path: Path, manifest: dict) -> bool:
    """Say whether `path` already is an undamaged checkpoint with this very content."""
    with contextlib.suppress(CheckpointError):
        return read(path)[1] == manifest
    return False


class Found(NamedTuple):
    """A checkpoint was found: it is undamaged."""

    path: Path
    arrays: dict[str, np.ndarray]  # by name, PRNG keys as their data
    manifest: dict[str, Any]


def newest(directory: str | Path, step: int | None = None) -> Found:
    """Find the newest undamaged checkpoint, or that of `step`; it warns and raises as `load` does."""
    published, damaged = _published(Path(directory)), []
    for path in published:
        if step is None or path.stem == f"step-{step:012d}":
            try:
                arrays, manifest = read(path)
            except CheckpointError as error:
                damaged.append(str(error))
                continue
            if damaged:
                warnings.warn(f"{'; '.join(damaged)}; using {path.name}", CheckpointWarning, stacklevel=3)
            return Found(path, arrays, manifest)
    what = "checkpoint" if step is None else f"checkpoint of step {step}"
    why = "; ".join(damaged) or f"found {', '.join(path.name for path in published) or 'none'}"
    raise CheckpointError(f"no usable {what} in {directory}: {why}")


def load(directory: str | Path, like: Any, *, step: int | None = None) -> tuple[Any, dict]:
    """Load the newest undamaged state (or that of `step`) and its manifest; `like` is `jax.eval_shape(init, ...)`.

    The manifest's `extra` holds the further arrays of `save`, by name. The leaves are JAX arrays, except where
    `like` has NumPy arrays or JAX has 64 bits switched off.
    Warns with CheckpointWarning if a newer checkpoint is damaged. Raises CheckpointError if there is none to
    use, or its names, shapes or dtypes are not those of `like`; TypeError if `like` has a leaf without these.
    """
    return fitted(newest(directory, step), like)


def fitted(found: Found, like: Any) -> tuple[Any, dict]:
    """Return what `load` does, of a checkpoint that was found."""
    wanted = _named(like)
    path, arrays, manifest = found.path, dict(found.arrays), found.manifest
    extra = {n.removeprefix(EXTRA): arrays.pop(n) for n in list(arrays) if n.startswith(EXTRA)}
    try:
        placed = {name: _place(x, manifest["keys"].get(name), wanted.get(name)) for name, x in arrays.items()}
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: a PRNG key of unknown kind or size") from error
    ours, theirs = ({n: f"{x.dtype}{list(x.shape)}" for n, x in tree.items()} for tree in (wanted, placed))
    problems = [
        f"{name!r:.200}: expected {ours.get(name, 'nothing')}, found {theirs.get(name, 'nothing')}"
        for name in {**ours, **theirs}
        if ours.get(name) != theirs.get(name)
    ]
    if problems:
        more = f"; and {len(problems) - 4} more" if len(problems) > 4 else ""
        raise CheckpointError(f"{path} does not fit this run: {'; '.join(problems[:4])}{more}")
    tree = jax.tree.unflatten(jax.tree.structure(like), [placed[name] for name in wanted])
    return tree, {**manifest, "extra": extra}


def _place(array: Any, impl: str | None, leaf: Any) -> Any:
    if impl is not None:
        return jax.random.wrap_key_data(array, impl=impl)
    fits = jax.dtypes.canonicalize_dtype(array.dtype) == array.dtype
    return jnp.array(array) if fits and not isinstance(leaf, np.ndarray) else array.copy()


def latest(directory: str | Path) -> Path | None:
    """Return the newest published checkpoint, not verified, or None. Raises CheckpointError if it cannot look."""
    return next(iter(_published(Path(directory))), None)


def verify(directory: str | Path) -> list[int]:
    """Return the steps here, oldest first. Raises CheckpointError if one is damaged or there is none."""
    steps = {read(path)[1]["step"] for path in _published(Path(directory))}
    if not steps:
        raise CheckpointError(f"no checkpoint in {directory}")
    return sorted(steps)


def digest(directory: str | Path) -> str:
    """Return SHA-256 over name, dtype, shape and bytes of every array, by name; it warns and raises as `load` does."""
    parts = []
    for name, array in sorted(newest(directory).arrays.items()):
        parts += [json.dumps([name, array.dtype.name, array.shape]).encode(), files.raw(array)]
    return files.sha256(*parts)


def _published(directory: Path) -> list[Path]:
    """List all that is named like a checkpoint, newest step first."""
    try:
        found = [path for path in directory.iterdir() if NAME.fullmatch(path.name)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise CheckpointError(f"cannot read {directory}: {error.strerror}") from error
    return sorted(found, key=lambda path: (path.stem, not path.suffix), reverse=True)


def read(path: str | Path) -> tuple[dict[str, np.ndarray], dict]:
    """Return the arrays (PRNG keys as their data) and the manifest of one checkpoint, everything verified.

    Raises CheckpointError for all that is missing, damaged or malicious; takes at most about twice the memory
    of the file.
    """
    path = Path(path)
    try:
        manifest = files.read_json(path / MANIFEST, error=CheckpointError)
        version = manifest.get("format") if isinstance(manifest, dict) else None
        if type(version) is int and version != FORMAT:
            raise ValueError(f"it has format {version}, and this swingup reads format {FORMAT}")
        if version is None or {name: type(value) for name, value in manifest.items()} != FIELDS:
            raise ValueError(f"{MANIFEST} has missing or wrong fields")
        data = files.read_bytes(path / TENSORS, limit=manifest["file"]["size"], error=CheckpointError)
        if manifest["file"] != {"size": len(data), "sha256": files.sha256(data)}:
            raise ValueError(f"{TENSORS} was changed or cut short")
        arrays = files.unpack_tensors(data)
        named = NAME.fullmatch(path.name)
        step = int(named[1]) if named else manifest["step"]
        rebuilt = _manifest(step, arrays, manifest["keys"], manifest["file"], manifest["meta"])
        if rebuilt != manifest:
            raise ValueError(f"{MANIFEST} was changed or belongs to another checkpoint")
        return arrays, rebuilt
    except (LookupError, TypeError, ValueError, RecursionError, MemoryError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error
