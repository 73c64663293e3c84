"""An answer is graded in a child process with limits; a child that says nothing has failed the exercise.

This guards against accidents. It is no sandbox: a hostile program has the rights of the user who grades it.
"""

import contextlib
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import swingup
from swingup import files
from swingup.errors import SwingupError
from swingup.learn import FILES, exercise
from swingup.learn.child import READY
from swingup.learn.judge import Finding

START = 120.0  # seconds until a child is ready; a second is usual, but not on a machine that does much else
LIMIT = 10.0  # seconds from then on until it is killed, with all that it started
KEPT = 2**16  # bytes of output that are kept
LARGEST = 2**20  # bytes of a learner's file
CHILD = Path(__file__).with_name("child.py")
FRAME = re.compile(r'File "([^"]+)", line (\d+)')


class Verdict(NamedTuple):
    """This is the verdict on one file."""

    id: str
    finding: Finding
    page: str = ""
    code: str = ""  # the learner's line
    output: str = ""  # what the answer printed
    sha256: str = ""  # of the file that was graded
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Say whether the answer is right."""
        return self.finding.state == "passed"

    def json(self) -> dict[str, Any]:
        """Return all of it as one flat object."""
        return {
            "id": self.id,
            **self.finding._asdict(),
            **{k: v for k, v in self._asdict().items() if k != "finding"},
        }


def grade(name: str, path: Path) -> Verdict:
    """Check the file of one exercise. Raises `ConfigError` for an unknown id, `SwingupError` for an unreadable file."""
    begun, ex = time.perf_counter(), exercise(name)
    data = files.read_bytes(path, limit=LARGEST)
    text = data.decode(errors="replace")
    if same_text(text, ex.start):
        given = (
            "The file is as you got it: somewhere in it is a bug."
            if ex.hunt
            else ("It is not written yet: your code goes where TODO stands.")
        )
        return Verdict(name, Finding("open", given), ex.page, sha256=files.sha256(data))
    with tempfile.TemporaryDirectory(prefix="swingup-learn-", ignore_cleanup_errors=True) as place:
        copy = Path(place).resolve() / "answer" / f"{FILES[name]}.py"
        copy.parent.mkdir()
        copy.write_bytes(data)
        home = Path(place).resolve() / "empty"
        home.mkdir()
        finding, output = run(name, copy, home)
        short = str(copy.parent) + os.sep
    finding = finding._replace(
        trace=finding.trace.replace(short, ""), message=finding.message.replace(short, "")
    )
    lines = text.splitlines()
    code = lines[finding.line - 1].strip() if 0 < finding.line <= len(lines) else ""
    if not text.strip():
        finding = Finding("failed", f"Your file is empty: `swingup learn reset {name}` gives you a new one.")
    elapsed = round(time.perf_counter() - begun, 3)
    return Verdict(name, finding, ex.page, code, output.replace(short, ""), files.sha256(data), elapsed)


def same_text(a: str, b: str) -> bool:
    """Say whether two texts are equal but for spaces at the ends of lines, which editors remove."""
    return [x.rstrip() for x in a.strip().splitlines()] == [x.rstrip() for x in b.strip().splitlines()]


def run(name: str, copy: Path, home: Path) -> tuple[Finding, str]:
    """Run the child on a copy of the file, in an empty directory; what it found, and what the answer printed."""
    token = secrets.token_hex(16)
    paths = [str(Path(swingup.__file__).parents[1]), str(Path(np.__file__).parents[1])]
    order = {"id": name, "answer": str(copy), "token": token, "paths": paths}
    how: dict[str, Any] = {} if sys.platform == "win32" else {"start_new_session": True}
    pipe = subprocess.PIPE
    child = subprocess.Popen(
        [sys.executable, "-I", "-B", str(CHILD)],
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        cwd=home,
        env=environment(home),
        **how,
    )
    kept, ready = [bytearray(), bytearray()], threading.Event()
    readers = [
        threading.Thread(target=_keep, args=(stream, into, ready), daemon=True)
        for stream, into in zip((child.stdout, child.stderr), kept, strict=True)
    ]
    for reader in readers:
        reader.start()
    with contextlib.suppress(OSError):  # a child that died before it read
        assert child.stdin
        child.stdin.write(json.dumps(order).encode() + b"\n")
        child.stdin.close()
    late = False
    try:
        ready.wait(START)
        child.wait(LIMIT)
    except subprocess.TimeoutExpired:
        late = True
    finally:
        _end(child)
    for reader in readers:
        reader.join(1.0)
    for stream in (child.stdin, child.stdout, child.stderr):
        with contextlib.suppress(OSError):
            assert stream
            stream.close()
    said, printed = (bytes(part).decode(errors="replace") for part in kept)
    return verdict(said, token, str(copy), child.returncode, late), printed


def environment(home: Path) -> dict[str, str]:
    """Return a clean environment with one BLAS thread."""
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
    system = {k: os.environ[k] for k in ("SYSTEMROOT", "PATH", "LD_LIBRARY_PATH") if k in os.environ}
    return system | dict.fromkeys(threads, "1") | {"HOME": str(home), "TMPDIR": str(home), "LANG": "C.UTF-8"}


def _keep(stream: Any, into: bytearray, ready: threading.Event) -> None:
    """Read a pipe to its end and keep the last bytes, where the verdict is; tell when the child is ready, or gone."""
    while chunk := stream.read1(KEPT):
        into += chunk
        if READY in into:
            ready.set()
        del into[:-KEPT]
    ready.set()


def _end(child: subprocess.Popen[Any]) -> None:
    """Stop the child at once, and on POSIX all of its process group."""
    with contextlib.suppress(OSError):
        if sys.platform == "win32":
            child.kill()
        else:
            os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def verdict(said: str, token: str, file: str, code: int, late: bool) -> Finding:
    """Find the one line that has the token; without it, find out how the child ended."""
    for line in said.splitlines():
        with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError):
            found = json.loads(line)
            if found.pop("token") == token:
                if "fault" in found:
                    raise SwingupError(
                        f"the check itself failed, which is a fault of swingup's: {found['fault']}"
                    )
                return Finding(**found)
    frames = [int(number) for name, number in FRAME.findall(said) if name == file]
    place: dict[str, Any] = {"line": frames[0] if frames else 0, "trace": said[-4000:]}
    if frames or late or (sys.platform != "win32" and code in (-signal.SIGPROF, -signal.SIGXCPU)):
        text = "Your code was stopped: it did not come to its end in time. Is there a loop without an end?"
        return Finding("failed", text, **place)
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    text = f"Your code ended the check before there was a verdict ({how}): no verdict is no pass."
    return Finding("failed", text, **place)
