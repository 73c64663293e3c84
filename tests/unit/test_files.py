"""Atomic writes under every failing operation, and strict reads of bad files."""

import errno
import os

import pytest

from swingup import files
from swingup.errors import CheckpointError, OutputError, SwingupError


class Failing(files.Fs):
    """Raises an error at operation number `at`."""

    def __init__(self, at: int, code: int):
        self.left, self.code = at, code

    def count(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise OSError(self.code, os.strerror(self.code))

    def write(self, path, chunks):
        super().write(path, [b"".join(chunks)[:2]])
        self.count()

    def fsync(self, path):
        self.count()

    def replace(self, source, target):
        self.count()
        super().replace(source, target)


def test_write_atomic_replaces_the_content_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "a.json"
    files.write_atomic(path, b"one")
    files.write_atomic(str(path), b"two")
    assert path.read_bytes() == b"two"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EMFILE])
@pytest.mark.parametrize("at", range(4))
def test_write_atomic_fails_with_one_sentence_and_keeps_the_old_content(tmp_path, at, code):
    path = tmp_path / "a"
    files.write_atomic(path, b"old")
    with pytest.raises(OutputError) as caught:
        files.write_atomic(path, b"new!", Failing(at, code))
    assert str(caught.value) == f"cannot write {path}: {os.strerror(code)}"
    assert path.read_bytes() == (b"old" if at < 3 else b"ne")  # 3: replaced, the directory not yet pushed
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_write_atomic_names_what_is_in_the_way(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "dir").mkdir()
    for path in ("file/a", "missing/a", "dir"):
        with pytest.raises(OutputError, match=r"cannot write .*(Not a dir|No such file|Is a dir|exists)"):
            files.write_atomic(tmp_path / path, b"x")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["dir", "file"]


def test_make_directory_pushes_every_new_name(tmp_path):
    pushed = []

    class Watching(files.Fs):
        def fsync(self, path):
            pushed.append(path)
            super().fsync(path)

    files.make_directory(tmp_path / "a" / "b", Watching())
    files.make_directory(tmp_path / "a" / "b", Watching())
    assert pushed == [tmp_path, tmp_path / "a"]


def test_json_round_trip_is_strict_both_ways(tmp_path):
    path, obj = tmp_path / "a.json", {"a": [1, -0.1, None, True, "ü\n"], "b": {}}
    files.write_json(path, obj)
    assert files.read_json(path) == obj
    for bad in (float("nan"), {1, 2}, "x" * files.MAX_JSON):
        with pytest.raises((ValueError, TypeError)):
            files.write_json(path, bad)
    assert files.read_json(path) == obj


BAD_JSON = {
    "empty": b"",
    "latin": b'"\xff"',
    "utf16": '{"a": 1}'.encode("utf-16"),
    "bom": b"\xef\xbb\xbf{}",
    "nan": b'{"a": NaN}',
    "infinity": b"[-Infinity]",
    "twice": b'{"a": 1, "a": 2}',
    "deep": b"[" * 100_000,
    "deep object": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "long number": b"1" * 10_000,
    "cut": b'{"a": [1, 2',
    "more": b"{} {}",
    "large": b" " * (files.MAX_JSON + 1),
}


@pytest.mark.parametrize("name", BAD_JSON)
def test_bad_json_gives_the_error_asked_for(tmp_path, name):
    path = tmp_path / "a.json"
    path.write_bytes(BAD_JSON[name])
    with pytest.raises(CheckpointError, match=r"cannot read .*a\.json: "):
        files.read_json(path, error=CheckpointError)


def test_only_regular_files_are_read(tmp_path):
    (tmp_path / "real").write_bytes(b"1")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "dir").mkdir()
    os.mkfifo(tmp_path / "pipe")  # would block for ever
    for path in (*(tmp_path / n for n in ("link", "dir", "pipe", "missing", "a\0b")), "/dev/zero"):
        with pytest.raises(SwingupError, match="cannot read"):
            files.read_json(path)
    assert files.read_bytes(tmp_path / "real", limit=1) == b"1"
    with pytest.raises(SwingupError, match="1 bytes where at most 0"):
        files.read_bytes(tmp_path / "real", limit=0)
