"""Checkpoints give equal bits back and have a readable layout, and crashes, full disks, rot or strangers do no harm."""

import contextlib
import copy
import errno
import hashlib
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
import tracemalloc
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from swingup import files
from swingup.errors import CheckpointError, OutputError
from swingup.runs import checkpoint
from swingup.runs.checkpoint import CheckpointWarning

META = {"algo": "ppo", "hyperparameters": {"lr": 3e-4, "layers": [64, 64]}, "seeds": [0, 1], "note": "γ"}


class Learner(NamedTuple):
    params: Any
    count: Any
    key: Any


def make_state(seed: int = 0) -> Learner:
    """A state with every dtype, an empty array, scalars, and keys of two kinds."""
    key = jax.random.key(seed)
    params = {
        "pi": eqx.nn.Linear(3, 2, key=key),
        "half": jnp.arange(5, dtype=jnp.float16) + seed,
        "brain": jnp.array([1.5, jnp.nan, -0.0, 1e-40], jnp.bfloat16),
        "odd": jnp.array([np.inf, 1e-42, -0.0, seed], jnp.float32),
        "flags": [jnp.array([True, False]), jnp.array(seed % 2 == 0)],
        "pixels": jnp.full((2, 2, 3), 200 + seed, jnp.uint8),
        "small": jnp.array([-128, 127], jnp.int8),
        "nothing": jnp.zeros((0, 3)),
        "a/../b c": jnp.array([seed], jnp.uint16),
    }
    return Learner(params, jnp.int32(seed), (jax.random.split(key, 3), jax.random.key(seed, impl="rbg")))


def leaf_bits(leaf: Any) -> tuple:
    kind = str(leaf.dtype)
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    return kind, leaf.shape, np.asarray(leaf).tobytes()


def bits(tree: Any) -> dict[str, tuple]:
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {jax.tree_util.keystr(path): leaf_bits(leaf) for path, leaf in leaves}


LIKE = jax.eval_shape(lambda: make_state())


@pytest.fixture
def quick(monkeypatch):
    """No waiting for the disk, in tests that do not crash it."""
    monkeypatch.setattr(files.Fs, "fsync", lambda self, path: None)


# Round trip and layout


def test_every_bit_comes_back(tmp_path):
    state = make_state(3)
    path = checkpoint.save(tmp_path / "new" / "dir", state, step=12345, meta=META)
    assert path == tmp_path / "new" / "dir" / "step-000000012345"
    loaded, manifest = checkpoint.load(tmp_path / "new" / "dir", LIKE)
    assert jax.tree_util.tree_structure(loaded) == jax.tree_util.tree_structure(state)
    assert bits(loaded) == bits(state)
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(loaded))
    assert jax.random.bits(loaded.key[1]) == jax.random.bits(state.key[1])
    assert (manifest["step"], manifest["meta"]) == (12345, META)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_numpy_array_comes_back_and_can_be_written_to(tmp_path_factory, data):
    dtypes = [*files.CODES]
    trees = st.dictionaries(st.text("ab/'\"\\.[]\0é", max_size=4), st.sampled_from(dtypes), max_size=4)
    state = {}
    for name, dtype in data.draw(trees).items():
        shape = data.draw(hnp.array_shapes(min_dims=0, min_side=0, max_side=3))
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        if dtype == "bool":
            state[name] = data.draw(hnp.arrays(bool, shape))
        else:
            raw = data.draw(st.binary(min_size=size, max_size=size))
            state[name] = np.frombuffer(bytearray(raw), np.dtype(dtype)).reshape(shape)
    directory = tmp_path_factory.mktemp("any")
    checkpoint.save(directory, state, step=0, meta={})
    loaded, _ = checkpoint.load(directory, state)
    assert bits(loaded) == bits(state)
    assert all(type(x) is np.ndarray and x.flags.writeable for x in loaded.values())


def test_views_and_strides_do_not_matter(tmp_path):
    base = np.arange(24, dtype=np.int32).reshape(4, 6)
    state = {"t": base.T, "s": base[::2, 1::3], "f": np.asfortranarray(base), "g": np.float64(2.5)}
    checkpoint.save(tmp_path, state, step=1, meta={})
    loaded, _ = checkpoint.load(tmp_path, {**state, "g": jax.ShapeDtypeStruct((), np.float64)})
    assert bits(loaded) == bits(state)  # 64 bits survive although JAX would drop them


def test_plain_tools_read_the_files(tmp_path):
    state = {"learner": {"w": np.arange(6, dtype=np.float32).reshape(2, 3)}, "key": jax.random.key(7)}
    path = checkpoint.save(tmp_path, state, step=5, meta=META)
    tensors = safetensors.numpy.load_file(path / "tensors.safetensors")
    assert set(tensors) == {"['learner']['w']", "['key']"}
    np.testing.assert_array_equal(tensors["['learner']['w']"], state["learner"]["w"])
    np.testing.assert_array_equal(tensors["['key']"], jax.random.key_data(state["key"]))
    manifest = json.loads((path / "manifest.json").read_text())
    assert manifest["keys"] == {"['key']": "threefry2x32"}
    assert manifest["meta"] == META
    data = (path / "tensors.safetensors").read_bytes()
    assert manifest["file"] == {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    weight = manifest["arrays"]["['learner']['w']"]
    digest = hashlib.sha256(state["learner"]["w"].tobytes()).hexdigest()
    assert weight == {"shape": [2, 3], "dtype": "float32", "sha256": digest}
    assert (tmp_path / "latest").read_text() == "step-000000000005\n"
    assert '.params["pi"].weight'.replace('"', "'") in bits(make_state())


def test_saving_the_newest_keeps_a_few(tmp_path, quick):
    assert checkpoint.latest(tmp_path / "missing") is None
    for step in (1, 2, 10):
        checkpoint.save(tmp_path, {"a": jnp.array(step)}, step=step, meta={})
    assert checkpoint.verify(tmp_path) == [2, 10]
    assert checkpoint.latest(tmp_path) == tmp_path / "step-000000000010"
    assert checkpoint.load(tmp_path, {"a": jnp.array(0)}, step=2)[0]["a"] == 2
    checkpoint.save(tmp_path, {"a": jnp.array(3)}, step=np.int64(3), meta={}, keep=1)
    assert checkpoint.verify(tmp_path) == [3, 10]  # what was just written is never deleted
    with pytest.raises(CheckpointError, match=r"no usable checkpoint of step 7 in .*found step-000000000010"):
        checkpoint.load(tmp_path, {"a": jnp.array(0)}, step=7)


def test_saving_a_step_again(tmp_path, quick):
    path = checkpoint.save(tmp_path, {"a": jnp.array(1)}, step=4, meta={"b": (1, 2)})
    inode = (path / "manifest.json").stat().st_ino
    checkpoint.save(tmp_path, {"a": jnp.array(1)}, step=4, meta={"b": (1, 2)})
    assert (path / "manifest.json").stat().st_ino == inode  # the same content is left alone
    checkpoint.save(tmp_path, {"a": jnp.array(2)}, step=4, meta={})
    assert checkpoint.load(tmp_path, {"a": jnp.array(0)})[0]["a"] == 2
    (path / "tensors.safetensors").write_bytes(b"rot")
    checkpoint.save(tmp_path, {"a": jnp.array(2)}, step=4, meta={})
    assert checkpoint.verify(tmp_path) == [4]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["latest", "step-000000000004"]


def test_left_overs_of_killed_writers_go(tmp_path, quick):
    (tmp_path / ".tmp-step-000000000001-abc").mkdir()
    (tmp_path / ".tmp-step-000000000001-abc" / "tensors.safetensors").write_bytes(b"x")
    (tmp_path / ".tmp-latest-abc").write_bytes(b"x")
    checkpoint.save(tmp_path, {"a": jnp.array(1)}, step=4, meta={})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["latest", "step-000000000004"]


def test_digest_depends_on_every_bit_and_nothing_else(tmp_path, quick):
    def of(state, step=1, meta=META):
        directory = tmp_path / str(len(list(tmp_path.iterdir())))
        checkpoint.save(directory, state, step=step, meta=meta)
        return checkpoint.digest(directory)

    one = of({"a": np.zeros(2, np.float32), "b": np.ones(1)})
    assert one == of({"b": np.ones(1), "a": np.zeros(2, np.float32)}, step=2, meta={})
    others = [
        {"a": np.array([0, -0.0], np.float32), "b": np.ones(1)},
        {"a": np.zeros(2, np.int32), "b": np.ones(1)},
        {"a": np.zeros((2, 1), np.float32), "b": np.ones(1)},
        {"a": np.zeros(2, np.float32), "c": np.ones(1)},
        {"a": np.zeros(2, np.float32)},
    ]
    assert len({one, *map(of, others)}) == 6


def test_what_cannot_be_saved_is_refused_before_anything_is_written(tmp_path):
    good = {"a": jnp.ones(2)}
    with pytest.raises(TypeError, match=r"leaf \"\['f'\]\" is a function, not an array"):
        checkpoint.save(tmp_path / "x", {"f": make_state}, step=1, meta={})
    for bad in (
        {"a": np.array(["s"])},
        {"a": np.array([object()])},
        {"a": np.zeros(2, ">f4")},
        {"a": 1j * np.ones(1)},
    ):
        with pytest.raises(TypeError, match=r"has dtype .* which a checkpoint cannot hold"):
            checkpoint.save(tmp_path / "x", bad, step=1, meta={})
    for meta in ({"a": float("nan")}, {"a": {1}}, {"a": "x" * files.MAX_JSON}):
        with pytest.raises((TypeError, ValueError)):
            checkpoint.save(tmp_path / "x", good, step=1, meta=meta)
    for step, keep in ((-1, 2), (10**12, 2), (1, 0)):
        with pytest.raises(ValueError, match="step must be"):
            checkpoint.save(tmp_path / "x", good, step=step, meta={}, keep=keep)
    assert not (tmp_path / "x").exists()


def test_a_state_that_does_not_fit_is_explained(tmp_path, quick):
    with pytest.raises(CheckpointError, match=r"no usable checkpoint in .*: found none"):
        checkpoint.load(tmp_path, LIKE)
    checkpoint.save(tmp_path, make_state(), step=1, meta={})
    wrong = LIKE._replace(count=jax.ShapeDtypeStruct((2,), jnp.float32))
    with pytest.raises(
        CheckpointError, match=r"does not fit .*'\.count': expected float32\[2\], found int32\[\]$"
    ):
        checkpoint.load(tmp_path, wrong)
    wrong = LIKE._replace(key=(LIKE.key[1], LIKE.key[0], jnp.ones(1)))
    with pytest.raises(CheckpointError) as caught:
        checkpoint.load(tmp_path, wrong)
    assert "'.key[0]': expected key<rbg>[], found key<fry>[3]" in str(caught.value)
    assert "'.key[2]': expected float32[1], found nothing" in str(caught.value)
    with pytest.raises(CheckpointError, match=r"expected nothing, found .*; and \d+ more$"):
        checkpoint.load(tmp_path, {})
    with pytest.raises(TypeError, match="is a float, not an array"):
        checkpoint.load(tmp_path, {"a": 1.0})


# Damage: the newest good one is used, and said aloud


def test_fallback_warns_once_and_says_which_and_why(tmp_path, quick):
    for step in (1, 2):
        checkpoint.save(tmp_path, make_state(step), step=step, meta={})
    tensors = tmp_path / "step-000000000002" / "tensors.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-1])
    with pytest.warns(CheckpointWarning) as caught:
        state, manifest = checkpoint.load(tmp_path, LIKE)
    assert [str(w.message) for w in caught] == [
        f"{tensors.parent} is damaged: tensors.safetensors was changed or cut short; using step-000000000001"
    ]
    assert caught[0].filename == __file__
    assert manifest["step"] == 1
    assert bits(state) == bits(make_state(1))
    for strict in (lambda: checkpoint.load(tmp_path, LIKE, step=2), lambda: checkpoint.verify(tmp_path)):
        with pytest.raises(CheckpointError, match="cut short"):
            strict()
    (tmp_path / "step-000000000001" / "manifest.json").unlink()
    with pytest.raises(CheckpointError, match=r"cut short.*; .*manifest\.json: No such file"):
        checkpoint.load(tmp_path, LIKE)


def sealed(manifest: Any) -> bytes:
    """The manifest as a forger writes it: with its own hash right."""
    if isinstance(manifest, dict):
        content = {name: value for name, value in manifest.items() if name != "sha256"}
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        manifest["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    return json.dumps(manifest).encode()


def forged(files_: dict[str, bytes], folder: str, tensors: bytes) -> None:
    """Put other tensors into a checkpoint and make the manifest's file hash agree."""
    manifest = json.loads(files_[f"{folder}/manifest.json"])
    manifest["file"] = {"size": len(tensors), "sha256": hashlib.sha256(tensors).hexdigest()}
    files_[f"{folder}/tensors.safetensors"] = tensors
    files_[f"{folder}/manifest.json"] = sealed(manifest)


def nested(depth: int) -> Any:
    return [] if depth == 0 else [nested(depth - 1)]


NASTY = [True, None, -1, 0, 1.0, 2, 2**63, 10**400, "", "../../x", [], {}, [2**62, 2**62], "\ud800", "é",
         1e308, float("nan"), float("inf"), "float64", "U8", nested(300), {"a": {}}]  # fmt: skip


def edit_json(rng: random.Random, obj: Any) -> Any:
    """Change, drop, add or rename one thing at a random place."""
    if isinstance(obj, dict) and obj and rng.random() < 0.9:
        name = rng.choice(sorted(obj))
        action = rng.randrange(8)
        if action == 0:
            del obj[name]
        elif action == 1:
            obj[rng.choice(["../x", "", "a\0", name + " "])] = obj.pop(name)
        elif action == 2:
            obj["new"] = rng.choice(NASTY)
        else:
            obj[name] = edit_json(rng, obj[name])
        return obj
    if isinstance(obj, list) and obj and rng.random() < 0.7:
        i = rng.randrange(len(obj))
        obj[i] = edit_json(rng, obj[i])
        return obj
    return rng.choice(NASTY)


def edit_header(rng: random.Random, data: bytes) -> bytes:
    """Change the JSON of a safetensors file, or only the length of it."""
    size = int.from_bytes(data[:8], "little")
    if rng.random() < 0.3:
        return (
            rng.choice([0, 1, size - 1, size + 1, len(data), 2**31, 2**63, 2**64 - 1]).to_bytes(8, "little")
            + data[8:]
        )
    text = json.dumps(edit_json(rng, json.loads(data[8 : 8 + size]))).encode()
    return len(text).to_bytes(8, "little") + text + data[8 + size :]


def scramble(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """Random damage to bytes."""
    kind, at = rng.randrange(7), rng.randrange(len(data))
    end = min(len(data), at + rng.randrange(1, 40))
    if kind == 0:
        return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
    if kind == 1:
        return data[:at]
    if kind == 2:
        return data[:at] + bytes(end - at) + data[end:]
    if kind == 3:
        return data[:at] + rng.randbytes(rng.randrange(1, 40)) + data[at:]
    if kind == 4:
        return data[:at] + data[end:]
    if kind == 5:
        return data[:at] + other[at:]
    return data + other[at:end]


def mutate(rng: random.Random, files_: dict[str, bytes]) -> bool:
    """Damage a pair of checkpoints; False if the hashes were made to agree again."""
    one, two = rng.sample(sorted({name.split("/")[0] for name in files_}), 2)
    tensors, manifest = f"{one}/tensors.safetensors", f"{one}/manifest.json"
    kind = rng.randrange(8)
    if kind <= 1:
        name = rng.choice([tensors, manifest])
        files_[name] = scramble(rng, files_[name], files_[name.replace(one, two)])
    elif kind == 2:
        name = rng.choice(["tensors.safetensors", "manifest.json"])
        files_[f"{one}/{name}"], files_[f"{two}/{name}"] = files_[f"{two}/{name}"], files_[f"{one}/{name}"]
    elif kind == 3:
        for name in (tensors, manifest):
            files_[name], other = files_[name.replace(one, two)], files_[name]
            files_[name.replace(one, two)] = other
    elif kind == 4:
        edited = edit_json(rng, json.loads(files_[manifest]))
        files_[manifest] = json.dumps(edited).encode()
    elif kind == 5:
        files_[manifest] = sealed(edit_json(rng, json.loads(files_[manifest])))
        return False
    else:
        change = (
            edit_header if kind == 6 else lambda r, data: scramble(r, data, files_[tensors.replace(one, two)])
        )
        forged(files_, one, change(rng, files_[tensors]))
        return False
    return True


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> dict[str, bytes]:
    """The four files of checkpoints 1 and 2."""
    directory = tmp_path_factory.mktemp("pair")
    for step in (1, 2):
        checkpoint.save(directory, make_state(step), step=step, meta=META)
    return {str(p.relative_to(directory)): p.read_bytes() for p in directory.glob("step-*/*")}


def put(directory: Path, contents: dict[str, bytes]) -> None:
    for name, data in contents.items():
        (directory / name).parent.mkdir(exist_ok=True, parents=True)
        (directory / name).write_bytes(data)


@pytest.mark.parametrize("seed", range(20))
def test_fifty_mutations_give_an_equal_state_or_a_checkpoint_error(tmp_path, pair, seed):
    rng = random.Random(seed)
    expected = {step: bits(make_state(step)) for step in (1, 2)}
    outcomes, longest = {True: 0, False: 0}, 0
    for case in range(50):
        mutant = dict(pair)
        honest = mutate(rng, mutant)
        put(tmp_path / str(case), mutant)
        for step in (None, 1, 2):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", CheckpointWarning)
                try:
                    state, manifest = checkpoint.load(tmp_path / str(case), LIKE, step=step)
                except CheckpointError as error:
                    longest = max(longest, len(str(error)))
                    outcomes[False] += 1
                    continue
            outcomes[True] += 1
            if honest:
                assert bits(state) == expected[manifest["step"]]
                assert manifest["meta"] == META
            else:
                assert {n: b[:2] for n, b in bits(state).items()} == {
                    n: b[:2] for n, b in expected[1].items()
                }
        with contextlib.suppress(CheckpointError):
            checkpoint.verify(tmp_path / str(case))
    assert min(outcomes.values()) > 10  # neither answer is the only one
    assert longest < 2000


# Strangers' files

FORBIDDEN = {"pickle.find_class", "exec", "compile", "os.system", "subprocess.Popen", "socket.connect",
             "marshal.loads", "os.remove", "os.rename", "os.mkdir", "os.exec", "os.fork"}  # fmt: skip
ARMED: list[list[str]] = []


def audit(event: str, args: tuple) -> None:
    if not ARMED:
        return
    bad = event in FORBIDDEN or (event == "import" and args[0] not in sys.modules)
    if event == "open":
        writes = bool((args[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))
        bad = writes and "jax-cache" not in str(args[0])  # where the tests keep compiled programs
    if bad:
        ARMED[-1].append(f"{event} {args}")
        raise RuntimeError(f"forbidden: {event}")


@contextlib.contextmanager
def armed():
    """Fails if anything in the block runs code, opens a file for writing, or reaches out."""
    if not any(hook is audit for hook in HOOKS):
        HOOKS.append(audit)
        sys.addaudithook(audit)  # there is no way to take it off again
    ARMED.append([])
    try:
        yield
    finally:
        seen = ARMED.pop()
    assert seen == []


HOOKS: list = []


def hostile_tensors(header: Any, payload: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + payload


PICKLE = b"cos\nsystem\n(S'echo owned'\ntR."
ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
TWICE = tuple(json.dumps(ENTRY | {"data_offsets": [i, i + 8]}).encode() for i in (0, 8))
HOSTILE_TENSORS = {
    "pickle": PICKLE,
    "numpy file": b"\x93NUMPY\x01\x00"
    + b"v\x00{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
    + PICKLE,
    "zip": b"PK\x03\x04" + bytes(40),
    "empty": b"",
    "three bytes": b"abc",
    "header longer than file": hostile_tensors({}, length=100),
    "header of 2^63": hostile_tensors({}, length=2**63),
    "header not JSON": hostile_tensors(b"\xff\xfe{"),
    "header a list": hostile_tensors([]),
    "header deep": hostile_tensors(b"[" * 100_000),
    "header deep metadata": hostile_tensors(b'{"__metadata__":' + b'{"a":' * 90_000 + b"1" + b"}" * 90_001),
    "name twice": hostile_tensors(b'{"a":%b,"a":%b}' % TWICE, bytes(16)),
    "path name": hostile_tensors({"../../etc/passwd": ENTRY}, bytes(8)),
    "huge shape": hostile_tensors({"a": {**ENTRY, "shape": [2**62, 2**62]}}, bytes(8)),
    "huge offsets": hostile_tensors({"a": {**ENTRY, "data_offsets": [0, 2**63]}}, bytes(8)),
    "huge empty": hostile_tensors({"a": {**ENTRY, "shape": [0, 2**40, 2**40], "data_offsets": [0, 0]}}),
    "many axes": hostile_tensors({"a": {**ENTRY, "shape": [1] * 5000 + [2]}}, bytes(8)),
    "negative": hostile_tensors({"a": {**ENTRY, "shape": [-2]}}, bytes(8)),
    "overlap": hostile_tensors({"a": ENTRY, "b": {**ENTRY, "data_offsets": [4, 12]}}, bytes(12)),
    "hole": hostile_tensors({"a": ENTRY, "b": {**ENTRY, "data_offsets": [16, 24]}}, bytes(24)),
    "more data": hostile_tensors({"a": ENTRY}, bytes(16)),
    "less data": hostile_tensors({"a": ENTRY}, bytes(4)),
    "object dtype": hostile_tensors({"a": {**ENTRY, "dtype": "O"}}, bytes(8)),
    "four bits": hostile_tensors({"a": {**ENTRY, "dtype": "F4", "data_offsets": [0, 1]}}, bytes(1)),
    "complex": hostile_tensors({"a": {**ENTRY, "dtype": "C64", "shape": [1]}}, bytes(8)),
    "bad truth": hostile_tensors({"a": {**ENTRY, "dtype": "BOOL", "shape": [8]}}, b"\x02" * 8),
}
HOSTILE_MANIFESTS: dict[str, Any] = {
    "pickle": PICKLE,
    "null": b"null",
    "list": b"[1]",
    "deep": b"[" * 100_000,
    "deep meta": lambda m: json.dumps(m).encode().replace(b'"ppo"', b"[" * 50_000 + b"]" * 50_000),
    "reduce": lambda m: m | {"py/reduce": [{"py/type": "os.system"}, ["echo owned"]]},
    "code": lambda m: m | {"keys": {".key[0]": "__import__('os').system('echo owned')"}},
    "newer": lambda m: m | {"format": 2},
    "true": lambda m: m | {"format": True},
    "format deep": lambda m: m | {"format": nested(900)},
    "float step": lambda m: m | {"step": 2.0},
    "other step": lambda m: m | {"step": 3},
    "huge step": lambda m: m | {"step": 10**4000},
    "huge size": lambda m: m | {"file": m["file"] | {"size": 2**62}},
    "size text": lambda m: m | {"file": m["file"] | {"size": "9"}},
    "no size": lambda m: m | {"file": {}},
    "negative size": lambda m: m | {"file": m["file"] | {"size": -(10**4000)}},
    "no arrays": lambda m: m | {"arrays": {}},
    "huge shape": lambda m: m | {"arrays": {n: a | {"shape": [2**62] * 9} for n, a in m["arrays"].items()}},
    "key list": lambda m: m | {"keys": {".key[0]": ["rbg"]}},
    "key unknown": lambda m: m | {"keys": {".key[0]": "nope"}},
    "key of a float": lambda m: m | {"keys": {".params['odd']": "threefry2x32"}},
    "keys list": lambda m: m | {"keys": []},
    "meta text": lambda m: m | {"meta": "x"},
    "infinity": b'{"format": 1e999}',
    "twice": b'{"format": 1, "format": 1}',
    "large": b" " * 2**23,
}


@pytest.fixture
def warm(tmp_path, pair):
    """Checkpoint 2 alone, loaded once so that JAX has imported and traced what it needs."""
    put(tmp_path, {name: data for name, data in pair.items() if name.startswith("step-000000000002")})
    checkpoint.load(tmp_path, LIKE)
    with contextlib.suppress(TypeError, ValueError):
        jax.random.wrap_key_data(np.zeros(4, np.float32), impl="threefry2x32")
    with contextlib.suppress(ValueError):
        jax.random.wrap_key_data(np.zeros(4, np.uint32), impl="nope")
    return tmp_path / "step-000000000002"


def test_a_good_load_runs_no_code(warm):
    with armed():
        state, _ = checkpoint.load(warm.parent, LIKE)
    assert bits(state) == bits(make_state(2))


def test_the_audit_itself_sees_what_it_forbids(tmp_path):
    import pickle  # only here: the guard must notice it

    for bad in (lambda: eval("1"), lambda: pickle.loads(PICKLE), lambda: (tmp_path / "x").write_text("")):
        with pytest.raises((RuntimeError, AssertionError)), armed():
            bad()


@pytest.mark.parametrize("name", HOSTILE_TENSORS)
def test_hostile_tensors_are_refused(warm, pair, name):
    forgery = dict(pair)
    forged(forgery, warm.name, HOSTILE_TENSORS[name])
    put(warm.parent, {name: data for name, data in forgery.items() if name.startswith(warm.name)})
    with armed(), pytest.raises(CheckpointError):
        checkpoint.load(warm.parent, LIKE)


@pytest.mark.parametrize("name", sorted({*HOSTILE_TENSORS} - {"path name"}))  # that is only an odd name
def test_hostile_tensors_are_refused_by_the_parser_alone(name):
    with pytest.raises(ValueError, match=r"."):
        files.unpack_tensors(HOSTILE_TENSORS[name])


@pytest.mark.parametrize("name", HOSTILE_MANIFESTS)
def test_hostile_manifests_are_refused(warm, name):
    content = HOSTILE_MANIFESTS[name]
    if callable(content):
        changed = content(json.loads((warm / "manifest.json").read_text()))
        content = changed if isinstance(changed, bytes) else sealed(changed)
    (warm / "manifest.json").write_bytes(content)
    with armed(), pytest.raises(CheckpointError):
        checkpoint.load(warm.parent, LIKE)


@pytest.mark.parametrize("file", ["tensors.safetensors", "manifest.json", "."])
@pytest.mark.parametrize("kind", ["link", "pipe", "directory", "missing"])
def test_links_pipes_and_directories_are_refused(warm, file, kind):
    path = warm / file
    moved = warm.parent / "moved"
    path.resolve().rename(moved)
    if kind == "link" and file != ".":
        path.symlink_to(moved)
    elif kind == "pipe":
        os.mkfifo(path if file != "." else warm)
    elif kind == "directory":
        path.mkdir()
    with armed(), pytest.raises(CheckpointError):
        checkpoint.load(warm.parent, LIKE)


def test_the_pointer_is_never_followed(warm):
    for text in (b"../../etc", b"/etc/passwd", b"\xff\0", b""):
        (warm.parent / "latest").write_bytes(text)
        assert checkpoint.load(warm.parent, LIKE)[1]["step"] == 2


def test_a_bad_file_costs_no_more_memory_than_a_good_one(tmp_path, quick):
    path = checkpoint.save(tmp_path, {"a": np.ones(2**21, np.float32)}, step=1, meta={})
    good = (path / "tensors.safetensors").read_bytes()
    header = {"a": {**ENTRY, "shape": [2**60], "data_offsets": [0, 2**62]}}
    bad = [
        good[:-1] + b"\0",
        good + b"\0",
        hostile_tensors(header, good),
        hostile_tensors(good, length=2**40),
    ]
    manifest = json.loads((path / "manifest.json").read_text())
    for data, forge in itertools.product(bad, (False, True)):
        (path / "tensors.safetensors").write_bytes(data)
        file = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        (path / "manifest.json").write_bytes(
            sealed(copy.deepcopy(manifest) | ({"file": file} if forge else {}))
        )
        tracemalloc.start()
        try:
            with pytest.raises(CheckpointError):
                checkpoint.read(path)
            assert tracemalloc.get_traced_memory()[1] < 2.2 * len(good)
        finally:
            tracemalloc.stop()


# A disk that fails


class Failing(files.Fs):
    """Operation number `at` (and with `dead` all later ones) raises; a write is then half done."""

    def __init__(self, at: int, code: int = errno.EIO, dead: bool = False):
        self.at, self.code, self.dead, self.done = at, code, dead, 0

    def count(self) -> None:
        self.done += 1
        if self.done == self.at or (self.dead and self.done > self.at):
            raise OSError(self.code, os.strerror(self.code))

    def write(self, path, chunks):
        data = b"".join(bytes(c) for c in chunks)
        super().write(path, [data[: len(data) // 2]])
        self.count()
        path.write_bytes(data)

    def mkdir(self, path):
        self.count()
        super().mkdir(path)

    def fsync(self, path):
        self.count()

    def rename(self, source, target):
        self.count()
        super().rename(source, target)

    def replace(self, source, target):
        self.count()
        super().replace(source, target)

    def remove(self, path):
        self.count()
        super().remove(path)


@pytest.mark.parametrize("dead", [False, True])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EMFILE])
def test_a_failing_disk_gives_one_error_and_keeps_the_previous(tmp_path, monkeypatch, code, dead):
    like = {"a": jnp.array(0)}
    for at in range(1, 100):
        directory = tmp_path / str(at)
        monkeypatch.setattr(checkpoint, "FS", Failing(0))
        for step in (1, 2):
            checkpoint.save(directory, {"a": jnp.array(step)}, step=step, meta={}, keep=1)
        monkeypatch.setattr(checkpoint, "FS", Failing(at, code, dead))
        try:
            checkpoint.save(directory, {"a": jnp.array(3)}, step=3, meta={}, keep=1)
        except OutputError as error:
            message = str(error)
        else:
            break
        assert message.startswith("cannot write ")
        assert message.endswith(os.strerror(code))
        state, manifest = checkpoint.load(directory, like)  # no warning: nothing half-written is in sight
        assert state["a"] == manifest["step"] >= 2
        if not dead:
            assert not list(directory.glob(".tmp-*"))  # the room was given back
        monkeypatch.setattr(checkpoint, "FS", Failing(0))
        checkpoint.save(directory, {"a": jnp.array(4)}, step=4, meta={}, keep=1)
        assert sorted(p.name for p in directory.iterdir()) == ["latest", "step-000000000004"]
    assert 12 <= at < 40


def test_a_file_in_the_way_is_an_output_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for directory in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OutputError, match=r"cannot write .*: (File exists|Not a directory)"):
            checkpoint.save(directory, {"a": jnp.array(1)}, step=1, meta={})
    with pytest.raises(CheckpointError, match=r"cannot read .*Not a directory"):
        checkpoint.load(tmp_path / "file", LIKE)


# Power cuts, on a simulated disk: what was not pushed may be lost, torn or reordered


class Node:
    """A file (data, pushed or not) or a directory (entries on disk, and changes to them that are not)."""

    def __init__(self, data: bytes | None = None):
        self.data, self.pushed = data, False
        self.entries: dict[str, Node] = {}
        self.pending: list[dict[str, Node | None]] = []

    def now(self, changes: list | None = None) -> dict[str, "Node"]:
        entries: dict[str, Node | None] = dict(self.entries)
        for change in self.pending if changes is None else changes:
            entries.update(change)
        return {name: node for name, node in entries.items() if node is not None}


class Recorder(files.Fs):
    """Does the work and remembers it; `mark` notes that a save has returned."""

    def __init__(self, root: Path):
        self.root, self.log = root, []

    def note(self, *what: Any) -> None:
        self.log.append(tuple(p.relative_to(self.root).parts if isinstance(p, Path) else p for p in what))

    def mkdir(self, path):
        super().mkdir(path)
        self.note("mkdir", path)

    def write(self, path, chunks):
        data = b"".join(bytes(c) for c in chunks)
        super().write(path, [data])
        self.note("write", path, data)

    def fsync(self, path):
        self.note("fsync", path)

    def rename(self, source, target):
        super().rename(source, target)
        self.note("rename", source, target)

    def replace(self, source, target):
        super().replace(source, target)
        self.note("rename", source, target)

    def remove(self, path):
        super().remove(path)
        self.note("remove", path)


def find(root: Node, parts: tuple) -> Node:
    for part in parts:
        root = root.now()[part]
    return root


def replay(log: list) -> Node:
    """The disk and its unpushed changes after these operations."""
    root = Node()
    for op, path, *rest in log:
        if op == "mark":
            continue
        parent = find(root, path[:-1])
        if op in ("mkdir", "write"):
            parent.pending.append({path[-1]: Node(*rest)})
        elif op == "fsync":
            node = find(root, path)
            node.entries, node.pending, node.pushed = node.now(), [], True
        elif op == "rename":
            parent.pending.append({path[-1]: None, rest[0][-1]: find(root, path)})
        else:
            node = find(root, path)
            node.pending += [{name: None} for name in node.now()]
            parent.pending.append({path[-1]: None})
    return root


def tear(data: bytes, how: str) -> bytes:
    half = len(data) // 2
    return {"whole": data, "lost": b"", "half": data[:half], "zeros": data[:half] + bytes(len(data) - half)}[
        how
    ]


def crashes(node: Node, how: str):
    """Every tree that a power cut can leave: each subset of a directory's unpushed changes, files torn."""
    if node.data is not None:
        yield node.data if node.pushed else tear(node.data, how)
        return
    for kept in itertools.product([True, False], repeat=len(node.pending)):
        entries = node.now([change for change, keep in zip(node.pending, kept, strict=True) if keep])
        below = [[(name, tree) for tree in crashes(child, how)] for name, child in sorted(entries.items())]
        for choice in itertools.product(*below):
            yield tuple(choice)


def materialise(path: Path, tree: Any) -> None:
    if isinstance(tree, bytes):
        path.write_bytes(tree)
    else:
        path.mkdir()
        for name, child in tree:
            materialise(path / name, child)


@pytest.mark.parametrize(
    "steps, keep",
    [([1, 2, 3], 2), ([1, 2, 3], 1), ([1, 2, 2], 2), ([1, 1], 1)],
    ids=["keep two", "keep one", "write a step again", "write the only step again"],
)
def test_every_power_cut_leaves_the_previous_or_the_new(tmp_path, monkeypatch, steps, keep):
    recorder = Recorder(tmp_path / "real")
    recorder.root.mkdir()
    monkeypatch.setattr(checkpoint, "FS", recorder)
    for version, step in enumerate(steps, 1):
        checkpoint.save(
            recorder.root / "run" / "saved", {"v": np.array(version)}, step=step, meta={}, keep=keep
        )
        recorder.log.append(("mark", ()))
    monkeypatch.setattr(checkpoint, "FS", Failing(0))
    disks = set()
    for n in range(len(recorder.log) + 1):
        done = sum(op == "mark" for op, *_ in recorder.log[:n])
        for how in ("whole", "lost", "half", "zeros"):
            disks |= {(done, tree) for tree in crashes(replay(recorder.log[:n]), how)}
    assert len(disks) > 50
    for number, (done, tree) in enumerate(sorted(disks, key=repr)):
        materialise(tmp_path / str(number), tree)
        saved = tmp_path / str(number) / "run" / "saved"
        try:
            version = int(checkpoint.load(saved, {"v": np.array(0)})[0]["v"])  # a warning would be an error
            assert checkpoint.verify(saved)  # nothing in sight is damaged, the older ones neither
            if (saved / "latest").exists():
                assert list(saved.glob((saved / "latest").read_text().strip() + "*"))
        except CheckpointError as error:
            assert "found none" in str(error)  # noqa: PT017
            version = 0
        assert version in (done, done + 1)
        checkpoint.save(saved, {"v": np.array(99)}, step=99, meta={}, keep=keep)  # and life goes on
        assert checkpoint.load(saved, {"v": np.array(0)})[0]["v"] == 99


# kill -9

WRITER = """
import sys, numpy as np
from swingup.runs import checkpoint
step = int(sys.argv[2])
while True:
    step += 1
    state = {"step": np.array(step), "a": np.full(50_000, step, np.float32)}
    checkpoint.save(sys.argv[1], state, step=step, meta={"step": step})
    print(step, flush=True)
"""


@pytest.mark.slow
def test_a_killed_writer_leaves_what_it_had_published(tmp_path):
    rng = random.Random(0)
    like = {"step": np.array(0), "a": np.zeros(50_000, np.float32)}
    source = str(Path(checkpoint.__file__).parents[2])
    last = 0
    for _ in range(10):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(last)],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": source, "JAX_PLATFORMS": "cpu"},
        )
        with process:
            assert process.stdout is not None
            first = process.stdout.readline()
            time.sleep(rng.uniform(0, 0.05))
            process.send_signal(signal.SIGKILL)
            told = [int(line) for line in (first + process.stdout.read()).splitlines()]
        state, manifest = checkpoint.load(tmp_path, like)
        assert manifest["step"] in (told[-1], told[-1] + 1)
        assert (state["a"] == manifest["step"]).all()
        assert manifest["meta"] == {"step": manifest["step"]}
        last = manifest["step"]
