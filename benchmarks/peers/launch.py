"""Give every contestant its own virtual environment and run its runner in a process that cannot hang us."""

import hashlib
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

PEERS = Path(__file__).resolve().parent
REPO = PEERS.parent.parent
HOME = REPO / ".bench"  # git-ignored: virtual environments, one per peer


def python_of(peer: str) -> Path:
    """The interpreter of `peer`, after creating or renewing its virtual environment where that is needed."""
    if peer == "swingup":
        own = REPO / ".venv" / "bin" / "python"
        return own if own.exists() else Path(sys.executable)
    pins, home = PEERS / f"{peer}.txt", HOME / peer
    python, stamp = home / "bin" / "python", home / "pins.sha256"
    digest = hashlib.sha256(pins.read_bytes()).hexdigest()
    if not (python.exists() and stamp.exists() and stamp.read_text() == digest):
        print(f"installing {peer} ({pins.name}) in its own virtual environment", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", home], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", pins], check=True)
        stamp.write_text(digest)
    return python


def environment(peer: str, cache: str) -> dict[str, str]:
    """The parent's environment without its JAX, XLA and thread settings; CPU only; `cache` as JAX's cache."""
    dropped = ("JAX_", "XLA_", "NPROC", "OMP_", "MKL_", "OPENBLAS_", "SWINGUP_", "PYTHONPATH")
    env = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    env |= {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": "", "JAX_COMPILATION_CACHE_DIR": cache}
    if peer != "swingup":  # swingup must choose these itself; the peers get the most favourable setting
        env |= {
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        }
    return env


def measure(
    peer: str, options: list[str], *, timeout: float, cache: str | None = None, module: str | None = None
) -> dict[str, Any]:
    """Run `peer`'s runner once in a fresh process and return its JSON with `status` added.

    `module` is the runner, by default `peers.<peer>`. `cache` is the directory of JAX's compilation cache; by
    default an empty one, deleted afterwards.
    The status is "ok", "failed" (with the last line of its error output) or "hang" (killed after `timeout`
    seconds; `cpu_seconds` near zero then means a deadlock and not just a slow run).
    """
    if cache is None:
        with tempfile.TemporaryDirectory() as empty:
            return measure(peer, options, timeout=timeout, cache=empty, module=module)
    command = [str(python_of(peer)), "-m", module or f"peers.{peer}", *options]
    cpu_before, started = _children_cpu_seconds(), time.time()
    process = subprocess.Popen(
        command,
        cwd=PEERS.parent,
        env=environment(peer, cache),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return {"status": "hang", "timeout": timeout, "cpu_seconds": _children_cpu_seconds() - cpu_before}
    except BaseException:  # Ctrl-C: do not leave the runner behind
        os.killpg(process.pid, signal.SIGKILL)
        raise
    lines = out.strip().splitlines()
    if process.returncode != 0 or not lines:
        last = (err.strip().splitlines() or [f"exit status {process.returncode}"])[-1]
        return {"status": "failed", "error": without_paths(last)}
    result = json.loads(lines[-1])
    result["start_to_finish_seconds"] = result.pop("finished_at") - result.pop("started_at", started)
    return {"status": "ok", **result, "cpu_seconds": _children_cpu_seconds() - cpu_before}


def without_paths(text: str) -> str:
    """An error's text fit to be stored: of absolute paths only the last part, and no more than 200 characters."""
    return re.sub(r"(?<![\w.:/])(?:/[^\s/'\",:()]+)+/", "", text)[:200]


def _children_cpu_seconds() -> float:
    """Processor seconds of all finished child processes so far."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
