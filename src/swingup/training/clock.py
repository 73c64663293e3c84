"""Where the seconds of a run go."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class Clock:
    """Seconds, by what they were spent on; durations come from a monotonic clock."""

    compile_seconds: float = 0.0
    run_seconds: float = 0.0
    warmup_seconds: float = 0.0  # of run_seconds, on the host: before the first iteration
    env_seconds: float = 0.0  # of run_seconds, on the host
    act_seconds: float = 0.0
    update_seconds: float = 0.0

    def split(self) -> dict[str, float]:
        """On the host: the seconds of stepping environments, of acting, of updates."""
        parts = {name: getattr(self, name) for name in ("env_seconds", "act_seconds", "update_seconds")}
        return {name: round(x, 3) for name, x in parts.items()} if self.env_seconds else {}

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Add the duration of a block to `name`."""
        began = time.perf_counter()
        try:
            yield
        finally:
            setattr(self, name, getattr(self, name) + time.perf_counter() - began)
