"""This program grades one answer in a process of its own, and says the verdict on a pipe.

It is run as a file, `python -I child.py`. The order comes as one line of JSON on stdin. Limits, and a hook that refuses
sockets, processes and files elsewhere, guard against accidents. They are no sandbox: whoever wants to get out will.
"""

import contextlib
import faulthandler
import importlib.util
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

# An endless loop is found by its CPU time, and the clock only ends what sleeps: on a busy machine it must fail nobody.
CPU, LOOP = 4, 1.0  # seconds of CPU: the end; when the line of an endless loop is shown
WALL = 8.0  # seconds by the clock
DATA, FILE = 2**30, 2**20  # bytes of memory, and of a file
READY = b"ready\n"  # all is imported, and the answer begins
REFUSED = (
    "socket.", "subprocess.", "os.system", "os.fork", "os.exec", "os.posix_spawn", "os.spawn", "os.startfile",
    "os.kill", "pty.", "ctypes.", "signal.pthread_kill", "webbrowser.", "ftplib.", "smtplib.", "urllib.",
)  # fmt: skip
MODULES = ("multiprocessing", "_posixsubprocess", "_multiprocessing", "ctypes", "_ctypes", "pty")
WRITES = (
    "os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.chmod", "os.chown", "os.link", "os.symlink", "os.truncate",
    "os.utime", "os.chdir", "os.setxattr", "os.removexattr", "shutil.",
)  # fmt: skip


def main() -> None:
    """Check the answer that stdin names."""
    said = os.dup(1)  # the pipe for the verdict; what the answer prints goes where errors go
    os.dup2(2, 1)
    order = json.loads(sys.stdin.readline())
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    after_python = next((i for i, path in enumerate(sys.path) if "-packages" in path), len(sys.path))
    sys.path[after_python:after_python] = order[
        "paths"
    ]  # this very package, and NumPy where a user installed it
    try:
        from swingup.learn import exercise
        from swingup.learn.judge import Judge

        judge = Judge(exercise(order["id"]))
        limit(said)
        refuse(Path.cwd())
        os.write(said, READY)
    except Exception as error:  # nothing of the learner's has run yet
        tell(said, order["token"], {"fault": f"{type(error).__name__}: {error}"})
    else:
        tell(said, order["token"], answer(judge, order["answer"])._asdict())


def tell(said: int, token: str, what: dict[str, Any]) -> None:
    """Say what was found, and end at once: no thread and no exit handler of the answer's can change it."""
    with contextlib.suppress(Exception):  # what the answer printed is still in buffers
        sys.stdout.flush()
        sys.stderr.flush()
    os.write(said, f"\n{json.dumps({'token': token, **what})}\n".encode())
    os._exit(0)


def answer(judge: Any, path: str) -> Any:
    """Load the answer and judge it; a file that cannot be loaded is a finding, too."""
    from swingup.learn.judge import Finding

    name = judge.exercise.name
    try:
        spec = importlib.util.spec_from_file_location("answer", path)
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        sys.modules["answer"] = module
        spec.loader.exec_module(module)
    except BaseException as error:
        place = judge.place(error, path)
        if isinstance(error, SyntaxError):
            place["line"] = error.lineno or 0
            return Finding("failed", f"Python cannot read your file: {error.msg}.", **place)
        text = " ".join(str(error).split())[:300]
        kind = type(error).__name__
        return Finding("failed", f"Your file cannot be loaded: {kind}{': ' if text else ''}{text}.", **place)
    function = vars(module).get(name)
    if not callable(function):
        what = (
            "has no function"
            if function is None
            else f"has a {type(function).__name__} in place of a function"
        )
        return Finding("failed", f"Your file {what} `{name}`: keep the name from the start file.")
    return judge(function, path)


def limit(said: int) -> None:
    """Keep time, memory and files within limits; when time is over, the pipe says at which line."""
    faulthandler.dump_traceback_later(WALL, exit=True, file=said)
    if sys.platform == "win32":
        return
    import resource

    faulthandler.register(signal.SIGPROF, file=said, chain=True)  # shows the line, and then ends the process
    signal.setitimer(signal.ITIMER_PROF, LOOP)
    for what, most in [
        (resource.RLIMIT_CPU, CPU),
        (resource.RLIMIT_DATA, DATA),
        (resource.RLIMIT_FSIZE, FILE),
        (resource.RLIMIT_CORE, 0),
    ]:
        with contextlib.suppress(ValueError, OSError):  # a system that lacks this limit
            resource.setrlimit(what, (most, most))


def refuse(home: Path) -> None:
    """Refuse sockets, processes, and changes of files outside of `home`."""
    base = str(home.resolve())

    def outside(path: Any) -> bool:
        if not isinstance(path, str | bytes | os.PathLike):
            return False  # a file that is open already
        place = os.path.realpath(os.fsdecode(path))
        return place != os.devnull and not (place + os.sep).startswith(base + os.sep)

    def hook(event: str, args: tuple[Any, ...]) -> None:
        refused = event.startswith(REFUSED) or (event == "import" and args[0] in MODULES)
        if event == "open":
            path, mode, flags = args
            changes = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
            refused = (bool(flags & changes) or any(c in (mode or "") for c in "wax+")) and outside(path)
        elif event.startswith(WRITES):
            refused = any(outside(path) for path in args if not isinstance(path, int))
        if refused:
            raise PermissionError(f"an exercise needs no {event}; the check refuses it")

    sys.addaudithook(hook)


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    main()
