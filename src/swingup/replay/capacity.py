"""A replay has to fit in memory. Reckoned before anything is allocated, so that a run does not die of it hours
later.
"""

import math
from pathlib import Path

import jax

from swingup.errors import ConfigError
from swingup.protocols import Algorithm, Replaying, VecEnv
from swingup.replay import ring

SHARE = 0.9  # of the free memory that replays may take
GIB = 2**30


def replay_bytes(algo: Algorithm, env: VecEnv) -> int:
    """Count the bytes of one seed's replay, exactly, from its shapes, with what is kept of a model."""
    sizes = [(algo.replay_size, algo.num_envs), (algo.imagined_size, algo.imagined_envs)]
    shapes = jax.eval_shape(lambda: [ring.empty(env, *size) for size in sizes if size[0]])
    return sum(math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(shapes))


def free_bytes() -> int | None:
    """Return the bytes that are free where JAX computes; None where that cannot be told."""
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


def check_settings(algo: Replaying) -> None:
    """Raise `ConfigError` unless gradient steps per iteration are a whole number, and a rollout fits the ring."""
    samples = algo.num_envs * algo.num_steps
    exact = algo.replay_ratio * samples
    if round(exact) < 1 or abs(exact - round(exact)) > 1e-6:
        raise ConfigError(
            f"replay_ratio={algo.replay_ratio:g} makes {exact:g} gradient steps per iteration of "
            f"num_envs * num_steps = {samples} env steps; it must be a whole number from 1 on, "
            f"such as replay_ratio={max(1, round(exact)) / samples:g}"
        )
    if algo.warmup_hold < 1:
        raise ConfigError(f"warmup_hold must be at least 1, not {algo.warmup_hold}")
    if algo.hindsight and (algo.n_step > 1 or algo.prioritised):
        raise ConfigError(
            "hindsight goes with n_step=1 and without prioritised: it changes rewards when it draws"
        )
    if algo.replay_size < max(samples, algo.warmup_env_steps):
        least = max(samples, algo.warmup_env_steps)
        raise ConfigError(
            f"replay_size={algo.replay_size} must hold the {least} env steps of the warm-up and of one iteration"
        )


def check_room(algo: Algorithm, env: VecEnv, seeds: int, copies: int = 1) -> None:
    """Raise `ConfigError` if the replays of all seeds do not fit, with what would; or lack goals for hindsight.

    `copies` says how many of each this machine's memory holds.
    """
    if not algo.replay_size:
        return
    goals = env.observation_space.goal and env.goal_reward
    if algo.hindsight and not goals:
        raise ConfigError(
            f"hindsight={algo.hindsight} needs an environment with goals whose rewards can be computed anew: "
            f"observations with `Box.goal`, and `goal_reward`. {env.name} has not; try task:BitFlip or "
            "envpool:FetchReach-v4"
        )
    one, free = copies * replay_bytes(algo, env), free_bytes()
    if free is None or one * seeds <= SHARE * free:
        return
    fits = int(0.999 * algo.replay_size * SHARE * free / (one * seeds))
    fewer = int(SHARE * free / one)
    raise ConfigError(
        f"replay_size={algo.replay_size:,} takes {one / GIB:.2f} GiB for each of {seeds} seed(s)"
        f"{f' with a copy for each of {copies} devices' if copies > 1 else ''}, "
        f"{one * seeds / GIB:.1f} GiB in all, and {free / GIB:.1f} GiB are free. What fits: "
        f"--replay-size {fits}" + (f", or {fewer} seed(s)" if 0 < fewer < seeds else "")
    )
