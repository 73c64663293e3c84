# pyright: reportMissingImports=false
"""Time a pipeline of Atari frames under random actions: swingup's adapters or SB3's wrappers.

Run as `python -m peers.atari KIND` by the interpreter of the contestant; KIND is one of `KINDS`.
"""

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np

KINDS = {  # kind: (whose interpreter runs it, what it is)
    "envpool": ("swingup", "swingup, envpool:Pong-v5"),
    "gymnasium": ("swingup", "swingup, gymnasium:ALE/Pong-v5"),
    "gymnasium-async": ("swingup", "swingup, gymnasium:ALE/Pong-v5?vectorization=async"),
    "sb3-dummy": ("sb3", "SB3, make_atari_env, DummyVecEnv, VecFrameStack"),
    "sb3-subprocess": ("sb3", "SB3, make_atari_env, SubprocVecEnv, VecFrameStack"),
}


def ours(kind: str, num_envs: int) -> tuple[Callable[[np.ndarray], Any], Callable[[], None]]:
    """Step and close."""
    import jax

    from swingup.envs import make

    name = {
        "envpool": "envpool:Pong-v5",
        "gymnasium": "gymnasium:ALE/Pong-v5",
        "gymnasium-async": "gymnasium:ALE/Pong-v5?vectorization=async",
    }[kind]
    env: Any = make(name, num_envs)
    env.reset(jax.random.key(0))
    return lambda action: env.step((), action), env.close


def theirs(kind: str, num_envs: int) -> tuple[Callable[[np.ndarray], Any], Callable[[], None]]:
    """Step and close."""
    from stable_baselines3.common.env_util import make_atari_env
    from stable_baselines3.common.vec_env import SubprocVecEnv, VecFrameStack

    processes = SubprocVecEnv if kind == "sb3-subprocess" else None
    wrappers = {"terminal_on_life_loss": False}
    # NoFrameskip: SB3's wrappers skip the frames themselves, as ours do. Named with the module that registers it, as
    # each process has to import that.
    env = VecFrameStack(
        make_atari_env(
            "ale_py:PongNoFrameskip-v4", num_envs, 0, vec_env_cls=processes, wrapper_kwargs=wrappers
        ),
        4,
    )
    env.reset()
    return env.step, env.close


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--num-envs", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=10.0)
    args = parser.parse_args()
    step, close = (theirs if KINDS[args.kind][0] == "sb3" else ours)(args.kind, args.num_envs)
    rng, n = np.random.default_rng(0), 0
    for _ in range(20):
        step(rng.integers(0, 6, args.num_envs))
    began = time.perf_counter()
    while time.perf_counter() - began < args.seconds:
        for _ in range(10):
            step(rng.integers(0, 6, args.num_envs))
        n += 10 * args.num_envs
    seconds = time.perf_counter() - began
    close()
    print(json.dumps({"env_steps_per_second": n / seconds}), flush=True)


if __name__ == "__main__":
    main()
