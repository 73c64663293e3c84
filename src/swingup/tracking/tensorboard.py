"""TensorBoard reads event files, which are simple enough to be written here: no package of its own is needed.

A file is a row of records, each a length and a payload with a checksum behind it (TensorFlow's `record_writer.cc`). A
payload is one message `Event` of TensorFlow's `event.proto` in the encoding of protocol buffers. Three kinds of fields
are used: whole numbers, floats of 32 or 64 bits, and bytes with their length before them.
"""

import contextlib
import json
import struct
import time
from pathlib import Path
from typing import Any

from swingup.tracking import About
from swingup.tracking.points import Point

OURS = "events.out.tfevents.*.swingup"  # TensorBoard opens what has `tfevents` in its name
POLYNOMIAL = 0x82F63B78  # Castagnoli's, with its bits in reverse
DT_STRING = 7  # of TensorFlow's types.proto


class TensorBoard:
    """This tracker writes one event file into the run's directory: `tensorboard --logdir RUN` shows it.

    A new session writes a new file, with the past in front, and removes the one before: so nothing is there twice.
    """

    name = "tensorboard"

    def __init__(self):
        self.path, self.began = Path(), 0.0

    def start(self, about: About) -> None:
        """Begin a file with the settings and the past, and remove those of earlier sessions."""
        assert about.folder is not None
        older = list(about.folder.glob(OURS))
        self.path = about.folder / OURS.replace("*", f"{time.time_ns() // 1000:016d}")
        self.began, now = about.began, time.time()
        shown = f"```json\n{json.dumps(about.config, indent=1)}\n```"
        self._append(event(now, 0, text(3, "brain.Event:2")))
        self._append(event(now, 0, message(5, written("config", shown))), *map(self._event, about.past))
        for other in older:
            with contextlib.suppress(OSError):
                other.unlink(missing_ok=True)

    def log(self, point: Point) -> None:
        """Append a point."""
        self._append(self._event(point))

    def finish(self) -> None:
        """Do nothing: everything is written."""

    def _event(self, point: Point) -> bytes:
        values = b"".join(scalar(tag, x) for tag, x in point.values.items())
        return event(self.began + point.seconds, point.env_steps, message(5, values))

    def _append(self, *payloads: bytes) -> None:
        with open(self.path, "ab") as file:
            file.write(b"".join(map(record, payloads)))


def event(wall_time: float, step: int, what: bytes) -> bytes:
    """Return an `Event`: field 1 is the time, a double, 2 the step, and `what` the encoded field that it tells of."""
    return b"\x09" + struct.pack("<d", wall_time) + number(2, step) + what


def scalar(tag: str, value: float) -> bytes:
    """Return a value of a `Summary`: field 1 of that, with the tag in field 1 and a 32-bit float in field 2."""
    return message(1, text(1, tag) + b"\x15" + struct.pack("<f", in_float32(value)))


def written(tag: str, words: str) -> bytes:
    """Return a text in a `Summary`: a tensor of one string in field 8, and in field 9 the plugin that shows it."""
    tensor = number(1, DT_STRING) + message(2, message(2, number(1, 1))) + text(8, words)
    return message(
        1, text(1, f"{tag}/text_summary") + message(8, tensor) + message(9, message(1, text(1, "text")))
    )


def in_float32(value: float) -> float:
    """Return a number that fits a 32-bit float: one that is too large for it becomes infinite."""
    try:
        return struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def varint(x: int) -> bytes:
    """Return a whole number, seven bits to a byte, the lowest first; all bytes but the last have their top bit set.

    >>> varint(300)
    b'\\xac\\x02'
    """
    out = bytearray()
    while x > 127:
        out.append(x & 127 | 128)
        x >>= 7
    return bytes([*out, x])


def number(field: int, x: int) -> bytes:
    """Return a field that holds a whole number."""
    return varint(field << 3) + varint(x)


def message(field: int, content: bytes) -> bytes:
    """Return a field that holds bytes, or another message."""
    return varint(field << 3 | 2) + varint(len(content)) + content


def text(field: int, words: Any) -> bytes:
    """Return a field that holds a text in UTF-8."""
    return message(field, str(words).encode())


def record(payload: bytes) -> bytes:
    """Return a record: the length in 64 bits, its checksum, the payload, its checksum."""
    length = struct.pack("<Q", len(payload))
    return length + struct.pack("<I", masked(length)) + payload + struct.pack("<I", masked(payload))


def masked(data: bytes) -> int:
    """Return the checksum of a record: its CRC32C, turned by 15 bits, plus a constant, in 32 bits."""
    crc = crc32c(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def crc32c(data: bytes) -> int:
    """Return Castagnoli's checksum, by a table of what each byte does (RFC 3720, appendix B.4, has examples).

    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    crc = 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 255] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def _entry(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (POLYNOMIAL if byte & 1 else 0)
    return byte


TABLE = [_entry(byte) for byte in range(256)]
