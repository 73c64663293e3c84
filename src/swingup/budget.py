"""Does the replay fit? Reckoned before anything is allocated, so that a run does not die of it hours later."""

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax

from swingup.errors import ConfigError
from swingup.replay import memory
from swingup.types import VecEnv

SHARE = 0.9  # of the free memory that replays may take
GIB = 2**30


def replay_bytes(algo: Any, env: VecEnv) -> int:
    """Bytes of one seed's replay; exact, from its shapes."""
    stacked = getattr(env, "stacked", False)
    spaces = {"observation_space": env.observation_space, "action_space": env.action_space}
    one: Any = SimpleNamespace(num_envs=algo.num_envs, stacked=stacked, goal_reward=None, **spaces)
    shapes = jax.eval_shape(lambda: memory(one, algo.replay_size))
    return sum(math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(shapes))


def free_bytes() -> int | None:
    """Memory that is free where JAX computes; None where that cannot be told."""
    device = jax.devices()[0]
    if device.platform != "cpu":
        stats = device.memory_stats() or {}
        return stats["bytes_limit"] - stats["bytes_in_use"] if "bytes_limit" in stats else None
    info = Path("/proc/meminfo")
    if not info.exists():
        return None
    return next(
        int(x.split()[1]) * 1024 for x in info.read_text().splitlines() if x.startswith("MemAvailable")
    )


def check(algo: Any, env: VecEnv, seeds: int) -> None:
    """Raise `ConfigError` if the replays of all seeds do not fit, with what would; or lack goals for hindsight."""
    if not hasattr(algo, "replay_size"):
        return
    goals = getattr(env.observation_space, "goal", 0) and getattr(env, "goal_reward", None)
    if getattr(algo, "hindsight", 0) and not goals:
        raise ConfigError(
            f"hindsight={algo.hindsight} needs an environment with goals whose rewards can be computed anew: "
            f"observations with `Box.goal`, and `goal_reward`. {env.name} has not; try task:BitFlip or "
            "envpool:FetchReach-v4"
        )
    one, free = replay_bytes(algo, env), free_bytes()
    if free is None or one * seeds <= SHARE * free:
        return
    fits = int(0.999 * algo.replay_size * SHARE * free / (one * seeds))
    fewer = int(SHARE * free / one)
    raise ConfigError(
        f"replay_size={algo.replay_size:,} takes {one / GIB:.2f} GiB for each of {seeds} seed(s), "
        f"{one * seeds / GIB:.1f} GiB in all, and {free / GIB:.1f} GiB are free. What fits: "
        f"--replay-size {fits}" + (f", or {fewer} seed(s)" if 0 < fewer < seeds else "")
    )
