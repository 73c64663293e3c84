"""Every runner in this folder shares the workload, the command line and the one line of JSON it prints.

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
from typing import Any, NamedTuple


class Workload(NamedTuple):
    """One PPO training that every contestant runs."""

    env: str
    num_envs: int
    num_steps: int  # env steps of each environment in one iteration
    epochs: int
    minibatches: int
    learning_rate: float
    entropy: float
    hidden: tuple[int, ...] = (64, 64)  # tanh, one such network for the actor and one for the critic
    gamma: float = 0.99
    lam: float = 0.95
    clip: float = 0.2
    value: float = 0.5
    max_grad_norm: float = 0.5

    @property
    def iteration(self) -> int:
        """Env steps in one iteration."""
        return self.num_envs * self.num_steps

    @property
    def minibatch_size(self) -> int:
        return self.iteration // self.minibatches


WORKLOADS = {
    # As in the paper's discrete-control experiments, sized like CleanRL's ppo.py.
    "cartpole": Workload("CartPole-v1", 4, 128, 4, 4, 2.5e-4, 0.01),
    # As in the paper's continuous-control experiments, over 8 environments; SB3's defaults otherwise.
    "halfcheetah": Workload("HalfCheetah-v5", 8, 256, 10, 32, 3e-4, 0.0),
}


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
    parser.add_argument("--workload", default="cartpole", choices=WORKLOADS)
    parser.add_argument("--suite", default="", help="of the environment, where the contestant has several")
    parser.add_argument("--env-steps", type=int, required=True, help="per seed and repetition")
    parser.add_argument("--seeds", type=int, default=1, help="trained together")
    parser.add_argument("--threads", default="default", choices=("default", "1", "2", "4"))
    parser.add_argument("--repetitions", type=int, default=2)
    parser.add_argument("--start-only", action="store_true", help="train once, without warm-up or evaluation")
    args = parser.parse_args()
    args.work = WORKLOADS[args.workload]
    if args.env_steps % args.work.iteration:
        parser.error(f"--env-steps must be a multiple of {args.work.iteration}")
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
        model.learn(0 if args.start_only else 2 * args.work.iteration)  # 0 sets up without training
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
