"""Blocks of a grid are trained as tasks of Ray, on this machine or on a cluster that somebody has started.

Ray places the tasks, starts them again where a worker or a node dies, and hands their CPUs and GPUs out; nothing of
that is ours. A task gets JSON text and brings back nothing, or files where the storage is not shared: see `attempts`.
"""

import contextlib
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from swingup.errors import ConfigError, OutputError
from swingup.runs import attempts

RETRIES = 10  # of a task whose worker or node died
SILENT = 600.0  # seconds without a new file after which a job is named: Ray does not see a frozen process
LOOK = 5.0  # seconds between looks
LOOPBACK = ("", "auto", "local", "localhost", "127.0.0.1", "::1")
HOW = "pip install 'swingup[ray]'"


class Cluster(NamedTuple):
    """A cluster is at an address, and each job gets CPUs and GPUs of it."""

    address: str | None = None  # None: Ray is started on this machine, and ends with the grid
    cpus: int = 1  # for each job
    gpus: float = 0.0  # for each job


def checked(cluster: Cluster) -> None:
    """Raise `ConfigError` for resources that are none, and for an address beyond this machine without a token.

    Ray runs what anybody sends to it, so a cluster that others can reach needs one.
    """
    if cluster.cpus < 1 or cluster.gpus < 0:
        raise ConfigError(
            f"a job needs a CPU or more, and GPUs from 0 on: not {cluster.cpus} and {cluster.gpus}"
        )
    address = (cluster.address or "").removeprefix("ray://")
    host = address.rpartition(":")[0].strip("[]") if ":" in address else address
    if host in LOOPBACK:
        return
    token = any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    if os.environ.get("RAY_AUTH_MODE") != "token" or not (
        token or (Path.home() / ".ray" / "auth_token").exists()
    ):
        raise ConfigError(
            f"the cluster at {cluster.address} is beyond this machine, so it needs a token: set RAY_AUTH_MODE=token "
            "and RAY_AUTH_TOKEN_PATH here and on each node (ray get-auth-token --generate makes one)"
        )


def wanted(engine: str, given: Cluster, processes: int) -> Cluster | None:
    """Return the cluster that options ask for, or None. Raises `ConfigError` if they contradict each other."""
    if engine not in ("", "ray"):
        raise ConfigError(f"--engine is ray, or not given, not {engine!r}")
    if engine and processes:
        raise ConfigError("--processes and --engine ray exclude each other: Ray starts the processes")
    if not engine and given != Cluster():
        raise ConfigError("--address, --cpus and --gpus belong to --engine ray")
    if engine:
        checked(given)
    return given if engine else None


@contextlib.contextmanager
def connected(cluster: Cluster) -> Iterator[ModuleType]:
    """Connect to Ray, and leave it at the end. While connected, all but our own lines goes to stderr.

    Raises `ConfigError` if Ray is not installed or nobody answers.
    """
    checked(cluster)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        ray = import_module("ray")
    except ImportError:
        raise ConfigError(f"--engine ray needs Ray: {HOW}") from None
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if cluster.address is None:
        quiet |= {"include_dashboard": False}
    with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "os.fork")  # Ray's servers, which never compute
        try:
            ray.init(address=cluster.address or "local", **quiet)
        except (ConnectionError, RuntimeError, ValueError) as error:
            hint = (
                ""
                if os.environ.get("RAY_AUTH_MODE") == "token"
                else "; a cluster with a token needs RAY_AUTH_MODE"
            )
            raise ConfigError(f"no cluster answers at {cluster.address}: {error}{hint}") from None
        try:
            yield ray
        finally:
            ray.shutdown()


class _Job(NamedTuple):
    """A job is underway."""

    number: int  # of its block
    order: attempts.Order
    paths: list[Path]  # of its runs


def run(jobs: dict[int, str], home: Path, cluster: Cluster, tell: Callable[[str], None]) -> int:
    """Do jobs, `{block: text}`, of the grid in a directory; return the signal that stopped them, or 0.

    `tell` is told of each that ends, and of one that has written nothing for ten minutes. A job that fails does not
    stop the others: it stays missing, and the next start tries it again.
    """
    mark = attempts.mark(home)
    todo = []
    for k, text in jobs.items():
        order = attempts.Order(text, str(home / "attempts" / f"{k:03d}"), mark)
        todo.append(_Job(k, order, [Path(path) for path, _ in attempts.places(text, home)]))
    with connected(cluster) as ray:
        how: dict[str, Any] = {"num_cpus": cluster.cpus, "num_gpus": cluster.gpus}
        # A process of its own for each call, because threads and devices are set before JAX starts.
        task = ray.remote(max_calls=1, max_retries=RETRIES, **how)(attempts.work)
        refs = {task.remote(job.order): job for job in todo}
        with _heard() as heard:
            _settle(ray, refs, tell, heard)
    return heard[0] if heard else 0


def _settle(ray: Any, refs: dict[Any, _Job], tell: Callable[[str], None], heard: list[int]) -> None:
    """Wait for all jobs, or for a signal."""
    count, done, begun = len(refs), 0, time.time()
    named: set[int] = set()
    while refs and not heard:
        ready, _ = ray.wait(list(refs), timeout=LOOK)
        for ref in ready:
            job, done = refs.pop(ref), done + 1
            tell(f"job {done} of {count}   {_settled(ray, ref, job)}")
        for job in refs.values():
            if job.number not in named and (quiet := silence(Path(job.order.folder), begun)) > SILENT:
                named.add(job.number)
                tell(
                    f"block {job.number} has written nothing for {quiet / 60:.0f} minutes: is its node frozen?"
                )
    if heard:
        for ref in refs:
            with contextlib.suppress(Exception):  # it may have ended meanwhile
                ray.cancel(ref, force=True)


def _settled(ray: Any, ref: Any, job: _Job) -> str:
    """Take what a job brought, and say how it ended."""
    try:
        answer = attempts.Answer(*ray.get(ref))
        attempts.bring(answer.files, job.paths)
    except OutputError:
        raise
    except Exception as error:  # whatever the task, its worker or its node came to
        broken: Any = error
        cause = broken.cause if isinstance(error, ray.exceptions.RayTaskError) else error
        return f"block {job.number} failed: {str(cause).strip().splitlines()[-1]}"
    return f"block {job.number} failed: {'; '.join(answer.failed)}" if answer.failed else "finished"


def silence(folder: Path, begun: float) -> float:
    """Return the seconds since an attempt has written something; 0 before it has begun, when it waits for its turn."""
    known = attempts.numbers(folder)
    if not known:
        return 0.0
    newest = folder / f"{known[-1]:03d}"
    times = [path.stat().st_mtime for path in (newest, *newest.rglob("*")) if path.exists()]
    return time.time() - max(begun, *times)


@contextlib.contextmanager
def _heard() -> Iterator[list[int]]:
    """Keep the first signal to stop; a second one is Python's own."""
    heard: list[int] = []
    main = threading.current_thread() is threading.main_thread()  # Python hears signals nowhere else
    signals = (signal.SIGINT, signal.SIGTERM) if main else ()
    previous = {s: signal.getsignal(s) for s in signals}

    def note(signum: int, frame: object) -> None:
        if heard:
            raise KeyboardInterrupt
        heard.append(signum)

    for s in signals:
        signal.signal(s, note)
    try:
        yield heard
    finally:
        for s, handler in previous.items():
            signal.signal(s, handler)
