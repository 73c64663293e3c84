"""Time swingup's PPO: rates through `swingup.train`, starts through the command `swingup train`."""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from . import common

PACKAGES = ("swingup", "jax", "jaxlib", "equinox", "optax", "numpy")
SPLIT = ("env_seconds", "act_seconds", "update_seconds")  # of run_seconds, for environments on the host
POLL = 0.01  # seconds between looks at the first command's output


def settings(work: common.Workload) -> dict[str, Any]:
    """The workload as PPO's hyperparameters."""
    return {
        "num_envs": work.num_envs,
        "num_steps": work.num_steps,
        "epochs": work.epochs,
        "num_minibatches": work.minibatches,
        "lr": work.learning_rate,
        "gamma": work.gamma,
        "lam": work.lam,
        "clip": work.clip,
        "c_entropy": work.entropy,
        "c_value": work.value,
        "max_grad_norm": work.max_grad_norm,
        "hidden": work.hidden,
        "activation": "tanh",
    }


def main() -> None:
    """Measure what the options ask for and print it."""
    args = common.arguments(many_seeds=True)
    if args.start_only:
        start(args)
    else:
        rate(args)


def rate(args: argparse.Namespace) -> None:
    """Call `train` once per repetition, each with seeds of its own; nothing is written to disk."""
    with common.timed() as importing:
        import swingup
        from swingup.training import machine

        algo = swingup.PPO(**settings(args.work))  # imports JAX
        machine.set_up(algo, args.seeds)  # as the command line does
    env = f"{args.suite}:{args.work.env}".removeprefix(":")
    results, other_seconds = [], []
    for repetition in range(args.repetitions):
        seeds = range(repetition * args.seeds, (repetition + 1) * args.seeds)
        with common.timed() as call:
            run = swingup.train(algo, env, env_steps=args.env_steps, seeds=seeds, episodes=1)
        results.append(run.result)
        other_seconds.append(call.seconds - run.result["run_seconds"] - run.result["compile_seconds"])
    common.report(
        args,
        import_seconds=importing.seconds,
        compile_seconds=results[0]["compile_seconds"],
        run_seconds=[result["run_seconds"] for result in results],
        packages=PACKAGES,
        # What `train` spends outside compiling and running, so that no work can hide there.
        other_seconds=statistics.median(other_seconds),
        final_return=statistics.mean(results[-1]["train_return"]),
        return_of="last 100 training episodes",
        split={name: x for name, x in results[0].items() if name in SPLIT},
    )


def start(args: argparse.Namespace) -> None:
    """Run the command `swingup train` and note when the first row of its metrics.csv is there."""
    flags = [word for name, value in settings(args.work).items() for word in _flag(name, value)]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        command = [
            sys.executable,
            "-c",
            "from swingup.cli import main; main()",
            "train",
            "ppo",
            args.work.env,
        ]
        command += ["--env-steps", str(args.env_steps), "--out", str(out), "--json", *flags]
        started_at = time.time()  # of the command, not of this script that watches it
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        metrics = out / "metrics.csv"
        while not (metrics.exists() and metrics.read_text().count("\n") >= 2):  # header and one row
            if process.poll() is not None:
                raise RuntimeError(
                    f"the command ended with {process.returncode} and without a row of metrics"
                )
            time.sleep(POLL)
        updated_at = time.time()
        result = json.loads(process.communicate()[0].splitlines()[-1])
        ended_at = time.time()
    common.report(
        args,
        import_seconds=None,
        compile_seconds=result["compile_seconds"],
        run_seconds=[result["run_seconds"]],
        packages=PACKAGES,
        started_at=started_at,
        finished_at=updated_at,
        evaluation_and_exit_seconds=ended_at - updated_at,
    )


def _flag(name: str, value: object) -> list[str]:
    """A hyperparameter as words of a command line."""
    values = value if isinstance(value, tuple) else (value,)
    return ["--" + name.replace("_", "-"), *map(str, values)]


if __name__ == "__main__":
    main()
