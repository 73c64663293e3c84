"""What every runner in this folder shares: the workload, the command line and the one line of JSON it prints.

A runner is started as `python -m peers.<peer>` by the interpreter of its own virtual environment, with
`benchmarks/` as working directory. Only the standard library may be imported here: the peers have nothing
else in common.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

# PPO as in the paper's discrete-control experiments, sized like CleanRL's ppo.py.
NUM_ENVS = 4
NUM_STEPS = 128  # env steps of each environment in one iteration
ITERATION = NUM_ENVS * NUM_STEPS  # env steps in one iteration
EPOCHS = 4
MINIBATCHES = 4
MINIBATCH_SIZE = ITERATION // MINIBATCHES
HIDDEN = (64, 64)  # tanh, one such network for the actor and one for the critic
LEARNING_RATE = 2.5e-4
GAMMA = 0.99
LAMBDA = 0.95
CLIP = 0.2
ENTROPY = 0.01
VALUE = 0.5
MAX_GRAD_NORM = 0.5


class Stopwatch:
    """Seconds spent inside a `with timed() as watch` block."""

    seconds: float = 0.0


@contextmanager
def timed():
    """Yield a `Stopwatch` that is filled in when the block ends."""
    watch, started = Stopwatch(), time.perf_counter()
    yield watch
    watch.seconds = time.perf_counter() - started


def arguments(*, many_seeds: bool) -> argparse.Namespace:
    """Parse the runner's command line and set the thread count, which must happen before JAX is imported."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--env-steps", type=int, default=ITERATION * 100, help="per seed and repetition")
    parser.add_argument("--seeds", type=int, default=1, help="trained together")
    parser.add_argument("--threads", default="default", choices=("default", "1", "2", "4"))
    parser.add_argument("--repetitions", type=int, default=2)
    parser.add_argument("--start-only", action="store_true", help="train once, without warm-up or evaluation")
    args = parser.parse_args()
    if args.env_steps % ITERATION:
        parser.error(f"--env-steps must be a multiple of {ITERATION}")
    if args.seeds > 1 and not many_seeds:
        parser.error("this peer cannot train several seeds together")
    if args.threads != "default":
        os.environ["NPROC"] = args.threads  # read by XLA when JAX is imported
    return args


def report(
    args: argparse.Namespace,
    *,
    import_seconds: float | None,
    compile_seconds: float | None,
    run_seconds: Sequence[float],
    packages: Sequence[str],
    **extra: Any,
) -> None:
    """Print the result as one line of JSON; None is for what this run could not tell apart.

    Every rate counts the env steps of all seeds together.
    """
    env_steps = args.env_steps * args.seeds
    print(
        json.dumps(
            {
                "env_steps_per_second": env_steps / min(run_seconds),
                "median_env_steps_per_second": env_steps / statistics.median(run_seconds),
                "run_seconds": list(run_seconds),
                "compile_seconds": compile_seconds,
                "import_seconds": import_seconds,
                "repetitions": len(run_seconds),
                "env_steps_per_seed": args.env_steps,
                "versions": {
                    "python": platform.python_version(),
                    **{name: version(name) for name in packages},
                },
                "finished_at": time.time(),
                **extra,  # last, as swingup's runner knows better when its update was finished
            }
        ),
        flush=True,
    )


def learn_repeatedly(model: Any, args: argparse.Namespace) -> tuple[float | None, list[float]]:
    """Warm up, then time `learn` of a Stable-Baselines3-like model: (warm-up seconds, seconds of each call).

    The model goes on learning from one call to the next: a new model would compile its update again.
    """
    with timed() as warm_up:
        model.learn(0 if args.start_only else 2 * ITERATION)  # 0 sets up without training
    run_seconds = []
    for _ in range(args.repetitions):
        before = model.num_timesteps
        with timed() as run:
            model.learn(args.env_steps, reset_num_timesteps=False)
        if model.num_timesteps - before != args.env_steps:
            raise RuntimeError(f"asked for {args.env_steps} env steps, got {model.num_timesteps - before}")
        run_seconds.append(run.seconds)
    return None if args.start_only else warm_up.seconds, run_seconds


def recent_return(model: Any) -> dict[str, Any]:
    """Mean undiscounted return of the last 100 training episodes of a Stable-Baselines3-like model."""
    episodes = [episode["r"] for episode in model.ep_info_buffer]
    mean = sum(episodes) / len(episodes) if episodes else None
    return {"final_return": mean, "return_of": "last 100 training episodes"}
