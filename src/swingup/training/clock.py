"""A clock says where the seconds of a run go."""

import time
from dataclasses import dataclass, field


class Stopwatch:
    """A stopwatch adds up the seconds of the `with` blocks that it measures, by a monotonic clock."""

    def __init__(self):
        self.seconds, self.began = 0.0, 0.0

    def __enter__(self) -> None:
        self.began = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self.began


@dataclass
class Clock:
    """A clock has a stopwatch for each thing that a run spends seconds on."""

    compiling: Stopwatch = field(default_factory=Stopwatch)
    running: Stopwatch = field(default_factory=Stopwatch)
    warming_up: Stopwatch = field(
        default_factory=Stopwatch
    )  # of running, on the host: before the first iteration
    stepping: Stopwatch = field(default_factory=Stopwatch)  # of running, on the host: environments
    acting: Stopwatch = field(default_factory=Stopwatch)
    updating: Stopwatch = field(default_factory=Stopwatch)

    @property
    def compile_seconds(self) -> float:
        return self.compiling.seconds

    @property
    def run_seconds(self) -> float:
        return self.running.seconds

    @property
    def warmup_seconds(self) -> float:
        return self.warming_up.seconds

    def split(self) -> dict[str, float]:
        """Return the seconds of stepping environments, of acting and of updates, on the host."""
        parts = {"env_seconds": self.stepping, "act_seconds": self.acting, "update_seconds": self.updating}
        return {name: round(x.seconds, 3) for name, x in parts.items()} if self.stepping.seconds else {}
