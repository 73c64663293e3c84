"""TensorBoard's files are tested against a reader that shares nothing with the writer, and against other packages."""

import math
import struct
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from swingup.tracking import About
from swingup.tracking.points import Point
from swingup.tracking.tensorboard import OURS, TensorBoard, crc32c, masked

VALUES = {
    "ep/return": 21.25,
    "größe/ß": -1e-30,
    "huge": 1e300,
    "zero": 0.0,
    "tiny": 1e-45,
    "third": 1 / 3,
    "env_steps": 300,
}


def slow_crc32c(data: bytes) -> int:
    """Divide by Castagnoli's polynomial bit by bit, as in a textbook: x^32 + 0x1EDC6F41, bits in reverse order."""
    bits = [byte >> i & 1 for byte in data for i in range(8)] + [0] * 32
    bits[:32] = [b ^ 1 for b in bits[:32]]
    for i in range(len(bits) - 32):
        if bits[i]:
            for j in range(32):
                bits[i + 1 + j] ^= 0x1EDC6F41 >> (31 - j) & 1
    return sum((bits[-32 + i] ^ 1) << i for i in range(32))


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield each field of a protocol buffer as (number, content)."""
    at = 0

    def varint() -> int:
        nonlocal at
        value, shift = 0, 0
        while True:
            byte = data[at]
            at, value, shift = at + 1, value + ((byte & 127) << shift), shift + 7
            if byte < 128:
                return value

    while at < len(data):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
            continue
        size = {1: 8, 5: 4}.get(key & 7) or varint()
        yield key >> 3, data[at : at + size]
        at += size


def read(path: Path) -> list[tuple[float, int, dict[str, bytes]]]:
    """Return (time, step, {tag: content of the value without its tag}) of each event after the first."""
    data, at, found = path.read_bytes(), 0, []
    while at < len(data):
        (size,) = struct.unpack_from("<Q", data, at)
        payload = data[at + 12 : at + 12 + size]
        for start, piece in ((at + 8, data[at : at + 8]), (at + 12 + size, payload)):
            crc = slow_crc32c(piece)
            turned = ((crc >> 15 | crc << 17) % 2**32 + 0xA282EAD8) % 2**32
            assert struct.unpack_from("<I", data, start)[0] == turned
        event = dict(fields(payload))
        values = [list(fields(x)) for n, x in fields(event.get(5, b"")) if n == 1]
        tags = {bytes(v[0][1]).decode(): b"".join(bytes(x) for n, x in v[1:] if n == 2) for v in values}
        found.append((struct.unpack("<d", event[1])[0], int(event[2]), tags))
        at += 16 + size
    assert dict(fields(data[12 : 12 + struct.unpack_from("<Q", data)[0]]))[3] == b"brain.Event:2"
    return found[1:]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of three points, the first of them of the past; older files of ours and of others lay there before."""
    (tmp_path / OURS.replace("*", "0000000000000001")).write_bytes(b"old")
    (tmp_path / "events.out.tfevents.1.somebody").write_bytes(b"theirs")
    writer = TensorBoard()
    past = (Point(100, 1, 0.5, {"ep/return": 9.0}),)
    writer.start(About("run", tmp_path, {"algo": {"name": "ppo"}, "seeds": [0]}, 1000.0, past))
    writer.log(Point(200, 2, 1.0, VALUES))
    writer.log(Point(2**40, 3, 1.5, {"ep/return": math.inf}))
    writer.finish()
    (found,) = tmp_path.glob(OURS)
    assert (tmp_path / "events.out.tfevents.1.somebody").read_bytes() == b"theirs"
    return found


def test_a_slow_reader_gets_back_what_was_written(file: Path) -> None:
    config, past, middle, last = read(file)
    assert list(config[2]) == ["config/text_summary"]
    assert b'"name": "ppo"' in file.read_bytes()
    assert past[:2] == (1000.5, 100)
    assert middle[:2] == (1001.0, 200)
    assert last[:2] == (1001.5, 2**40)
    got = {tag: struct.unpack("<f", x)[0] for tag, x in middle[2].items()}
    with np.errstate(over="ignore"):
        assert got == {tag: float(np.float32(x)) for tag, x in VALUES.items()}
    assert struct.unpack("<f", last[2]["ep/return"])[0] == math.inf


def test_the_checksum_is_that_of_long_division() -> None:
    rng = np.random.default_rng(0)
    for size in (0, 1, 3, 4, 5, 31, 64, 300):
        data = rng.bytes(size)
        assert crc32c(data) == slow_crc32c(data)
    assert crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, B.4
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E
    assert crc32c(b"") == 0
    assert masked(b"") == 0xA282EAD8


def test_tensorboardx_decodes_it(file: Path) -> None:
    """The package comes with Brax; its messages are those of TensorFlow, made by protobuf's compiler."""
    pytest.importorskip("tensorboardX", reason="tensorboardX comes with swingup[brax]")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tensorboardX.proto.event_pb2 import Event
    data, at, events = file.read_bytes(), 0, []
    while at < len(data):
        size = struct.unpack_from("<Q", data, at)[0]
        events.append(Event.FromString(data[at + 12 : at + 12 + size]))
        at += 16 + size
    assert events[0].file_version == "brain.Event:2"
    (config,) = events[1].summary.value
    assert config.metadata.plugin_data.plugin_name == "text"
    assert b'"ppo"' in config.tensor.string_val[0]
    assert config.tensor.dtype == 7
    assert [d.size for d in config.tensor.tensor_shape.dim] == [1]
    assert [(e.step, e.wall_time) for e in events[2:]] == [(100, 1000.5), (200, 1001.0), (2**40, 1001.5)]
    assert {v.tag for v in events[3].summary.value} == set(VALUES)
    assert next(v.simple_value for v in events[3].summary.value if v.tag == "third") == np.float32(1 / 3)


@pytest.mark.skipif(find_spec("tensorboard") is None, reason="the package tensorboard is not installed")
def test_tensorboard_reads_it(file: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    log = EventAccumulator(str(file.parent / file.name))
    log.Reload()
    returns = log.Scalars("ep/return")
    assert [(x.step, x.value) for x in returns] == [(100, 9.0), (200, 21.25), (2**40, math.inf)]
    assert log.Scalars("größe/ß")[0].value == float(np.float32(-1e-30))
    assert "config/text_summary" in log.Tags()["tensors"]
