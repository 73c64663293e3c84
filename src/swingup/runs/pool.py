"""A pool runs jobs in processes of their own, a few at a time. One that is killed is started again, and goes on.

A thread waits for each process; nothing but the job's text goes to it. A process ends when this one does, because its
standard input is a pipe from here. A signal is handed on, so that each saves and ends.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from swingup import files

TRIES = 4  # starts of one job, if it is killed each time


def run(jobs: dict[int, str], folder: Path, processes: int, tell: Callable[[str], None]) -> int:
    """Run jobs, `{number: text}`, in at most `processes` processes; return the signal that stopped them, or 0.

    `folder` gets a file with the text of each, and its log. `tell` is told of each that ends, with the log's last line
    if it failed.
    """
    try:
        files.make_directory(folder)
    except OSError as error:
        raise files.output_error(folder, error) from error
    pool = _Pool()
    with pool, ThreadPoolExecutor(processes) as threads:
        futures = {k: threads.submit(pool.attempt, folder / f"{k:03d}", text) for k, text in jobs.items()}
        for number, (k, future) in enumerate(futures.items(), start=1):
            code = future.result()
            if pool.signum:
                continue
            log = folder / f"{k:03d}.log"
            last = log.read_text(errors="replace").strip().rpartition("\n")[2]
            how = "finished" if code == 0 else f"ended with {code}; {log} ends with: {last}"
            tell(f"job {number} of {len(jobs)}   {how}")
    return pool.signum


class _Pool:
    """A pool knows the processes that run now; inside `with`, a signal is theirs too."""

    def __init__(self):
        self.running: set[subprocess.Popen] = set()
        self.lock, self.signum = threading.Lock(), 0
        self.previous: dict[int, Any] = {}

    def __enter__(self) -> "_Pool":
        if threading.current_thread() is threading.main_thread():
            self.previous = {s: signal.signal(s, self.stop) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for signum, handler in self.previous.items():
            signal.signal(signum, handler)

    def stop(self, signum: int, frame: object) -> None:
        """Hand a signal on; a second one ends all at once."""
        again, self.signum = bool(self.signum), signum
        for process in list(self.running):
            process.send_signal(signal.SIGKILL if again else signum)

    def attempt(self, path: Path, text: str) -> int:
        """Run a job until it ends by itself, and return its exit code; a killed one is tried again."""
        file, log = path.with_suffix(".json"), path.with_suffix(".log")
        files.write_atomic(file, text.encode())
        code = 0
        for _ in range(TRIES):
            if self.signum:
                return 128 + self.signum
            code = self.once(file, log)
            if code >= 0:  # not killed by a signal
                break
        return code

    def once(self, file: Path, log: Path) -> int:
        """Start a job and wait for it."""
        command = [sys.executable, "-m", "swingup.cli.job", str(file), "--tethered"]
        with open(log, "ab") as out:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C comes from here, once
                env=os.environ | {"PYTHONUNBUFFERED": "1"},
            )
            with self.lock:
                self.running.add(process)
            try:
                if self.signum:
                    process.send_signal(self.signum)
                return process.wait()
            finally:
                self.running.discard(process)
                if process.stdin:
                    process.stdin.close()
