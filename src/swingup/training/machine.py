"""The command line sets threads, and the cache of compiled programs, before JAX starts.

Both are for speed alone. A number that the library prints does not depend on them.
"""

import contextlib
import os
import sys
from pathlib import Path
from typing import Any

NARROW = 128  # widest hidden layer for which one thread is as fast as two


def threads(algo: Any, seeds: int) -> str | None:
    """Say how many threads: one per device if layers are at most 128 wide or cores have seeds of their own.

    The matrix products of narrow networks are too small to share between threads: handing them over costs
    more than it saves (`benchmarks/speed.py` measures both). Else it is XLA's choice, all cores. So it is with noise
    in the weights, which is drawn and multiplied for every weight: `swingup train c51 Breakout-MinAtar --seeds 1` makes
    1,060 env steps/s with NPROC=2 and 578 with NPROC=1 (two cores of an AMD EPYC).
    """
    narrow = max((1, *algo.hidden)) <= NARROW and not algo.noisy
    return "1" if narrow or devices(seeds) > 1 else None


def cache_directory() -> Path:
    """Say where compiled programs are kept: $JAX_COMPILATION_CACHE_DIR, else below the user's cache directory."""
    if chosen := os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "swingup" / "jax"


def devices(seeds: int) -> int:
    """Say how many CPU devices: one per core, as long as each gets the same number of seeds.

    Seeds need nothing of each other, so two cores with half of the seeds each are twice as fast as one
    program that shares every small product between them.
    """
    return max(n for n in range(1, cores() + 1) if seeds % n == 0)


def granted(asked: int | None) -> int | None:
    """Say how many CPU devices to make where a number is asked for: at most one per core."""
    return None if asked is None else max(1, min(asked, cores()))


def cores() -> int:
    """Say how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def set_up(algo: Any = None, seeds: int = 1, count: int | None = None) -> None:
    """Choose threads and devices, and turn the cache of compiled programs on. Call it before JAX computes.

    `count` is the number of CPU devices where a plan says it; by default `devices(seeds)`. The variable NPROC, which
    XLA reads for its number of threads, wins if it is set.
    """
    if algo is not None and (chosen := "1" if count and count > 1 else threads(algo, seeds)):
        os.environ.setdefault("NPROC", chosen)
    import jax

    with contextlib.suppress(RuntimeError):  # too late: JAX has computed already, and keeps what it has
        jax.config.update("jax_num_cpu_devices", count or devices(seeds))
    jax.config.update("jax_compilation_cache_dir", str(cache_directory()))
    # By default only programs that compile for over a second are kept; ours are many and small.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
