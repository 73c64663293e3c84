"""What the command line sets before JAX starts: threads, and the cache of compiled programs.

Both are for speed alone. A number that the library prints does not depend on them.
"""

import os
from pathlib import Path
from typing import Any

NARROW = 64  # widest hidden layer for which one thread is faster than two


def threads(algo: Any, image: bool) -> str | None:
    """The rule: one thread for networks of vectors whose layers are at most 64 wide, else XLA's choice.

    The matrix products of narrow networks are too small to share between threads: handing them over costs
    more than it saves (`benchmarks/speed.py` measures both). Images and wider layers gain from every core.
    """
    return "1" if not image and max(algo.hidden) <= NARROW else None


def cache_directory() -> Path:
    """Where compiled programs are kept: $JAX_COMPILATION_CACHE_DIR, else below the user's cache directory."""
    if chosen := os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "swingup" / "jax"


def set_up(algo: Any = None, env_id: str = "") -> None:
    """Choose threads (the variable NPROC, which XLA reads, wins if it is set) and turn the cache on."""
    if algo is not None and (chosen := threads(algo, env_id.endswith("-MinAtar"))):
        os.environ.setdefault("NPROC", chosen)
    import jax

    jax.config.update("jax_compilation_cache_dir", str(cache_directory()))
    # By default only programs that compile for over a second are kept; ours are many and small.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
